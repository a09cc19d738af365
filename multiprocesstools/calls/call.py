"""What `map` runs for each item, here or in a worker of an executor: the function, and what saves its value.

A worker writes the output itself, to the staging file that it is told: neither the value nor an exception that cannot
be pickled has to come back, formatting runs in parallel, and what crashes in it does not crash the owner of the claims.

Guarantee: which of the two kinds a function is, is known from its signature before anything is claimed. A worker
process whose owner has died ends too, and takes what it was writing with it: nobody would ever ask for it.
Condition: the worker runs on the machine of the owner; of another machine's processes nothing is known.
"""

import inspect
import os
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from multiprocesstools.calls.saving import Save, kind, save
from multiprocesstools.claims import identity
from multiprocesstools.claims.disk import ABSENT
from multiprocesstools.claims.identity import Identity
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.errors import BadArgument, FunctionFailed
from multiprocesstools.items.failure import failure_of

_WATCH_SECONDS = 0.5
_TWO = "function(source, path), which writes the file, or function(source), whose value is saved"


@dataclass(frozen=True, slots=True)
class Missing:
    """The function came back, and a file is not there: its private name, what the function returned, and the paths
    that begin like that file's."""

    name: str
    returned: str
    beside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function of one or two parameters and what belongs to it; it can be pickled if they can. `owner` holds the
    claims, `durable`: a worker waits until its output is on the disk, so that all workers wait at the same time."""

    function: Callable[..., Any]
    takes_path: bool
    save: Save | None
    durable: bool
    owner: Identity

    def run(self, source: Any, paths: list[Path], final: str) -> Missing | None:
        """Have the output of one item written; a list of paths goes to the function if there are several."""
        if self.takes_path:
            returned = self.function(source, paths[0] if len(paths) == 1 else paths)
        else:
            returned = self.function(source)
            write = self.save or partial(save, final=final)
            write(returned, paths[0])
        missing = next((path for path in paths if PosixDisk().look(str(path)) is None), None)
        return _missing(missing, returned) if missing is not None else None

    def work(self, source: Any, paths: list[Path], final: str) -> Missing | None:
        """The same in a worker. FunctionFailed in the place of an exception that could not be sent back."""
        texts = [os.fspath(path) for path in paths]
        watch = _watch(self.owner)
        if watch is not None:
            watch.writing.update(texts)
        try:
            missing = self.run(source, paths, final)
            if self.durable and missing is None:
                _sync(texts)
            return missing
        except Exception as error:
            if _can_be_sent(error, here=_is_here(self.owner)):
                raise
            failure = failure_of(final, 0, error)
            raise FunctionFailed(failure.exception, failure.traceback) from None
        finally:
            if watch is not None:
                watch.writing.difference_update(texts)

    def is_ready(self) -> bool:
        """Asked of a worker before anything is claimed: it has got hold of the function, and ends with its owner."""
        _watch(self.owner)
        return True


def takes_path(function: Any) -> bool:
    """Does the function take (source, path) and not only the source? BadArgument for what is neither.

    What counts is what must be given: a parameter with a default is no second one, `*more` neither. Of partials and
    methods what is left counts.
    """
    if not callable(function) or inspect.iscoroutinefunction(function):
        what = "is no function" if not callable(function) else "is a coroutine, which nobody would await"
        raise BadArgument("function", function, f"it {what}; give {_TWO}")
    one, two = _fits(function, 1), _fits(function, 2)
    if not one and not two:
        reason = f"it takes neither one nor two arguments; give {_TWO}; functools.partial or a def can fix the others"
        raise BadArgument("function", function, reason)
    if one and two and _fits(function, 0):
        reason = f"its parameters do not say which it is, {_TWO}; write a def of one or two parameters around it"
        raise BadArgument("function", function, reason)
    return not one


def check_save(given: Any, *, with_path: bool) -> Save | None:
    """BadArgument unless it is None, or save(value, path) for a function that returns its value."""
    if given is None:
        return None
    if with_path:
        reason = "the function takes (source, path), so it writes the file itself: leave save= out"
        raise BadArgument("save", given, reason)
    if not callable(given) or not _fits(given, 2, "save"):
        raise BadArgument("save", given, "it must be a function of (value, path), or None: then the suffix decides")
    save: Save = given
    return save


def _fits(function: Callable[..., Any], number: int, argument: str = "function") -> bool:
    try:
        inspect.signature(function).bind(*range(number))
    except ValueError as error:
        reason = f"Python does not know its parameters ({error}); write a def around it"
        raise BadArgument(argument, function, reason) from error
    except TypeError:
        return False
    return True


def _missing(path: Path, returned: Any) -> Missing:
    """What begins like the path was written by somebody who was told that path, such as `numpy.save`."""
    names = sorted(entry.name for entry in PosixDisk().list(str(path.parent)))
    beside = [str(path.parent / name) for name in names if name.startswith(path.name)]
    return Missing(path.name, kind(returned) if returned is not None else "", tuple(beside))


def _sync(paths: list[str]) -> None:
    for path in paths:
        try:
            PosixDisk().sync(path)
        except OSError as error:
            if error.errno not in ABSENT:
                raise


def _can_be_sent(error: Exception, *, here: bool) -> bool:
    """An exception that cannot be read breaks the whole pool, and one that says so of another pool looks like that."""
    if isinstance(error, BrokenExecutor):
        return False
    try:
        return here or type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:
        return False


def _is_here(owner: Identity) -> bool:
    """Is this a thread of the owner?"""
    return owner.pid == os.getpid() and identity.shares_processes(owner)


def _watch(owner: Identity) -> "_Watch | None":
    """The watch of this process, if it is another one than the owner and could know of its end."""
    if _is_here(owner) or not identity.shares_processes(owner):
        return None
    found = next((thread for thread in threading.enumerate() if isinstance(thread, _Watch)), None)
    if found is None:
        found = _Watch(owner)
        found.start()
    return found


class _Watch(threading.Thread):
    """Ends a worker whose owner has gone. `writing` are the files that go with it."""

    def __init__(self, owner: Identity) -> None:
        super().__init__(name="multiprocesstools-watch", daemon=True)
        self._owner = owner
        self.writing: set[str] = set()

    def run(self) -> None:
        while not identity.is_gone(self._owner):
            time.sleep(_WATCH_SECONDS)
        for path in list(self.writing):
            try:
                PosixDisk().remove_tree(path)
            except OSError:
                continue  # a sweep finds it
        os._exit(1)
