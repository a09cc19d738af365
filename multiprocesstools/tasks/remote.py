"""A server as the source of partitions: each is leased by it, and a thread renews the lease while the work goes on.

    leased --results handed in--> accepted | late (another result was first)
           --exception--> recorded there with its traceback, with what was computed; another worker tries it
           --Ctrl-C, SIGTERM or SIGHUP--> given back at once, with what was computed; no attempt is counted
           --this process is killed, stopped or cut off--> expired there after `lease_seconds`

Guarantee: what a server has accepted is on its disk. A server that is away for less than `patience_seconds` (300; 20
for the first contact) is waited for, with growing pauses; the work in hand goes on meanwhile.
"""

import os
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import suppress
from socket import gethostname
from types import TracebackType
from typing import TYPE_CHECKING, Any

from multiprocesstools.crew.signals import Guard
from multiprocesstools.errors import (
    BadArgument,
    CannotSave,
    ServerRefused,
    ServerUnreachable,
    StoresDiffer,
    TooManyFailures,
)
from multiprocesstools.items.failure import failure_of
from multiprocesstools.tasks.calls import Server
from multiprocesstools.tasks.description import describe
from multiprocesstools.tasks.parcel import Parcel, Unfit, decode, parcel_of
from multiprocesstools.tasks.source import Assignment, Wishes
from multiprocesstools.tasks.token import read_token

if TYPE_CHECKING:
    from multiprocesstools.tasks.store import TaskStore

_PATIENCE_SECONDS, _FIRST_PATIENCE_SECONDS = 300.0, 20.0
_STOP_AFTER = 10
_RENEWALS_PER_LEASE = 4
_LAST_WORD_SECONDS = 10.0
_ENVELOPE_BYTES = 4096


class RemoteSource:
    """The partitions that a server hands out. BadArgument for a url, a token file or an option that cannot be."""

    def __init__(self, url: str, store: "TaskStore", wishes: Wishes) -> None:
        self._store, self._patience = store, _patience(wishes.options)
        token = None if wishes.token_file is None else read_token(wishes.token_file)
        self._server = Server(url, token)
        self._worker = f"{gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"
        self._failures = 0
        self._in_hand: RemoteAssignment | None = None
        self._guard = Guard(self)

    def __enter__(self) -> "RemoteSource":
        """ServerUnreachable, ServerRefused; StoresDiffer if the server has another store."""
        mine = describe(self._store)
        first = min(self._patience, _FIRST_PATIENCE_SECONDS)
        try:
            self._about = dict(self._server.call("describe", patience_seconds=first))
            theirs = {"ident": self._about["ident"], "num_tasks": self._about["num_tasks"]}
        except (TypeError, ValueError, KeyError) as error:
            raise ServerRefused(self._server.url, "it describes no task store; is it a server of tasks?") from error
        if theirs != {"ident": mine.ident, "num_tasks": mine.num_tasks}:
            raise StoresDiffer(self._server.url, theirs, mine.as_dict())
        self._guard.enter()
        return self

    def __exit__(self, *error: Any) -> None:
        self._guard.leave()

    def assignments(self) -> Generator[Assignment, None, None]:
        """TooManyFailures after ten failures in a row without a success, as in a loop by files."""
        while self._guard.signalled is None:
            answer = self.call("get_task", self._worker)
            if answer["state"] == "over":
                return
            if answer["state"] == "task":
                self._in_hand = assignment = RemoteAssignment(self, answer)
                yield assignment
                self._in_hand = None
                self._count(assignment)
            else:
                time.sleep(answer["retry_seconds"])

    def call(self, method: str, *arguments: Any) -> Any:
        return self._server.call(method, *arguments, patience_seconds=self._patience)

    def call_once(self, method: str, *arguments: Any, answer_seconds: float) -> Any:
        """Without waiting for a server that is away, or for an answer that is lost."""
        return self._server.call(method, *arguments, answer_seconds=answer_seconds)

    @property
    def most_bytes(self) -> int:
        return int(self._about["most_bytes"])

    @property
    def ident(self) -> str:
        return str(self._about["ident"])

    # -- when a signal comes

    def interrupted(self, number: int) -> None:
        """There is no journal here."""

    def give_up_all(self, *, in_place: bool = True) -> None:
        """Give back what is in hand, with what was computed of it; the work on it may still go on."""
        if self._in_hand is not None:
            self._in_hand.give_up()

    def die(self) -> None:
        """Nothing stays open."""

    # -- inside

    def _count(self, assignment: "RemoteAssignment") -> None:
        self._failures = self._failures + 1 if assignment.failed else 0
        if self._failures >= _STOP_AFTER:
            raise TooManyFailures(self._failures, assignment.words)


