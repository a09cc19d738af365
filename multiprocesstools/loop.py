"""The loop of `items`: which item next, and when it is over.

First the items that nobody has tried; then those that failed, were dropped or belong to owners that are gone; then,
with `wait`, it stays until every item is done or set aside. What is done is learnt from listings (rule 0 of the
protocol), never by looking a final up.

Guarantee: when the loop ends by itself with `wait`, every item is done, skipped or failed - except those that this
instance itself dropped, and that nobody has taken since.
"""

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial

from multiprocesstools.board import DONE, DROPPED, SETTLED, SKIPPED, TRIED, Board
from multiprocesstools.claims.again import try_again
from multiprocesstools.claims.assess import assess
from multiprocesstools.claims.claim import Refusal, end_if_over
from multiprocesstools.claims.hands import Claim
from multiprocesstools.claims.noted import Noted
from multiprocesstools.claims.peers import Sight
from multiprocesstools.claims.slots import Files, Listing, Slot
from multiprocesstools.claims.survey import Finding, State
from multiprocesstools.crew import Crew
from multiprocesstools.errors import BadArgument, ForkedLoop, ItemNotEntered, TooManyFailures, check_choice
from multiprocesstools.finals import Folder, WorkList
from multiprocesstools.items import Fate, Item
from multiprocesstools.order import Walk
from multiprocesstools.progress import Progress, Tally
from multiprocesstools.run import unusable

