"""Running the steps of a session, here, together with all other instances that do.

A thread takes a ready step, claims its item, carries it out, and settles it; then what waited for it is ready here at
once. What others have done is learnt by listing: on the same machine within a tenth of a second, because a change of
the directory is seen there without asking the server; from other machines at growing intervals, at most a second.

    ready --claim--> in work here --> finished | failed
                --refused--> in work elsewhere --> (its owner is gone or silent) ready again

Guarantee: a step is begun only when all that it waits for has ended well, and is published once. Condition: those of
the claims (`claims`) and of the record (`ledger`).
"""

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from multiprocesstools.claims.again import try_again
from multiprocesstools.claims.claim import Refusal
from multiprocesstools.claims.slots import Files, Listing, Slot
from multiprocesstools.claims.survey import State
from multiprocesstools.crew.crew import Crew
from multiprocesstools.errors import SessionReplaced
from multiprocesstools.items.fate import Fate
from multiprocesstools.steps.devices import Dealer, Share
from multiprocesstools.steps.frontier import Frontier
from multiprocesstools.steps.ledger import Ledger
from multiprocesstools.steps.outlook import Outlook
from multiprocesstools.steps.performer import Performer
from multiprocesstools.steps.place import Place
from multiprocesstools.steps.step import ENDED, Status, Step

TICK_SECONDS = 0.05
_FIRST_LOOK_SECONDS, _LONGEST_LOOK_SECONDS, _BUSY_LOOK_SECONDS = 0.2, 1.0, 2.0
_MOST_SKIPPED = 64


@dataclass(frozen=True, slots=True)
class Wishes:
    """How steps are run here. `retry_failures`: a step that raised is tried again, up to max_attempts times;
    `stop_after`: so many failures in a row without a success end the run."""

    threads: int = 1
    stop_on_failure: bool = False
    interactive: bool = False
    retry_failures: bool = False
    stop_after: int | None = None


