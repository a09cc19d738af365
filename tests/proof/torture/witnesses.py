"""What the witnesses of a round say: the processes, in their audits, and the observer of finals and beats.

A suspicion counts as one only if the observer saw the beat of that process stand still for as long as patience.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Audit:
    """A file of this process alone, which is only appended to. Every line has the time by CLOCK_MONOTONIC."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC)

    def note(self, what: str, **facts: Any) -> None:
        line = {"t": time.monotonic(), "what": what} | facts
        os.write(self._descriptor, (json.dumps(line) + "\n").encode())


@dataclass
class Execution:
    """One attempt as the process that made it tells it, and when that process was over."""

    who: int
    item: str
    attempt: int
    asked: float
    starts: float
    process_over: float
    how: str = ""
    left: float = float("inf")
    fate: str = ""
    fate_at: float = float("inf")
    inodes: dict[str, int] = field(default_factory=dict)
    met: list[tuple[int, int]] = field(default_factory=list)

    @property
    def over(self) -> float:
        """Since when others may have the item without having suspected anybody; never, if it was published."""
        if self.how == "wrote":
            return {"": self.process_over, "done": float("inf"), "lost": float("inf")}.get(self.fate, self.left)
        return min(self.left, self.process_over)

    @property
    def settled(self) -> float:
        """When its owner had published or ended it, or was over; a suspicion must have come before."""
        return min(self.fate_at, self.process_over)


def executions(audits: Path, over: dict[int, float]) -> tuple[list[Execution], dict[int, int]]:
    """All executions, and the instance number of each process. `over`: when each process was over."""
    found: list[Execution] = []
    numbers: dict[int, int] = {}
    for path in sorted(audits.iterdir(), key=lambda path: int(path.name)):
        who = int(path.name)
        for line in _lines(path):
            if line["what"] == "born":
                numbers[who] = line["number"]
            elif line["what"] == "starts":
                start = (line["item"], line["attempt"], line["asked"], line["t"])
                found.append(Execution(who, *start, over.get(who, float("inf"))))
            elif line["what"] != "ends":
                _tell(found[-1], line)
    return found, numbers


def _tell(execution: Execution, line: dict[str, Any]) -> None:
    what = line["what"]
    assert (line["item"], line["attempt"]) == (execution.item, execution.attempt), line
    if what == "meets":
        execution.met.append((line["holder"][0], line["holder"][1]))
    elif what == "kills itself":
        execution.how, execution.left = what, line["t"]
    elif what == "leaves":
        execution.how, execution.left, execution.inodes = line["how"], line["t"], line.get("inodes", {})
    elif what == "fate":
        execution.fate, execution.fate_at = line["fate"], line["t"]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of an audit; a last one that was torn by a kill is left out."""
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


@dataclass
class Beats:
    """When the observer saw the beat of each instance change: spans (first seen, last seen) of each value."""

    spans: dict[int, list[tuple[float, float]]]
    patience_seconds: float

    def stood_still(self, number: int | None, since: float, until: float) -> bool:
        """May somebody, between these moments, have seen the beat of an instance unchanged for as long as patience?"""
        spans = self.spans.get(number if number is not None else -1, [])
        for place, (first, _) in enumerate(spans):
            begin = spans[place - 1][1] if place else first
            end = spans[place + 1][0] if place + 1 < len(spans) else float("inf")
            if end > since and min(end, until) - begin >= self.patience_seconds:
                return True
        return False


@dataclass
class Sightings:
    """What the observer saw of the finals: how each appeared, and to which something happened afterwards."""

    first: dict[str, dict[str, Any]]
    again: dict[str, list[str]]
    beats: Beats
    overflows: int = 0


def sightings(path: Path, patience_seconds: float) -> Sightings:
    seen = Sightings({}, {}, Beats({}, patience_seconds))
    for line in _lines(path):
        if line["what"] == "appears":
            seen.first[line["final"]] = line
        elif line["what"] == "again":
            seen.again.setdefault(line["final"], []).append(line["event"])
        elif line["what"] == "beats":
            seen.beats.spans[line["number"]] = [(begin, end) for begin, end in line["seen"]]
        elif line["what"] == "overflow":
            seen.overflows += 1
    return seen
