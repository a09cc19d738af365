"""Where the steps of a run lie, and what can be read there without taking part.

<run>/.multiprocesstools/steps/     the record (`ledger`)
<run>/steps/                        the items: what each finished step has left
"""

import os

from multiprocesstools.claims import ended as ended_files
from multiprocesstools.claims.ended import Outcome as Ending
from multiprocesstools.claims.slots import Listing, Slot, read_listing
from multiprocesstools.claims.survey import State, decide, needed_attempts
from multiprocesstools.items.results import decode
from multiprocesstools.run.directory import Run
from multiprocesstools.run.settings import Settings
from multiprocesstools.steps.ledger import Ledger
from multiprocesstools.steps.step import Outcome, Status

RECORD, ITEMS = "steps", "steps"
_STATUS = {State.FAILED: Status.FAILED, State.CLAIMED: Status.RUNNING}


class Place:
    """The steps of a run, for those who look."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.record = f"{run.home}/{RECORD}"
        self.items = f"{run.directory}/{ITEMS}"

    def has_steps(self) -> bool:
        return os.path.isdir(self.record)

    def ledger(self, *, durable: bool = True) -> Ledger:
        return Ledger(self.run.disk, self.run.clock, self.record, self.run.private, durable=durable)

    def listing(self) -> Listing:
        """What is to be seen of all steps."""
        if not os.path.isdir(self.items):
            return read_listing(self.items, [])
        return self.run.disk.scan(self.items, lambda entries: read_listing(self.items, entries))

    def slot(self, item: str) -> Slot:
        return Slot(self.items, item)

    def outcome(self, item: str, listing: Listing, max_attempts: int | None = None) -> Outcome | None:
        """What has become of a step; None: nobody has begun it, or it was given back."""
        files = listing.files(item)
        if files.done:
            return self.finished(item)
        if not files.highest:
            return None
        limit = max_attempts or (self.run.settings() or Settings()).max_attempts
        ended = {k: self._end(item, k) for k in needed_attempts(files)}
        finding = decide(files, {k: end for k, end in ended.items() if end is not None}, limit)
        status, last = _STATUS.get(finding.state), finding.last
        if status is Status.RUNNING or last is None:
            return Outcome(Status.RUNNING, attempt=finding.attempt) if status is Status.RUNNING else None
        return Outcome(
            status or Status.NEW, error=last.exception, traceback=last.traceback, host=last.host, pid=last.pid,
            started=last.started, ended=last.ended, attempt=finding.attempt,
        )  # fmt: skip

    def finished(self, item: str) -> Outcome | None:
        """The outcome in the final of a step. None: it is not there, or is none."""
        try:
            line = decode(self.run.disk.read(self.slot(item).final, 1 << 28) or b"")
            return Outcome(
                Status.FINISHED, line["result"], tuple(line["files"]), host=line["host"], pid=line["pid"],
                started=line["started"], ended=line["ended"], attempt=line["attempt"],
                without=tuple(line.get("without", ())),
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def is_whole(self, item: str) -> bool:
        """Are the files that a finished step has made still there, and was nothing missing when it began?"""
        outcome = self.finished(item)
        if outcome is None or outcome.without:
            return False
        return all(os.path.lexists(self.run.absolute(file)) for file in outcome.files)

    def _end(self, item: str, attempt: int) -> "ended_files.Ended | None":
        try:
            data = self.run.disk.read(self.slot(item).ended(attempt))
        except OSError as error:
            return ended_files.Ended(Ending.UNREADABLE, exception=str(error))
        return None if data is None else ended_files.decode(data)
