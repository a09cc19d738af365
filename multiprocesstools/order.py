"""In which order an instance walks through the items that nobody has tried.

"given" is the order of the list. "spread" begins at a place of the instance's own and walks on from there, so that
neighbouring files are read one after the other; where it meets another instance it jumps to another open place.
"""

import random
from collections.abc import Iterator

OPEN = 0


class Walk:
    """The indices whose state is OPEN, in order. Say `met()` when the last one turned out to be taken."""

    def __init__(self, states: bytearray, order: str, seed: str) -> None:
        self._states, self._order = states, order
        self._chance = random.Random(seed)
        self._met = False

    def met(self) -> None:
        """Somebody else has that item: its neighbours are most likely theirs as well."""
        self._met = True

    def __iter__(self) -> Iterator[int]:
        """Each index as long as it is open when its turn comes. The states are expected to change meanwhile."""
        states = self._states
        position = self._next_open(0 if self._order == "given" else self._chance.randrange(max(len(states), 1)))
        while position >= 0:
            self._met = False
            yield position
            if self._met and self._order == "spread":
                position = self._next_open(self._chance.randrange(len(states)))
            else:
                position = self._next_open(position + 1)

    def _next_open(self, start: int) -> int:
        """The first open index from `start` on, around the end; -1 if there is none."""
        there = self._states.find(OPEN, start)
        if there < 0 and self._order == "spread":
            there = self._states.find(OPEN, 0, start)
        return there
