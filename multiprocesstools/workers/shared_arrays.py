"""Arrays that a pool's workers and the process that started them have in common: sent by name, never copied.

Guarantee: the memory is given back when the last array over it has gone in the process that has made it, when that
process ends, and, by the resource tracker of multiprocessing, after it was killed. Workers, killed or not, give nothing
back. Condition: one machine; workers of the process that has made the array; the tracker itself is not killed, too.
"""

import os
import sys
import weakref
from math import prod
from multiprocessing.shared_memory import SharedMemory
from operator import index
from pathlib import Path
from typing import Any

import numpy as np

from multiprocesstools.errors import BadArgument

_FOLDER = Path("/dev/shm")  # where Linux shows such memory


class SharedArray(np.ndarray[Any, np.dtype[Any]]):
    """A numpy array over shared memory; see `shared_array`. Parts of it, and what comes of it, are plain data."""

    _memory: "_Memory | None" = None

    @property
    def is_shared(self) -> bool:
        """Is this the whole array, which travels to workers by its name? A part of it is copied."""
        return self._memory is not None

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._memory is None:
            return np.asarray(self).__reduce_ex__(protocol)
        return _attached, (self._memory.name, self.shape, self.dtype)

    def __deepcopy__(self, memo: Any) -> Any:
        if self._memory is None:
            return np.array(self)
        copy = shared_array(self.shape, self.dtype)
        copy[...] = self
        return copy


def shared_array(shape: int | tuple[int, ...], dtype: Any = float) -> SharedArray:
    """An array of zeros that workers write into: pickled, it is a name, and unpickled, the same memory.

    Make it in the process that starts the workers. BadArgument for sizes and types that cannot be; MemoryError when
    there is no room.
    """
    kind, sizes = np.dtype(dtype), _checked(shape)
    if kind.hasobject or kind.itemsize == 0:
        raise BadArgument("dtype", dtype, "its values must have a fixed size and no Python objects in them")
    size = max(1, prod(sizes) * kind.itemsize)
    shm = SharedMemory(create=True, size=size)
    try:
        _reserve(shm.name, size)
    except OSError as error:
        shm.close()
        shm.unlink()
        raise MemoryError(f"{size:,} bytes of shared memory cannot be had ({error}): df -h {_FOLDER}") from error
    return _array(_Memory(shm, os.getpid()), sizes, kind)


class _Memory:
    """What numpy keeps as long as an array looks at the memory; a memoryview could not be closed meanwhile."""

    def __init__(self, shm: SharedMemory, maker: int) -> None:
        self.name = shm.name
        assert shm.buf is not None  # it was not closed
        address = np.frombuffer(shm.buf, np.uint8).ctypes.data
        self.__array_interface__ = {
            "version": 3, "shape": (shm.size,), "typestr": "|u1", "data": (address, False),
        }  # fmt: skip
        weakref.finalize(self, _let_go, shm, maker)


def _let_go(shm: SharedMemory, maker: int) -> None:
    if maker == os.getpid():  # and not a fork of it
        shm.unlink()


def _array(memory: _Memory, shape: tuple[int, ...], dtype: np.dtype[Any]) -> SharedArray:
    whole = np.asarray(memory)
    array = whole[: prod(shape) * dtype.itemsize].view(dtype).reshape(shape).view(SharedArray)
    array._memory = memory
    return array


def _attached(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> SharedArray:
    try:
        if sys.version_info >= (3, 13):
            shm = SharedMemory(name, track=False)
        else:
            shm = SharedMemory(name)  # tells the tracker, which workers share with their parent, what it knows
    except FileNotFoundError as error:
        reason = "its memory is not there: the process that has made it has let it go, or was on another machine"
        raise BadArgument("array", name, reason) from error
    return _array(_Memory(shm, 0), shape, dtype)


def _checked(shape: int | tuple[int, ...]) -> tuple[int, ...]:
    try:
        sizes = tuple(index(size) for size in (shape if isinstance(shape, tuple | list) else (shape,)))
    except (TypeError, ValueError) as error:
        raise BadArgument("shape", shape, "it must be a whole number, or a tuple of them") from error
    if min(sizes, default=0) < 0:
        raise BadArgument("shape", shape, "no size can be negative")
    return sizes


def _reserve(name: str, size: int) -> None:
    """Or the first to write where there is no room would be killed (SIGBUS). OSError."""
    place = _FOLDER / name.lstrip("/")
    if place.exists():
        file = os.open(place, os.O_RDWR)
        try:
            os.posix_fallocate(file, 0, size)
        finally:
            os.close(file)
