"""What a server does for its workers: the methods that can be called over XML-RPC, and nothing else.

    describe()                              the store: {"ident", "num_tasks", "num_partitions", "most_bytes", ...}
    get_task(worker="")                     {"state": "task", "lease", "partition", "indices", "kept", "lease_seconds"},
                                            {"state": "wait", "retry_seconds"}: others may fail, ask again;
                                            {"state": "over"}
    renew(lease, tasks=0)                   True; False if somebody else may have the partition by now
    task_done(lease, results)               "accepted", "duplicate" (another result was first), or "kept"
    task_failed(lease, error, traceback="", kept=b"")
    give_back(lease, kept=b"")              the worker ends early
    status()                                the counts, and "text": the three lines of the original
    reschedule()                            hand out again what is in work; the partitions
    save2file(name)                         the arrays of the store, as an .npz in the run directory; its path
    exit()                                  end the server; nothing is lost

`results` is a list of one value per index, a text with such a list in JSON, or a parcel; bytes in the list are an array
as numpy.save writes it. Guarantee: what is called wrongly is refused in words (Refused) and changes nothing; no path
outside the run directory is written, and no pickle is loaded. Condition: who calls has passed the listener's token.
"""

import inspect
import json
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from multiprocesstools.errors import BadArgument
from multiprocesstools.helper import MultiProcessHelper
from multiprocesstools.tasks.desk import Desk
from multiprocesstools.tasks.parcel import array_of

if TYPE_CHECKING:
    from multiprocesstools.run.directory import Run
    from multiprocesstools.tasks.shelf import Shelf
    from multiprocesstools.tasks.state import StoreStatus

METHODS = (
    "describe", "get_task", "renew", "task_done", "task_failed", "give_back", "status", "reschedule", "save2file",
    "exit",
)  # fmt: skip
RETRY_SECONDS = 0.5
_MOST_WORDS, _MOST_TRACE, _MOST_NAME = 2_000, 50_000, 200
_LOOK_SECONDS = 1.0


class Refused(ValueError):
    """What was called cannot be done, in words for the caller."""


class Manager(Protocol):
    """What of a TaskManager a server needs."""

    run: "Run"
    shelf: "Shelf"

    def status(self) -> "StoreStatus": ...

    def save2file(self, path: str) -> str: ...


