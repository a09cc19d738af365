"""What the filesystem under a directory is and can do, found out by doing it.

Guarantee: nothing is left behind, and nothing of a run is touched; what is said was seen on this machine, just now.
Condition: one client cannot see what holds between two; `doctor_peer` asks that. Everything is done in one private
directory, which `cleanup` removes if this process is killed.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

from multiprocesstools.claims.disk import Disk
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.claims.probe import Mount, mount_of, probe, read_mounts, refuse_object_store
from multiprocesstools.clock import Clock, SystemClock
from multiprocesstools.doctor.diagnosis import Diagnosis, Facts, diagnose
from multiprocesstools.errors import BadArgument, RunDirectoryUnusable
from multiprocesstools.run.directory import new_id, process_token, unusable

TIMES = 24
"""How often each operation is measured; its median counts."""


def examine(directory: str | os.PathLike[str], *, disk: Disk | None = None, clock: Clock | None = None) -> Diagnosis:
    """Find out what a directory can do. RunDirectoryUnusable when nothing can be done there; UnsafeFilesystem when
    exclusive creation is a lie or it is an object store."""
    place = checked(directory)
    disk = disk or PosixDisk()
    mount = mount_of(read_mounts(), place, os.stat(place).st_dev)
    refuse_object_store(mount, place)
    with private_directory(disk, place) as private:
        return diagnose(_look(disk, clock or SystemClock(), place, private, mount))


def checked(directory: str | os.PathLike[str]) -> str:
    """The true path of a directory that is there. RunDirectoryUnusable, BadArgument."""
    path = os.fsdecode(directory)
    if not path or "\0" in path or "\n" in path:
        raise BadArgument("directory", directory, "it is empty, or contains NUL or a line break")
    if not os.path.isdir(path):
        reason = "it is not a directory" if os.path.lexists(path) else "it does not exist"
        raise RunDirectoryUnusable(path, reason)
    return os.path.realpath(path)


@contextmanager
def private_directory(disk: Disk, place: str) -> Iterator[str]:
    """A directory in which everything is done, and that is gone afterwards. RunDirectoryUnusable says why there is no
    room: read-only, full, not allowed."""
    private = f"{place}/.mpt-{process_token(new_id())}-doctor.ended"
    try:
        disk.make_directory(private)
        disk.create(f"{private}/room", bytes(1 << 16), durable=True)
        yield private
    except OSError as error:
        if error.errno in (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM):
            raise RunDirectoryUnusable(place, f"nothing can be written there ({os.strerror(error.errno)})") from error
        raise unusable(place, error) from error
    finally:
        try:
            disk.remove_tree(private)
        except OSError:
            pass  # what has happened is said already; `cleanup` removes it


# -- looking


def _look(disk: Disk, clock: Clock, place: str, private: str, mount: Mount | None) -> Facts:
    findings = probe(disk, private, process_token(new_id()))
    return Facts(
        directory=place, mount=mount, findings=findings, directory_rename=_rename_directory(disk, private),
        clock_offset_seconds=_clock_offset(clock, f"{private}/stamp", disk),
        flock=_lock_of(private, take_flock), fcntl=_lock_of(private, take_fcntl),
        seconds=_measure(disk, clock, private, links=findings.links),
    )  # fmt: skip


def _rename_directory(disk: Disk, private: str) -> str:
    """Does a rename refuse a directory with content? (An empty one is replaced everywhere.)"""
    one, other = f"{private}/one", f"{private}/other"
    for folder in (one, other):
        disk.make_directory(folder)
        disk.create(f"{folder}/file", b"")
    try:
        disk.rename(one, other)
    except OSError as error:
        there = error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.EPERM) and disk.look(one) is not None
        return "refuses" if there else f"fails ({error.strerror})"
    return "replaces"


def _clock_offset(clock: Clock, path: str, disk: Disk) -> float:
    """Of whoever stamps new files, from the clock of this machine, as exactly as a creation takes."""
    before = clock.wall()
    disk.create(path, b"")
    os.utime(path)  # "now" by the server, where there is one
    after = clock.wall()
    stamp = os.stat(path).st_mtime
    return stamp - before if stamp < before else stamp - after if stamp > after else 0.0


def take_flock(descriptor: int) -> None:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def take_fcntl(descriptor: int) -> None:
    """A lock of the open file, which excludes within one process too (fcntl(2), F_OFD_SETLK)."""
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)


def _lock_of(private: str, take: Callable[[int], None]) -> str:
    """ "excludes", "excludes nobody", or why there is no such lock."""
    path = f"{private}/{take.__name__}"
    one, other = (os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for _ in range(2))
    try:
        take(one)
        try:
            take(other)
        except (BlockingIOError, PermissionError):
            return "excludes"
        return "excludes nobody"
    except (OSError, AttributeError) as error:
        return f"is missing ({error})"
    finally:
        os.close(one)
        os.close(other)


def _measure(disk: Disk, clock: Clock, private: str, *, links: bool) -> dict[str, float]:
    """The median of some dozens of each operation, each on names of its own."""
    paths = [f"{private}/m{number}" for number in range(TIMES)]
    steps: dict[str, Callable[[str], object]] = {
        "look-up of a missing name": lambda path: disk.look(f"{path}-missing"),
        "exclusive creation": lambda path: disk.create(path, b""),
        "hard link": lambda path: disk.link(path, f"{path}-link"),
        "rename": lambda path: disk.rename(path, f"{path}-renamed"),
        "listing": lambda path: disk.list(private),
        "write and fsync": lambda path: disk.create(f"{path}-synced", b"x" * 100, durable=True),
        "removal": lambda path: disk.unlink(f"{path}-renamed"),
    }
    if not links:
        del steps["hard link"]
    return {name: median([_timed(clock, step, path) for path in paths]) for name, step in steps.items()}


def _timed(clock: Clock, step: Callable[[str], object], path: str) -> float:
    began = clock.elapsed()
    step(path)
    return clock.elapsed() - began
