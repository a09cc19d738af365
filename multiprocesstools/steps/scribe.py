"""Writing to the record while a protocol runs: appending what nobody else was faster with, and releasing held steps.

Guarantee: what is appended was made from all entries before it. A step that another instance has taken over writes
nothing (as far as that can be seen when it begins to).
"""

import time
from collections.abc import Callable

from multiprocesstools.claims.instance import was_taken_over
from multiprocesstools.crew.crew import Crew
from multiprocesstools.errors import StepTakenOver
from multiprocesstools.steps.book import Entry, release_entry
from multiprocesstools.steps.conductor import Conductor
from multiprocesstools.steps.step import ENDED

_LOOK_SECONDS = 0.2


class Scribe:
    """Writes for one conductor."""

    def __init__(self, crew: Crew, conductor: Conductor) -> None:
        self._crew, self._conductor = crew, conductor
        self._ledger, self._place = conductor.ledger, conductor.place

    def write(self, make: Callable[[], Entry | None]) -> list[int]:
        """Append what `make` proposes, as often as it takes, because others may be first; the steps that are new or
        have changed. None proposes nothing."""
        with self._conductor.changed:
            while True:
                self._conductor.take_in(self._ledger.catch_up())
                self._conductor.check_session()
                entry = make()
                if entry is None:
                    return []
                before = len(self._ledger.book)
                if self._ledger.append(entry):
                    changed = list(range(before + 1, len(self._ledger.book) + 1))
                    changed += [int(step) for step in entry["steps"]] if entry["kind"] == "release" else []
                    self._conductor.take_in(changed + self._unnamed())
                    self._conductor.changed.notify_all()
                    return changed

    def _unnamed(self) -> list[int]:
        """Steps that may have got their key by now."""
        return [
            s
            for s, status in self._conductor.frontier.status.items()
            if status not in ENDED and not self._conductor.is_open(s)
        ]

    def release(self, steps: list[int]) -> None:
        """Release held steps; those that are released already stay as they are."""

        def make() -> Entry | None:
            held = [step for step in steps if self._ledger.book.steps[step].held]
            listing = self._crew.member().instance.listing(self._place.items)
            return release_entry(
                self._ledger.book, held, is_done=listing.is_done, is_whole=self._place.is_whole
            ) if held else None  # fmt: skip

        self.write(make)
        self._conductor.look_soon()

    def check_not_taken_over(self) -> None:
        """StepTakenOver if the step that inserts is not this instance's any more."""
        current, now = self._conductor.current, time.monotonic()
        step, item = current.step, current.item
        assert step is not None and item is not None
        if not item.lost and now - current.looked < _LOOK_SECONDS:
            return
        slot = self._place.slot(item.final.name)
        files = self._crew.member().instance.look(slot)
        if item.lost or was_taken_over(files, item.attempt):
            raise StepTakenOver(step.title)
        current.looked = now
