"""Time, handed in as an object, so that tests and simulations can bring their own."""

import time
from functools import partial
from typing import Protocol


class Clock(Protocol):
    """Two clocks and a pause. Neither clock is ever compared between machines."""

    def wall(self) -> float:
        """Seconds since the epoch, for people and journals only."""

    def elapsed(self) -> float:
        """Seconds on a clock that never jumps and goes on while the machine is suspended (CLOCK_BOOTTIME)."""

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""


class SystemClock:
    """The clock of this machine. Asked several times per item, so its methods are those of the system."""

    wall = staticmethod(time.time)
    elapsed = staticmethod(partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)))
    sleep = staticmethod(time.sleep)
