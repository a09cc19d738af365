"""What travels between a pool and its workers, as bytes: functions, tasks, results and exceptions.

Guarantee: what was packed here can be unpacked there, also what was defined in a script, a console or a notebook, which
cloudpickle sends with its code; an exception that could not be unpacked is sent as its words and its traceback.
Condition: modules are found by their names on both sides, and it is the same Python.
"""

import pickle
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from multiprocesstools.errors import BadArgument, CannotBeSent, FunctionFailed
from multiprocesstools.saving import kind

_PROTOCOL = 5
_PLAIN = frozenset({int, float, complex, bool, str, bytes, bytearray, type(None)})
"""Nothing in them could need cloudpickle, which takes ten times as long to begin."""


@dataclass(frozen=True, slots=True)
class Function:
    """What is called for each task, and its further arguments: packed once, sent to a worker once."""

    key: int
    packed: bytes


def pack_function(
    key: int, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Function:  # fmt: skip
    """BadArgument for what cannot be called or cannot be sent."""
    import cloudpickle  # type: ignore[import-untyped]

    if not callable(function):
        raise BadArgument("function", function, "it must be a function of a task, and of func_args and func_kwargs")
    call = (function, args, dict(kwargs))
    try:
        return Function(key, cloudpickle.dumps(call, _PROTOCOL))
    except Exception as error:
        try:  # by its name: what its globals hold then need not travel
            return Function(key, pickle.dumps(call, _PROTOCOL))
        except Exception:
            reason = f"it, or an argument of it, cannot be sent to a worker ({type(error).__name__}: {error})"
            raise BadArgument("function", function, reason) from error


def pack(value: Any, what: str) -> bytes:
    """A task or a result. CannotBeSent, which says `what` it was."""
    try:
        if type(value) in _PLAIN:
            return pickle.dumps(value, _PROTOCOL)
        import cloudpickle

        packed: bytes = cloudpickle.dumps(value, _PROTOCOL)
        return packed
    except MemoryError:
        raise
    except Exception as error:
        raise CannotBeSent(what, kind(value), f"{type(error).__name__}: {error}") from error


def unpack(packed: bytes) -> Any:
    """Whatever unpacking raises, it raises."""
    return pickle.loads(packed)


def pack_error(error: BaseException) -> bytes:
    """An exception and its traceback, which is a note of it on the other side."""
    words = "".join(traceback.format_exception(error))
    try:
        packed = pack(error, "exception")
        if type(unpack(packed)) is not type(error):
            raise TypeError("another exception comes back")
    except Exception:
        packed = pack(FunctionFailed(f"{kind(error)}: {error}", words), "exception")
    return pickle.dumps((packed, words), _PROTOCOL)


def unpack_error(packed: bytes) -> tuple[BaseException, str]:
    """The exception, and its traceback."""
    inner, words = pickle.loads(packed)
    error: BaseException = unpack(inner)
    if not isinstance(error, FunctionFailed):  # which shows its traceback already
        error.add_note(f"in a worker:\n{words}")
    return error, words
