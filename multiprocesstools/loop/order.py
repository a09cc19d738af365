"""What an instance does next among items that nobody has tried, as far as it knows. Pure: no disk, no clock.

"given" is the order of the list. "spread": it begins at a place of its own, far from those of others (`place_of`),
lists the directory and walks on from there, also into the next directory, so that neighbouring files are read one after
the other. Where it meets another instance, its neighbours are most likely the other's as well: it lists the directory
again if that is worth it, and goes to where most is open.

Guarantee: it ends when no item is open by the states, which the caller keeps up to date. Condition of few wasted
claims: listings say what others have.
"""

import random
import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from enum import Enum
from operator import itemgetter
from typing import NamedTuple

OPEN = 0
FEW_FOLDERS = 8
"""With fewer directories nobody needs hints: listing them costs less."""
MOST_LISTINGS_AT_START = 256
_STRETCH = re.compile(b"%c+" % OPEN)
_first = itemgetter(0)
_ENTRIES_PER_OPERATION = 60


class Act(Enum):
    """What is to be done next: list a directory, try an item, read the hints of others, or leave them one."""

    LIST = "list"
    TRY = "try"
    ASK = "ask"
    TELL = "tell"


class Step(NamedTuple):
    """`number` is that of a directory, or the position of an item."""

    act: Act
    number: int = 0


def listing_cost(entries: int) -> float:
    """In operations of the server: about 60 names fit into one answer."""
    return 1 + entries / _ENTRIES_PER_OPERATION


def lists_all_at_start(folders: int, instances: int) -> bool:
    """Is it cheap that every instance knows everything from the beginning?"""
    return folders < FEW_FOLDERS or folders * instances <= MOST_LISTINGS_AT_START


def place_of(number: int) -> float:
    """Where instance `number` begins, from 0 to 1: any N in a row lie nearly evenly (van der Corput's sequence)."""
    place, weight = 0.0, 0.5
    while number:
        number, bit = divmod(number, 2)
        place += bit * weight
        weight /= 2
    return place


class Walk:
    """Ask for the `next` step, do it, and say what came of it: `listed`, `met`. `spans` are the positions of each
    directory, `positions` all of them in the order of the list, `instances` how many take part, as far as is known."""

    def __init__(
        self, states: bytearray, spans: Sequence[tuple[int, int]], order: str, seed: str,
        positions: Sequence[int] = (), *, start: float = 0.0, shares: bool = False,
    ) -> None:  # fmt: skip
        """`start`: where to begin, from 0 to 1. `shares`: there are others, and hints for them and from them."""
        self._states, self._spans, self._chance = states, spans, random.Random(seed)
        self._given, self._turn = positions if order == "given" else None, 0
        self.shares, self.instances = shares, 1
        self._left = list(range(len(spans)))
        self._begin = int(start * len(states))
        self._next = bisect_right(spans, self._begin, key=_first) - 1
        self._known: set[int] = set()
        self._told: set[int] = set()
        self._here = self._place = self._end = -1
        self._lost = 0
        self._has_asked = self._is_crowded = False

    def listed(self, folder: int) -> None:
        """The states say what a listing of this directory has shown."""
        self._known.add(folder)
        self._place, self._lost = -1, 0

    def met(self) -> None:
        """Somebody else has the item that was tried last."""
        first, end = self._spans[self._here]
        self._lost += 1
        self._next, self._is_crowded = -1, True
        left = self._states.count(OPEN, first, end)
        if self._lost * left >= 2 * listing_cost(end - first):
            self._known.discard(self._here)
        self._place = -1

    def next_neighbour(self) -> int:
        """The next open item of the stretch that it walks along, which needs no other step; -1 if there is none."""
        if self._place < 0:
            return -1
        place = self._states.find(OPEN, self._place + 1, self._end)
        if place >= 0:
            self._place = place
        return place

    def next(self) -> Step | None:
        """None: nothing is open any more."""
        return self._next_given() if self._given is not None else self._next_near()

    def _next_given(self) -> Step | None:
        given = self._given
        while given is not None and self._turn < len(given):
            position = given[self._turn]
            if self._states[position] == OPEN:
                self._here = bisect_right(self._spans, position, key=_first) - 1
                if self._here not in self._known:
                    return Step(Act.LIST, self._here)
                self._turn += 1
                return Step(Act.TRY, position)
            self._turn += 1
        return None

    def _next_near(self) -> Step | None:
        while True:
            if self._here >= 0:
                if self._here not in self._known and self._is_open(self._here):
                    return Step(Act.LIST, self._here)
                if (place := self._next_place()) >= 0:
                    return Step(Act.TRY, place)
                folder, self._here = self._here, -1
                if self.shares and folder not in self._told:
                    self._told.add(folder)
                    return Step(Act.TELL, folder)
            if self.shares and not self._has_asked:
                self._has_asked = True
                return Step(Act.ASK)
            if not self._choose():
                return None

    def _choose(self) -> bool:
        """Another directory in which something may be open."""
        self._has_asked = self._is_crowded = False
        self._place = -1
        self._lost = 0
        self._left = [folder for folder in self._left if self._is_open(folder)]
        if self._left:
            near = bisect_left(self._left, self._next) % len(self._left)
            self._here = self._left[near] if self._next >= 0 else self._chance.choice(self._behind())
            self._next = self._here + 1
        return bool(self._left)

    def _behind(self) -> list[int]:
        """The open directories behind an open one, if there are any: in the first of several somebody is at work. When
        those who take part are as many as the directories, somebody is in each."""
        if self.instances >= len(self._left):
            return self._left
        there = set(self._left)
        return [folder for folder in self._left if (folder or len(self._spans)) - 1 in there] or self._left

    def _is_open(self, folder: int) -> bool:
        return self._states.find(OPEN, *self._spans[folder]) >= 0

    def _next_place(self) -> int:
        """The next open place around the directory, from where it was or from anywhere; -1 if there is none."""
        first, end = self._spans[self._here]
        start = self._place + 1 if self._place >= 0 else self._entrance(first, end)
        place = self._states.find(OPEN, start, end)
        self._place, self._end = place if place >= 0 else self._states.find(OPEN, first, start), end
        return self._place

    def _entrance(self, first: int, end: int) -> int:
        """Where to begin: where nobody comes from, or near the middle of an open stretch towards which others walk. By
        chance, the longer ones more often: many may come here at the same moment, and know the same."""
        if first <= self._begin < end:
            begin, self._begin = self._begin, -1
            if self._states[begin] == OPEN:
                return begin
        stretches = [match.span() for match in _STRETCH.finditer(self._states, first, end)]
        if not stretches:
            return first
        (begin, stop), *_ = self._chance.choices(stretches, [self._room(stretch) for stretch in stretches])
        if not self._is_approached(begin) and not self._is_crowded:
            return begin
        quarter = (stop - begin) // 4
        return self._chance.randrange(begin + quarter, stop - quarter)

    def _room(self, stretch: tuple[int, int]) -> float:
        """How many items somebody who begins there may get."""
        begin, stop = stretch
        return (stop - begin) / (2 if self._is_approached(begin) else 1)

    def _is_approached(self, begin: int) -> bool:
        """Does somebody work on the item before?"""
        return begin > 0 and self._states[begin - 1] == OPEN + 1
