"""What an instance knows of the steps that others have in work: who has them, and whether they live.

Guarantee: a claim is read once a beat; in between only the processes of this machine are asked, without the disk.
"""

import os
import time
from dataclasses import dataclass

from multiprocesstools.claims import identity
from multiprocesstools.claims.claim import Refusal
from multiprocesstools.claims.record import Record
from multiprocesstools.claims.slots import Files, Slot
from multiprocesstools.claims.survey import Finding
from multiprocesstools.crew.crew import Crew
from multiprocesstools.steps.place import Place


@dataclass(slots=True)
class _Seen:
    """Who has a step in work, and when that was judged."""

    owner: Record | None
    judged: float


class Outlook:
    """What was seen of each step, by its id."""

    def __init__(self, crew: Crew, place: Place) -> None:
        self._crew, self._place = crew, place
        self._seen: dict[int, _Seen] = {}
        self._findings: dict[int, tuple[object, Finding]] = {}
        self._stamp: object = None

    def note_refusal(self, step: int, refusal: Refusal) -> None:
        """Somebody else has it."""
        verdict = refusal.verdict
        judged = time.monotonic() if verdict else float("-inf")
        self._seen[step] = _Seen(verdict.owner if verdict else None, judged)

    def forget(self, step: int) -> None:
        """It has ended."""
        self._seen.pop(step, None)
        self._findings.pop(step, None)

    def find(self, step: int, slot: Slot, files: Files) -> Finding:
        """Failed is said when two listings in a row say so; ended-files are read again only when names have changed."""
        names = (files.highest, files.last_retry, frozenset(files.ended))
        known = self._findings.get(step)
        if known is None or known[0] != names:
            known = names, self._crew.assess(slot)
            self._findings[step] = known
        return known[1]

    def is_worth_judging(self, step: int) -> bool:
        """A claim is read once a beat; in between only the processes of this machine are asked, without the disk."""
        seen = self._seen.get(step)
        if seen is None or time.monotonic() - seen.judged >= self._crew.rules.beat_seconds * 0.9:
            return True
        return seen.owner is not None and identity.is_gone(seen.owner.identity)

    def somebody_died(self) -> bool:
        owners = {seen.owner.id: seen.owner for seen in self._seen.values() if seen.owner is not None}
        return any(identity.is_gone(owner.identity) for owner in owners.values())

    def has_changed(self) -> bool:
        """Has a process of this machine changed a directory? Seen in what the system knows of it anyway."""
        stamp = tuple(map(_stamp, (self._place.items, self._place.record)))
        changed = stamp != self._stamp
        # a second change within one tick of the filesystem's clock leaves the same stamp: after a change, look twice
        self._stamp = None if changed and self._stamp is not None else stamp
        return changed


def _stamp(directory: str) -> tuple[int, int]:
    try:
        found = os.stat(directory)
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_ctime_ns
