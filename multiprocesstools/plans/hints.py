"""Hints: what one instance has found out about a directory, so that others need not list it.

    plans/<key>.done/taken-<number>-0-0.<instance>             every item there is done or was tried by somebody
    plans/<key>.done/over-<number>-<failed>-<skipped>.<instance>   and every one is done or set aside

`number` counts the directories of the plan. Guarantee: a hint counts only while the record of its instance stands in
instances/, so that none outlives the run that made it; that an item has been tried is never taken back, and who makes
items claimable again (`withdraw_over`) removes what says that they are over. An instance that says so of a directory in
which something is set aside looks there once more afterwards. A forged hint can keep a directory from being listed.
"""

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from multiprocesstools.claims.disk import ABSENT, Disk
from multiprocesstools.plans.plans import Plans
from multiprocesstools.run.directory import Run

_NUMBERS = r"(?P<folder>[0-9]{1,9})-(?P<failed>[0-9]{1,9})-(?P<skipped>[0-9]{1,9})"
_HINT = re.compile(rf"(?P<kind>taken|over)-{_NUMBERS}\.(?P<who>.+)")
FOLDER = ".done"
FRESH_SECONDS = 20.0
"""For so long a list of the records is good enough, unless a hint has a name that is not in it."""


@dataclass(slots=True)
class Heard:
    """What the hints say that count. `over`: directory -> how many are failed, how many skipped."""

    instances: int = 1
    taken: set[int] = field(default_factory=set)
    over: dict[int, tuple[int, int]] = field(default_factory=dict)


class Hints:
    """The hints of one plan, read and left by one instance."""

    def __init__(self, run: Run, key: str) -> None:
        self._run, self.directory = run, f"{run.plans}/{key}{FOLDER}"
        self._seen: set[str] = set()
        self._look_again = 0.0

    def read(self) -> Heard:
        """OSError: nothing was heard."""
        hints = _hints_in(self._run, self.directory)
        if self._run.clock.elapsed() >= self._look_again or any(hint["who"] not in self._seen for hint in hints):
            self._seen = self._standing(self._run.raw)
        heard = Heard(max(len(self._seen), 1))
        for hint in hints:
            if hint["who"] in self._seen:
                if hint["kind"] == "over":
                    heard.over[int(hint["folder"])] = int(hint["failed"]), int(hint["skipped"])
                else:
                    heard.taken.add(int(hint["folder"]))
        return heard

    def count_instances(self) -> int:
        self._seen = self._standing(self._run.disk)
        return max(len(self._seen), 1)

    def _standing(self, disk: Disk) -> set[str]:
        """The names of the records. While this instance runs, a hint stays true although its instance has left; so they
        need not be listed each time."""
        self._look_again = self._run.clock.elapsed() + FRESH_SECONDS
        return {entry.name for entry in disk.list(self._run.instances) if entry.name[0] != "."}

    def tell_taken(self, folder: int, who: str) -> None:
        self._tell(f"taken-{folder}-0-0.{who}")

    def tell_over(self, folder: int, failed: int, skipped: int, who: str) -> None:
        self._tell(f"over-{folder}-{failed}-{skipped}.{who}")

    def take_back(self, folder: int, who: str) -> None:
        """It is not over, after all."""
        _remove_over(self._run, self.directory, [folder], who)

    def leave(self, own: str) -> None:
        """The hints that have this instance's name become those of one that stays, or go with the last one."""
        try:
            hints = [hint for hint in _hints_in(self._run, self.directory) if hint["who"] == own]
            others = sorted(self._standing(self._run.raw) - {own}) if hints else []
            for hint in hints:
                path = f"{self.directory}/{hint[0]}"
                if others:
                    self._run.raw.rename(path, path.removesuffix(own) + random.choice(others))
                else:
                    self._run.raw.unlink(path)
        except OSError:
            return  # they do not count without the record, and a sweep removes them

    def _tell(self, name: str) -> None:
        path = f"{self.directory}/{name}"
        try:
            self._run.raw.create(path, b"")
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in ABSENT:
                return  # no room: others will list the directory themselves
            self._tell_first(path)

    def _tell_first(self, path: str) -> None:
        try:
            self._run.raw.make_directory(self.directory)
            self._run.raw.create(path, b"")
        except OSError:
            return


@contextmanager
def not_over(run: Run, directory: str) -> Iterator[None]:
    """Nobody goes on believing that a directory is over, in any plan, while something there becomes claimable again.

    Before, so that a crash in between does no harm; and after, because an instance may just have said so.
    """
    _withdraw(run, directory)
    yield
    _withdraw(run, directory)


def _withdraw(run: Run, directory: str) -> None:
    if places := folders_of_hints(run):
        for plan in Plans(run).all():
            place = f"{run.plans}/{plan.key}{FOLDER}"
            if place in places:
                _remove_over(run, place, [plan.place_of(directory, run)])


def folders_of_hints(run: Run) -> list[str]:
    """Where hints of this run lie, of whatever plan."""
    return [f"{run.plans}/{entry.name}" for entry in run.disk.list(run.plans) if entry.name.endswith(FOLDER)]


def forlorn(run: Run, place: str) -> list[str]:
    """The hints whose instance has no record any more. The records are listed after them: they are there before."""
    found = _hints_in(run, place)
    standing = {entry.name for entry in run.disk.list(run.instances)} if found else set()
    return [f"{place}/{hint[0]}" for hint in found if hint["who"] not in standing]


def _remove_over(run: Run, place: str, folders: list[int], who: str = "") -> None:
    for hint in _hints_in(run, place):
        if hint["kind"] == "over" and int(hint["folder"]) in folders and who in ("", hint["who"]):
            run.disk.unlink(f"{place}/{hint[0]}")


def _hints_in(run: Run, place: str) -> list[re.Match[str]]:
    try:
        names = [entry.name for entry in run.raw.list(place)]
    except OSError as error:
        if error.errno in ABSENT or isinstance(error, NotADirectoryError):
            return []
        raise
    return [hint for name in names if (hint := _HINT.fullmatch(name))]
