"""The chunks of one loop: which items belong together, and how large chunks are to be where that is measured.

Guarantee: with "auto" nothing but the heads of the directories is claimed before a cut is recorded that all instances
know (`plans`).
"""

import random
import time
from collections.abc import Callable, Iterator

from multiprocesstools.claims.claim import Refusal
from multiprocesstools.claims.hands import Claim
from multiprocesstools.claims.slots import Slot
from multiprocesstools.crew.crew import Crew
from multiprocesstools.loop.board import Board
from multiprocesstools.loop.order import OPEN
from multiprocesstools.plans.cut import Cut, suggested_items
from multiprocesstools.plans.finals import WorkList

_ENOUGH_ITEMS, _ENOUGH_SECONDS, _LONG_SECONDS = 8, 0.05, 0.5
_LOOK_SECONDS, _PATIENCE_SECONDS = 0.2, 1.0

Propose = Callable[[int], Cut]
"""Record so many items a chunk, or learn what somebody else has recorded; with 0 only look."""


class Chunks:
    """`propose` asks the plan."""

    def __init__(self, crew: Crew, work: WorkList, board: Board, propose: Propose) -> None:
        self._crew, self._work, self._board, self._propose = crew, work, board, propose
        self._next_look = 0.0

    # -- claiming

    def span(self, position: int) -> range:
        """The positions of all items that are claimed together with this one."""
        folder = self._work.folder(position)
        places = self._work.cut.places(position - folder.first, len(folder.names))
        return range(folder.first + places.start, folder.first + places.stop)

    def take(self, slot: Slot, span: range) -> Claim | None:
        """Try to win the chunk of an item. None: the items are in other hands."""
        taken = self._crew.take_chunk(slot.holder(1))
        if isinstance(taken, Refusal):
            self._board.note_taken(span)
            return None
        return taken

    def leave(self, chunk: Claim, span: range) -> None:
        self._crew.leave_chunk(chunk, done=self._board.is_done(span))

    # -- measuring

    @property
    def are_cut(self) -> bool:
        return self._work.cut.items > 0

    def heads(self) -> Iterator[int]:
        """The positions of the items that are claimed one by one to be measured, beginning at a place of its own; none
        when the list is cut."""
        if self.are_cut:
            return iter(())
        chance = random.Random(self._crew.member().instance.record.id)
        head, folders = self._work.cut.head, self._work.folders
        found = [place for folder in folders for place in range(folder.first, min(folder.first + head, folder.end))]
        start = chance.randrange(len(found))
        return (position for position in found[start:] + found[:start] if self._board.states[position] == OPEN)

    def decide(self, items: int, seconds: float) -> bool:
        """Is the list cut by now? It is when so many items, done in so many seconds, are enough to say how."""
        if (items >= _ENOUGH_ITEMS and seconds >= _ENOUGH_SECONDS) or (items and seconds >= _LONG_SECONDS):
            self._work.cut = self._propose(self._suggested(items, seconds))
        elif time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_SECONDS
            self._work.cut = self._propose(0)
        return self.are_cut

    def insist(self, items: int, seconds: float) -> None:
        """No head is left for this instance. Others are measuring; who takes longer than a moment has long items."""
        if self.are_cut:
            return
        end = time.monotonic() + (0.0 if items else _PATIENCE_SECONDS)
        while not self.decide(0, 0.0) and time.monotonic() < end:
            self._crew.run.clock.sleep(_LOOK_SECONDS / 2)
        if not self.are_cut:
            self._work.cut = self._propose(self._suggested(items, seconds) if items else 1)

    def _suggested(self, items: int, seconds: float) -> int:
        instances = len(self._crew.run.disk.list(self._crew.run.instances))
        return suggested_items(seconds / items, self._board.states.count(OPEN), instances)
