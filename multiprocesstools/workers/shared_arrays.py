"""Arrays that a pool's workers and the process that started them have in common: sent by reference, never copied.

Guarantee: the memory is given back when the last array over it has gone, and with the processes that have it, however
they end: see `multiprocesstools.workers.pools.memory`. Condition: one machine; the process that has made it still has
it when another one gets it.
"""

from math import prod
from operator import index
from typing import Any

import numpy as np

from multiprocesstools.errors import BadArgument
from multiprocesstools.workers.pools.memory import Memory, MemoryGone, Reference


class SharedArray(np.ndarray[Any, np.dtype[Any]]):
    """A numpy array over shared memory; see `shared_array`. Parts of it, and what comes of it, are plain data."""

    _memory: Memory | None = None

    @property
    def is_shared(self) -> bool:
        """Is this the whole array, which travels to workers by reference? A part of it is copied."""
        return self._memory is not None

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._memory is None:
            return np.asarray, (np.asarray(self),)
        return _attached, (self._memory.reference, self.shape, self.dtype)

    def __deepcopy__(self, memo: Any) -> Any:
        if self._memory is None:
            return np.array(self)
        copy = shared_array(self.shape, self.dtype)
        copy[...] = self
        return copy


def shared_array(shape: int | tuple[int, ...], dtype: Any = float) -> SharedArray:
    """An array of zeros that workers write into: pickled, it is a reference, and unpickled, the same memory.

    Make it in the process that starts the workers. BadArgument for sizes and types that cannot be; MemoryError when
    there is no room.
    """
    kind, sizes = np.dtype(dtype), _checked(shape)
    if kind.hasobject or kind.itemsize == 0:
        raise BadArgument("dtype", dtype, "its values must have a fixed size and no Python objects in them")
    size = max(1, prod(sizes) * kind.itemsize)
    try:
        memory = Memory.make(size)
    except OSError as error:
        raise MemoryError(f"{size:,} bytes of shared memory cannot be had ({error})") from error
    return _array(memory, sizes, kind)


def _array(memory: Memory, shape: tuple[int, ...], dtype: np.dtype[Any]) -> SharedArray:
    array = SharedArray(shape, dtype, memory.map())
    array._memory = memory
    return array


def _attached(reference: Reference, shape: tuple[int, ...], dtype: np.dtype[Any]) -> SharedArray:
    try:
        memory = reference.open()
    except MemoryGone as error:
        reason = "its memory is not there: the process that has made it has let it go, or was on another machine"
        raise BadArgument("array", f"of process {reference.process}", reason) from error
    return _array(memory, shape, dtype)


def _checked(shape: int | tuple[int, ...]) -> tuple[int, ...]:
    try:
        sizes = tuple(index(size) for size in (shape if isinstance(shape, tuple | list) else (shape,)))
    except (TypeError, ValueError) as error:
        raise BadArgument("shape", shape, "it must be a whole number, or a tuple of them") from error
    if min(sizes, default=0) < 0:
        raise BadArgument("shape", shape, "no size can be negative")
    return sizes
