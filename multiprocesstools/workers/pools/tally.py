"""What has come of the tasks of a pool so far, as numbers and as facts."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """A task that has failed for good: its last error, with the traceback from the worker if it raised, and how often
    it was tried."""

    task: Any
    error: BaseException
    traceback: str
    attempts: int


@dataclass(slots=True)
class Tally:
    """`settled`: tasks that have a result or have failed. `base`: those of them that belong to earlier functions."""

    settled: int = 0
    failed: int = 0
    base: int = 0

    def progress(self, target: int) -> float:
        """Settled / known, of the latest function; -1 without tasks."""
        known = target - self.base
        return (self.settled - self.base) / known if known > 0 else -1.0
