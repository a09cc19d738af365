"""Memory that processes share and that has no name: what ends the processes gives it back.

A file in memory (memfd_create(2)), found by another process of the same user under the /proc of its maker. The blocks
of `multiprocessing.shared_memory` have names in /dev/shm, which outlive a SIGKILL of all that know them (of a process
group, of a batch job), and are bound by its size (64 MB in many containers).

Guarantee: the kernel frees it with the last process that has it open or mapped, however that has ended. Condition:
Linux, one user, one namespace of processes.
"""

import errno
import mmap
import os
import weakref
from dataclasses import dataclass
from typing import Any, Self

_NAME = "multiprocesstools"


class MemoryGone(Exception):
    """The process that has made the memory is not there any more, or has let it go."""


@dataclass(frozen=True, slots=True)
class Reference:
    """By which another process finds it. The inode tells it from what has the same number later."""

    process: int
    descriptor: int
    inode: int

    def open(self) -> "Memory":
        """The memory, in this process. MemoryGone."""
        try:
            descriptor = os.open(f"/proc/{self.process}/fd/{self.descriptor}", os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise MemoryGone(f"memory of process {self.process} cannot be opened ({error})") from error
        memory = Memory(descriptor, self)
        if os.fstat(descriptor).st_ino != self.inode:
            memory.close()
            raise MemoryGone(f"process {self.process} has let that memory go")
        return memory


class Memory:
    """A file in memory, open in this process until `close`, or as long as this object lives."""

    def __init__(self, descriptor: int, reference: Reference) -> None:
        self._descriptor, self.reference = descriptor, reference
        self.close = weakref.finalize(self, os.close, descriptor)

    @classmethod
    def make(cls, size: int = 0) -> "Memory":
        """`size` bytes of zero. OSError for more than can be had now."""
        if size and size > _available_bytes():  # else the kernel promises it, and kills whoever uses it
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
        descriptor = os.memfd_create(_NAME, os.MFD_CLOEXEC)
        memory = cls(descriptor, Reference(os.getpid(), descriptor, os.fstat(descriptor).st_ino))
        os.ftruncate(descriptor, size)
        return memory

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        """In bytes."""
        return os.fstat(self._descriptor).st_size

    def append(self, data: memoryview) -> int:
        """Write these bytes behind all others. Where they begin. OSError where there is no room."""
        begin = end = self.size
        while data.nbytes:
            written = os.pwrite(self._descriptor, data, end)
            data, end = data[written:], end + written
        return begin

    def read(self, into: memoryview, begin: int) -> None:
        """Fill it with the bytes that begin there. MemoryGone when there are fewer."""
        while into.nbytes:
            got = os.preadv(self._descriptor, [into], begin)
            if not got:
                raise MemoryGone("the memory is shorter than was said")
            into, begin = into[got:], begin + got

    def map(self) -> Any:
        """Its bytes: what one process writes, all see."""
        return mmap.mmap(self._descriptor, 0)


def _available_bytes() -> int:
    import psutil

    return int(psutil.virtual_memory().available)