class Conductor:
    """`performer` carries the steps out; `can_run` says whether this instance has the function of one."""

    def __init__(
        self, crew: Crew, place: Place, ledger: Ledger, wishes: Wishes, *, can_run: Callable[[Step], bool],
        performer: Performer, dealer: Dealer | None = None,
    ) -> None:  # fmt: skip
        self._crew, self.place, self.ledger, self.wishes = crew, place, ledger, wishes
        self._can_run, self.performer, self._dealer = can_run, performer, dealer
        self.frontier = Frontier()
        self.changed = threading.Condition(threading.RLock())
        self.error: BaseException | None = None
        self.stopping = False
        self._session = ledger.book.start.number
        self._open: dict[int, str] = {}
        self._tried: dict[int, Files] = {}
        self._outlook = Outlook(crew, place)
        self._here: set[int] = set()
        self._collisions = 0
        self._next_look, self._pause = 0.0, _FIRST_LOOK_SECONDS
        self.take_in(list(ledger.book.steps))

    # -- one step

    def work_once(self, thread: int = 0) -> bool:
        """Take one ready step and carry it out. False: there is none."""
        with self.changed:
            chosen = self._choose(thread)
            if chosen is None:
                return False
            step, share = chosen
            self.frontier.note(step.id, Status.RUNNING)
            self._here.add(step.id)
            files = self._tried.pop(step.id, None)
            slot = self.place.slot(self._open[step.id])
        fate: Fate | Refusal | None = None
        try:
            fate = self.performer.perform(step, slot, files, share)
        finally:
            if share is not None:
                share.give_back()
            with self.changed:
                self._here.discard(step.id)
                self._conclude(step, fate)
                self.changed.notify_all()
                self.performer.count(step, fate)
        return True

    def _choose(self, thread: int) -> tuple[Step, Share | None] | None:
        """A ready step, not always the first one where others are at work on the same list."""
        ready = self.frontier.ready
        if self.stopping or self.is_stopped or self._crew.paused or not ready:
            return None
        skip = random.randrange(min(len(ready), _MOST_SKIPPED)) if self._collisions else 0
        for start, end in ((skip, None), (0, skip)):
            for number in islice(ready, start, end):
                step = self.frontier.steps[number]
                if not self._is_for_me(step):
                    continue
                share = self._dealer.deal(thread) if step.needs_gpu and self._dealer else None
                if share is not None or not step.needs_gpu:
                    return step, share
        return None

    def _conclude(self, step: Step, fate: Fate | Refusal | None) -> None:
        if isinstance(fate, Refusal):
            self._note_refusal(step, fate)
            return
        self._collisions = 0
        if fate in (Fate.DONE, Fate.LOST):
            self._settle(step.id, Status.FINISHED)
        elif fate is Fate.FAILED and self._is_for_good(step.id):
            self._settle(step.id, Status.FAILED)
        elif fate is not None:  # given back, or to be tried again: the next look says by whom
            self.frontier.note(step.id, Status.RUNNING)
            self.look_soon()

    def _note_refusal(self, step: Step, refusal: Refusal) -> None:
        if refusal.state is State.DONE:
            self._settle(step.id, Status.FINISHED)
            return
        if refusal.state is State.FAILED:
            self.look_soon()
        self._outlook.note_refusal(step.id, refusal)
        self._collisions += 1

    def _is_for_good(self, step: int) -> bool:
        """A result that could not be published, on a full disk, is tried again; what the step itself raised is not."""
        if self.wishes.retry_failures:
            return False
        return self._crew.assess(self.place.slot(self._open[step])).state is State.FAILED

    def _settle(self, step: int, status: Status) -> None:
        self._open.pop(step, None)
        self._outlook.forget(step)
        self._tried.pop(step, None)
        self.frontier.settle(step, status)
        if status is Status.FAILED and self.wishes.stop_on_failure and not self.frontier.steps[step].tolerate_failure:
            self.stopping = True

    def wait_for_work(self) -> None:
        """Until something has changed, or for a moment: a device that others have comes back without a word."""
        with self.changed:
            if self._crew.paused or all(step.needs_gpu for step in self._mine()):
                self.changed.wait(TICK_SECONDS if self.has_work() else 10 * TICK_SECONDS)

    def has_work(self) -> bool:
        """Is there a ready step that this instance could begin, had it a thread and a device for it?"""
        return any(True for _ in self._mine())

    def _mine(self) -> Iterator[Step]:
        if not (self.stopping or self.is_stopped):
            yield from (step for number in self.frontier.ready if self._is_for_me(step := self.frontier.steps[number]))

    def is_left_over(self) -> bool:
        """Is what is ready only for persons, or for instances that have other functions?"""
        return bool(self.frontier.ready) and not self.has_work()

    def for_others(self) -> list[Step]:
        """What is ready whose function, or whose device, this instance does not have."""
        steps = (self.frontier.steps[number] for number in self.frontier.ready)
        return [step for step in steps if not (self._can_run(step) and self._has_devices(step))]

    def _is_for_me(self, step: Step) -> bool:
        return (self.wishes.interactive or not step.interactive) and self._has_devices(step) and self._can_run(step)

    def _has_devices(self, step: Step) -> bool:
        return self._dealer is not None or not step.needs_gpu

    def failed_before(self, step: Step) -> list[int]:
        """What it waits for and has failed, which was tolerated."""
        with self.changed:
            return [other for other in step.prerequisites if self.frontier.status.get(other) is Status.FAILED]

    # -- what others do

    @property
    def is_stopped(self) -> bool:
        """Was the run, or this process, asked to end?"""
        return self._crew.stop_requested or self._crew.guard.signalled is not None or self.error is not None

    def look_soon(self) -> None:
        self._next_look = 0.0

    def look_if_due(self, *, idle: bool) -> None:
        """Learn what others have done, if something has changed here or it is time to ask the server."""
        with self.changed:
            now = time.monotonic()
            if not idle:
                if now >= self._next_look + _BUSY_LOOK_SECONDS:
                    self.look()
                return
            if now >= self._next_look or self._outlook.has_changed() or self._outlook.somebody_died():
                before = self.frontier.ended, len(self.frontier.ready), self.ledger.book.read
                self.look()
                after = self.frontier.ended, len(self.frontier.ready), self.ledger.book.read
                self._pause = _FIRST_LOOK_SECONDS if before != after else min(2 * self._pause, _LONGEST_LOOK_SECONDS)
                self._next_look = time.monotonic() + self._pause

    def look(self) -> None:
        """Read the record and list the items. SessionReplaced."""
        with self.changed:
            self._collisions = 0
            self.read()
            listing = self._crew.member().instance.listing(self.place.items)
            self._revive(listing)
            for step, item in list(self._open.items()):
                if step in self._here:
                    continue
                files = listing.files(item)
                if files.done:
                    self._settle(step, Status.FINISHED)
                elif files.highest:
                    self._learn(step, self.place.slot(item), files)
            self._next_look = time.monotonic()
            self.changed.notify_all()

    def _revive(self, listing: Listing) -> None:
        """What has failed and was marked to be tried again since."""
        book = self.ledger.book
        failed = {step: book.item(step) or "" for step in self.frontier.failed}
        again = {step: item for step, item in failed.items() if listing.files(item).last_retry}
        again = {step: item for step, item in again.items() if not self._is_set_aside(item, listing.files(item))}
        if again:
            self.frontier.revive(again)
            self.take_in(list(book.steps))

    def _is_set_aside(self, item: str, files: Files) -> bool:
        return files.last_retry < files.highest and self._crew.assess(self.place.slot(item)).state is State.FAILED

    def _learn(self, step: int, slot: Slot, files: Files) -> None:
        """Somebody has tried it: who, and how did that end? What had failed before this session is tried again."""
        attempt = self.ledger.book.keys.failed_attempt(self.frontier.steps[step])
        if files.highest <= attempt and files.last_retry < attempt:
            try_again(self.place.run.disk, slot, attempt)
            self.frontier.note(step, Status.SCHEDULED)
            return
        finding = self._outlook.find(step, slot, files)
        if finding.state is State.DONE:
            self._settle(step, Status.FINISHED)
        elif finding.state in (State.FAILED, State.SKIPPED):
            self._settle(step, Status.FAILED)
        elif finding.state is State.FREE or self._outlook.is_worth_judging(step):
            self._tried[step] = files
            self.frontier.note(step, Status.SCHEDULED)
        else:
            self.frontier.note(step, Status.RUNNING)

    def read(self) -> None:
        """Learn what others have recorded. SessionReplaced."""
        with self.changed:
            changed = self.ledger.catch_up()
            self.check_session()
            self.take_in(changed)

    def check_session(self) -> None:
        """SessionReplaced if the steps were begun anew by others."""
        start = self.ledger.book.start
        if start.number != self._session:
            raise SessionReplaced(self.place.run.directory, start.by)

    def is_open(self, step: int) -> bool:
        """Has the step a name, and has not ended?"""
        return step in self._open

    def take_in(self, changed: list[int]) -> None:
        """Steps are new, or have changed, in the record."""
        book = self.ledger.book
        self.frontier.add(book.steps[step] for step in dict.fromkeys(changed) if not self._is_placed(step))
        for step in changed:
            item = book.item(step)
            if item is not None and self.frontier.status[step] not in ENDED:
                self._open[step] = item

    def _is_placed(self, step: int) -> bool:
        """Does the frontier have the step as it is? A step that gets its key only now has not changed for it."""
        return self.frontier.steps.get(step) == self.ledger.book.steps[step]
