"""The verbs of a disk as system calls: `PosixDisk`.

Guarantee and condition are those of `disk`.
"""

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterable

from multiprocesstools.claims.disk import ABSENT, READ_LIMIT_BYTES, Draft, Entry, HalfCreated, Kept, Kind, Seen, Stamp
from multiprocesstools.claims.held import Held

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS: dict[int, Kind] = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
_NOT_EMPTY = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.EPERM})
"""What a removal of a directory is refused with in which something is; EPERM by sshfs."""
_READABLE = 0o444
_FILE_MODE, _DIRECTORY_MODE = 0o666, 0o777  # the umask decides, so that a group can share a run


def kind_of(mode: int) -> Kind:
    return _KINDS.get(stat.S_IFMT(mode), "other")


def stamp_of(status: os.stat_result) -> Stamp:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "other")
    return tuple.__new__(Stamp, (status.st_dev, status.st_ino, kind, status.st_nlink, status.st_size))


class PosixKept:
    """A descriptor of a file of our own."""

    def __init__(self, path: str) -> None:
        folder, self._name = os.path.split(path)
        self._folder = Held(folder)
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            self._folder.close()
            raise
        self.inode = os.fstat(self._descriptor).st_ino

    def write(self, offset: int, data: bytes) -> None:
        os.pwrite(self._descriptor, data, offset)
        os.fsync(self._descriptor)

    def is_listed(self) -> bool:
        return any(entry.name == self._name for entry in self._folder.list())

    def close(self) -> None:
        _close_unwritten(self._descriptor)
        self._folder.close()


class PosixDraft:
    """A descriptor of a new file of our own."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def append(self, data: bytes) -> None:
        _write_all(self._descriptor, data)

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


class PosixDisk:
    """The verbs as system calls."""

    def create(self, path: str, data: bytes, *, durable: bool = False) -> None:
        descriptor = _create(path)
        try:
            _fill(descriptor, data, durable)
        except OSError as error:
            raise HalfCreated(error.errno, error.strerror, path) from error

    def draft(self, path: str, data: bytes) -> Draft:
        descriptor = _create(path)
        try:
            _make_readable(descriptor)  # before: on NFS a look at what was written sends it to the server
            _write_all(descriptor, data)
        except OSError as error:
            os.close(descriptor)
            raise HalfCreated(error.errno, error.strerror, path) from error
        return PosixDraft(descriptor)

    def link(self, source: str, target: str) -> None:
        try:
            os.link(source, target, follow_symlinks=False)
        except PermissionError as error:
            raise _exists_or(error, target) from error

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def unlink(self, path: str) -> bool:
        try:
            os.unlink(path)
        except OSError as error:
            if error.errno in ABSENT:
                return False
            raise
        return True

    def look(self, path: str) -> Stamp | None:
        try:
            return stamp_of(os.lstat(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise

    def list(self, directory: str) -> list[Entry]:
        with os.scandir(directory) as entries:
            return list(entries)

    def scan(self, directory: str, see: Callable[[Iterable[Entry]], Seen]) -> Seen:
        with os.scandir(directory) as entries:
            return see(entries)

    def read(self, path: str, limit: int = READ_LIMIT_BYTES, *, whole: bool = True) -> bytes | None:
        try:
            descriptor = os.open(path, _READ)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise
        try:
            return _read_regular(descriptor, path, limit, whole)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise
        finally:
            _close_unwritten(descriptor)

    def sync(self, path: str) -> None:
        descriptor = os.open(path, _READ)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                self._sync_entries(path, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _sync_entries(self, directory: str, mode: int) -> None:
        if not stat.S_ISDIR(mode):
            raise OSError(errno.EINVAL, "neither a regular file nor a directory", directory)
        for entry in self.list(directory):
            if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False):
                self.sync(os.path.join(directory, entry.name))

    def keep(self, path: str) -> Kept:
        return PosixKept(path)

    def hold(self, directory: str) -> Held:
        return Held(directory)

    def make_directory(self, path: str) -> None:
        os.makedirs(path, mode=_DIRECTORY_MODE, exist_ok=True)

    def remove_tree(self, path: str) -> None:
        stamp = self.look(path)
        if stamp is None:
            return
        if stamp.kind == "directory":
            _remove_directory(path, again=True)
        else:
            self.unlink(path)


def _remove_directory(path: str, *, again: bool) -> None:
    """With all that is in it. On a network a listing may be old: a name in it may be gone, as after a lost reply, and
    one that it does not show may be there, for which it is listed `again`, after a change of our own."""
    import shutil

    def handle(verb: Callable[..., object], name: str, error: BaseException) -> None:
        if not isinstance(error, OSError):
            raise error
        if error.errno in ABSENT:
            return
        if not (again and verb is os.rmdir and error.errno in _NOT_EMPTY):
            raise error
        with contextlib.suppress(FileNotFoundError):
            os.close(_create(stir := f"{name}/.stir-{os.urandom(16).hex()}"))
            os.unlink(stir)
        _remove_directory(name, again=False)

    if sys.version_info >= (3, 12):
        shutil.rmtree(path, onexc=handle)
    else:
        shutil.rmtree(path, onerror=lambda verb, name, error: handle(verb, name, error[1]))


def _exists_or(error: OSError, path: str) -> OSError:
    """What an exclusive creation was refused with: sshfs says EPERM to half of those who come too late."""
    if error.errno == errno.EPERM and os.path.lexists(path):
        return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    return error


def _create(path: str) -> int:
    try:
        return os.open(path, _CREATE, _FILE_MODE)
    except PermissionError as error:
        raise _exists_or(error, path) from error


def _fill(descriptor: int, data: bytes, durable: bool) -> None:
    try:
        _write_all(descriptor, data)
        _make_readable(descriptor)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    while data and (written := os.write(descriptor, data)) < len(data):
        data = data[written:]


def _close_unwritten(descriptor: int) -> None:
    """Close what was only read, or synced as it was written: GlusterFS says ENOENT or ESTALE then, if somebody has
    removed or replaced the file."""
    with contextlib.suppress(OSError):
        os.close(descriptor)


def _make_readable(descriptor: int) -> None:
    mode = os.fstat(descriptor).st_mode
    if mode & _READABLE != _READABLE:
        os.fchmod(descriptor, stat.S_IMODE(mode) | _READABLE)


def _read_regular(descriptor: int, path: str, limit: int, whole: bool) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    if not whole:
        return os.read(descriptor, limit)
    if status.st_size > limit:
        raise OSError(errno.EFBIG, f"more than {limit} bytes", path)
    parts, total = [], 0
    while part := os.read(descriptor, 1 << 16):
        parts.append(part)
        total += len(part)
        if total > limit:
            raise OSError(errno.EFBIG, f"more than {limit} bytes", path)
    return b"".join(parts)
