"""The parameters of a run as JSON values: what is allowed, and how two sets differ. Pure: no disk, no clock.

Two values are equal if JSON says the same of them: 1 and 1.0 are one number, a tuple is a list, true is no number, and
the order of keys means nothing.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from multiprocesstools.errors import BadArgument

_MOST_LEVELS = 40
_MOST_BITS = 1024
_MOST_BYTES = 1 << 18  # of the file that holds them 1 MiB is read
_NO_KEY = object()

Kind = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: where (as it is written in Python), which, and the values recorded and given."""

    path: str
    kind: Kind
    recorded: Any = None
    given: Any = None


def check_parameters(given: object) -> dict[str, Any]:
    """A copy of the parameters, made of nothing but dict, list, str, int, float, bool and None. BadArgument names the
    place of what JSON cannot hold."""
    if not isinstance(given, Mapping):
        raise BadArgument("parameters", given, "it must be a dict of names and values")
    plain: dict[str, Any] = _plain(given, "", 0)
    size = _size(plain)
    if size > _MOST_BYTES:
        raise BadArgument("parameters", "...", f"they have {size:,} characters, {_MOST_BYTES:,} at most are recorded")
    return plain


def differences(recorded: Any, given: Any, path: str = "") -> Iterator[Change]:
    """What is added, removed and changed, in the order of the recorded keys, then of the new ones."""
    if isinstance(recorded, dict) and isinstance(given, dict):
        for key in [*recorded, *(key for key in given if key not in recorded)]:
            yield from _compared(recorded.get(key, _NO_KEY), given.get(key, _NO_KEY), _below(path, key))
    elif isinstance(recorded, list) and isinstance(given, list) and len(recorded) == len(given):
        for place, (before, now) in enumerate(zip(recorded, given, strict=True)):
            yield from differences(before, now, _below(path, place))
    elif not _equal(recorded, given):
        yield Change(path, "changed", recorded, given)


def _compared(recorded: Any, given: Any, path: str) -> Iterator[Change]:
    if recorded is _NO_KEY:
        yield Change(path, "added", given=given)
    elif given is _NO_KEY:
        yield Change(path, "removed", recorded=recorded)
    else:
        yield from differences(recorded, given, path)


def _equal(one: Any, other: Any) -> bool:
    """Of values that are not both dicts, nor lists of one length."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def _plain(value: Any, path: str, level: int) -> Any:
    if level > _MOST_LEVELS:
        raise _refused(path, "...", f"it is nested more than {_MOST_LEVELS} levels deep (does it contain itself?)")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return _whole(int(value), path)
    if isinstance(value, float):
        return _finite(float(value), path)
    if isinstance(value, Mapping):
        return {_key(key, path): _plain(part, _below(path, key), level + 1) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part, _below(path, place), level + 1) for place, part in enumerate(value)]
    raise _refused(path, value, f"JSON has no {type(value).__name__}{_advice(value)}")


def _whole(value: int, path: str) -> int:
    if value.bit_length() > _MOST_BITS:
        raise _refused(path, "...", "the number is too large; write it as text")
    return value


def _finite(value: float, path: str) -> float:
    if not math.isfinite(value):
        raise _refused(path, value, "JSON has no such number, and NaN is not even equal to itself; use None or text")
    return value


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise _refused(
            path, key, f"a key of JSON is text, and this one is of the type {type(key).__name__}; use str(key)"
        )
    return str.__str__(key)


def _advice(value: Any) -> str:
    """What to write instead."""
    from pathlib import PurePath

    if isinstance(value, PurePath):
        return "; use str(path)"
    if isinstance(value, set | frozenset):
        return "; use sorted(...)"
    if hasattr(value, "tolist"):  # an array, or a number, of numpy and of those that resemble it
        return "; use value.tolist()"
    if hasattr(value, "isoformat"):
        return "; use value.isoformat()"
    return "; use numbers, text, lists and dicts"


def _refused(path: str, value: Any, reason: str) -> BadArgument:
    return BadArgument(f"parameters{path}", value, reason)


def _below(path: str, key: Any) -> str:
    return f"{path}[{key!r}]"


def _size(plain: dict[str, Any]) -> int:
    import json

    return len(json.dumps(plain))
