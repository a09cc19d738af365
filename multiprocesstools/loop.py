"""The loop of `items`: which item next, and when it is over.

First the items that nobody has tried, from a place of this instance's own so that instances do not meet; then those
that failed, were dropped or belong to owners that are gone; then, with `wait`, it stays until every item is done or set
aside. What is done is learnt from listings (rule 0 of the protocol), never by looking a final up.

Guarantee: when the loop ends by itself with `wait`, every item is done, skipped or failed - except those that this
instance itself dropped, and that nobody has taken since.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from multiprocesstools.claims import identity
from multiprocesstools.claims.claim import Refusal, assess
from multiprocesstools.claims.hands import Claim
from multiprocesstools.claims.record import Record
from multiprocesstools.claims.slots import Files, Listing, Slot, read_listing
from multiprocesstools.claims.survey import Finding, State
from multiprocesstools.crew import Crew
from multiprocesstools.errors import FinalOfAnotherKind, ItemNotEntered, TooManyFailures
from multiprocesstools.finals import WorkList
from multiprocesstools.items import Fate, Item
from multiprocesstools.progress import Progress, Tally

_TICK_SECONDS = 0.1
_LONGEST_POLL_SECONDS = 3.0
_LISTING_SHARE = 20
_OPEN, _TRIED, _DONE, _FAILED, _SKIPPED, _DROPPED = range(6)
_SETTLED = {State.DONE: _DONE, State.FAILED: _FAILED, State.SKIPPED: _SKIPPED}


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of `items` and of the helper that concern a loop."""

    wait: bool = True
    order: str = "spread"
    retry_failed: bool = False
    on_error: str = "continue"
    stop_after: int | None = 10


@dataclass(slots=True)
class _Owner:
    """Who was seen to have an item, and when."""

    record: Record | None
    judged: float