class Service:
    """The methods. They may be called by several threads. `ended` and `changed` are what the server waits for."""

    def __init__(
        self, manager: Manager, helper: MultiProcessHelper, desk: Desk, *, lease_seconds: float, most_bytes: int
    ) -> None:
        self._manager, self._helper, self._desk = manager, helper, desk
        self._lease_seconds, self._most_bytes = lease_seconds, most_bytes
        self.ended, self.changed, self.store_lock = threading.Event(), threading.Event(), threading.RLock()
        self._over, self._looked = False, float("-inf")
        self._seen: dict[str, float] = {}

    def call(self, method: str, arguments: tuple[Any, ...]) -> Any:
        """The value of a method. Refused; OSError when it can be tried again."""
        if method not in METHODS:
            raise Refused(f"there is no method {method!r}; there are {', '.join(METHODS)}")
        function: Callable[..., Any] = getattr(self, method)
        try:
            inspect.signature(function).bind(*arguments)
        except TypeError as error:
            raise Refused(f"{method}{inspect.signature(function)}: {error}") from error
        try:
            return function(*arguments)
        except (TypeError, ValueError) as error:
            raise Refused(str(error)) from error

    # -- for workers

    def describe(self) -> dict[str, Any]:
        found = self._manager.shelf.description
        return {
            "ident": found.ident, "num_tasks": found.num_tasks, "num_partitions": found.num_partitions,
            "selected": len(found.selected), "most_bytes": self._most_bytes, "lease_seconds": self._lease_seconds,
        }  # fmt: skip

    def get_task(self, worker: str = "") -> dict[str, Any]:
        worker = _text("worker", worker, _MOST_NAME)
        if not (self._helper.stop_requested or self.ended.is_set()):
            if not self._helper.paused and (grant := self._desk.take(worker)) is not None:
                self._note(worker, over=False)
                return {
                    "state": "task", "lease": grant.lease.name, "partition": grant.lease.number,
                    "indices": grant.indices, "kept": grant.kept.encode() if len(grant.kept) else b"",
                    "lease_seconds": self._lease_seconds,
                }  # fmt: skip
            if not self.is_over():
                self._note(worker, over=False)
                return {"state": "wait", "retry_seconds": RETRY_SECONDS}
        self._note(worker, over=True)
        return {"state": "over"}

    def renew(self, lease: str, tasks: int = 0) -> bool:
        return self._desk.renew(_text("lease", lease), _whole("tasks", tasks))

    def task_done(self, lease: str, results: Any) -> str:
        if isinstance(results, str):
            results = json.loads(results)
        if not isinstance(results, (list, bytes)):
            raise Refused("results must be a list, a text with a list in JSON, or a parcel")
        if isinstance(results, list):
            results = [array_of(value) if isinstance(value, bytes) else value for value in results]
        said = self._desk.accept(_text("lease", lease), results)
        self.changed.set()
        return said

    def task_failed(self, lease: str, error: str, traceback: str = "", kept: bytes = b"") -> bool:
        words, trace = _text("error", error)[:_MOST_WORDS], _text("traceback", traceback)[-_MOST_TRACE:]
        return self._desk.fail(_text("lease", lease), words, trace, _bytes("kept", kept))

    def give_back(self, lease: str, kept: bytes = b"") -> bool:
        return self._desk.give_back(_text("lease", lease), _bytes("kept", kept))

    # -- for people

    def status(self) -> dict[str, Any]:
        status = self._manager.status()
        counts = {key: value for key, value in status.as_dict().items() if isinstance(value, (int, str))}
        return counts | {"leased": len(self._desk), "text": str(status)}

    def reschedule(self) -> list[int]:
        return self._desk.reschedule()

    def save2file(self, name: str) -> str:
        path = inside(self._manager.run.directory, _text("name", name))
        with self.store_lock:
            return self._manager.save2file(path)

    def exit(self) -> bool:
        self.ended.set()
        self.changed.set()
        return True

    # -- is it over?

    def is_over(self, *, at_once: bool = False) -> bool:
        """Is every partition done or set aside? Looked up once a second, unless `at_once`."""
        if not self._over and (at_once or time.monotonic() - self._looked >= _LOOK_SECONDS):
            self._looked = time.monotonic()
            status = self._manager.status()
            self._over = not (status.waiting or status.running or len(self._desk))
        return self._over

    def is_known_to_all(self, grace_seconds: float) -> bool:
        """Has each worker that asked lately been told that it is over?"""
        now = time.monotonic()
        return all(now - asked > grace_seconds for asked in list(self._seen.values()))

    def _note(self, worker: str, *, over: bool) -> None:
        if over:
            self._seen.pop(worker, None)
        else:
            self._seen[worker] = time.monotonic()


def inside(directory: str, name: str) -> str:
    """The path of a file that a client may have written: an .npz in the run directory. BadArgument."""
    parts = name.split("/")
    if not name.endswith(".npz") or name.startswith("/") or any(part.startswith(".") or not part for part in parts):
        reason = "give a relative path like scores.npz, without a part that begins with a dot"
        raise BadArgument("name", name, reason)
    top = os.path.realpath(directory)
    folder = os.path.realpath(os.path.join(top, *parts[:-1]))
    if "\0" in name or not os.path.isdir(folder) or os.path.commonpath([top, folder]) != top:
        raise BadArgument("name", name, f"its folder must be there, and in the run directory {directory!r}")
    return os.path.join(folder, parts[-1])


def _text(argument: str, value: Any, most: int | None = None) -> str:
    if not isinstance(value, str) or (most is not None and len(value) > most):
        raise Refused(f"{argument} must be a text{'' if most is None else f' of at most {most} characters'}")
    return value


def _bytes(argument: str, value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise Refused(f"{argument} must be bytes (xmlrpc.client.Binary)")
    return value


def _whole(argument: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Refused(f"{argument} must be a whole number, at least 0")
    return value
