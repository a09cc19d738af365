"""The loop of `items`: which item next, and when it is over.

First the items that nobody has tried; then those that failed, were dropped or belong to owners that are gone; then,
with `wait`, it stays until every item is done or set aside. What is done is learnt from listings (rule 0 of the
protocol), never by looking a final up.

Guarantee: when the loop ends by itself with `wait`, every item is done, skipped or failed - except those that this
instance itself dropped, and that nobody has taken since.
"""

import threading
import time
from collections.abc import Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING

from multiprocesstools.claims.claim import Refusal, first_attempt
from multiprocesstools.claims.hands import Claim, How
from multiprocesstools.claims.identity import own_pid
from multiprocesstools.claims.slots import Files, Slot
from multiprocesstools.claims.survey import State
from multiprocesstools.crew.crew import Crew
from multiprocesstools.crew.member import Member
from multiprocesstools.display.progress import Progress
from multiprocesstools.errors import ForkedLoop, ItemNotEntered
from multiprocesstools.items.fate import Fate, Streak
from multiprocesstools.items.item import Item
from multiprocesstools.items.terms import Terms
from multiprocesstools.loop.board import DONE, DROPPED, SETTLED, SKIPPED, TRIED
from multiprocesstools.loop.chunks import Chunks, Propose
from multiprocesstools.loop.course import Course
from multiprocesstools.loop.options import Options
from multiprocesstools.loop.order import OPEN
from multiprocesstools.loop.scout import Scout
from multiprocesstools.loop.watch import Watch
from multiprocesstools.plans.finals import WorkList
from multiprocesstools.plans.hints import Hints

if TYPE_CHECKING:
    from multiprocesstools.calls.flight import Flight

_TICK_SECONDS = 0.1
_LONGEST_POLL_SECONDS = 3.0
_DONE = Fate.DONE  # every item asks, and an enumeration answers slowly
_STATES = {Fate.DONE: DONE, Fate.LOST: DONE, Fate.SKIPPED: SKIPPED, Fate.DROPPED: DROPPED}


