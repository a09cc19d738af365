"""Runs contestants in rounds, A B C …, A B C …, and checks what each has really done.

Guarantee: a run counts every output that is missing and every item that was worked on more than once; a ratio is that
of one round. Condition: what disturbs the machine lasts longer than a round, or shorter than a run.
"""

import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from scripts.bench_files import contestants as everyone
from scripts.bench_files.job import Contestant, Job
from scripts.bench_files.places import BenchError, Place, Runner

FEWEST, MOST = 40, 60_000
_OWN, _PEER_SHARE = ("floors", "ours"), 0.4


@dataclass(frozen=True)
class Run:
    """One run of one contestant: its items, its seconds by the wall and by the processor, and what went wrong."""

    items: int
    seconds: float
    cpu: float
    fill_seconds: float
    lost: int
    twice: int
    rpcs: dict[str, int] = field(default_factory=dict)

    @property
    def seconds_per_item(self) -> float:
        return self.seconds / self.items


@dataclass
class Series:
    """The runs of one contestant with one number of processes at one place; `reason`: why there are none."""

    contestant: Contestant
    place: str
    processes: int
    runs: list[Run] = field(default_factory=list)
    reason: str = ""

    @property
    def rates(self) -> list[float]:
        return [run.items / run.seconds for run in self.runs]

    @property
    def lost(self) -> int:
        return sum(run.lost for run in self.runs)

    @property
    def twice(self) -> int:
        return sum(run.twice for run in self.runs)

    def ratios(self, floor: "Series | None", what: Callable[[Run], float]) -> list[float]:
        """Of each round: what this one needs for an item, over what its floor needs."""
        if floor is None:
            return []
        pairs = zip(self.runs, floor.runs, strict=False)
        return [what(run) / run.items / (what(base) / base.items) for run, base in pairs if what(base)]


def median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else float("nan")


@dataclass
class Campaign:
    """Contestants at one place. `items`: with how many items each takes about `run_seconds`, or a peer less."""

    place: Place
    rounds: int
    run_seconds: float
    items: dict[str, int] = field(default_factory=dict)

    def measure(self, contestants: Iterable[Contestant], processes: int) -> list[Series]:
        """Measure them with one number of processes, in rounds."""
        series = [Series(contestant, self.place.name, processes) for contestant in contestants]
        for one in series:
            one.reason = everyone.missing(one.contestant)
            if one.contestant.key not in self.items:
                self._attempt(one, self._calibrate, "how many items")
                one.runs.clear()
        self._agree([one.contestant for one in series if one.contestant.module in _OWN])
        for number in range(self.rounds):
            for one in series:
                self._attempt(one, self._run, f"round {number + 1} of {self.rounds}")
        return series

    def _attempt(self, series: Series, act: Callable[[Contestant, int], Run], what: str) -> None:
        if series.reason:
            return
        say(f"{self.place.name}, {series.processes} processes, {what}: {series.contestant.label}")
        try:
            series.runs.append(act(series.contestant, series.processes))
        except BenchError as error:
            series.reason = f"failed: {str(error).strip().splitlines()[-1]}"
            print(f"{series.contestant.label}: {error}", file=sys.stderr)

    def _run(self, contestant: Contestant, processes: int) -> Run:
        return run_once(self.place, contestant, self.items[contestant.key], processes)

    def _calibrate(self, contestant: Contestant, processes: int) -> Run:
        """Find the number of items, once for each contestant: with more processes it is the same list."""
        items = FEWEST
        while True:
            run = run_once(self.place, contestant, items, processes)
            growth = self._seconds(contestant) / max(run.seconds, 1e-6)
            if growth < 1.5 or items >= MOST:
                self.items[contestant.key] = items
                return run
            items = min(MOST, int(items * min(growth, 12.0)))

    def _seconds(self, contestant: Contestant) -> float:
        """A peer is many times slower or faster than the package, so a short run says as much."""
        return self.run_seconds * (1.0 if contestant.module in _OWN else _PEER_SHARE)

    def _agree(self, own: Sequence[Contestant]) -> None:
        """A floor and those of the package that are compared with it get the same number."""
        agreed: dict[str, int] = {}
        for contestant in own:
            items = self.items.get(contestant.key, MOST)
            agreed[contestant.floor] = min(items, agreed.get(contestant.floor, MOST))
        self.items |= {contestant.key: agreed[contestant.floor] for contestant in own}


def run_once(place: Place, contestant: Contestant, items: int, processes: int) -> Run:
    """Fill, work, look."""
    runners, keeper = place.runners(contestant), place.keeper(contestant)
    with place.fresh() as directory:
        job = Job(directory, items, processes, variant=contestant.variant).to_plain()
        filled = keeper.ask({"do": "fill", "job": job})
        parts = _work(runners, contestant, job, processes)
        outputs = keeper.ask({"do": "look", "job": job})["outputs"]
    made = [index for part in parts for index in part["made"]]
    rpcs = {name: sum(part["rpcs"].get(name, 0) for part in parts) for part in parts for name in part["rpcs"]}
    return Run(
        items, max(part["seconds"] for part in parts), sum(part["cpu"] for part in parts), filled["seconds"],
        lost=len(set(range(items)) - set(outputs)), twice=len(made) - len(set(made)), rpcs=rpcs,
    )  # fmt: skip


def _work(runners: list[Runner], contestant: Contestant, job: dict[str, Any], processes: int) -> list[dict[str, Any]]:
    """The processes in turn on the machines; one that starts its processes itself is one process on one machine."""
    numbers = [0] if contestant.alone else list(range(processes))
    shares = [numbers[machine :: len(runners)] for machine in range(len(runners))]
    busy = [(runner, share) for runner, share in zip(runners, shares, strict=True) if share]
    with ThreadPoolExecutor(len(busy)) as pool:
        return list(pool.map(lambda one: one[0].ask({"do": "work", "job": job, "numbers": one[1]}), busy))


def say(text: str) -> None:
    """Tell where it is, on one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}"[:150], end="", file=sys.stderr, flush=True)
