"""A directory that is kept open to be listed again and again.

Guarantee: each listing is as fresh as one by path. On NFS it is cheaper: the client asks the server for this directory,
and for none above it.
"""

import os

_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Held:
    """A descriptor of a directory. OSError for what is none."""

    def __init__(self, directory: str) -> None:
        self._descriptor = os.open(directory, _LISTED)

    def list(self) -> list["os.DirEntry[str]"]:
        """All names in it. It is opened anew by its dot, because only an open makes an NFS client ask."""
        descriptor = os.open(".", _LISTED, dir_fd=self._descriptor)
        try:
            with os.scandir(descriptor) as entries:
                return list(entries)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1  # a late listing must not meet the next file of this number
        if descriptor >= 0:
            os.close(descriptor)
