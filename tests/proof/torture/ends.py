"""The judge of how every item ended, read from the names beside the finals, without the package."""

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.proof.torture.story import Temper, shelves, temper
from tests.proof.torture.witnesses import Execution

MAX_ATTEMPTS = 3

_REAPED_WITHIN_SECONDS = 2.0
_SETTLED_BY = {
    Temper.SKIPPED: "skipped", Temper.RAISES_ALWAYS: "failed", Temper.KILLS: "failed", Temper.FATAL: "failed",
}  # fmt: skip
_BESIDE = re.compile(r"\.(?P<name>.+)\.(?P<kind>claim|ended|retry)-(?P<number>\d+)")


@dataclass
class Beside:
    """What lies beside one final. `ended_at`: when the ends were written, by CLOCK_MONOTONIC."""

    done: bool = False
    claims: set[int] = field(default_factory=set)
    ended: dict[int, str] = field(default_factory=dict)
    ended_at: dict[int, float] = field(default_factory=dict)
    retries: set[int] = field(default_factory=set)

    @property
    def counted(self) -> list[str]:
        """How the attempts after the last retry ended."""
        return [how for number, how in sorted(self.ended.items()) if number > max(self.retries, default=0)]

    @property
    def state(self) -> str:
        tries = Counter(self.counted)
        if self.done:
            return "done"
        if self.claims > set(self.ended):
            return "open"
        if tries["fatal"] or tries["failed"] + tries["died"] >= MAX_ATTEMPTS:
            return "failed"
        return "skipped" if self.counted[-1:] == ["skipped"] else "open"


def wanted(item: str) -> str:
    """How an item must end, by its temper."""
    return _SETTLED_BY.get(temper(int(Path(item).stem)), "done")


def read_run(run: Path, items: int) -> tuple[dict[str, Beside], list[str]]:
    """Every item with what lies beside it, and the hidden names that belong to no unfinished item."""
    found = {shelf.finals(value)[-1]: Beside() for shelf in shelves(items) for value in shelf.values}
    for item, beside in found.items():
        beside.done = os.path.lexists(run / item)
    litter = []
    for folder in [folder for shelf in shelves(items) for folder in shelf.folders]:
        for name in os.listdir(run / folder):
            if name.startswith(".") and not _sort_hidden(run, folder, name, found):
                litter.append(f"{folder}/{name}")
    return found, litter


def _sort_hidden(run: Path, folder: str, name: str, found: dict[str, Beside]) -> bool:
    """Whether the name belongs to an item that is not done."""
    own = _BESIDE.fullmatch(name)
    beside = found.get(f"{folder}/{own['name']}") if own else None
    if own is None or beside is None or beside.done:
        return False
    number = int(own["number"])
    if own["kind"] == "ended":
        end = json.loads((run / folder / name).read_bytes())
        beside.ended[number], beside.ended_at[number] = end["outcome"], end["ended"] - time.time() + time.monotonic()
    else:
        (beside.claims if own["kind"] == "claim" else beside.retries).add(number)
    return True


Silent = Callable[[Execution, float], bool]
"""Was the owner of an execution silent for as long as patience before this moment?"""


def untrue(item: str, beside: Beside, known: dict[tuple[str, int], Execution], is_silent: Silent) -> list[str]:
    """What is wrong in the account of an item that was set aside: the number of tries, or an end that never was."""
    wrong = []
    tries = [how for how in beside.counted if how in ("failed", "died")]
    if beside.claims != set(beside.ended) or beside.claims != set(range(1, len(beside.claims) + 1)):
        wrong.append(f"{item}: claims {sorted(beside.claims)}, but ends {sorted(beside.ended)}")
    if beside.state == "failed" and len(tries) != MAX_ATTEMPTS and "fatal" not in beside.counted:
        wrong.append(f"{item}: set aside after {beside.counted}")
    for number, how in beside.ended.items():
        execution = known.get((item, number))
        if execution is None and how not in ("died", "dropped"):
            wrong.append(f"{item}: attempt {number} {how}, but it never began")
        elif execution is not None and not _is_true(how, beside.ended_at[number], execution, is_silent):
            wrong.append(f"{item}: attempt {number} {how}, but {execution}")
    return wrong


def _is_true(how: str, at: float, execution: Execution, is_silent: Silent) -> bool:
    over = execution.process_over <= at + _REAPED_WITHIN_SECONDS
    if how == "died":
        return over or execution.how == "kills itself" or is_silent(execution, at)
    if how == "dropped":
        return over or execution.how == "dropped"
    return execution.how == {"failed": "raised"}.get(how, how) or (how == "failed" and execution.fate == "failed")
