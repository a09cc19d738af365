"""The ended-file X_k: attempt k is over without an output, and why.

Guarantee: decode never fails; what cannot be read is the outcome "unreadable", which counts as a failure, so that an
item whose ended-file is torn is not tried for ever.
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

FORMAT = 1
_TEXT_LIMIT = 40_000  # of two texts; in JSON a character has up to 12 bytes, and more than 1 MiB is not read


class Outcome(StrEnum):
    """How an attempt ended without an output."""

    FAILED = "failed"
    FATAL = "fatal"
    SKIPPED = "skipped"
    DIED = "died"
    INTERRUPTED = "interrupted"
    DROPPED = "dropped"
    UNREADABLE = "unreadable"


COUNTED = frozenset({Outcome.FAILED, Outcome.DIED, Outcome.UNREADABLE})
"""The outcomes that count towards max_attempts."""


@dataclass(frozen=True, slots=True)
class Ended:
    """One attempt's end. `exception` is one line, `traceback` the whole text; times are the writer's wall clock."""

    outcome: Outcome
    exception: str = ""
    traceback: str = ""
    host: str = ""
    pid: int = 0
    started: float = 0.0
    ended: float = 0.0
    by: str = ""


def encode(ended: Ended) -> bytes:
    line: dict[str, Any] = {"format": FORMAT, **asdict(ended)}
    line["exception"], line["traceback"] = ended.exception[:_TEXT_LIMIT], ended.traceback[-_TEXT_LIMIT:]
    return (json.dumps(line) + "\n").encode()


def decode(data: bytes) -> Ended:
    try:
        line = json.loads(data)
        if line["format"] != FORMAT:
            raise ValueError(f"format {line['format']!r}")
        return Ended(
            outcome=Outcome(line["outcome"]), exception=str(line["exception"]), traceback=str(line["traceback"]),
            host=str(line["host"]), pid=int(line["pid"]), started=float(line["started"]), ended=float(line["ended"]),
            by=str(line["by"]),
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        return Ended(Outcome.UNREADABLE, exception=f"the ended-file cannot be read: {error!r}")
