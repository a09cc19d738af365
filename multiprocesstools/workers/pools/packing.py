"""What travels between a pool and its workers, as bytes: functions, tasks, results and exceptions.

What workers can import is sent by its name, as pickle does it; what was defined in a console, a notebook or a function
is sent with its code, by cloudpickle. Of a function both are sent, since a worker may find that the name is not there.

Large arrays of results, and of the arguments of a function, go through shared memory, and are never pickled.

Guarantee: an exception that could not be unpacked is sent as its words and its traceback. Condition: modules are found
by their names on both sides, and it is the same Python.
"""

import pickle
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import TracebackType
from typing import Any

from multiprocesstools.calls.saving import kind
from multiprocesstools.errors import BadArgument, CannotBeSent, FunctionFailed
from multiprocesstools.workers.pools.apart import Sender
from multiprocesstools.workers.pools.memory import Memory

_PROTOCOL = 5
_SMALL = (int, float, str, bytes, type(None))
"""In which there are no arrays."""
_PACKAGE = __name__.partition(".")[0] + "."


@dataclass(frozen=True, slots=True)
class Function:
    """What is called for each task, and its further arguments: packed once, sent to a worker once."""

    key: int
    packed: bytes
    memory: Memory | None = None
    """Where their large arrays are."""


@dataclass(frozen=True, slots=True)
class Apart:
    """A result, pickled, and the bytes of its arrays, which lie in shared memory."""

    packed: bytes
    size: int


def pack_function(
    key: int, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Function:  # fmt: skip
    """BadArgument for what cannot be called or cannot be sent."""
    if not callable(function):
        raise BadArgument("function", function, "it must be a function of a task, and of func_args and func_kwargs")
    sender = Sender()
    call, ways, reason = (function, args, dict(kwargs)), [], ""
    for way in (sender.by_name, sender.by_value) if _has_importable_main() else (sender.by_value,):
        try:
            ways.append(way(call))
        except Exception as error:
            reason = f"it, or an argument of it, cannot be sent to a worker ({type(error).__name__}: {error})"
    if not ways:
        raise BadArgument("function", function, reason)
    return Function(key, pickle.dumps(ways, _PROTOCOL), sender.memory)


def unpack_function(packed: bytes | bytearray) -> Callable[[Any], Any]:
    """A function of a task alone. Whatever unpacking raises, it raises."""
    *ways, last = pickle.loads(packed)
    for way in ways:
        try:
            return _applied(*pickle.loads(way))
        except (AttributeError, ImportError):
            continue  # it stands under the main guard of the script
    return _applied(*pickle.loads(last))


def pack(value: Any, what: str) -> bytes:
    """A task or a result. CannotBeSent, which says `what` it was."""
    if type(value) in _SMALL:
        return pickle.dumps(value, _PROTOCOL)
    try:
        return _pack(value, _by_name, _by_value)
    except MemoryError:
        raise
    except Exception as error:
        raise CannotBeSent(what, kind(value), f"{type(error).__name__}: {error}") from error


def pack_result(value: Any) -> tuple[bytes, Memory | None]:
    """And the memory that has to be held until it was unpacked. CannotBeSent."""
    if type(value) in _SMALL:
        return pack(value, "result"), None
    sender = Sender()
    try:
        packed = _pack(value, sender.by_name, sender.by_value)
    except MemoryError:
        raise
    except Exception as error:
        sender.close()
        raise CannotBeSent("result", kind(value), f"{type(error).__name__}: {error}") from error
    if sender.memory is not None:
        packed = pickle.dumps(Apart(packed, sender.size), _PROTOCOL)
    return packed, sender.memory


def unpack(packed: bytes | bytearray) -> Any:
    """Whatever unpacking raises, it raises."""
    return pickle.loads(packed)


def unpack_result(packed: bytes | bytearray) -> tuple[Any, int]:
    """And how many bytes it has. MemoryGone when its worker has gone; whatever unpacking raises, it raises."""
    value = pickle.loads(packed)
    if type(value) is Apart:
        return unpack(value.packed), value.size + len(value.packed)
    return value, len(packed)


def _pack(value: Any, by_name: Callable[[Any], bytes], by_value: Callable[[Any], bytes]) -> bytes:
    if _has_importable_main():
        try:
            return by_name(value)
        except (pickle.PicklingError, AttributeError, TypeError):
            pass  # it has no name that would be found
    return by_value(value)


def _by_name(value: Any) -> bytes:
    return pickle.dumps(value, _PROTOCOL)


def _by_value(value: Any) -> bytes:
    import cloudpickle  # type: ignore[import-untyped]

    packed: bytes = cloudpickle.dumps(value, _PROTOCOL)
    return packed


@cache
def _has_importable_main() -> bool:
    """Will a worker have what is defined in `__main__`? Not that of a console or a notebook."""
    main = sys.modules["__main__"]
    return getattr(main, "__spec__", None) is not None or hasattr(main, "__file__")


def _applied(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[[Any], Any]:
    return lambda task: function(task, *args, **kwargs)


def pack_error(error: BaseException) -> bytes:
    """An exception and its traceback, which is a note of it on the other side."""
    words = "".join(traceback.format_exception(type(error), error, _of_the_function(error.__traceback__)))
    try:
        packed = pack(error, "exception")
        if type(unpack(packed)) is not type(error):
            raise TypeError("another exception comes back")
    except Exception:
        packed = pack(FunctionFailed(f"{kind(error)}: {error}", words), "exception")
    return pickle.dumps((packed, words), _PROTOCOL)


def unpack_error(packed: bytes | bytearray) -> tuple[BaseException, str]:
    """The exception, and its traceback."""
    inner, words = pickle.loads(packed)
    error: BaseException = unpack(inner)
    if not isinstance(error, FunctionFailed):  # which shows its traceback already
        error.add_note(f"in a worker:\n{words}")
    return error, words


def _of_the_function(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without the frames of this package that have led to the function."""
    inner = trace
    while inner is not None and inner.tb_frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        inner = inner.tb_next
    return inner if inner is not None else trace
