"""How an item ended for this instance, and how many ended badly in a row."""

from enum import StrEnum

from multiprocesstools.errors import TooManyFailures
from multiprocesstools.items.failure import Failure


class Fate(StrEnum):
    """How an item ended for this instance; `nothing written` is a failure that a `break` turns into `dropped`."""

    DONE = "done"
    LOST = "lost"
    FAILED = "failed"
    SKIPPED = "skipped"
    DROPPED = "dropped"
    UNDECIDED = "nothing written"


class Streak:
    """The failures in a row of one loop; `limit` of them without a success end it."""

    def __init__(self, limit: int | None) -> None:
        self._limit, self.length = limit, 0
        self.last_error: BaseException | None = None

    def note(self, fate: Fate, last: Failure | None, *, counts: bool) -> None:
        """An item has ended so. TooManyFailures. `counts`: whether a failure does: repeated tries come last and in a
        bunch, so after a success they say nothing."""
        if fate in (Fate.DONE, Fate.SKIPPED):
            self.length = 0
        elif fate is Fate.FAILED and counts:
            self.length += 1
        if self._limit is not None and self.length >= self._limit and last is not None:
            raise TooManyFailures(self.length, last.exception) from self.last_error