class RemoteAssignment:
    """A partition that is leased."""

    def __init__(self, source: RemoteSource, answer: Mapping[str, Any]) -> None:
        self._source, self._lease = source, str(answer["lease"])
        self.number, self.indices = int(answer["partition"]), [int(index) for index in answer["indices"]]
        self._every = float(answer["lease_seconds"]) / _RENEWALS_PER_LEASE
        self.kept = _kept(source.ident, answer["kept"])
        self.done, self.failed, self.words = False, False, ""
        self._tasks, self._results = 0, b""
        self._over, self._given_up, self._pid = threading.Event(), False, os.getpid()
        self._heart = threading.Thread(target=self._beat, name="tasks-lease", daemon=True)

    def renew(self) -> None:
        self._tasks += 1

    def publish(self, results: Parcel) -> None:
        """CannotSave for what is larger than the server takes."""
        self._results = results.encode()
        size = len(self._results) * 4 // 3 * 77 // 76 + _ENVELOPE_BYTES  # base64, with a line feed after 76 characters
        if size > self._source.most_bytes:
            reason = f"the server takes {self._source.most_bytes:,}; cut the store into more partitions, or serve with "
            raise CannotSave(f"partition {self.number}", "results", f"{size:,} bytes", f"{reason}another most_bytes")

    def give_up(self) -> None:
        """This process is to end: the server is told once, and else sees the silence."""
        if not (self._given_up or self.done):
            self._given_up = True
            with suppress(ServerUnreachable, ServerRefused):
                self._source.call_once("give_back", self._lease, self._partial(), answer_seconds=_LAST_WORD_SECONDS)

    def __enter__(self) -> "RemoteAssignment":
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._pid != os.getpid():
            return False  # a forked child never settles what its parent holds
        try:
            return self._settle(error)
        finally:
            self._over.set()
            self._heart.join()

    def _settle(self, error: BaseException | None) -> bool:
        if error is None:
            self.done = self._source.call("task_done", self._lease, self._results) == "accepted"
        elif isinstance(error, Exception | SystemExit):
            self._tell_failure(error)
        else:
            self.give_up()
        return isinstance(error, Exception)

    def _tell_failure(self, error: BaseException) -> None:
        failure = failure_of("", 1, error)
        self.failed, self.words = True, failure.exception
        self._source.call("task_failed", self._lease, failure.exception, failure.traceback, self._partial())

    def _partial(self) -> bytes:
        """What was computed, if there is something and the server takes so much."""
        data = self.kept.encode() if len(self.kept) else b""
        return data if 2 * len(data) + _ENVELOPE_BYTES < self._source.most_bytes else b""

    def _beat(self) -> None:
        while not self._over.wait(self._every):
            try:
                self._source.call_once("renew", self._lease, self._tasks, answer_seconds=max(self._every, 1.0))
            except (ServerUnreachable, ServerRefused):
                continue  # it may come back; whether the results count is said when they are handed in


def _kept(ident: str, data: bytes) -> Parcel:
    """What earlier attempts have computed; what cannot be read is computed again. Nothing is unpickled."""
    try:
        _, indices, results = decode(data)
        return parcel_of(ident, zip(indices, results, strict=True))
    except (Unfit, CannotSave):
        return parcel_of(ident, ())


def _patience(options: Mapping[str, Any]) -> float:
    others = sorted(set(options) - {"patience_seconds"})
    if others:
        raise BadArgument(others[0], options[others[0]], "a server has its own; a url goes with patience_seconds")
    patience = options.get("patience_seconds", _PATIENCE_SECONDS)
    if isinstance(patience, bool) or not isinstance(patience, int | float) or not patience >= 0:
        raise BadArgument("patience_seconds", patience, "it must be a number of seconds, at least 0")
    return float(patience)
