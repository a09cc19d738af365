"""Instances of the claims room without threads, journals or a helper."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools.claims import identity
from multiprocesstools.claims.claim import Refusal
from multiprocesstools.claims.disk import Disk
from multiprocesstools.claims.hands import Claim
from multiprocesstools.claims.instance import Instance, Rules
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.claims.record import Beat, Record
from multiprocesstools.claims.slots import Slot
from multiprocesstools.claims.survey import State
from tests.clocks import HandClock


def won(answer: Claim | Refusal) -> Claim:
    assert isinstance(answer, Claim), answer
    return answer


def refused(answer: Claim | Refusal) -> State:
    assert isinstance(answer, Refusal), answer
    return answer.state


@dataclass
class World:
    """A run directory with a clock; `gone` holds the ids of instances that the prober calls dead."""

    root: Path
    clock: HandClock
    gone: set[int]
    join: Callable[..., Instance]

    def slot(self, name: str = "a.csv") -> Slot:
        return Slot(str(self.root / "out"), name)

    def die(self, instance: Instance) -> None:
        """The process of this instance is gone, provably."""
        self.gone.add(instance.record.identity.start)

    def hidden(self) -> list[str]:
        """All files of the protocol in the output directory."""
        return sorted(path.name for path in (self.root / "out").iterdir() if path.name.startswith("."))


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "out").mkdir()
    (tmp_path / "instances").mkdir()
    clock, gone, numbers = HandClock(), set[int](), itertools.count(1)
    here = identity.current()

    def join(disk: Disk | None = None, *, rules: Rules | None = None, **who: Any) -> Instance:
        number = next(numbers)
        identified = replace(here, start=10_000 + number, **who)
        own = Record(f"{number:032x}", "test", number, identified, clock.wall(), Beat())
        rules = rules or Rules(beat_seconds=1, patience_seconds=10, max_attempts=3, durable=False)
        return Instance(
            disk or PosixDisk(), clock, str(tmp_path / "instances"), own, rules,
            notice=lambda event, slot=None, attempt=0, **facts: events.append((event, attempt)),
            is_gone=lambda other: other.start in gone, is_here=lambda other: False,
        ).join()  # fmt: skip

    events: list[tuple[str, int]] = []
    world = World(tmp_path, clock, gone, join)
    world.events = events  # type: ignore[attr-defined]
    return world
