"""How many processes may run: a number, and what the machine has left.

Guarantee: one may always begin, so that a queue comes to its end on a busy machine, too.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

from multiprocesstools.errors import BadArgument
from multiprocesstools.workers.pools.engine import check_count


def available_memory() -> int:
    """Bytes that can be had without swapping."""
    import psutil

    return int(psutil.virtual_memory().available)


def load_average() -> float:
    """The load average of the last minute."""
    return os.getloadavg()[0]


@dataclass(slots=True)
class Bounds:
    """`memory` and `load` are asked only if there is a bound for them."""

    running: int
    free_memory: int | None = None
    load: float | None = None
    memory_now: Callable[[], int] = available_memory
    load_now: Callable[[], float] = load_average

    def __post_init__(self) -> None:
        check_count("maximum_running_processes", self.running)
        for argument, value in (("minimum_free_memory", self.free_memory), ("maximum_load", self.load)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
                raise BadArgument(argument, value, "it must be a number above 0, or None")

    @property
    def depend_on_the_machine(self) -> bool:
        """Must they be looked at again, although nothing has happened here?"""
        return self.free_memory is not None or self.load is not None

    def allow(self, running: int) -> bool:
        """May one more begin, while so many run?"""
        if running == 0:
            return True
        if running >= self.running:
            return False
        if self.free_memory is not None and self.memory_now() < self.free_memory:
            return False
        return self.load is None or self.load_now() <= self.load
