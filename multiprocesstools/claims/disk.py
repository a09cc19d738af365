"""The verbs on the shared filesystem. Nothing else in the package touches claims, ended-files, staging files or finals.

Guarantee: a verb either has its effect completely, or raises the OSError of the system call. What is missing is an
answer (None) and not an error, and ESTALE counts as missing. No verb follows a symbolic link in the last component.
Condition: the filesystem creates and links exclusively (`probe` finds out).
"""

import errno
import os
import stat
from dataclasses import dataclass
from typing import Literal, Protocol

from multiprocesstools.claims.held import Held

ABSENT = frozenset({errno.ENOENT, errno.ESTALE})
"""The name is not there; ESTALE is what an NFS client says of a file that another client removed."""

UNLINKABLE = frozenset(
    {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EINVAL}
)
"""A hard link cannot be made here: another filesystem, one without links, or a file with too many of them."""

PASSING = frozenset({errno.EIO, errno.ETIMEDOUT})
"""What a server that restarts, a soft mount or a failing-over network says of an operation that may have run."""

_READABLE = 0o444


class HalfCreated(OSError):
    """The name was created exclusively, by this very call, but its content could not be written."""


Kind = Literal["file", "directory", "link", "other"]
READ_LIMIT_BYTES = 1 << 20
_FILE_MODE, _DIRECTORY_MODE = 0o666, 0o777  # the umask decides, so that a group can share a run


@dataclass(frozen=True, slots=True)
class Stamp:
    """What lstat says of a name."""

    device: int
    inode: int
    kind: Kind
    links: int
    size: int


class Entry(Protocol):
    """One name of a listing, as `os.DirEntry` gives it without a look-up of its own."""

    @property
    def name(self) -> str: ...
    def inode(self) -> int: ...
    def is_dir(self, *, follow_symlinks: bool = True) -> bool: ...
    def is_file(self, *, follow_symlinks: bool = True) -> bool: ...
    def is_symlink(self) -> bool: ...


class Kept(Protocol):
    """A file that its owner keeps open to rewrite a part of it in place."""

    @property
    def inode(self) -> int: ...

    def write(self, offset: int, data: bytes) -> None:
        """Write through to the server, and ask it for nothing."""

    def is_listed(self) -> bool:
        """Is its name still there, by a fresh listing?"""

    def close(self) -> None: ...


class Disk(Protocol):
    """The shared filesystem as one machine sees it."""

    def create(self, path: str, data: bytes, *, durable: bool = False) -> None:
        """Create a file that must not exist, with this content. FileExistsError; HalfCreated.

        Whoever can enter the directory can read it, whatever the umask: what nobody can read looks dead to others.
        """

    def link(self, source: str, target: str) -> None:
        """Give the file `source` the second name `target`, which must not exist (FileExistsError)."""

    def rename(self, source: str, target: str) -> None:
        """Rename; a directory refuses a target that is not empty."""

    def unlink(self, path: str) -> bool:
        """Remove a name that is not a directory. False: it was not there."""

    def look(self, path: str) -> Stamp | None:
        """lstat."""

    def list(self, directory: str) -> list[Entry]:
        """All names in a directory; on NFS this also renews what the client remembers of it."""

    def read(self, path: str, limit: int = READ_LIMIT_BYTES) -> bytes | None:
        """The content of a regular file, freshly opened. OSError for anything else or more than `limit` bytes."""

    def sync(self, path: str) -> Stamp:
        """Bring a file, or all files and folders of a directory, safely to the disk."""

    def keep(self, path: str) -> Kept:
        """Open a file to rewrite parts of it."""

    def hold(self, directory: str) -> Held:
        """Open a directory to list it again and again."""

    def make_directory(self, path: str) -> None:
        """Make a directory and its parents; one that is there is fine."""

    def remove_tree(self, path: str) -> None:
        """Remove a private file or directory with all that is in it; missing is fine."""


def kind_of(mode: int) -> Kind:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "directory"
    return "link" if stat.S_ISLNK(mode) else "other"


def stamp_of(status: os.stat_result) -> Stamp:
    return Stamp(status.st_dev, status.st_ino, kind_of(status.st_mode), status.st_nlink, status.st_size)


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
        os.close(self._descriptor)
        self._folder.close()


class PosixDisk:
    """The verbs as system calls."""

    def create(self, path: str, data: bytes, *, durable: bool = False) -> None:
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, _FILE_MODE)
        except PermissionError as error:
            raise _exists_or(error, path) from error
        try:
            _fill(descriptor, data, durable)
        except OSError as error:
            raise HalfCreated(error.errno, error.strerror, path) from error

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
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise

    def list(self, directory: str) -> list[Entry]:
        with os.scandir(directory) as entries:
            return list(entries)

    def read(self, path: str, limit: int = READ_LIMIT_BYTES) -> bytes | None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise
        try:
            return _read_regular(descriptor, path, limit)
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise
        finally:
            os.close(descriptor)

    def sync(self, path: str) -> Stamp:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            stamp = stamp_of(os.fstat(descriptor))
            if stamp.kind == "directory":
                self._sync_entries(path)
            elif stamp.kind != "file":
                raise OSError(errno.EINVAL, "neither a regular file nor a directory", path)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return stamp

    def _sync_entries(self, directory: str) -> None:
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
            import shutil

            shutil.rmtree(path)
        else:
            self.unlink(path)


def _exists_or(error: OSError, path: str) -> OSError:
    """What an exclusive creation was refused with: sshfs says EPERM to half of those who come too late."""
    if error.errno == errno.EPERM and os.path.lexists(path):
        return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
    return error


def _fill(descriptor: int, data: bytes, durable: bool) -> None:
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        mode = os.fstat(descriptor).st_mode
        if mode & _READABLE != _READABLE:
            os.fchmod(descriptor, stat.S_IMODE(mode) | _READABLE)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_regular(descriptor: int, path: str, limit: int) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)
    if status.st_size > limit:
        raise OSError(errno.EFBIG, f"more than {limit} bytes", path)
    parts, total = [], 0
    while part := os.read(descriptor, 1 << 16):
        parts.append(part)
        total += len(part)
        if total > limit:
            raise OSError(errno.EFBIG, f"more than {limit} bytes", path)
    return b"".join(parts)
