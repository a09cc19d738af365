"""What a listing says of finals: the kinds of entries are looked at only as long as that is cheap."""

from dataclasses import dataclass

import pytest

from multiprocesstools.claims import noted
from multiprocesstools.claims.noted import Marks, Shown


@dataclass
class Clock:
    """Time passes only where an entry takes it."""

    seconds: float = 0.0
    asked: int = 0

    def perf_counter(self) -> float:
        return self.seconds


@dataclass
class Remote:
    """An entry whose kind the listing has not said: it costs a remote call, once, as os.DirEntry keeps the answer."""

    name: str
    clock: Clock
    cost_seconds: float
    file: bool = True
    known: bool = False

    def inode(self) -> int:
        return 1

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return not self.is_file()

    def is_symlink(self) -> bool:
        return False

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        if not self.known:
            self.known = True
            self.clock.seconds += self.cost_seconds
            self.clock.asked += self.cost_seconds > 0
        return self.file


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(noted, "time", clock)
    return clock


def entries(clock: Clock, cheap: int, remote: int, odd: tuple[int, ...]) -> list[Remote]:
    costs = [0.0] * cheap + [3e-4] * remote
    return [Remote(f"{i:06d}", clock, cost, file=i not in odd) for i, cost in enumerate(costs)]


@pytest.mark.parametrize("way", ["shown", "marks"])
def test_where_each_kind_costs_a_remote_call_only_a_few_are_asked_for(way: str, clock: Clock) -> None:
    listed = entries(clock, 1_024, 50_000, odd=(7, 40_000))
    names = {entry.name: place for place, entry in enumerate(listed)}
    noting = Shown(set(names), kinds=True) if way == "shown" else Marks(names)
    assert noting.gather(listed) == []
    assert clock.asked <= 4
    assert [entry.name for entry in noting.odd] == ["000007"]
    assert all(name in noting for name in names)


@pytest.mark.parametrize("way", ["shown", "marks"])
def test_where_the_listing_says_the_kinds_every_odd_one_is_noted(way: str, clock: Clock) -> None:
    listed = entries(clock, 50_000, 0, odd=(7, 40_000, 49_999))
    names = {entry.name: place for place, entry in enumerate(listed)}
    noting = Shown(set(names), kinds=True) if way == "shown" else Marks(names)
    noting.gather(listed)
    assert [entry.name for entry in noting.odd] == ["000007", "040000", "049999"]


def test_one_slow_answer_is_no_sign_of_a_server(clock: Clock) -> None:
    listed = entries(clock, 10_000, 0, odd=(9_000,))
    listed[255].cost_seconds = 0.5  # the machine was busy for a moment
    noting = Shown({entry.name for entry in listed}, kinds=True)
    noting.gather(listed)
    assert [entry.name for entry in noting.odd] == ["009000"]
