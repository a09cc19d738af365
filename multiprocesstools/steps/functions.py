"""What a step calls: how a function is matched, how its arguments are written down, and what its value means.

    a method of the protocol, or its name     by its name
    a function of a module                    by module and name
    a lambda, or a function inside another    by its code and, for a closure, by the values that it encloses (JSON); it
                                              is run only by instances whose script has inserted it too

Guarantee: nothing is called because the run directory says so, unless the script itself has it: a method of the
protocol, a function that the script has inserted, or one of a module that such a function is from.
"""

import base64
import inspect
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

from multiprocesstools.errors import BadStep
from multiprocesstools.run.digest import sha256

PICKLED = "__pickled__"
_OWN = "self."
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Made:
    """What a step returns that has both a result (JSON) and files: `return Made(result={"n": 3}, files=["a.csv"])`."""

    result: Any = None
    files: Sequence[str | os.PathLike[str]] = ()


class Functions:
    """The functions that a protocol knows. `owner` is the protocol."""

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        self._known: dict[str, Callable[..., Any]] = {}
        self._modules = {type(owner).__module__, "__main__"}

    def learn(self, function: Any) -> tuple[str, str]:
        """Its name, and what it is matched by. BadStep for what cannot be called, or cannot be matched."""
        if isinstance(function, str):
            if not callable(getattr(self._owner, function, None)):
                raise BadStep(function, f"the protocol {type(self._owner).__name__} has no method of that name")
            return function, f"{_OWN}{function}"
        if isinstance(function, MethodType) and function.__self__ is self._owner:
            return function.__name__, f"{_OWN}{function.__name__}"
        name, identity = _name(function), self._identity(function)
        self._known[identity] = function
        if isinstance(function, FunctionType):
            self._modules.add(function.__module__)
        return name, identity

    def find(self, identity: str) -> Callable[..., Any] | None:
        """The function, if this script has it."""
        if identity.startswith(_OWN):
            found = getattr(self._owner, identity.removeprefix(_OWN), None)
            return found if callable(found) else None
        if identity in self._known:
            return self._known[identity]
        module, _, qualified = identity.partition(":")
        if module not in self._modules or "<" in qualified:
            return None
        found = sys.modules.get(module)
        for part in qualified.split("."):
            found = getattr(found, part, None)
        return found if isinstance(found, FunctionType) and found.__module__ == module else None

    def _identity(self, function: Any) -> str:
        qualified = getattr(function, "__qualname__", "")
        if isinstance(function, FunctionType) and "<" in qualified:
            return f"{function.__module__}:{qualified}#{self._code_digest(function)}"
        if isinstance(function, FunctionType | BuiltinFunctionType | type):
            return f"{function.__module__}:{qualified}"
        raise BadStep(
            _name(function), "it is no function that can be matched by its name: give a function or a method of the "
            "protocol, and what it needs as arguments"
        )  # fmt: skip

    def _code_digest(self, function: FunctionType) -> str:
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        enclosed = [f"{name}={self._enclosed(function, name, cell)}" for name, cell in cells]
        defaults = [_plain_or_refuse(function, "a default", value) for value in function.__defaults__ or ()]
        return sha256("\0".join([_code_text(function.__code__), *enclosed, *defaults]).encode())[:16]

    def _enclosed(self, function: FunctionType, name: str, cell: Any) -> str:
        try:
            value = cell.cell_contents
        except ValueError:
            return "nothing yet"
        if value is self._owner:
            return "the protocol"
        if value is function:
            return "itself"
        if isinstance(value, FunctionType | BuiltinFunctionType | type):
            return self._identity(value)
        if isinstance(value, os.PathLike):
            return f"path {os.fspath(value)}"
        return _plain_or_refuse(function, f"the variable {name!r} that it encloses", value)


def _name(function: Any) -> str:
    name = getattr(function, "__name__", type(function).__name__)
    return "lambda" if name == "<lambda>" else name


def _code_text(code: CodeType) -> str:
    """What a function does, without where it stands."""
    constants = [_code_text(c) if isinstance(c, CodeType) else _constant(c) for c in code.co_consts]
    return repr((code.co_code.hex(), code.co_names, code.co_varnames[: code.co_argcount], constants))


def _constant(value: Any) -> str:
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)


def _plain_or_refuse(function: FunctionType, what: str, value: Any) -> str:
    if (reason := why_not_json(value)) is not None:
        raise BadStep(_name(function), f"{what} cannot be matched: {reason}; give it as an argument")
    return json.dumps(value, sort_keys=True)


# -- arguments


def encode_arguments(name: str, function: Any, arguments: Sequence[Any], *, pickled: bool = False) -> str:
    """The arguments as a JSON list. BadStep names the first that JSON cannot hold, unless it is to be pickled."""
    values = []
    for number, value in enumerate(arguments):
        reason = why_not_json(value)
        if reason is None:
            values.append(value)
        elif pickled:
            values.append({PICKLED: _pickle(name, number, function, value)})
        else:
            raise BadStep(name, f"its {_argument(function, number)} cannot be written down: {_advice(value, reason)}")
    return json.dumps(values, separators=(",", ":"))


def _advice(value: Any, reason: str) -> str:
    if isinstance(value, int):  # a number by another name, such as the handle of a step
        return (
            "a step is no value; let the new one wait for it (after=[...]) and ask for its result when it runs "
            f"(protocol.outcome({int(value)}).result), or give its number, int(step)"
        )
    fine = "str(path) is" if isinstance(value, os.PathLike) else "numbers, texts, lists and dicts are"
    return f"{reason}; {fine} fine, or say Protocol(..., pickle_arguments=True)"


def decode_arguments(text: str) -> list[Any]:
    """The arguments again; tuples have become lists."""
    return [_decode(value) for value in json.loads(text)]


def are_pickled(text: str) -> bool:
    return f'{{"{PICKLED}":' in text


def why_not_json(value: Any, depth: int = 0) -> str | None:
    """Why JSON cannot give a value back, if it cannot."""
    if isinstance(value, _PLAIN) and type(value) in _PLAIN:
        return None
    if depth > 100:
        return "it is nested too deeply, or holds itself"
    if isinstance(value, dict) and PICKLED not in value:
        bad = next((key for key in value if type(key) is not str), None)
        if bad is not None:
            return f"the key {bad!r} of a dict is no text"
        return next(filter(None, (why_not_json(item, depth + 1) for item in value.values())), None)
    if type(value) in (list, tuple):
        return next(filter(None, (why_not_json(item, depth + 1) for item in value)), None)
    return f"{type(value).__name__} is nothing that JSON can hold"


def _argument(function: Any, number: int) -> str:
    """Argument 2 ('sigma')."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        names = []
    return f"argument {number + 1}" + (f" ({names[number]!r})" if number < len(names) else "")


def _pickle(name: str, number: int, function: Any, value: Any) -> str:
    import pickle

    try:
        return base64.b64encode(pickle.dumps(value)).decode()
    except Exception as error:
        raise BadStep(name, f"its {_argument(function, number)} cannot be pickled: {error}") from error


def _decode(value: Any) -> Any:
    if isinstance(value, dict) and PICKLED in value:
        import pickle

        return pickle.loads(base64.b64decode(value[PICKLED]))
    return value
