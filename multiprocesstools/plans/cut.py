"""How a list of items is cut into chunks, and how large chunks should be. Pure: no disk, no clock.

A chunk is a range of neighbouring items of one directory, by their places in the full list, never by what is left of
it: so all instances with the same list and the same cut have the same chunks. With "auto" the first items of each
directory are left single (`head`): they are measured before the rest is cut.
"""

from dataclasses import dataclass

from multiprocesstools.claims.slots import chunk_name
from multiprocesstools.errors import BadArgument

MOST_ITEMS = 10_000
_CHUNK_SECONDS = 1.0
_SHARE_OF_RUN = 0.02
_HEAD_OF_ALL, _LEAST_HEAD = 64, 4


@dataclass(frozen=True, slots=True)
class Cut:
    """The cut of one plan, by its key: so many `items` a chunk (1: no chunks), after the `head` of each directory.

    With 0 items a chunk it still has to be measured, and only the heads may be claimed.
    """

    plan: str = ""
    items: int = 1
    head: int = 0

    def chunk(self, place: int) -> str:
        """The name of the chunk of the item at this place of its directory; empty if it is claimed by itself."""
        if self.items <= 1 or place < self.head:
            return ""
        return chunk_name(self.plan, (place - self.head) // self.items)

    def places(self, place: int, count: int) -> range:
        """The places of the items that are claimed together with this one, in a directory with so many items."""
        if self.items <= 1 or place < self.head:
            return range(place, place + 1)
        first = place - (place - self.head) % self.items
        return range(first, min(first + self.items, count))

    def places_of(self, chunk: str, count: int) -> range:
        """The places of the items of a chunk, by its name, in a directory with so many items; none for other names."""
        stem, _, number = chunk.rpartition("-")
        if self.items <= 1 or stem != chunk_name(self.plan, 0).rpartition("-")[0] or not number.isdecimal():
            return range(0)
        first = self.head + int(number) * self.items
        return range(first, min(first + self.items, count))


SINGLE = Cut()
"""Each item is claimed by itself."""


def check_chunk(chunk: object) -> "int | str":
    """The argument `chunk` itself. BadArgument."""
    whole = isinstance(chunk, int) and not isinstance(chunk, bool) and 1 <= chunk <= MOST_ITEMS
    if chunk == "auto" or whole:
        return chunk  # type: ignore[return-value]
    raise BadArgument("chunk", chunk, f'it must be "auto" or a whole number from 1 to {MOST_ITEMS:,}')


def head_of(directories: int) -> int:
    """How many items of each directory are left single, to be measured."""
    return max(_LEAST_HEAD, _HEAD_OF_ALL // directories)


def suggested_items(seconds: float, items: int, instances: int) -> int:
    """A size for chunks of items that take so many seconds each.

    A chunk lasts a second at most, because longer ones save nothing that could be noticed; and a small share of the
    run, because at its end others wait for the last chunk.
    """
    by_time = _CHUNK_SECONDS / max(seconds, 1e-6)
    by_share = _SHARE_OF_RUN * items / max(instances, 1)
    return max(1, min(MOST_ITEMS, int(by_time), int(by_share)))
