"""Real processes under torture: killed, stopped past patience, told to end, without room on the disk; and the judge.

    python -m tests.proof.torture.rounds [--short] [--rounds N] [--items N] [--seed N]

Sixteen processes run one script (`worker`) on one run directory, while a tormentor does at random what a
cluster does to processes, and runs `mpt cleanup`, `mpt status` and `mpt retry` beside them. Then everything is left in
peace: the processes must end by themselves, and every item must be done, or be set aside as its temper demands.

Two kinds of rounds. *False suspicions*: patience is short, and processes are stopped for longer than it, so that they
come back as zombies. Only that finals are whole, are never replaced, and that nothing is lost is promised then; items
that were done twice because of a suspicion are counted. *Accurate detection*: patience is longer than every pause, and
no item may ever have two owners at once.

Two witnesses of every kind. Two owners: the audits of the processes (every start of an attempt is compared with the end
of the one before), and a lock per item that the kernel holds for the living. Finals: an observer that inotify(7) tells
of every change, and the inodes and seals that the writers wrote into their audits and outputs. A suspicion counts as
one only if the observer saw the beat of that process stand still for as long as patience.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.proof.figures import Figures, to_json
from tests.proof.torture.calls import Calls
from tests.proof.torture.disk import SmallDisk, small_disk
from tests.proof.torture.ends import Beside, read_run, untrue, wanted
from tests.proof.torture.gang import Gang
from tests.proof.torture.judge import Doubles, Pair, judge_finals
from tests.proof.torture.setting import COMMAND_SECONDS, Setting, accurate, environment, suspicious
from tests.proof.torture.story import NO_ROOM, Orders, shelves
from tests.proof.torture.torment import Torment
from tests.proof.torture.witnesses import Beats, Execution, Sightings, executions, sightings

WAITS_FOR_FORCE = 3
"""The exit code of `mpt cleanup` when something is left whose owner is not known."""

_MOST_PASSES = 8
_FINISHERS = 4


@dataclass
class Outcome:
    """What one round has shown. `complaints`: everything that is wrong and has no column of its own."""

    tried: Counter[str] = field(default_factory=Counter)
    lost: set[str] = field(default_factory=set)
    by_audit: set[Pair] = field(default_factory=set)
    by_lock: set[Pair] = field(default_factory=set)
    partial: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Round:
    """One run directory from its first process to the judge."""

    def __init__(self, setting: Setting, seed: int, disk: SmallDisk, local: Path) -> None:
        self._setting, self._seed, self._disk, self._run, self._local = setting, seed, disk, disk.path, local
        orders = Orders(setting.items, setting.beat_seconds, setting.patience_seconds, setting.dawdle_seconds, seed)
        self._orders = json.dumps(asdict(orders))
        self._gang = Gang(self._run, local, setting, self._orders)
        self._calls = Calls(self._run, local, setting)
        self._set_aside: list[tuple[str, Beside]] = []
        self._nameless = 0
        self._outcome = Outcome()

    def play(self) -> Outcome:
        began = time.monotonic()
        for folder in [folder for shelf in shelves(self._setting.items) for folder in shelf.folders]:
            (self._run / folder).mkdir(parents=True, exist_ok=True)
        for name in ("audit", "stderr", "occupied", "seen", "calls"):
            (self._local / name).mkdir()
        try:
            with self._observer():
                self._torture()
                self._let_them_finish()
                self._clean_up()
            self._judge()
        finally:
            self._gang.close()
            self._calls.close()
        self._outcome.seconds = time.monotonic() - began
        return self._outcome

    @contextmanager
    def _observer(self) -> Iterator[None]:
        command = [
            sys.executable, "-m", "tests.proof.torture.observer", str(self._run), str(self._local), self._orders,
        ]  # fmt: skip
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(self._setting)
        ) as observer:
            assert observer.stdout is not None and observer.stdin is not None
            assert observer.stdout.readline() == b"ready\n", "the observer did not start"
            try:
                yield
            finally:
                observer.stdin.close()
        assert observer.returncode == 0, "the observer ended badly"

    def _torture(self) -> None:
        for _ in range(self._setting.processes):
            self._gang.start()
        self._wait_for_the_first_plan()
        Torment(self._setting, self._seed, self._gang, self._calls, self._disk).go_on()
        self._gang.finish(self._setting.processes)
        self._calls.settle()

    def _wait_for_the_first_plan(self) -> None:
        """There must be a run before commands can be called on it, and work before it can be disturbed."""
        end, plans = time.monotonic() + COMMAND_SECONDS, self._run / ".multiprocesstools" / "plans"
        while not (plans.is_dir() and any(path.suffix == ".json" for path in plans.iterdir())):
            assert time.monotonic() < end, f"no process has begun within {COMMAND_SECONDS:g} s"
            time.sleep(0.02)

    def _let_them_finish(self) -> None:
        """Fresh processes find what is left; what was set aside by torment alone is tried again."""
        for _ in range(_MOST_PASSES):
            for _ in range(_FINISHERS):
                self._gang.start()
            self._gang.finish(_FINISHERS)
            state, _ = read_run(self._run, self._setting.items)
            wrongly = [item for item, beside in state.items() if beside.state not in (wanted(item), "open")]
            if not wrongly:
                return
            self._set_aside += [(item, state[item]) for item in wrongly]
            self._calls.to_end("retry", *wrongly)

    def _clean_up(self) -> None:
        """Nothing may be left beside finished items, nor of processes, except where one was killed while it joined: who
        made an empty file cannot be known, so it waits for --force."""
        code = self._calls.to_end("cleanup")
        records = self._run / ".multiprocesstools" / "instances"
        nameless = [
            name for name in os.listdir(records) if name.startswith(".mpt-") and not (records / name).stat().st_size
        ]
        if code == WAITS_FOR_FORCE and nameless == os.listdir(records):
            self._nameless = len(nameless)
            code = self._calls.to_end("cleanup", "--force")
        if code:
            self._outcome.complaints.append(f"the last cleanup ended with {code}: {self._calls.output}")
        state, litter = read_run(self._run, self._setting.items)
        litter += [f"instances/{name}" for name in os.listdir(records)]
        self._outcome.complaints += [f"{name} is left after the cleanup" for name in litter]
        self._compare_with_status(Counter(beside.state for beside in state.values()))

    def _compare_with_status(self, counts: Counter[str]) -> None:
        self._calls.to_end("status", "--json")
        said = json.loads(self._calls.output)
        for name in ("done", "failed", "skipped"):
            if said[name] != counts[name]:
                self._outcome.complaints.append(f"mpt status says {said[name]} {name}, but it is {counts[name]}")

    # -- the judge

    def _judge(self) -> None:
        over = {process.who: process.over for process in self._gang.all}
        found, numbers = executions(self._local / "audit", over)
        seen = sightings(self._local / "watched", self._setting.patience_seconds)
        double = Doubles(found, numbers, seen)
        finals = judge_finals(self._run, self._setting.items, found, seen)
        out = self._outcome
        out.by_audit, out.by_lock = double.by_audit, double.by_lock
        out.partial, out.replaced = finals.partial, finals.replaced
        out.complaints += finals.complaints + self._gang.complaints + self._calls.complaints
        self._judge_items(found, numbers, seen.beats)
        self._judge_processes(numbers)
        self._count(found, double, seen)

    def _judge_items(self, found: list[Execution], numbers: dict[int, int], beats: Beats) -> None:
        def is_silent(execution: Execution, at: float) -> bool:
            return beats.stood_still(numbers.get(execution.who), execution.asked, min(at, execution.settled))

        state, _ = read_run(self._run, self._setting.items)
        known = {(execution.item, execution.attempt): execution for execution in found}
        self._outcome.lost = {item for item, beside in state.items() if beside.state != wanted(item)}
        for item, beside in [*self._set_aside, *state.items()]:
            if beside.state in ("failed", "skipped"):
                self._outcome.complaints += untrue(item, beside, known, is_silent)

    def _judge_processes(self, numbers: dict[int, int]) -> None:
        unborn = sum(bool(process.done_to) and process.who not in numbers for process in self._gang.all)
        if self._nameless > unborn + self._calls.counts["mpt cleanup killed"]:
            self._outcome.complaints.append(
                f"{self._nameless} empty records, but {unborn} were killed while they joined"
            )
        for process in self._gang.all:
            errors = self._gang.errors(process)
            fine = {0, NO_ROOM, -signal.SIGKILL} | ({-signal.SIGTERM} if process.done_to else set())
            if process.code not in fine or "Traceback" in errors:
                self._outcome.complaints.append(f"process {process.who} ended with {process.code}:\n{errors[-3000:]}")

    def _count(self, found: list[Execution], double: Doubles, seen: Sightings) -> None:
        gang, out = self._gang, self._outcome
        out.tried["rounds"], out.tried["items"] = 1, self._setting.items
        out.tried["processes"] = len(gang.all)
        out.tried["executions"] = len(found)
        out.tried.update(gang.counts)
        out.tried["items that killed their process"] = sum(e.how == "kills itself" for e in found)
        out.tried["processes killed before their record was written"] = self._nameless
        out.tried["processes ended by a full disk"] = sum(process.code == NO_ROOM for process in gang.all)
        out.tried["seconds of a full disk"] = round(self._disk.full_seconds)
        out.tried.update(self._calls.counts)
        out.tried["takeovers after false suspicion"] = len(double.suspected)
        out.tried["zombies that came too late to publish"] = sum(e.fate == "lost" for e in found)
        out.tried["items set aside by torment alone, and tried again"] = len(self._set_aside)
        if seen.overflows:
            out.notes.append(f"inotify dropped events {seen.overflows} times")
        if not self._disk.can_be_filled:
            out.notes.append("the disk was never full: that needs root and a filesystem of its own")


def play(setting: Setting, seed: int, kind: str = "tmpfs") -> Outcome:
    """One round in a scratch directory of its own."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mpt-torture-")))
        local = scratch / "local"
        local.mkdir()
        disk = stack.enter_context(small_disk(scratch / "run", scratch / "image", kind))
        return Round(setting, seed, disk, local).play()


