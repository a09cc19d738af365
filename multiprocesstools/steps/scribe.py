"""Writing to the record while a protocol runs: appending what nobody else was faster with, and releasing held steps.

Guarantee: what is appended was made from all entries before it. A step that another instance has taken over writes
nothing (as far as that can be seen when it begins to).
"""

import time
from collections.abc import Callable

from multiprocesstools.claims.instance import was_taken_over
from multiprocesstools.crew.crew import Crew
from multiprocesstools.errors import StepTakenOver
from multiprocesstools.steps.book import Entry
from multiprocesstools.steps.conductor import Conductor
from multiprocesstools.steps.resume import Knows, release_entry

_LOOK_SECONDS = 0.2


class Scribe:
    """Writes for one conductor, whose script has the functions that it `knows`."""

    def __init__(self, crew: Crew, conductor: Conductor, knows: Knows) -> None:
        self._crew, self._conductor, self._knows = crew, conductor, knows
        self._ledger, self._place = conductor.ledger, conductor.place

    def write(self, make: Callable[[], Entry | None]) -> list[int]:
        """Append what `make` proposes, as often as it takes, because others may be first; the steps that are new or
        have changed. None proposes nothing. SessionReplaced."""
        conductor = self._conductor
        with conductor.changed:
            conductor.check_session()
            while (entry := make()) is not None:
                changed = self._ledger.append(entry)
                if changed is not None:
                    conductor.take_in(changed)
                    conductor.changed.notify_all()
                    return changed
                conductor.read()
            return []

    def release(self, steps: list[int], *, only_if: Callable[[], bool] = lambda: True) -> None:
        """Release held steps; those that are released already stay as they are. `only_if` is asked of all that is
        recorded before."""

        def make() -> Entry | None:
            held = [step for step in steps if self._ledger.book.steps[step].held]
            if not held or not only_if():
                return None
            listing = self._crew.member().instance.listing(self._place.items)
            return release_entry(
                self._ledger.book, held, is_done=listing.is_done, is_whole=self._place.is_whole, knows=self._knows
            )

        self.write(make)
        self._conductor.look_soon()

    def check_not_taken_over(self) -> None:
        """StepTakenOver if the step that inserts is not this instance's any more. Who was only silent for too long
        gives a sign of life first; OSError if it cannot."""
        current, now = self._conductor.performer.current, time.monotonic()
        step, item = current.step, current.item
        assert step is not None and item is not None
        if not item.lost and now - current.looked < _LOOK_SECONDS:
            return
        instance = self._crew.member().instance
        instance.ensure_fresh()
        if item.lost or was_taken_over(instance.look(self._place.slot(item.final.name)), item.attempt):
            raise StepTakenOver(step.title)
        current.looked = now
