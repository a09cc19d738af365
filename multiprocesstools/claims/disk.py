"""The verbs on the shared filesystem. Nothing else in the package touches claims, ended-files, staging files or finals.

Guarantee: a verb either has its effect completely, or raises the OSError of the system call (`posix` makes them). What
is missing is an answer (None) and not an error, and ESTALE counts as missing. No verb follows a symbolic link in the
last component. Condition: the filesystem creates and links exclusively (`probe` finds out).
"""

import errno
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, Protocol, TypeVar

from multiprocesstools.claims.held import Held

ABSENT = frozenset({errno.ENOENT, errno.ESTALE})
"""The name is not there; ESTALE is what an NFS client says of a file that another client removed."""

UNLINKABLE = frozenset(
    {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EINVAL}
)
"""A hard link cannot be made here: another filesystem, one without links, or a file with too many of them."""

PASSING = frozenset({errno.EIO, errno.ETIMEDOUT})
"""What a server that restarts, a soft mount or a failing-over network says of an operation that may have run."""


class HalfCreated(OSError):
    """The name was created exclusively, by this very call, but its content could not be written."""


Seen = TypeVar("Seen")
Kind = Literal["file", "directory", "link", "other"]
READ_LIMIT_BYTES = 1 << 20


class Stamp(NamedTuple):
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


class Draft(Protocol):
    """A file that was created with a beginning and is being written to its end, by its owner alone."""

    def append(self, data: bytes) -> None: ...

    def sync(self) -> None:
        """Bring it safely to the disk."""

    def close(self) -> None: ...


class Disk(Protocol):
    """The shared filesystem as one machine sees it."""

    def create(self, path: str, data: bytes, *, durable: bool = False) -> None:
        """Create a file that must not exist, with this content. FileExistsError; HalfCreated.

        Whoever can enter the directory can read it, whatever the umask: what nobody can read looks dead to others.
        """

    def draft(self, path: str, data: bytes) -> Draft:
        """The same, and go on writing. FileExistsError; HalfCreated."""

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

    def scan(self, directory: str, see: Callable[[Iterable[Entry]], Seen]) -> Seen:
        """What `see` makes of all names in a directory as they come, for those that are too many to be held.

        After an error that passes, `see` may be called anew with all of them.
        """

    def read(self, path: str, limit: int = READ_LIMIT_BYTES, *, whole: bool = True) -> bytes | None:
        """The content of a regular file, freshly opened. OSError for anything else or more than `limit` bytes; without
        `whole` their beginning will do."""

    def sync(self, path: str) -> None:
        """Bring a file, or all files and folders of a directory, safely to the disk. OSError for everything else."""

    def keep(self, path: str) -> Kept:
        """Open a file to rewrite parts of it."""

    def hold(self, directory: str) -> Held:
        """Open a directory to list it again and again."""

    def make_directory(self, path: str) -> None:
        """Make a directory and its parents; one that is there is fine."""

    def remove_tree(self, path: str) -> None:
        """Remove a private file or directory with all that is in it; missing is fine."""
