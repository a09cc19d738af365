"""What a loop finds out before and between its items: from listings, and from the hints of others about directories.

Guarantee: what the board knows is true of the moment of a listing, or of a hint that counts. Condition: nobody removes
outputs while an instance runs.
"""

import time
from collections.abc import Callable
from contextlib import suppress

from multiprocesstools.claims.again import try_again
from multiprocesstools.claims.assess import assess
from multiprocesstools.claims.claim import Refusal
from multiprocesstools.claims.noted import Noted
from multiprocesstools.claims.publish import clear
from multiprocesstools.claims.slots import Files, Listing, Slot
from multiprocesstools.claims.survey import Finding, State
from multiprocesstools.crew.crew import Crew
from multiprocesstools.display.progress import Tally
from multiprocesstools.loop.board import DROPPED, SETTLED, Board
from multiprocesstools.loop.options import Options
from multiprocesstools.loop.order import FEW_FOLDERS, Act, Step, Walk, lists_all_at_start, place_of
from multiprocesstools.loop.watch import Counting, Stillness
from multiprocesstools.plans.finals import Folder, WorkList
from multiprocesstools.plans.hints import Hints, not_over
from multiprocesstools.run.directory import unusable

_LISTING_SHARE, _SHORTEST_SECONDS = 20, 0.2