class Loop:
    """One call of `items`."""

    def __init__(
        self, crew: Crew, work: WorkList, options: Options, progress: Progress, *, hints: Hints, propose: Propose,
        course: Course, flight: "Flight | None" = None,
    ) -> None:  # fmt: skip
        self._crew, self._work, self._options, self._progress = crew, work, options, progress
        self._course, self._is_over, self._goes_on = course, course.is_over, partial(course.goes_on, self._hold)
        self._scout = Scout(crew, work, hints, options, progress.count_seconds)
        self._board = self._scout.board
        self._how = How.DRAFT if options.results else How.STAGED
        self._chunks = Chunks(crew, work, self._board, propose)
        self._flight = flight
        self._streak = Streak(options.stop_after)
        self._terms = Terms(crew, options.on_error, defer=True, results=options.results, settled=self._settled)
        self._doubtful = False

    # -- the way through

    def __iter__(self) -> Generator[Item, None, None]:
        crew, member = self._crew, self._crew.member()
        crew.guard.enter()
        if threading.current_thread() is threading.main_thread():
            crew.guard.signalled = None
        try:
            self._scout.survey()
            self._progress.start(self._board.tally())
            member.at_beat.append(self._count)
            yield from self._measure()
            yield from self._untried()
            yield from self._rest()
            if self._flight:
                self._flight.land_all()
            self._scout.clear_chunks()
        finally:
            if member.instance.pid == own_pid():  # not in a forked child, which has inherited the loop
                try:
                    self._end(member)
                finally:
                    crew.guard.leave()

    def _end(self, member: Member) -> None:
        if self._flight:
            self._flight.give_back()
        member.journal.flush()
        if self._count in member.at_beat:  # else it has not even begun
            member.at_beat.remove(self._count)
            tally = self._scout.final_tally()
            self._progress.stop(tally, self._course.close(tally.open))

    def _measure(self) -> Iterator[Item]:
        """Some items one by one, until it is known how large chunks should be."""
        done, began = 0, time.monotonic()
        for position in self._chunks.heads():
            landed = done - len(self._flight or ())
            if not self._goes_on() or self._chunks.decide(landed, time.monotonic() - began):
                return
            done += yield from self._attempt(position, self._work.slot(position), None)
        if self._flight:
            self._flight.land_all()
        self._chunks.insist(done, time.monotonic() - began)

    def _untried(self) -> Iterator[Item]:
        """The items without any file."""
        walk, seek, goes_on = self._scout.walk, self._scout.seek, self._goes_on
        while goes_on() and (position := seek()) is not None:
            if position < 0:
                continue
            slot = self._work.slot(position)
            if slot.chunk:
                won = yield from self._through_chunk(position, slot)
            else:
                won = yield from self._attempt(position, slot, None)
            if not won:
                walk.met()

    def _through_chunk(self, position: int, slot: Slot) -> Generator[Item, None, bool]:
        """All open items of a chunk, one after the other; whether it was won."""
        span = self._chunks.span(position)
        with self._crew.guard.critical:
            chunk = self._chunks.take(slot, span)
        if chunk is None:
            return False
        try:
            for other in span:
                if self._board.states[other] == OPEN and not (self._is_held() or chunk.lost or chunk.given_up):
                    yield from self._attempt(other, self._work.slot(other), None, chunk=chunk)
            if self._flight:
                self._flight.land_all()
        finally:
            if self._flight:
                self._flight.give_back()
            self._chunks.leave(chunk, span)
        return True

    def _rest(self) -> Iterator[Item]:
        """What was tried before, as long as there is hope."""
        board, poll = self._board, _TICK_SECONDS
        left = {number for number, folder in enumerate(board.folders) if not board.is_settled(folder)}
        sizes = {number: len(board.folders[number].names) for number in left}
        watch = Watch(sizes, self._crew.member().instance.record.id, self._crew.rules.beat_seconds)
        if self._options.wait and (seconds := watch.first_pause_seconds(left, self._scout.instances)):
            self._pause(seconds)
        while left and self._goes_on():
            if self._scout.shares:
                self._scout.hear()
                left = {number for number in left if not board.is_settled(board.folders[number])}
            board.running, claimed_one = 0, False
            for number in watch.choose(left, self._scout.instances):
                claimed, hopeful = yield from self._round(number)
                claimed_one |= claimed
                if not hopeful:
                    left.discard(number)
                elif not claimed:
                    self._scout.refresh(number)
            if claimed_one:
                poll = _TICK_SECONDS
            elif left and (self._options.wait or self._flight):
                self._pause(watch.pause_seconds(poll, self._scout.instances))
                poll = min(2 * poll, max(_TICK_SECONDS, min(_LONGEST_POLL_SECONDS, self._crew.rules.beat_seconds / 4)))

    def _round(self, number: int) -> Generator[Item, None, tuple[bool, bool]]:
        """Look at what is not settled in a directory. Was something claimed, and may more happen there?"""
        board, folder = self._board, self._board.folders[number]
        running, self._doubtful, claimed = board.running, False, False
        for position, slot, files in board.unsettled([folder]):
            if self._is_held():
                return claimed, True
            if self._is_claimable(position, slot, files):
                claimed |= yield from self._attempt(position, slot, files)
        if self._doubtful:
            return True, True  # the next listing decides
        if claimed or (board.running > running and (self._options.wait or self._flight)):
            return claimed, True
        if board.is_settled(folder):
            self._scout.tell_over(number)
        return False, False

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
            self._scout.end_if_over(index, slot, finding)
            return False
        return True

    def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until somebody on this machine dies."""
        self._crew.member().journal.flush()
        self._show(waiting=True)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._is_over() and not self._board.somebody_died():
            if not self._flight:
                self._crew.run.clock.sleep(min(_TICK_SECONDS, left))
            elif self._flight.land(min(_TICK_SECONDS, left)):
                return

    def _hold(self) -> None:
        """The run is paused: what is in hand is finished all the same."""
        self._show()
        while self._flight and self._crew.paused and not self._is_over():
            self._flight.land(_TICK_SECONDS)
            self._show()

    def _is_held(self) -> bool:
        """Is nothing to be begun now? What was listed is old when it goes on, and of a chunk nothing is kept."""
        return self._crew.paused or self._is_over()

    # -- one item

    def _attempt(
        self, index: int, slot: Slot, files: Files | None, *, chunk: Claim | None = None
    ) -> Generator[Item, None, bool]:
        """Try to win an item and offer it; whether it was won. However the offer ends, the item is settled then."""
        item, work, going_on = None, self._work, False
        try:
            with self._crew.guard.critical:
                if chunk is not None:
                    taken = self._crew.take_item(chunk, slot)
                elif files is None:
                    taken = self._crew.win(first_attempt, slot, self._how)
                else:
                    taken = self._crew.take(slot, files if files.highest else None, how=self._how)
                if isinstance(taken, Refusal):
                    self._board.note_refusal(index, taken)
                    return False
                number = work.indices[index]
                others = work.others[number] if work.others else ()
                item = Item(self._terms, taken, work.sources[number], number, index, others=others)
            yield item
            going_on = True
        finally:
            if item is not None and not going_on:
                item.give_back()
        fresh = files is None or taken.attempt == files.last_retry + 1
        if self._flight is not None and self._flight.keeps(item, partial(self._conclude, item, fresh=fresh)):
            self._board.note_taken(range(index, index + 1))
        else:
            self._conclude(item, fresh=fresh)
        return True

    def _conclude(self, item: Item, *, fresh: bool, counts: bool = True) -> None:
        """The loop asks for the next item: what became of this one?"""
        if self._crew.latest_member.instance.pid != own_pid():
            raise ForkedLoop(str(item.final))
        if item.fate is _DONE:
            self._streak.length = 0 if counts else self._streak.length
            return
        error = item.decide(going_on=not self._is_over())
        if item.fate is None:
            item.give_back()
            raise ItemNotEntered(str(item.final))
        if error is not None and self._options.on_error == "raise":
            raise error
        if counts:
            last = self._crew.failures[-1] if self._crew.failures else None
            self._streak.note(item.fate, last, counts=fresh or not self._board.here)

    def _settled(self, item: Item, fate: Fate, error: BaseException | None) -> None:
        board = self._board
        board.states[item.position] = _STATES.get(fate, TRIED)
        if self._course.has_limit:
            self._course.end(item.began, whole=fate is _DONE or fate is Fate.LOST)
        if fate is _DONE:
            board.here += 1
        elif fate is Fate.FAILED:
            self._note_failure(item, error)
        if self._progress.is_due():
            self._count()

    def _note_failure(self, item: Item, error: BaseException | None) -> None:
        self._streak.last_error = error
        failure = item.failure or self._crew.failures[-1]
        self._crew.say(f"{failure.item} failed (attempt {item.attempt}): {failure.exception.splitlines()[0]}")

    # -- counting

    def _count(self) -> None:
        self._scout.count()
        self._show()

    def _show(self, *, waiting: bool = False) -> None:
        self._progress.update(self._board.tally(waiting=waiting, paused=self._crew.paused))
