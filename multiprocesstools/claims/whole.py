"""Creating a file whole, by way of a private file and a link, so that nobody meets it half written; and reading it.

Guarantee: the target is created exclusively, once, with its whole content; True only if it is ours, also when the reply
to the link was lost. Condition: the disk links. Without links the caller chooses what is kept: exclusive (the file is
created and then written) or whole (it is renamed into its place after a look).

A client with a cache may all the same give too little of it: for a second, sshfs cuts a file to the length of the one
that it has replaced, and GlusterFS says that it is not there. And without links a reader may come before the writer has
ended. So whoever finds the end missing reads again for some seconds, and only then calls it torn.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from multiprocesstools.claims.disk import ABSENT, PASSING, READ_LIMIT_BYTES, UNLINKABLE, Disk, HalfCreated
from multiprocesstools.clock import Clock

_MOST_PRIVATE_NAMES = 4
_PAUSES_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 1.6, 1.6)
"""More than six seconds in all: the clients of sshfs and GlusterFS believe for one what they know of a file."""


class Torn(ValueError):
    """The end of a file is missing. `data`: what is there; None if that is no file at all."""

    def __init__(self, data: bytes | None) -> None:
        super().__init__("it is not there" if data is None else "it is torn" if data else "it is empty")
        self.data = data


def readings(disk: Disk, clock: Clock, path: str, limit: int = READ_LIMIT_BYTES) -> Iterator[bytes | None]:
    """The content of a file that was created whole, and for whoever finds it torn what is there a moment later.

    None: it is not there.
    """
    yield disk.read(path, limit)
    for pause in _PAUSES_SECONDS:
        clock.sleep(pause)
        yield disk.read(path, limit)


def read_json(disk: Disk, clock: Clock, path: str, limit: int = READ_LIMIT_BYTES) -> Any:
    """The JSON in a file that was created whole, with a line break as its end. Torn; ValueError for all else."""
    data: bytes | None = None
    for data in readings(disk, clock, path, limit):
        try:
            return json.loads(data or b"")
        except json.JSONDecodeError:
            if data and data.endswith(b"\n"):
                raise
    raise Torn(data)


def create_whole(
    disk: Disk, path: str, data: bytes, private: Callable[[], str], *, durable: bool = True, exclusive: bool = True
) -> bool:
    """Create `path` with its whole content at once, by way of a file whose name `private` gives. False: it exists.

    Without hard links it is created and then written, and a reader may meet it half written; with `exclusive=False` it
    is always whole there, but it replaces a file that somebody else makes at that very moment.
    """
    source = _create_private(disk, data, private, durable)
    try:
        disk.link(source, path)
    except FileExistsError:
        return same_file(disk, source, path)
    except OSError as error:
        if error.errno not in UNLINKABLE:
            raise
        return _create_in_place(disk, path, data) if exclusive else _rename_if_free(disk, source, path, data)
    finally:
        _remove_private(disk, source)
    return True


def replace_whole(disk: Disk, path: str, data: bytes, private: Callable[[], str]) -> None:
    """Create `path`, or replace it: whoever reads it meets the whole of one content or of the other."""
    source = _create_private(disk, data, private, True)
    try:
        _rename(disk, source, path, data)
    except BaseException:
        _remove_private(disk, source)
        raise


def _rename(disk: Disk, source: str, path: str, data: bytes) -> None:
    try:
        disk.rename(source, path)
    except OSError as error:
        if error.errno not in ABSENT or not _holds(disk, path, data):
            raise  # otherwise it had been renamed, and the reply was lost


def _holds(disk: Disk, path: str, data: bytes) -> bool:
    try:
        return disk.read(path, len(data)) == data
    except OSError:
        return False  # a larger file, or none that can be read


def _rename_if_free(disk: Disk, source: str, path: str, data: bytes) -> bool:
    if disk.look(path) is not None:
        return False
    _rename(disk, source, path, data)
    return True


def _remove_private(disk: Disk, path: str) -> None:
    try:
        disk.unlink(path)
    except OSError:
        return  # litter for a sweep, and no reason to hide what has happened


def _create_private(disk: Disk, data: bytes, private: Callable[[], str], durable: bool) -> str:
    """A private file with this content. A name on which a try has failed is never used again: it may be empty."""
    for tries_left in range(_MOST_PRIVATE_NAMES, 0, -1):
        source = private()
        try:
            disk.create(source, data, durable=durable)
            return source
        except OSError as error:
            _remove_private(disk, source)
            half = isinstance(error, HalfCreated) and error.errno in PASSING
            if tries_left == 1 or not (half or isinstance(error, FileExistsError)):
                raise
    raise AssertionError("the last try returns or raises")


def _create_in_place(disk: Disk, path: str, data: bytes) -> bool:
    try:
        disk.create(path, data, durable=True)
    except FileExistsError:
        return False
    return True


def same_file(disk: Disk, one: str, other: str) -> bool:
    """Are these two names of one file? So a link whose reply was lost is told from one that somebody else made."""
    mine, found = disk.look(one), disk.look(other)
    return mine is not None and found is not None and (mine.device, mine.inode) == (found.device, found.inode)