class Scout:
    """The knowledge of one loop (`board`), its way through the items (`walk`), and how both are kept up to date."""

    def __init__(self, crew: Crew, work: WorkList, hints: Hints, options: Options, count_seconds: float) -> None:
        order = options.order
        self._crew, self._work, self._hints, self._retry_failed = crew, work, hints, options.retry_failed
        self.board = Board(work, self._list, self._assess, crew.rules.beat_seconds)
        self.shares = len(work.folders) >= FEW_FOLDERS
        self.instances = 1
        spans = [(folder.first, folder.end) for folder in work.folders]
        positions = work.in_order() if order == "given" else ()
        own = crew.member().instance.record
        self.walk = Walk(
            self.board.states, spans, order, own.id, positions, start=place_of(own.number), shares=self.shares
        )
        self._counting, self._count_seconds, self._next_count = Counting(count_seconds), count_seconds, 0.0
        self._next_listing: dict[int, float] = {}
        self._stillness = Stillness(own.id, crew.rules.beat_seconds)

    def survey(self) -> None:
        """List every directory once, if that is cheap: what is done, tried, failed."""
        board = self.board
        if self.shares:
            self.instances = self.walk.instances = self._hints.count_instances()
        if lists_all_at_start(len(board.folders), self.instances):
            for number in range(len(board.folders)):
                self._enter(number)

    def _enter(self, number: int) -> None:
        """List a directory before its items are tried."""
        began, folder = time.monotonic(), self.board.folders[number]
        if self._note_tried(folder, self.board.read_first(folder)):
            self._note_tried(folder, self.board.read(folder))
        self._listed(number, began)

    def _note_tried(self, folder: Folder, listing: Listing) -> bool:
        """Note the states of what was tried. True: something seems to be set aside, which a second look decides."""
        doubtful, running = False, 0
        again: list[tuple[Slot, int]] = []
        for _, index in self.board.tried(folder, listing):
            slot = self._work.slot(index)
            finding = self.board.find(index, slot, listing.of(slot))
            if finding.state is State.FAILED and self._retry_failed:
                again.append((slot, finding.attempt))
            elif finding.state in SETTLED and not self.board.note(index, finding):
                doubtful = True
            running += finding.state is State.CLAIMED
        if again:
            self._retry(folder.path, again)
        self.board.running += 0 if doubtful else running
        return doubtful

    def _retry(self, directory: str, failed: list[tuple[Slot, int]]) -> None:
        try:
            with not_over(self._crew.run, directory):
                for slot, attempt in failed:
                    try_again(self._crew.member().instance.disk, slot, attempt)
        except OSError as error:
            raise unusable(directory, error) from error

    def seek(self) -> int | None:
        """The position of the item that is to be tried next; -1 after a step that tries none; None: nothing is open."""
        if (position := self.walk.next_neighbour()) >= 0:
            return position
        if (step := self.walk.next()) is None:
            return None
        if step.act is Act.TRY:
            return step.number
        self._inform(step)
        return -1

    def _inform(self, step: Step) -> None:
        """Do a step of the walk that tries no item."""
        if step.act is Act.LIST:
            self._learn(step.number)
        elif step.act is Act.ASK:
            self.hear()
        elif self.board.is_settled(self.board.folders[step.number]):
            self.tell_over(step.number)
        elif self.instances > 1:
            self._hints.tell_taken(step.number, self._crew.member().instance.record.file_name)

    def tell_over(self, number: int) -> None:
        """Say so. What is set aside may be made claimable at the same time, so a look afterwards decides."""
        if not self.shares or self.instances == 1:
            return
        board, folder = self.board, self.board.folders[number]
        failed, skipped = board.set_aside(folder)
        who = self._crew.member().instance.record.file_name
        self._hints.tell_over(number, failed, skipped, who)
        if failed or skipped:
            listing = board.read(folder)
            for name, position in board.tried(folder, listing):
                if board.find(position, self._work.slot(position), listing.items[name]).state not in SETTLED:
                    self._hints.take_back(number, who)

    def clear_chunks(self) -> None:
        """Remove what crashed or interrupted instances have left of chunks that are done by now."""
        for slot in self.board.finished_chunks():
            clear(self._crew.member().instance, slot, 1, declared_over=True)

    def hear(self) -> None:
        """Learn from the hints of others how many they are and what is taken or over."""
        try:
            heard = self._hints.read()
        except OSError:
            return
        self.instances = self.walk.instances = heard.instances
        if self._retry_failed:
            heard.over.clear()  # something there may be set aside
        self.board.hear(heard)

    def count(self, *, now: bool = False) -> None:
        """Count what the other machines have done; seldom enough to cost the server next to nothing. `now`: all."""
        began = time.monotonic()
        if self._count_seconds == float("inf") or (began < self._next_count and not now):
            return
        instance, raw = self._crew.latest_member.instance, self._crew.run.raw
        folders = self.board.open_folders()
        with suppress(OSError):  # whoever needs what is in there will say what is wrong
            for folder in folders if now else self._counting.choose(folders, self.instances):
                self.board.learn(folder, instance.listing(folder.path, raw, self.board.names(folder)))
        spent = time.monotonic() - began
        self._next_count = time.monotonic() + max(self._count_seconds, 50 * spent)

    def final_tally(self) -> Tally:
        """Count for the last time."""
        self.count(now=True)
        return self.board.tally()

    def end_if_over(self, index: int, slot: Slot, finding: Finding) -> None:
        """What this instance has dropped it does not take again; but nobody waits for a dead owner because of that."""
        if finding.state is not State.CLAIMED:
            return
        answer = self._crew.end_if_over(slot, finding.attempt)
        if isinstance(answer, Refusal):
            self.board.note_refusal(index, answer)
            self.board.states[index] = DROPPED

    def refresh(self, number: int) -> None:
        """Others hold what is open in this directory. If it has looked the same for long, have the server asked."""
        folder = self.board.folders[number]
        if self._stillness.is_due(number, self.board.count_unsettled(folder), time.monotonic()):
            with suppress(OSError):  # on a full disk others may go on; what else is wrong with it the listing says
                self._crew.member().instance.stir(folder.path)

    def _list(self, directory: str, names: Callable[[bool], Noted]) -> Listing:
        try:
            return self._crew.member().instance.listing(directory, names=names)
        except OSError as error:
            raise unusable(directory, error) from error

    def _assess(self, slot: Slot, files: Files) -> Finding:
        return assess(self._crew.member().instance, slot, files)

    def _learn(self, number: int) -> None:
        """Enter a directory, or look there again: somebody was faster, and the last listing was not a moment ago."""
        began = time.monotonic()
        due = self._next_listing.get(number)
        if due is None:
            self._enter(number)
        elif began >= due:
            self.board.read(self.board.folders[number])
            self._listed(number, began)
        else:
            self.walk.listed(number)

    def _listed(self, number: int, began: float) -> None:
        now = time.monotonic()
        self._next_listing[number] = now + max(_SHORTEST_SECONDS, _LISTING_SHARE * (now - began))
        self.walk.listed(number)
