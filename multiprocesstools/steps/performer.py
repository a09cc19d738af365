"""Carrying out steps here: claim the item of one, do its work, and say how that ended.

Guarantee: what a step raises ends the step and not the run, with two exceptions: `stop_after` failures in a row without
a success, most likely the script's and not the steps', are raised as TooManyFailures; and what a step is told because
it is not this instance's any more gives it back.
"""

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from multiprocesstools.claims.claim import Refusal
from multiprocesstools.claims.hands import How
from multiprocesstools.claims.slots import Files, Slot
from multiprocesstools.crew.crew import Crew
from multiprocesstools.errors import HelperClosed, SessionReplaced, StepTakenOver
from multiprocesstools.items.fate import Fate, Streak
from multiprocesstools.items.item import Item
from multiprocesstools.items.terms import Terms
from multiprocesstools.steps.devices import Share
from multiprocesstools.steps.step import Step

_NOT_OURS = (StepTakenOver, SessionReplaced, HelperClosed)

CarryOut = Callable[[Step, Item, Share | None], Any]
"""Does the work of a step: carry_out(step, item, share)."""


class Current(threading.local):
    """The step that the calling thread is carrying out."""

    def __init__(self) -> None:  # called in each thread that asks
        self.step: Step | None = None
        self.item: Item | None = None
        self.inserted: Counter[object] = Counter()
        self.looked = float("-inf")


class Performer:
    """Carries out steps by `carry_out`. `retry_failures`: a step that raised is tried again, as items are."""

    def __init__(
        self, crew: Crew, carry_out: CarryOut, *, retry_failures: bool = False, stop_after: int | None = None
    ) -> None:
        self._crew, self._carry_out = crew, carry_out
        self._terms = Terms(crew, results=True, fatal=not retry_failures, settled=self._note)
        self._streak, self._successes, self._tried = Streak(stop_after), 0, set[int]()
        self.current = Current()

    def perform(self, step: Step, slot: Slot, files: Files | None, share: Share | None) -> Fate | Refusal | None:
        """How it ended; a refusal: somebody else has it."""
        with self._crew.guard.critical:
            taken = self._crew.take(slot, files, look=files is not None, how=How.DRAFT)
            if isinstance(taken, Refusal):
                return taken
            item = Item(self._terms, taken, step)
        current = self.current
        current.step, current.item, current.inserted, current.looked = step, item, Counter(), float("-inf")
        try:
            with item:
                self._do(step, item, share)
        finally:
            current.step = current.item = None
            item.give_back()
        return item.fate

    def _do(self, step: Step, item: Item, share: Share | None) -> None:
        try:
            item.result = self._carry_out(step, item, share)
        except _NOT_OURS:
            item.drop()

    def count(self, step: Step, fate: Fate | Refusal | None) -> None:
        """TooManyFailures. A failure that is tolerated says nothing, nor does a repeated one after a success."""
        if not isinstance(fate, Fate) or (fate is Fate.FAILED and step.tolerate_failure):
            return
        self._successes += fate is Fate.DONE
        is_first = step.id not in self._tried
        self._tried.add(step.id)
        last = self._crew.failures[-1] if self._crew.failures else None
        self._streak.note(fate, last, counts=is_first or not self._successes)

    def _note(self, item: Item, fate: Fate, error: BaseException | None) -> None:
        if error is not None:
            self._streak.last_error = error