class Loop:
    """One call of `items`."""

    def __init__(self, crew: Crew, work: WorkList, options: Options, progress: Progress) -> None:
        self._crew, self._work, self._options, self._progress = crew, work, options, progress
        self._slots: dict[str, dict[str, int]] = {}
        for index, final in enumerate(work.finals):
            directory, _, name = final.rpartition("/")
            self._slots.setdefault(directory, {})[name] = index
        self._states = bytearray(len(work))
        self._listed: dict[str, float] = {}
        self._findings: dict[int, tuple[tuple[object, ...], Finding]] = {}
        self._owners: dict[int, _Owner] = {}
        self._running = self._here = self._failures_in_row = 0
        self._last_error: BaseException | None = None
        self._began = time.monotonic()
        self._counted = 0.0

    # -- the way through

    def __iter__(self) -> Iterator[Item]:
        crew, member = self._crew, self._crew.member()
        crew.guard.enter()
        member.at_beat.append(self._count_at_beat)
        try:
            self._survey()
            self._progress.start(self._tally())
            yield from self._untried()
            yield from self._rest()
        finally:
            if self._count_at_beat in member.at_beat:
                member.at_beat.remove(self._count_at_beat)
            member.journal.flush()
            self._progress.stop(self._tally())
            crew.guard.leave()

    def _survey(self) -> None:
        """List every directory once: what is done, what was tried, what is failed."""
        for directory in self._slots:
            listing = self._list(directory)
            self._refuse_other_kinds(listing)
            for name in self._tried_names(listing):
                index = self._slots[directory][name]
                files = listing.items[name]
                finding = self._find(index, Slot(directory, name), files)
                if finding.state is State.FAILED and self._options.retry_failed:
                    self._retry(Slot(directory, name), finding.attempt)
                elif finding.state in _SETTLED:
                    self._states[index] = _SETTLED[finding.state]
                elif finding.state is State.CLAIMED:
                    self._running += 1

    def _retry(self, slot: Slot, attempt: int) -> None:
        try:
            self._crew.member().instance.disk.create(slot.retry(attempt), b"")
        except FileExistsError:
            return

    def _untried(self) -> Iterator[Item]:
        """The items without any file, walked from a place of our own."""
        for index in self._order():
            if self._states[index] != _OPEN:
                continue
            if self._is_over():
                return
            slot = self._slot(index)
            taken = self._crew.take(slot, look=False)
            if isinstance(taken, Claim):
                yield from self._offer(index, taken)
            else:
                self._note_refusal(index, slot, taken)
                self._learn(slot.directory)

    def _order(self) -> Iterator[int]:
        """Every index; "spread" begins anywhere and jumps when it meets somebody."""
        size = len(self._work)
        if self._options.order == "given":
            yield from range(size)
            return
        chance = random.Random(self._crew.member().instance.record.id)
        position = chance.randrange(size)
        left = size
        while left > 0:
            index = position % size
            was_open = self._states[index] == _OPEN
            if was_open:
                yield index
            met = was_open and self._met
            self._met = False
            position, left = position + 1, left - 1
            if met and (there := self._states.find(_OPEN, chance.randrange(size))) >= 0:
                position, left = there, size
            elif left == 0 and self._states.find(_OPEN) >= 0:
                left = size

    _met = False

    def _rest(self) -> Iterator[Item]:
        """What was tried before, as long as there is hope."""
        poll = _TICK_SECONDS
        while not self._is_over():
            claimed_one = False
            self._running = 0
            for index, slot, files in self._unsettled():
                if self._is_over():
                    return
                taken = self._consider(index, slot, files)
                if isinstance(taken, Claim):
                    claimed_one = True
                    yield from self._offer(index, taken)
            if claimed_one:
                poll = _TICK_SECONDS
                continue
            if not self._options.wait or not self._running:
                return
            self._pause(poll)
            poll = min(2 * poll, max(_TICK_SECONDS, min(_LONGEST_POLL_SECONDS, self._crew.rules.beat_seconds / 4)))

    def _unsettled(self) -> Iterator[tuple[int, Slot, Files]]:
        """The open items with their files, from listings that are not older than a moment."""
        for directory, names in self._slots.items():
            rest = [(name, index) for name, index in names.items() if self._states[index] in (_OPEN, _TRIED, _DROPPED)]
            listing, listed = None, 0.0
            for name, index in rest:
                if listing is None or time.monotonic() - listed > _TICK_SECONDS * 10:
                    listing, listed = self._list(directory), time.monotonic()
                if self._states[index] in (_OPEN, _TRIED, _DROPPED):
                    yield index, Slot(directory, name), listing.files(name)

    def _consider(self, index: int, slot: Slot, files: Files) -> Claim | None:
        """Try an item that was tried before, if its state allows it."""
        finding = self._find(index, slot, files)
        if finding.state in _SETTLED:
            self._states[index] = _SETTLED[finding.state]
            return None
        dropped = self._states[index] == _DROPPED
        if finding.state is State.CLAIMED and (dropped or not self._is_worth_judging(index)):
            self._running += 1
            return None
        if dropped:
            return None
        taken = self._crew.take(slot, files if files.highest else None)
        if isinstance(taken, Refusal):
            self._note_refusal(index, slot, taken)
            return None
        return taken

    def _is_worth_judging(self, index: int) -> bool:
        """A claim is read once per beat; in between only the processes of this machine are asked, without the disk."""
        owner = self._owners.get(index)
        if owner is None or time.monotonic() - owner.judged >= self._crew.rules.beat_seconds * 0.9:
            return True
        return owner.record is not None and identity.is_gone(owner.record.identity)

    def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until somebody on this machine dies."""
        self._crew.member().journal.flush()
        self._progress.update(self._tally(waiting=True))
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._is_over():
            self._crew.run.clock.sleep(min(_TICK_SECONDS, left))

    def _is_over(self) -> bool:
        return self._crew.stop_requested or self._crew.guard.signalled is not None

    # -- one item

    def _offer(self, index: int, claim: Claim) -> Iterator[Item]:
        others = self._work.others[index] if self._work.others else ()
        item = Item(
            self._crew, claim, self._work.sources[index], index, others,
            on_error=self._options.on_error, defer=True, settled=self._settled,
        )  # fmt: skip
        going_on = False
        try:
            yield item
            going_on = True
        finally:
            if not going_on:
                item.give_back()
        error = item.decide(going_on=not self._is_over())
        if item.fate is None:
            item.give_back()
            raise ItemNotEntered(str(item.final))
        if error is not None and self._options.on_error == "raise":
            raise error
        self._raise_if_hopeless()

    def _settled(self, item: Item, fate: Fate, error: BaseException | None) -> None:
        self._states[item.index] = {
            Fate.DONE: _DONE, Fate.LOST: _DONE, Fate.SKIPPED: _SKIPPED, Fate.DROPPED: _DROPPED,
        }.get(fate, _TRIED)  # fmt: skip
        if fate is Fate.FAILED:
            self._failures_in_row += 1
            self._last_error = error
            self._say_failure(item, error)
        elif fate in (Fate.DONE, Fate.SKIPPED):
            self._failures_in_row = 0
        self._here += fate is Fate.DONE
        self._progress.update(self._tally())

    def _say_failure(self, item: Item, error: BaseException | None) -> None:
        failure = self._crew.failures[-1]
        self._crew.say(f"{failure.item} failed (attempt {item.attempt}): {failure.exception.splitlines()[0]}")

    def _raise_if_hopeless(self) -> None:
        limit = self._options.stop_after
        if limit is not None and self._failures_in_row >= limit:
            raise TooManyFailures(self._failures_in_row, self._crew.failures[-1].exception) from self._last_error

    # -- what is known

    def _slot(self, index: int) -> Slot:
        directory, _, name = self._work.finals[index].rpartition("/")
        return Slot(directory, name)

    def _note_refusal(self, index: int, slot: Slot, refusal: Refusal) -> None:
        self._states[index] = _SETTLED.get(refusal.state, _TRIED)
        if refusal.state not in _SETTLED:
            self._running += 1
            self._owners[index] = _Owner(refusal.verdict.owner if refusal.verdict else None, time.monotonic())
        self._met = True

    def _learn(self, directory: str) -> None:
        """Somebody was faster: find out what else is done, if the last listing was not a moment ago."""
        began = time.monotonic()
        if began >= self._listed.get(directory, 0.0):
            self._list(directory)
            self._listed[directory] = time.monotonic() + max(0.2, _LISTING_SHARE * (time.monotonic() - began))

    def _list(self, directory: str) -> Listing:
        listing = self._crew.member().instance.listing(directory)
        states, names = self._states, listing.names
        for name, index in self._slots[directory].items():
            if name in names and states[index] in (_OPEN, _TRIED, _DROPPED) and listing.is_done(name):
                states[index] = _DONE
        for name in self._tried_names(listing):
            index = self._slots[directory][name]
            states[index] = _TRIED if states[index] == _OPEN else states[index]
        return listing

    def _tried_names(self, listing: Listing) -> list[str]:
        mine = self._slots[listing.directory]
        return [name for name, files in listing.items.items() if name in mine and not files.done]

    def _find(self, index: int, slot: Slot, files: Files) -> Finding:
        """The state by the names; ended-files are read again only when the names have changed."""
        names = (files.done, files.highest, files.last_retry, frozenset(files.ended))
        known = self._findings.get(index)
        if known is None or known[0] != names:
            known = names, assess(self._crew.member().instance, slot, files)
            self._findings[index] = known
        return known[1]

    def _refuse_other_kinds(self, listing: Listing) -> None:
        """Finals are files or directories, and of one kind in one call."""
        kinds: dict[str, str] = {}
        for name in self._slots[listing.directory]:
            if (entry := listing.names.get(name)) is None or entry.is_file(follow_symlinks=False):
                kind = "a file" if entry is not None else ""
            elif entry.is_dir(follow_symlinks=False):
                kind = "a directory"
            elif entry.is_symlink():
                kind = ""
            else:
                raise FinalOfAnotherKind(f"{listing.directory}/{name}", "a device, pipe or socket")
            if kind:
                kinds.setdefault(kind, name)
        if len(kinds) > 1:
            final = f"{listing.directory}/{kinds['a directory']}"
            raise FinalOfAnotherKind(final, f"a directory, while {kinds['a file']!r} is a file")

    # -- counting

    def _tally(self, *, waiting: bool = False) -> Tally:
        states = self._states
        tally = Tally(
            len(states), done=states.count(_DONE), failed=states.count(_FAILED), skipped=states.count(_SKIPPED),
            running=self._running, here=self._here, seconds=time.monotonic() - self._began,
        )  # fmt: skip
        return replace(tally, waiting_for=self._hosts()) if waiting else tally

    def _hosts(self) -> tuple[str, ...]:
        rest = [owner.record for index, owner in self._owners.items() if self._states[index] == _TRIED]
        return tuple(sorted({record.identity.host if record else "an unknown host" for record in rest}))

    def _count_at_beat(self) -> None:
        """Count what the other machines have done, for the bar; seldom enough to cost the server next to nothing."""
        began = time.monotonic()
        if began < self._counted or self._progress.interval_seconds == float("inf"):
            return
        disk = self._crew.run.raw
        for directory, names in self._slots.items():
            if any(self._states[index] not in (_DONE, _SKIPPED) for index in names.values()):
                self._mark_done(read_listing(directory, disk.list(directory)))
        self._counted = time.monotonic() + max(self._progress.interval_seconds, 50 * (time.monotonic() - began))
        self._progress.update(self._tally())

    def _mark_done(self, listing: Listing) -> None:
        for name, index in self._slots[listing.directory].items():
            if self._states[index] in (_OPEN, _TRIED) and listing.is_done(name):
                self._states[index] = _DONE