_TICK_SECONDS = 0.1
_LONGEST_POLL_SECONDS = 3.0
_LISTING_SHARE = 20
_STATES = {Fate.DONE: DONE, Fate.LOST: DONE, Fate.SKIPPED: SKIPPED, Fate.DROPPED: DROPPED}


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of `items` and of the helper that concern a loop."""

    wait: bool = True
    order: str = "spread"
    retry_failed: bool = False
    on_error: str = "continue"
    stop_after: int | None = 10

    def __post_init__(self) -> None:
        check_choice("order", self.order, ("spread", "given"))
        check_choice("on_error", self.on_error, ("continue", "raise"))
        limit = self.stop_after
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise BadArgument("stop_after", limit, "it must be a whole number, at least 1, or None")


class Loop:
    """One call of `items`."""

    def __init__(self, crew: Crew, work: WorkList, options: Options, progress: Progress) -> None:
        self._crew, self._work, self._options, self._progress = crew, work, options, progress
        self._board = Board(work, self._list, self._assess, crew.rules.beat_seconds)
        self._next_listing: dict[str, float] = {}
        self._next_count = 0.0
        self._failures_in_row = 0
        self._doubtful = False
        self._last_error: BaseException | None = None

    # -- the way through

    def __iter__(self) -> Iterator[Item]:
        crew, member = self._crew, self._crew.member()
        crew.guard.enter()
        if threading.current_thread() is threading.main_thread():
            crew.guard.signalled = None
        member.at_beat.append(self._count_at_beat)
        try:
            self._survey()
            self._progress.start(self._board.tally())
            yield from self._untried()
            yield from self._rest()
        finally:
            if member.instance.pid == os.getpid():  # not in a forked child, which has inherited the loop
                member.at_beat.remove(self._count_at_beat)
                member.journal.flush()
                self._progress.stop(self._final_tally(), self._reason())
                crew.guard.leave()

    def _survey(self) -> None:
        """List every directory once: what is done, tried, failed."""
        for folder in self._board.folders:
            if self._note_tried(folder, self._board.read_first(folder)):
                self._note_tried(folder, self._board.read(folder))

    def _note_tried(self, folder: Folder, listing: Listing) -> bool:
        """Note the states of what was tried. True: something seems to be set aside, which a second look decides."""
        doubtful, running = False, 0
        for name, index in self._board.tried(folder, listing):
            slot, files = Slot(listing.directory, name), listing.items[name]
            finding = self._board.find(index, slot, files)
            if finding.state is State.FAILED and self._options.retry_failed:
                self._retry(slot, finding.attempt)
            elif finding.state in SETTLED and not self._board.note(index, finding):
                doubtful = True
            running += finding.state is State.CLAIMED
        self._board.running += 0 if doubtful else running
        return doubtful

    def _retry(self, slot: Slot, attempt: int) -> None:
        try:
            try_again(self._crew.member().instance.disk, slot, attempt)
        except OSError as error:
            raise unusable(slot.directory, error) from error

    def _untried(self) -> Iterator[Item]:
        """The items without any file."""
        walk = Walk(self._board.states, self._options.order, self._crew.member().instance.record.id)
        for index in walk:
            if self._is_over():
                return
            if not (yield from self._attempt(index, self._work.slot(index), None, look=False)):
                walk.met()
                self._learn(self._work.folder(index))

    def _rest(self) -> Iterator[Item]:
        """What was tried before, as long as there is hope."""
        poll = _TICK_SECONDS
        while not self._is_over():
            claimed_one = False
            self._board.running = 0
            for index, slot, files in self._board.unsettled(self._board.folders):
                if self._is_over():
                    return
                if self._is_claimable(index, slot, files):
                    claimed_one |= yield from self._attempt(index, slot, files)
            if claimed_one or self._doubtful:
                poll, self._doubtful = _TICK_SECONDS, False
                continue
            if not self._options.wait or not self._board.running:
                return
            self._pause(poll)
            poll = min(2 * poll, max(_TICK_SECONDS, min(_LONGEST_POLL_SECONDS, self._crew.rules.beat_seconds / 4)))

    def _is_claimable(self, index: int, slot: Slot, files: Files) -> bool:
        """Is it worth trying an item that was tried before?"""
        finding = self._board.find(index, slot, files)
        if self._board.note(index, finding):
            return False
        if finding.state in SETTLED:
            self._doubtful = True  # the next listing decides
            return False
        if finding.state is State.CLAIMED and not self._board.is_worth_judging(index):
            self._board.running += 1
            return False
        if self._board.states[index] == DROPPED:
            self._end_if_over(index, slot, finding)
            return False
        return True

    def _end_if_over(self, index: int, slot: Slot, finding: Finding) -> None:
        """What this instance has dropped it does not take again; but nobody waits for a dead owner because of that."""
        if finding.state is not State.CLAIMED:
            return
        instance = self._crew.member().instance
        answer: Refusal | Sight = Refusal(Finding(State.RUNNING, finding.attempt))
        if instance.hands.enter(slot):  # else this process works on it again, or owes its end
            try:
                answer = end_if_over(instance, slot, finding.attempt)
            except OSError:
                pass  # no room, no server: it is tried again
            finally:
                instance.hands.leave(slot)
        if isinstance(answer, Refusal):
            self._board.note_refusal(index, answer)
            self._board.states[index] = DROPPED

    def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until somebody on this machine dies."""
        self._crew.member().journal.flush()
        self._progress.update(self._board.tally(waiting=True))
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._is_over() and not self._board.somebody_died():
            self._crew.run.clock.sleep(min(_TICK_SECONDS, left))

    def _reason(self) -> str:
        """Why the loop has ended before everything is done."""
        if self._crew.guard.signalled is not None:
            return "interrupted by a signal"
        return "stopped, as `multiprocesstools stop` asked" if self._crew.stop_requested else ""

    def _is_over(self) -> bool:
        return self._crew.stop_requested or self._crew.guard.signalled is not None

    # -- one item

    def _attempt(
        self, index: int, slot: Slot, files: Files | None, *, look: bool = True
    ) -> Generator[Item, None, bool]:
        """Try to win an item and offer it; whether it was won. However the offer ends, the item is settled then."""
        item, going_on = None, False
        try:
            with self._crew.guard.critical():
                taken = self._crew.take(slot, files if files and files.highest else None, look=look)
                if isinstance(taken, Refusal):
                    self._board.note_refusal(index, taken)
                    return False
                item = self._item(index, taken)
            yield item
            going_on = True
        finally:
            if item is not None and not going_on:
                item.give_back()
        self._conclude(item, fresh=files is None or taken.attempt == files.last_retry + 1)
        return True

    def _item(self, index: int, claim: Claim) -> Item:
        work, number = self._work, self._work.indices[index]
        others = work.others[number] if work.others else ()
        return Item(
            self._crew, claim, work.sources[number], number, others,
            on_error=self._options.on_error, defer=True, settled=partial(self._settled, index),
        )  # fmt: skip

    def _conclude(self, item: Item, *, fresh: bool) -> None:
        """The loop asks for the next item: what became of this one?"""
        if self._crew.latest_member.instance.pid != os.getpid():
            raise ForkedLoop(str(item.final))
        error = item.decide(going_on=not self._is_over())
        if item.fate is None:
            item.give_back()
            raise ItemNotEntered(str(item.final))
        if error is not None and self._options.on_error == "raise":
            raise error
        self._count_failures(item.fate, fresh)

    def _settled(self, position: int, item: Item, fate: Fate, error: BaseException | None) -> None:
        self._board.states[position] = _STATES.get(fate, TRIED)
        self._board.here += fate is Fate.DONE
        if fate is Fate.FAILED:
            self._last_error = error
            failure = self._crew.failures[-1]
            self._crew.say(f"{failure.item} failed (attempt {item.attempt}): {failure.exception.splitlines()[0]}")
        if self._progress.is_due():
            self._count()
            self._progress.update(self._board.tally())

    def _count_failures(self, fate: Fate, fresh: bool) -> None:
        """Count failures in a row. Repeated tries come last and in a bunch, so after a success they say nothing."""
        if fate in (Fate.DONE, Fate.SKIPPED):
            self._failures_in_row = 0
        elif fate is Fate.FAILED and (fresh or not self._board.here):
            self._failures_in_row += 1
        limit = self._options.stop_after
        if limit is not None and self._failures_in_row >= limit:
            raise TooManyFailures(self._failures_in_row, self._crew.failures[-1].exception) from self._last_error

    # -- asking the disk

    def _list(self, directory: str, names: Callable[[bool], Noted]) -> Listing:
        try:
            return self._crew.member().instance.listing(directory, names=names)
        except OSError as error:
            raise unusable(directory, error) from error

    def _assess(self, slot: Slot, files: Files) -> Finding:
        return assess(self._crew.member().instance, slot, files)

    def _learn(self, folder: Folder) -> None:
        """Somebody was faster: find out what else is done, if the last listing was not a moment ago."""
        began = time.monotonic()
        if began >= self._next_listing.get(folder.path, 0.0):
            self._board.read(folder)
            spent = time.monotonic() - began
            self._next_listing[folder.path] = time.monotonic() + max(0.2, _LISTING_SHARE * spent)

    def _count_at_beat(self) -> None:
        self._count()
        self._progress.update(self._board.tally())

    def _count(self, *, now: bool = False) -> None:
        """Count what the other machines have done; seldom enough to cost the server next to nothing."""
        began = time.monotonic()
        if self._progress.count_seconds == float("inf") or (began < self._next_count and not now):
            return
        instance, raw = self._crew.latest_member.instance, self._crew.run.raw
        for folder in self._board.folders:
            if not self._board.is_over(folder):
                self._board.learn(folder, instance.listing(folder.path, raw, self._board.names(folder)))
        spent = time.monotonic() - began
        self._next_count = time.monotonic() + max(self._progress.count_seconds, 50 * spent)

    def _final_tally(self) -> Tally:
        try:
            self._count(now=True)
        except OSError:
            pass  # the directory is gone or unreachable, which the error that ends the loop says
        return self._board.tally()
