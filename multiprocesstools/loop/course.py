"""Whether a loop goes on: it waits while the run is paused, and is over when it is asked to stop or its time is near.

    going on <-> paused (begins nothing new, and beats)
             --> over: a signal, `multiprocesstools stop`, or `until`

Guarantee: a loop that ended for want of time while items were left says so to its crew, so that nothing is merged too
early.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from multiprocesstools.crew.crew import Crew

if TYPE_CHECKING:
    from multiprocesstools.loop.until import Limit


class Course:
    """The course of one loop, over the list with this key. `limit`: when it has to be over, if it has to be."""

    def __init__(self, crew: Crew, key: str = "", limit: "Limit | None" = None) -> None:
        self._crew, self._key, self._limit = crew, key, limit
        self.has_limit = limit is not None

    def is_over(self) -> bool:
        """Is the loop to begin nothing any more?"""
        crew = self._crew
        if crew.stop_requested or crew.guard.signalled is not None:
            return True
        return self._limit is not None and self._limit.is_near()

    def goes_on(self, hold: Callable[[], None]) -> bool:
        """May the next item be begun? While the run is paused it waits, and tells `hold` before."""
        if self._crew.is_undisturbed() and not self.has_limit:
            return True
        if self._crew.paused:
            hold()
            self._crew.wait_out_pause(self.is_over)
        return not self.is_over()

    # -- what items take

    def end(self, began: float, *, whole: bool) -> None:
        """An item that `began` then (elapsed clock) is settled; `whole`: the work on it was done to its end."""
        if self._limit is not None:
            self._limit.note(self._crew.run.clock.elapsed() - began, whole=whole)

    # -- the end

    def close(self, left: int) -> str:
        """The loop has ended, and so many items are left: why, if it ended before everything was done."""
        if not left:
            self._crew.cut_short.pop(self._key, None)
        if self._crew.guard.signalled is not None:
            return "interrupted by a signal"
        if self._crew.stop_requested:
            return "stopped, as `multiprocesstools stop` asked"
        if not left or self._limit is None or not self._limit.is_reached:
            return ""
        self._crew.cut_short[self._key] = self._limit.reason()
        return self._limit.reason()