# -- the table


def figures(name: str, outcomes: list[Outcome]) -> Figures:
    """The rounds of one kind as one line."""
    tried: Counter[str] = Counter()
    for outcome in outcomes:
        tried.update(outcome.tried)
    wrong = [f"{what}" for outcome in outcomes for what in outcome.complaints]
    notes = sorted({note for outcome in outcomes for note in outcome.notes}) + wrong
    for column in ("lost", "by_audit", "by_lock", "partial", "replaced"):
        notes += [f"{column}: {sorted(getattr(outcome, column))}" for outcome in outcomes if getattr(outcome, column)]
    return Figures(
        f"torture, {name}", dict(tried), lost=sum(len(outcome.lost) for outcome in outcomes),
        twice=sum(len(outcome.by_audit | outcome.by_lock) for outcome in outcomes),
        partial=sum(len(outcome.partial) for outcome in outcomes),
        replaced=sum(len(outcome.replaced) for outcome in outcomes),
        seconds=round(sum(outcome.seconds for outcome in outcomes), 1), notes=notes,
    )  # fmt: skip


def rows(settings: list[Setting], rounds: int, seed: int) -> list[Figures]:
    """Play the rounds of each kind. AssertionError when something is wrong that has no column."""
    found = []
    for setting in settings:
        outcomes = []
        for number in range(rounds):
            outcomes.append(play(setting, seed + number, ("tmpfs", "ext4")[number % 2]))
            sys.stderr.write(f"{to_json(figures(setting.name, outcomes[-1:]))}\n")
        found.append(figures(setting.name, outcomes))
        complaints = [complaint for outcome in outcomes for complaint in outcome.complaints]
        assert not complaints, "\n".join(complaints)
    return found


SHORT_ITEMS, LONG_ITEMS = 150, 2000
LONG_ROUNDS = 10


def run(short: bool) -> list[Figures]:
    """One small round of each kind for the tests, or ten large ones."""
    items, rounds = (SHORT_ITEMS, 1) if short else (LONG_ITEMS, LONG_ROUNDS)
    return rows([suspicious(items), accurate(items)], rounds, seed=1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Real processes under torture.")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--rounds", type=int, help="of each kind")
    parser.add_argument("--items", type=int, help="in each round")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each one has another")
    options = parser.parse_args()
    items = options.items or (SHORT_ITEMS if options.short else LONG_ITEMS)
    rounds = options.rounds or (1 if options.short else LONG_ROUNDS)
    for row in rows([suspicious(items), accurate(items)], rounds, options.seed):
        print(to_json(row), flush=True)


if __name__ == "__main__":
    main()
