"""Which item a person means: by its final relative to the run directory, absolute, or only by its last part.

A name that nobody has is answered with those that resemble it most.
"""

import difflib
import heapq
import os
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice

from multiprocesstools.errors import SeveralItems, UnknownItem
from multiprocesstools.run.directory import Run

_MOST_NAMED, _MOST_COMPARED, _CUTOFF = 3, 200, 0.4


def choose(run: Run, name: str, known: Callable[[], Iterable[str]], what: str = "is known") -> str:
    """The one of the known items that is meant. UnknownItem names the nearest, SeveralItems those that are meant.

    `known` gives the items, relative to the run directory, as often as it is called, and may give some twice; they may
    be a million. `what` is said of them in the error.
    """
    meant = {os.path.normpath(name), run.relative(os.path.realpath(os.path.dirname(name) or ".") + "/" + _last(name))}
    alike: dict[str, None] = {}
    for item in known():
        if item in meant:
            return item
        if _last(item) == name:
            alike[item] = None
    if len(alike) > 1:
        raise SeveralItems(name, list(islice(alike, _MOST_NAMED)), what)
    if alike:
        return next(iter(alike))
    raise UnknownItem(name, nearest(name, known), what)


def nearest(name: str, known: Callable[[], Iterable[str]]) -> list[str]:
    """The known items that resemble a name most; the first ones if none does."""
    whole = "/" in name
    pairs = _pairs(name)
    likely = heapq.nlargest(_MOST_COMPARED, known(), key=partial(_shared, pairs, whole))
    names = {item if whole else _last(item): item for item in reversed(likely)}
    close = difflib.get_close_matches(name, names, n=_MOST_NAMED, cutoff=_CUTOFF)
    return [names[match] for match in close] or list(islice(dict.fromkeys(known()), _MOST_NAMED))


def _shared(pairs: set[str], whole: bool, item: str) -> float:
    """How much of its pairs of letters an item shares with these: cheap enough for very many."""
    own = _pairs(item if whole else _last(item))
    return len(pairs & own) / (len(pairs | own) or 1)


def _pairs(text: str) -> set[str]:
    return {text[place : place + 2] for place in range(max(1, len(text) - 1))}


def _last(path: str) -> str:
    return path.rpartition("/")[2]
