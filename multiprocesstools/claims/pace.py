"""The beats of an instance that are known to have reached the disk, whoever wrote them: it, or a process beside it.

Guarantee: no silence goes unnoticed that was long enough for others to take over, also one that was over before we
heard of it. Condition: whoever beats reports what reached the disk, in order.
"""

from collections.abc import Callable
from typing import Protocol

from multiprocesstools.clock import Clock

NoteBeat = Callable[[float, float], None]
"""Told of a beat: when it began, and when it was on the disk (elapsed clock)."""


class Pace(Protocol):
    """Another process that beats for an instance."""

    @property
    def runs(self) -> bool:
        """Was it there when its reports were last read?"""

    def listen(self, note: NoteBeat) -> None:
        """Hand what it has reported since the last time to `note`."""


class Beats:
    """The beats of one instance. `pace` is the process that beats beside it, if there is one."""

    def __init__(self, clock: Clock, long_seconds: float, warn: Callable[[], None]) -> None:
        """`warn` is called when the instance was silent for `long_seconds`."""
        self._clock, self._long_seconds, self._warn = clock, long_seconds, warn
        self._latest = clock.elapsed()
        self._overdue_at = self._latest + long_seconds
        self.pace: Pace | None = None
        self.count = 0
        self.warned = False

    @property
    def latest(self) -> float:
        """When the latest one began (elapsed clock)."""
        if self.pace is not None:
            self.pace.listen(self.note)
        return self._latest

    def overdue(self) -> bool:
        """Has there been none for so long that others may take over?"""
        if self.pace is not None:
            self.pace.listen(self.note)
        return self._clock.elapsed() > self._overdue_at

    @property
    def come_from_elsewhere(self) -> bool:
        """Is there a process that beats, and that gets through?"""
        return not self.overdue() and self.pace is not None and self.pace.runs

    def note(self, began: float, arrived: float) -> None:
        """See `NoteBeat`."""
        if arrived - self._latest > self._long_seconds:  # late, or the write hung: others may have seen nothing since
            self._warn()
        self._latest, self.count = max(self._latest, began), self.count + 1
        self._overdue_at = self._latest + self._long_seconds
        self.warned = arrived - self._latest > self._long_seconds
