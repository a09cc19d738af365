"""What is the same for all items of a loop."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from multiprocesstools.crew.crew import Crew
from multiprocesstools.items.fate import Fate

Settled = Callable[[Any, Fate, BaseException | None], None]
"""Told of each item that has ended: settled(item, fate, error)."""


@dataclass(frozen=True)
class Terms:
    """`on_error`: "continue" or "raise". `defer`: the loop decides about a block that wrote nothing. `results`: the
    package writes the outputs. `fatal`: an item whose block raises is set aside at once."""

    crew: Crew
    on_error: str = "continue"
    defer: bool = False
    results: bool = False
    settled: Settled | None = None
    fatal: bool = False
