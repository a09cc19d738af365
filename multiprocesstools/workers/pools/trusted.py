"""Files of results that others may have made: read only if nobody but this user can have written them.

Guarantee: what is read is a regular file of this user that others may not write, or UntrustedResult is raised. The
answer is about the file that is read, and not about one that was there before.
"""

import os
import stat
from typing import IO

from multiprocesstools.errors import UntrustedResult


def open_trusted(path: str) -> IO[bytes]:
    """UntrustedResult, OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        os.close(descriptor)
        raise UntrustedResult(path)
    return open(descriptor, "rb")


def create_private(path: str | os.PathLike[str]) -> IO[bytes]:
    """A new file that nobody else may write. OSError if there is one."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb")
