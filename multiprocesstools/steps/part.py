"""The part that one instance takes in a session: what conducts, what writes and what inserts, made to fit each other.

    enter_session --> Part --run--> over
                        \\--SessionReplaced--> enter_session again

Guarantee: who starts just while others begin the next session, or was taken for gone by them, takes part in that one:
nothing is lost by it, because what has finished counts in every session.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from multiprocesstools.crew.crew import Crew
from multiprocesstools.errors import SessionReplaced, UnknownStep
from multiprocesstools.items.item import Item
from multiprocesstools.steps.conductor import Conductor, Wishes
from multiprocesstools.steps.devices import Dealer, Share
from multiprocesstools.steps.inserting import Insertion, Request
from multiprocesstools.steps.ledger import Ledger
from multiprocesstools.steps.overview import Overview
from multiprocesstools.steps.performer import Performer
from multiprocesstools.steps.place import Place
from multiprocesstools.steps.runner import Check, Runner
from multiprocesstools.steps.scribe import Scribe
from multiprocesstools.steps.step import Outcome, Step
from multiprocesstools.steps.trust import Trust

_MOST_SESSIONS = 100


class Part:
    """What this instance does in the session that it has entered. carry_out(part, step, item, share) does the work of a
    step, and gives what its item is to hold."""

    def __init__(
        self, crew: Crew, place: Place, ledger: Ledger, wishes: Wishes, *, trust: Trust,
        carry_out: "Callable[[Part, Step, Item, Share | None], Any]", dealer: Dealer | None,
    ) -> None:  # fmt: skip
        self._crew, self.place, self._ledger, self.trust = crew, place, ledger, trust
        performer = Performer(
            crew, partial(carry_out, self), retry_failures=wishes.retry_failures, stop_after=wishes.stop_after
        )
        self._conductor = Conductor(
            crew, place, ledger, wishes, can_run=trust.can_run, performer=performer, dealer=dealer
        )
        self._scribe = Scribe(crew, self._conductor, trust.knows)
        self._insertion = Insertion(self._conductor, self._scribe)

    def run(self, check: Check | None, *, check_seconds: float, patience_seconds: float) -> None:
        """Until it is over. SessionReplaced; what `Runner.run` raises."""
        Runner(
            self._crew, self._conductor, self._scribe, check, check_seconds=check_seconds,
            patience_seconds=patience_seconds,
        ).run()  # fmt: skip

    def insert(self, request: Request) -> int:
        """The id of the step. UnknownStep; StepTakenOver, SessionReplaced."""
        return self._insertion.insert(request)

    def release(self, step: int) -> None:
        """Let a held step start. UnknownStep."""
        self.update()
        if step not in self._ledger.book.steps:
            raise UnknownStep("release", step, len(self._ledger.book))
        self._scribe.release([step])

    def update(self) -> int:
        """Learn what others have inserted; the number of steps that there are."""
        self._conductor.read()
        return len(self._ledger.book)

    def failed_before(self, step: Step) -> list[int]:
        """What it waits for and has failed, which was tolerated."""
        return self._conductor.failed_before(step)

    def outcome(self, step: int) -> Outcome | None:
        """What has become of a step; None: it has not begun. UnknownStep."""
        if step not in self._ledger.book.steps:
            self.update()
        if step not in self._ledger.book.steps:
            raise UnknownStep("what was asked", step, len(self._ledger.book))
        if (item := self._ledger.book.item(step)) is None:
            return None
        return self.place.finished(item) or self.place.outcome(item, self.place.listing())


def again_if_replaced(take_part: Callable[[bool], Overview]) -> Overview:
    """The report of `take_part(is_first)`, which is called again as often as its session is replaced."""
    for number in range(_MOST_SESSIONS):
        try:
            return take_part(number == 0)
        except SessionReplaced:
            if number == _MOST_SESSIONS - 1:
                raise
    raise AssertionError("the last try returns or raises")
