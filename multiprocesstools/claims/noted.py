"""What is noted of the finals in a listing while its names go by, which may be a million of them.

Guarantee: a listing is read once, in blocks, and the names that may be of the protocol are handed back as entries;
what else is held is said at each way of noting. Names that come twice do no harm.
"""

import time
from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from multiprocesstools.claims.disk import Entry

_BLOCK = 4096
_GROUP, _PROBES, _QUICK_SECONDS = 256, 4, 50e-6


class _Kinds:
    """What is neither a file nor a link to one (`odd`), as long as that is cheap to know.

    A listing says the kind of an entry, except where it does not: on NFS beyond the first answers of a large directory
    each kind costs a remote call, and a million of them minutes. So from where several in a row are slow nothing is
    looked at any more.
    """

    def __init__(self) -> None:
        self.odd: list[Entry] = []
        self._is_cheap = True

    def look(self, entries: list[Entry]) -> None:
        for first in range(0, len(entries), _GROUP):
            group = entries[first : first + _GROUP]
            self._is_cheap = self._is_cheap and any(map(_is_quick, group[-_PROBES:]))
            if not self._is_cheap:
                return
            self.odd += _odd_ones(group)


class Names:
    """All names that a listing shows, and the inode of each."""

    def __init__(self) -> None:
        self._inodes: dict[str, int] = {}
        self.odd: list[Entry] = []

    def gather(self, entries: Iterable[Entry]) -> list[Entry]:
        """Note the names; those that may be of the protocol, as entries. `odd`: the others that are no plain files."""
        hidden = []
        for entry in entries:
            self._inodes[entry.name] = entry.inode()
            if entry.name[0] == ".":
                hidden.append(entry)
        return hidden

    def __contains__(self, name: object) -> bool:
        return name in self._inodes

    def __iter__(self) -> Iterator[str]:
        return iter(self._inodes)

    def inode(self, name: str) -> int:
        return self._inodes[name]

    def discard(self, name: str) -> None:
        self._inodes.pop(name, None)


class Shown:
    """Which of very many known finals a listing shows: all but those that are still missing at its end."""

    def __init__(self, known: set[str], *, kinds: bool = False) -> None:
        """`known` is used up. `kinds`: note also what is `odd`."""
        self._missing, self._kinds = known, _Kinds() if kinds else None

    @property
    def odd(self) -> list[Entry]:
        return self._kinds.odd if self._kinds else []

    def gather(self, entries: Iterable[Entry]) -> list[Entry]:
        """The same for the known finals alone. Only what is missing is held, so that a long listing needs no room."""
        rest, hidden = iter(entries), []
        while block := list(islice(rest, _BLOCK)):
            before = len(self._missing)
            self._missing.difference_update([entry.name for entry in block])
            if self._kinds:
                self._kinds.look(block)
            if before - len(self._missing) != len(block):  # else all of them were known
                hidden += [entry for entry in block if entry.name[0] == "."]
        return hidden

    def __contains__(self, name: object) -> bool:
        """Only to be asked of known finals: of all other names it does not know."""
        return name not in self._missing

    def discard(self, name: str) -> None:
        self._missing.add(name)


def _is_quick(entry: Entry) -> bool:
    """Was its kind known without asking a server?"""
    began = time.perf_counter()
    entry.is_file(follow_symlinks=False)
    return time.perf_counter() - began < _QUICK_SECONDS


def _odd_ones(block: list[Entry]) -> list[Entry]:
    """What is neither a file nor a link to one."""
    try:
        return [entry for entry in block if not entry.is_file()]
    except OSError:  # a link that leads round in a circle
        return [entry for entry in block if not entry.is_file(follow_symlinks=False)]


class Marks:
    """Which of some known finals a listing shows, and their inodes. `places` numbers them from 0 on."""

    def __init__(self, places: Mapping[str, int]) -> None:
        self._places = places
        self._shown = bytearray(len(places))
        self._inodes = array("Q", bytes(8 * len(places)))
        self._kinds = _Kinds()

    @property
    def odd(self) -> list[Entry]:
        return self._kinds.odd

    def gather(self, entries: Iterable[Entry]) -> list[Entry]:
        """The same for the known finals alone."""
        hidden, shown, where = [], [], self._places.get
        for entry in entries:
            place = where(entry.name)
            if place is not None:
                self._shown[place] = 1
                self._inodes[place] = entry.inode()
                shown.append(entry)
                if len(shown) == _BLOCK:
                    self._kinds.look(shown)
                    shown.clear()
            elif entry.name[0] == ".":
                hidden.append(entry)
        self._kinds.look(shown)
        return hidden

    def __contains__(self, name: object) -> bool:
        place = self._places.get(name)  # type: ignore[call-overload]
        return place is not None and self._shown[place] == 1

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._places if name in self)

    def inode(self, name: str) -> int:
        return self._inodes[self._places[name]]

    def discard(self, name: str) -> None:
        self._shown[self._places[name]] = 0


Noted = Names | Shown | Marks
"""What a listing says of finals."""
