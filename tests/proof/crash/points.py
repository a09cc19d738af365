"""A process is killed at every filesystem call that it makes, or that call fails, loses its reply, or is interrupted.

After each strike a peer and `cleanup` bring the run to its end, and it is asked: is every item done or set aside for a
true reason, is every final whole and still the file that it was when it appeared, was nothing done again, is nothing
left lying about, does `status` say so? The short form kills at each call after which the directory is another one (for
a process that is killed all others are the same), but does so for only one of several items where the calls are alike,
and takes a sample of the errors.

    python -m tests.proof.crash.points [--short] [--only SCENARIO] [--broken NAME] [--strikes HOW MOMENT CALL]
"""

import argparse
import gc
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.proof.crash.broken import BROKEN
from tests.proof.crash.calls import CHANGING, ERRORS, INTERRUPT, KILL, Diverged, Strike
from tests.proof.crash.judge import BAD, Wrong
from tests.proof.crash.scenarios import SCENARIOS, Scenario
from tests.proof.crash.trial import Break, Trial
from tests.proof.figures import Figures, from_json, to_json

CHECKOUT = Path(__file__).resolve().parents[3]
Only = tuple[str, str, str]
"""How a call is struck, at which moment, and a pattern of what it does."""
MOMENTS = ("before", "after")
_STRIDE = 389
_ITEM = re.compile(r"(?<![a-z])[a-d](?=\.)")
_TRIES = 5
_MEMORY = "/dev/shm"


def run(short: bool) -> list[Figures]:
    return in_another_process(*(["--short"] if short else []))


def in_another_process(*options: str) -> list[Figures]:
    """Only a process without threads can be forked as often as one likes."""
    command = [sys.executable, "-m", "tests.proof.crash.points", *options]
    done = subprocess.run(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=True)
    return [from_json(line) for line in done.stdout.splitlines()]


# -- what is struck


def kills(calls: list[str], short: bool) -> Iterator[Strike]:
    """All crash points; in the short form one of those that leave the same, or another item in the same way, behind."""
    kinds = [_ITEM.sub("ITEM", call) for call in calls]
    for number in range(len(calls)):
        if not short or number == 0 or (_changes(calls[number - 1]) and kinds[number - 1] not in kinds[: number - 1]):
            yield Strike(number, "before", KILL)
        if not short or number == len(calls) - 1:
            yield Strike(number, "after", KILL)


def errors(calls: list[str], short: bool) -> Iterator[Strike]:
    """Each error at each call, before and after it ran; or a sample."""
    hows = (*ERRORS, INTERRUPT)
    all_of_them = [Strike(number, moment, how) for number in range(len(calls)) for moment in MOMENTS for how in hows]
    wanted = [strike for strike in all_of_them if _can_be(strike.how, calls[strike.number])]
    yield from wanted[:: _STRIDE if short else 1]


def matching(calls: list[str], only: Only) -> Iterator[Strike]:
    how, moment, _ = only
    found = [Strike(number, moment, how) for number in range(len(calls))]
    yield from (strike for strike in found if _is(strike, calls, only))


def _changes(call: str) -> bool:
    return call.split(maxsplit=1)[0] in CHANGING


def _can_be(how: str, call: str) -> bool:
    """Only what writes can meet a full disk."""
    return how != "ENOSPC" or _changes(call) or call.split(maxsplit=1)[0] in ("fsync", "close")


def _is(strike: Strike, calls: list[str], known: Only) -> bool:
    how, moment, call = known
    return (strike.how, strike.moment) == (how, moment) and re.search(call, calls[strike.number]) is not None


# -- trying


@dataclass
class Tried:
    """What was tried in one part, and what was wrong."""

    part: str
    scenarios: int = 0
    crash_points: int = 0
    errors_raised: int = 0
    seconds: float = 0.0
    wrong: Counter[str] = field(default_factory=Counter)
    words: dict[str, str] = field(default_factory=dict)

    def note(self, scenario: Scenario, strike: Strike, call: str, wrong: Wrong) -> None:
        self.wrong[wrong.kind] += 1
        where = f"{scenario.name}, {strike.how} {strike.moment} call {strike.number} ({call}): {wrong.what}"
        self.words.setdefault(wrong.kind, where)
        if os.environ.get("CRASH_POINTS_VERBOSE"):
            print(f"{wrong.kind}: {where}", file=sys.stderr, flush=True)

    def figures(self) -> Figures:
        tried = {"crash points": self.crash_points, "errors raised": self.errors_raised, "scenarios": self.scenarios}
        notes = [f"{count} x {kind}; the first: {self.words[kind]}" for kind, count in sorted(self.wrong.items())]
        columns = {kind: self.wrong[kind] for kind in BAD}
        return Figures(self.part, tried, **columns, seconds=round(self.seconds, 1), notes=notes)


def try_scenario(
    scenario: Scenario, tried: Tried, short: bool, breaks: Break = lambda: None, only: Only | None = None
) -> None:
    """Strike at every call of a scenario, or only at those that are named."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=_MEMORY if os.path.isdir(_MEMORY) else None) as base:
        trial = Trial(scenario, Path(base) / "trial", breaks)
        calls = trial.dry_run()
        if (again := trial.dry_run()) != calls:
            raise AssertionError(f"{scenario.name}: two dry runs differ: {set(calls) ^ set(again)}")
        tried.scenarios += 1
        if only is not None:
            for strike in matching(calls, only):
                tried.errors_raised += 1
                _strike(trial, tried, strike, calls, False)
            tried.seconds += time.monotonic() - began
            return
        for strike in kills(calls, short):
            orders = (strike.number % 2 == 1,) if short else (False, True)
            for sweep_first in orders:
                tried.crash_points += 1
                _strike(trial, tried, strike, calls, sweep_first)
        for strike in errors(calls, short):
            tried.errors_raised += 1
            _strike(trial, tried, strike, calls, strike.number % 2 == 1)
    tried.seconds += time.monotonic() - began


def _strike(trial: Trial, tried: Tried, strike: Strike, calls: list[str], sweep_first: bool) -> None:
    for _ in range(_TRIES):
        try:
            wrong = trial.strike(strike, calls, sweep_first=sweep_first)
            break
        except Diverged:  # a slow machine: some listings are made again when they are a moment old
            continue
    else:
        wrong = [Wrong("harness", f"after {_TRIES} tries the call was still another one than in the dry run")]
    for one in wrong:
        tried.note(trial.scenario, strike, calls[strike.number], one)


def try_all(short: bool, only: str, broken: str, strikes: Only | None = None) -> Iterator[Figures]:
    gc.collect()
    gc.freeze()  # what is never collected is never copied in a fork
    breaks = BROKEN[broken] if broken else lambda: None
    for part in dict.fromkeys(scenario.part for scenario in SCENARIOS if only in scenario.name):
        tried = Tried(part)
        for scenario in SCENARIOS:
            if scenario.part == part and only in scenario.name:
                try_scenario(scenario, tried, short, breaks, strikes)
        yield tried.figures()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", default="", metavar="SCENARIO")
    parser.add_argument("--broken", default="", choices=["", *BROKEN])
    parser.add_argument("--strikes", nargs=3, metavar=("HOW", "MOMENT", "CALL"))
    options = parser.parse_args()
    for figures in try_all(options.short, options.only, options.broken, options.strikes and tuple(options.strikes)):
        print(to_json(figures), flush=True)


if __name__ == "__main__":
    main()
