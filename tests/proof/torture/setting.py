"""The two kinds of rounds of the torture, and what the processes of one are told about their disk and their beats."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[3]
COMMAND_SECONDS = 120.0
"""How long a command, or a process that was told to end, may take."""


@dataclass(frozen=True)
class Setting:
    """One kind of round.

    stop_seconds: how long processes are stopped, shortest and longest; stop_itself_seconds: those that an item stops.
    acts: what the tormentor does, with weights; pause_seconds: between two acts, on the average.
    """

    name: str
    items: int
    beat_seconds: float
    patience_seconds: float
    stop_seconds: tuple[float, float]
    stop_itself_seconds: tuple[float, float]
    torment_seconds: float
    full_seconds: float
    dawdle_seconds: float = 0.1
    processes: int = 16
    pause_seconds: float = 0.15
    acts: tuple[tuple[str, int], ...] = (("kill", 3), ("stop", 6), ("term", 2), ("call", 2))
    broken: str = ""


def suspicious(items: int, **changes: Any) -> Setting:
    """A round with zombies."""
    facts: dict[str, Any] = {
        "beat_seconds": 0.3, "patience_seconds": 1.5, "stop_seconds": (0.5, 7.0), "stop_itself_seconds": (4.0, 9.0),
        "torment_seconds": items / 12, "full_seconds": 1.5,
    }  # fmt: skip
    return Setting("false suspicions", items, **(facts | changes))


def accurate(items: int, **changes: Any) -> Setting:
    """A round in which nobody living is ever taken for dead."""
    facts: dict[str, Any] = {
        "beat_seconds": 1.0, "patience_seconds": 90.0, "stop_seconds": (0.1, 1.5), "stop_itself_seconds": (0.1, 1.5),
        "torment_seconds": items / 16, "full_seconds": 1.5,
    }  # fmt: skip
    return Setting("accurate detection", items, **(facts | changes))


def environment(setting: Setting) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(CHECKOUT), "MPT_TORTURE_BREAK": setting.broken, "COLUMNS": "200"}
