"""Waiting for what other processes do, by looking at growing intervals."""

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from multiprocesstools.claims.noted import Marks
from multiprocesstools.claims.slots import Listing, read_listing, read_settled
from multiprocesstools.clock import Clock
from multiprocesstools.run import Run

if TYPE_CHECKING:
    from pathlib import Path

_FIRST_SECONDS, _LONGEST_SECONDS = 0.05, 2.0


def pauses(clock: Clock, longest_seconds: float = _LONGEST_SECONDS) -> Iterator[None]:
    """Yield at once, and then after pauses that grow from 0.05 s to `longest_seconds`."""
    pause = _FIRST_SECONDS
    while True:
        yield
        clock.sleep(min(pause, longest_seconds))
        pause = min(2 * pause, longest_seconds)


def wait_for(run: Run, path: str | os.PathLike[str], timeout: float | None) -> "Path":
    """Wait until a path, relative to the run directory or absolute, exists. TimeoutError.

    It looks by listing the directory, because an NFS client remembers for up to a minute that a name was missing.
    """
    from pathlib import Path

    wanted = os.path.abspath(os.path.join(run.directory, os.fspath(path)))
    folder, name = os.path.split(wanted)
    end = float("inf") if timeout is None else time.monotonic() + timeout
    for _ in pauses(run.clock):
        if _is_listed(run, folder, name):
            return Path(wanted)
        if time.monotonic() >= end:
            raise TimeoutError(f"{wanted!r} did not appear within {timeout} s")
    raise AssertionError("pauses never end")


def _is_listed(run: Run, folder: str, name: str) -> bool:
    """Is the name there, and not being written in place by an instance of the package?"""
    try:
        listing = _read(run, folder, name)
        return listing.is_done(name) and read_settled(listing, lambda: _read(run, folder, name)).is_done(name)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _read(run: Run, folder: str, name: str) -> Listing:
    only = {name: 0}
    return run.disk.scan(folder, lambda entries: read_listing(folder, entries, Marks(only)))
