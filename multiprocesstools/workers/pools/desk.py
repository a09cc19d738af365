"""What a pool does with a result, a failure or a message: it is counted, kept for those who iterate, and reported.

Guarantee: a result that nobody is connected to is kept until somebody iterates, and one that was kept is given out
once. Whatever a report raises is logged, and the run goes on.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from multiprocesstools.workers.pools.feed import Feed
from multiprocesstools.workers.pools.outbox import Done, Outbox
from multiprocesstools.workers.pools.staff import Job
from multiprocesstools.workers.pools.tally import Tally, TaskFailure

_log = logging.getLogger("multiprocesstools.workers")
_MOST_FAILURES = 1000


@dataclass(frozen=True, slots=True)
class Reports:
    """What is called, in the thread of the pool."""

    received: Callable[[Sequence[Done]], None]
    failed: Callable[[Any, BaseException], None]
    message: Callable[[str], None]
    progressed: Callable[[], None]
    has_receivers: Callable[[], bool]
    progress_is_heard: Callable[[], bool]


class Desk:
    """Everything of a pool that is seen from outside."""

    def __init__(self, reports: Reports, wake: Callable[[], None]) -> None:
        self._reports = reports
        self.outbox, self.tally = Outbox(wake), Tally()
        self.failures: deque[TaskFailure] = deque(maxlen=_MOST_FAILURES)
        self.finalized = False

    def took_results(self, done: Sequence[Done]) -> None:
        """Tasks are done. Who sees one counted finds it reported, too."""
        reports = self._reports
        if self.outbox.readers or not reports.has_receivers():
            self.outbox.put(done)
        else:
            self.outbox.put_none([job.number for job, _, _ in done])
            self.outbox.passed_by += len(done)
        step = 1 if reports.progress_is_heard() else len(done)
        for begin in range(0, len(done), step):
            some = done[begin : begin + step]
            self._report(reports.received, some)
            self.tally.settled += len(some)
            self._report(reports.progressed)

    def took_failure(self, job: Job, error: BaseException, traceback: str) -> None:
        """A task has failed for good."""
        self.tally.failed += 1
        self.failures.append(TaskFailure(job.task, error, traceback, job.attempt))
        _log.warning(
            "a task has failed (attempts: %d): %s", job.attempt, traceback or f"{type(error).__name__}: {error}"
        )
        self.outbox.put_none([job.number])
        self._report(self._reports.failed, job.task, error)
        self.tally.settled += 1
        self._report(self._reports.progressed)

    def took_message(self, text: str) -> None:
        """A worker has something to say."""
        self._report(self._reports.message, text)

    def is_all(self, feed: Feed) -> bool:
        """Is everything done that will ever come?"""
        return self.finalized and feed.is_over

    def warn_of_passed_by(self) -> None:
        """Somebody begins to read: say what he will not get."""
        lost, self.outbox.passed_by = self.outbox.passed_by, 0
        if lost:
            _log.warning(
                "%d results went to the slots of sig_results only, and are not iterated over; call results() before "
                "start() to have both", lost,
            )  # fmt: skip

    def _report(self, report: Callable[..., None], *facts: Any) -> None:
        try:
            report(*facts)
        except Exception:
            _log.exception("what hears of results has raised; the run goes on")
