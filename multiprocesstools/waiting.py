"""Waiting for what other processes do, by looking at growing intervals."""

import os
from typing import TYPE_CHECKING

from multiprocesstools.claims.disk import Disk
from multiprocesstools.claims.noted import Marks
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.claims.slots import Listing, read_listing, read_settled
from multiprocesstools.clock import Clock, SystemClock
from multiprocesstools.retrying import RunTimeCounter, pauses
from multiprocesstools.run.directory import Run

if TYPE_CHECKING:
    from pathlib import Path


def wait_until_file_exists(
    path: str | os.PathLike[str], timeout: float, *, disk: Disk | None = None, clock: Clock | None = None
) -> bool:
    """Wait until `path` exists, for `timeout` seconds at most; True, or TimeoutError.

    It looks by listing the directory, because an NFS client remembers for up to a minute that a name was missing. A
    final that an instance is writing in place does not exist before it is complete.
    """
    _wait(disk or PosixDisk(), clock or SystemClock(), os.path.abspath(os.fspath(path)), timeout)
    return True


def wait_for(run: Run, path: str | os.PathLike[str], timeout: float | None) -> "Path":
    """Wait until a path, relative to the run directory or absolute, exists. TimeoutError.

    It looks by listing the directory, because an NFS client remembers for up to a minute that a name was missing.
    """
    from pathlib import Path

    wanted = os.path.abspath(os.path.join(run.directory, os.fspath(path)))
    _wait(run.disk, run.clock, wanted, timeout)
    return Path(wanted)


def _wait(disk: Disk, clock: Clock, path: str, timeout: float | None) -> None:
    counter = RunTimeCounter(float("inf") if timeout is None else timeout, clock=clock)
    for _ in pauses(clock):
        if _is_listed(disk, *os.path.split(path)):
            return
        if counter.get_time_left() <= 0:
            raise TimeoutError(f"{path!r} did not appear within {timeout} s")


def _is_listed(disk: Disk, folder: str, name: str) -> bool:
    """Is the name there, and not being written in place by an instance of the package?"""
    try:
        listing = _read(disk, folder, name)
        return listing.is_done(name) and read_settled(listing, lambda: _read(disk, folder, name)).is_done(name)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _read(disk: Disk, folder: str, name: str) -> Listing:
    only = {name: 0}
    return disk.scan(folder, lambda entries: read_listing(folder, entries, Marks(only)))
