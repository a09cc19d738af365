"""Pickles whose large arrays lie in shared memory beside them: written there once, copied from there once.

Guarantee: what comes out is equal to what went in, with arrays of its own; nothing is left when the process that has
pickled ends or lets the memory go. Condition: it is unpickled before.
"""

import copyreg
import io
import pickle
import sys
from collections import ChainMap
from collections.abc import Callable
from functools import cache
from typing import Any

from multiprocesstools.workers.pools.memory import Memory, Reference

_LEAST_BYTES = 1 << 16
"""From here on an array goes through shared memory; what is smaller costs less in a pipe."""
_PROTOCOL = 5


class Sender:
    """Pickles by name or by value; `memory` is what has to be held until it was unpickled, if there is any."""

    def __init__(self) -> None:
        self.memory: Memory | None = None
        self._places: dict[int, tuple[Any, Any]] = {}

    @property
    def size(self) -> int:
        """The bytes of all arrays that were laid aside."""
        return self.memory.size if self.memory is not None else 0

    def by_name(self, value: Any) -> bytes:
        """As pickle does it. Whatever that raises."""
        stream = io.BytesIO()
        pickler = pickle.Pickler(stream, _PROTOCOL)
        pickler.dispatch_table = self._table(copyreg.dispatch_table)
        pickler.dump(value)
        return stream.getvalue()

    def by_value(self, value: Any) -> bytes:
        """As cloudpickle does it. Whatever that raises."""
        stream = io.BytesIO()
        _by_value()(stream, self._table).dump(value)
        return stream.getvalue()

    def close(self) -> None:
        """What was pickled will not be sent."""
        if self.memory is not None:
            self.memory.close()

    def _table(self, others: Any) -> Any:
        if "numpy" not in sys.modules:
            return others
        import numpy

        return ChainMap({numpy.ndarray: self._reduced}, others)

    def _reduced(self, array: Any) -> Any:
        if array.nbytes < _LEAST_BYTES or array.dtype.hasobject:
            return array.__reduce_ex__(_PROTOCOL)
        if id(array) not in self._places:
            self._places[id(array)] = (array, self._place(array))  # held, or its id is another's
        return self._places[id(array)][1]

    def _place(self, array: Any) -> Any:
        import numpy

        turned = array.flags.f_contiguous and not array.flags.c_contiguous
        self.memory = self.memory or Memory.make()
        data = numpy.ascontiguousarray(array.T if turned else array).reshape(-1).view(numpy.uint8)
        begin = self.memory.append(data.data)
        return _copied, (self.memory.reference, begin, array.shape, array.dtype, "F" if turned else "C")


@cache
def _by_value() -> Any:
    """The pickler of cloudpickle, with the table of one object; a class for each would be collected late."""
    import cloudpickle  # type: ignore[import-untyped]

    class ByValue(cloudpickle.Pickler):  # type: ignore[misc]
        def __init__(self, stream: io.BytesIO, table: Callable[[Any], Any]) -> None:
            self._own = table(cloudpickle.Pickler.dispatch_table)
            super().__init__(stream, _PROTOCOL)

        @property
        def dispatch_table(self) -> Any:
            return self._own

    return ByValue


def _copied(reference: Reference, begin: int, shape: tuple[int, ...], dtype: Any, order: Any) -> Any:
    import numpy

    array: Any = numpy.empty(shape, dtype, order)
    flat = (array.T if order == "F" else array).reshape(-1).view(numpy.uint8)
    with reference.open() as memory:
        memory.read(flat.data, begin)
    return array
