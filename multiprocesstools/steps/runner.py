"""The course of a run: threads that work on steps, and one that looks, calls `steps_check`, and knows when it is over.

With one thread everything happens in the thread that runs the protocol, as in a plain loop; with several that thread
watches, and the others work. Guarantee: when it returns by itself, every step has ended, or can never start, or is left
for a person, for another instance, or to a later run, because somebody asked everybody to stop. What is held is
released when insertion has ended, so that none waits for ever.
"""

import threading
import time
from collections.abc import Callable

from multiprocesstools.crew.crew import Crew
from multiprocesstools.display.text import printable
from multiprocesstools.errors import SessionReplaced
from multiprocesstools.steps.conductor import TICK_SECONDS, Conductor
from multiprocesstools.steps.scribe import Scribe

Check = Callable[[], "bool | None"]
_LATECOMERS_SECONDS = 10.0


class Runner:
    """`check` is called every `check_seconds`, until it returns False; with nothing else to do and nothing inserted for
    `patience_seconds`, insertion counts as ended."""

    def __init__(
        self, crew: Crew, conductor: Conductor, scribe: Scribe, check: Check | None, *, check_seconds: float,
        patience_seconds: float,
    ) -> None:  # fmt: skip
        self._crew, self._conductor, self._scribe, self._check = crew, conductor, scribe, check
        self._check_seconds, self._patience_seconds = check_seconds, patience_seconds
        self._said: bool | None = None if check else False
        self._found_nothing = False
        self._next_check, self._quiet_since = 0.0, time.monotonic()
        self._over = False
        self._alone_since: float | None = None
        self._ended_before, self._has_told = 0, False

    def run(self) -> None:
        """Until it is over. What a check, the record or a signal raises; steps that raise have failed."""
        crew, conductor = self._crew, self._conductor
        crew.guard.enter()
        threads: list[threading.Thread] = []
        try:
            conductor.look()
            if conductor.wishes.threads > 1:
                threads = [self._start(number) for number in range(conductor.wishes.threads)]
            while not self._is_over():
                self._turn(alone=not threads)
            self._over = True
            self._join(threads)
        except SessionReplaced:
            self._over = True
            self._join(threads)
            raise
        finally:
            self._over = True
            with conductor.changed:
                conductor.changed.notify_all()
            crew.latest_member.journal.flush()
            crew.guard.leave()
        if conductor.error is not None:
            raise conductor.error

    # -- the thread that watches

    def _turn(self, *, alone: bool) -> None:
        conductor = self._conductor
        self._crew.wait_out_pause()
        self._check_if_due()
        if alone and conductor.work_once():
            conductor.look_if_due(idle=False)
            return
        with conductor.changed:
            idle = not conductor.has_work()
            if not idle:
                conductor.look_if_due(idle=False)
                conductor.changed.wait(TICK_SECONDS)
                return
        conductor.look_if_due(idle=True)
        self._release_if_due()
        with conductor.changed:
            if not conductor.has_work() and not self._is_over():
                conductor.changed.wait(TICK_SECONDS)

    def _check_if_due(self) -> None:
        if self._check is None or self._said is False or time.monotonic() < self._next_check:
            return
        if self._conductor.is_stopped or self._conductor.ledger.book.closed:
            return
        before, was_over = len(self._conductor.ledger.book), self._conductor.frontier.is_over
        self._said = self._check()
        self._found_nothing = self._said is None and was_over and len(self._conductor.ledger.book) == before
        if len(self._conductor.ledger.book) != before or self._conductor.frontier.in_work:
            self._quiet_since = time.monotonic()
        if self._said is False:
            self._scribe.write(lambda: None if self._conductor.ledger.book.closed else {"kind": "closed"})
        self._next_check = time.monotonic() + self._check_seconds

    @property
    def _insertion_ended(self) -> bool:
        """Will no check insert anything any more?"""
        if self._check is None or self._said is False or self._conductor.ledger.book.closed:
            return True
        return time.monotonic() - self._quiet_since > self._patience_seconds

    def _release_if_due(self) -> None:
        """When nothing can be inserted any more, what is held is released."""
        conductor = self._conductor
        with conductor.changed:
            held = [step.id for step in conductor.ledger.book.held()]
            if held and self._insertion_ended and not conductor.is_stopped:
                self._scribe.release(held, only_if=lambda: not conductor.frontier.can_still_act())

    def _is_over(self) -> bool:
        conductor = self._conductor
        with conductor.changed:
            if conductor.is_stopped:
                return True
            if conductor.frontier.is_over:
                return (self._insertion_ended or self._found_nothing) and self._is_still(
                    lambda: conductor.frontier.is_over
                )
            if conductor.frontier.in_work:
                self._alone_since = None
                return False
            if conductor.stopping:
                return True
            is_left_over = conductor.is_left_over() and self._insertion_ended and not self._others_may_come()
            return is_left_over and self._is_still(conductor.is_left_over)

    def _is_still(self, question: Callable[[], bool]) -> bool:
        """Is it so after a last look? Who has ended a step first recorded what that step had inserted; and what had
        failed may have been marked to be tried again."""
        self._conductor.look()
        return question()

    def _others_may_come(self) -> bool:
        """Is something ready that only other instances can do, and may one be there, or just be starting? One that is
        there takes it within a moment, so nobody waits longer than that since something was in work, or ended."""
        if not (left := self._conductor.for_others()):
            self._alone_since = None
            return False
        now, ended = time.monotonic(), self._conductor.frontier.ended
        if self._alone_since is None or ended != self._ended_before:
            self._alone_since, self._ended_before = now, ended
        if not self._has_told:
            self._has_told = True
            self._crew.say(
                f"{printable(left[0].title)} needs a function or a GPU that this instance does not have; waiting "
                f"{_LATECOMERS_SECONDS:g} s for one that has it and may just be starting"
            )
        return now < self._alone_since + _LATECOMERS_SECONDS

    # -- the threads that work

    def _start(self, number: int) -> threading.Thread:
        thread = threading.Thread(target=self._work, args=(number,), name=f"steps-{number + 1}", daemon=True)
        thread.start()
        return thread

    def _work(self, number: int) -> None:
        conductor = self._conductor
        try:
            while not self._over and not conductor.is_stopped:
                if not conductor.work_once(number):
                    conductor.wait_for_work()
        except BaseException as error:
            with conductor.changed:
                conductor.error = conductor.error or error
                conductor.changed.notify_all()

    def _join(self, threads: list[threading.Thread]) -> None:
        """What is in work is finished, also when the run was asked to stop; a signal does not wait for it."""
        with self._conductor.changed:
            self._conductor.changed.notify_all()
        for thread in threads:
            while thread.is_alive() and self._crew.guard.signalled is None:
                thread.join(TICK_SECONDS)
