"""The record W of an instance: one JSON line that says who it is, with a beat that is rewritten in place.

Guarantee: decode(encode(record)) is the record; whatever else is in the file raises Unreadable, which callers treat as
"owner unknown" and never as "free". Unknown keys are ignored, an unknown format is refused.

A claim where the record cannot be linked is a copy: the same line with an empty beat, because the beat of a copy means
nothing and must be read from the record itself. Where the claim is the draft of a result, that follows in more lines.
"""

import json
import math
import re
from dataclasses import asdict, dataclass, fields
from typing import Any

from multiprocesstools.claims.identity import Identity, Job
from multiprocesstools.claims.slots import check_name
from multiprocesstools.errors import BadName

FORMAT = 1
LIMIT_BYTES = 1 << 16
"""More has no record; a claim that is the draft of a result may have."""
_HIGHEST_PID = 2**31 - 1
_TAIL = '"}\n'
_BEAT = re.compile("[0-9]{12} [0-9]{12}")


class Unreadable(ValueError):
    """The bytes are no record, or one of a newer format."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A sign of life: a counter, and the seconds since the instance started by its own clock."""

    count: int = 0
    seconds: int = 0

    def encode(self) -> bytes:
        return b"%012d %012d" % (self.count, self.seconds)


_BEAT_BYTES = len(Beat().encode())


@dataclass(frozen=True, slots=True)
class Record:
    """Who an instance is. `started` is the owner's wall clock; `beat` is None in a copy."""

    id: str
    name: str
    number: int
    identity: Identity
    started: float
    beat: Beat | None = None

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.number}"


def encode(record: Record) -> bytes:
    """The record as a line whose last bytes are the beat."""
    line: dict[str, Any] = {"format": FORMAT, "id": record.id, "name": record.name, "number": record.number}
    line |= asdict(record.identity) | {"started": record.started}
    line["beat"] = record.beat.encode().decode() if record.beat else ""
    return (json.dumps(line) + "\n").encode()


def beat_offset(encoded: bytes) -> int:
    """Where the beat lies in an encoded record."""
    return len(encoded) - len(_TAIL) - _BEAT_BYTES


def decode(data: bytes) -> Record:
    """The record in the first line of these bytes. Unreadable for everything else."""
    try:
        line = json.loads(data.partition(b"\n")[0])
        if not isinstance(line, dict):
            raise Unreadable("not an object")
        if line["format"] != FORMAT:
            raise Unreadable(f"format {line['format']!r}")
        return Record(
            id=_typed(line["id"], str), name=check_name(_typed(line["name"], str)), number=_typed(line["number"], int),
            identity=_identity(line), started=_time(line["started"]), beat=_beat(_typed(line["beat"], str)),
        )  # fmt: skip
    except Unreadable:
        raise
    except (BadName, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise Unreadable(f"no record: {error!r}") from error


def _identity(line: dict[str, Any]) -> Identity:
    values = {field.name: line[field.name] for field in fields(Identity) if field.name != "job"}
    for name, value in values.items():
        _typed(value, int if name in ("pid", "start", "user") else str)
    job = line.get("job")
    if not 0 <= values["pid"] <= _HIGHEST_PID:
        raise Unreadable(f"the pid {values['pid']}")
    return Identity(**values, job=None if job is None else Job(*(_typed(job[f.name], str) for f in fields(Job))))


def _beat(text: str) -> Beat | None:
    if not text:
        return None
    if not _BEAT.fullmatch(text):
        raise Unreadable(f"the beat {text[:40]!r}")
    count, seconds = text.split(" ")
    return Beat(int(count), int(seconds))


def _time(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Unreadable(f"{value!r} where a time is expected")
    return float(value)


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise Unreadable(f"{value!r} where {kind.__name__} is expected")
    return value
