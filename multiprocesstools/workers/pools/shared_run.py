"""The run of a pool that shares its tasks with others through a run directory: tasks are items, results are finals.

    gathering (until the list is known) --> mapping <--> paused --> over

Everybody with the same list does a part of it, by `MultiProcessHelper.map`, and reads all results from their files:
`<run directory>/<name>/<number>.pkl`. So claims, retries, takeover from the dead, `status` and `cleanup` are those of
every run.

Guarantee: a result is delivered once here, whoever made it. Nothing is unpickled from a file that belongs to another
user, or that others may write. Condition: all give the same list of tasks; the order of a set is not the same.
"""

import hashlib
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multiprocesstools.calls.saving import kind
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.errors import BadArgument, FunctionFailed
from multiprocesstools.helper import MultiProcessHelper
from multiprocesstools.workers.pools.desk import Desk
from multiprocesstools.workers.pools.feed import Feed
from multiprocesstools.workers.pools.hands import Hands
from multiprocesstools.workers.pools.packing import Function, pack, unpack_function
from multiprocesstools.workers.pools.shift import Terms, Wish
from multiprocesstools.workers.pools.staff import Job
from multiprocesstools.workers.pools.trusted import create_private, open_trusted

_NO_ROOM = "results wait for a reader"
_LOOK_SECONDS, _MOST_OF_TIME = 0.3, 0.05
_LONGEST_LABEL = 200


@dataclass(frozen=True, slots=True)
class Place:
    """Where the tasks are shared. `options`: further arguments of MultiProcessHelper."""

    directory: str
    name: str
    options: Mapping[str, Any]


def place_of(
    directory: str | os.PathLike[str], name: str | None, function: Any, options: Mapping[str, Any]
) -> Place:  # fmt: skip
    """BadArgument without a name that can be one."""
    name = name if name is not None else getattr(function, "__name__", "")
    if not name.isidentifier():
        raise BadArgument("name", name, "the list of tasks needs a name of letters, digits and _; give name=")
    return Place(os.path.abspath(directory), name, dict(options))


class Applied:
    """A function of a task alone, unpacked where it is called first."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        self._call: Callable[[Any], Any] | None = None

    def __call__(self, task: Any) -> Any:
        self._call = self._call or unpack_function(self._packed)
        return self._call(task)

    def __reduce__(self) -> tuple[type["Applied"], tuple[bytes]]:
        return Applied, (self._packed,)


def save_result(value: Any, path: Path) -> None:
    """So that nobody else may write it."""
    with create_private(path) as file:
        file.write(pack(value, "result"))


def load_result(path: str) -> tuple[Any, int]:
    """A result and its size. UntrustedResult, OSError, and whatever unpickling raises."""
    with open_trusted(path) as file:
        return pickle.load(file), os.fstat(file.fileno()).st_size


def label(task: Any) -> str:
    """What tells a task from another one in the lists of all pools."""
    text = repr(task) if type(task) in (int, float, bool, str, type(None)) else ""
    if text and len(text) <= _LONGEST_LABEL:
        return text
    return f"{kind(task)} {hashlib.sha256(pack(task, 'task')).hexdigest()[:32]}"


class SharedRun:
    """Takes the place of a `Shift`."""

    def __init__(self, desk: Desk, feed: Feed, terms: Terms, place: Place) -> None:
        self._desk, self._feed, self._terms, self._place = desk, feed, terms, place
        self._wish, self._bell = Wish.WORK, threading.Event()
        self._jobs: list[Job] = []
        self._open: dict[str, Job] = {}
        self._folder = os.path.join(place.directory, place.name)
        self._hands = Hands(terms, lambda final: self._jobs[int(final.removesuffix(".pkl"))].task, desk.took_message)
        self._working = False

    @property
    def at_rest(self) -> bool:
        """Is nothing in work here?"""
        return not self._working

    def ask(self, wish: Wish) -> None:
        """Change what is asked of it, by any thread."""
        if wish in (Wish.LEAVE, Wish.END) or self._wish in (Wish.WORK, Wish.PAUSE):
            self._wish = wish
        self.wake()

    def wake(self) -> None:
        """There is something to look at."""
        self._bell.set()

    def kill(self) -> None:
        """End the workers, whatever the thread of this run does."""
        self._hands.kill()

    def run(self) -> bool:
        """Work until all is done, by whom ever, or until it is told to leave. Was all done?"""
        if not self._gather():
            return False
        if not self._jobs:
            return True
        self._open = {f"{number}.pkl": job for number, job in enumerate(self._jobs)}
        options = {"max_attempts": self._terms.max_attempts} | dict(self._place.options)
        try:
            with MultiProcessHelper(self._place.name, self._place.directory, **options) as helper:
                return self._work(helper)
        finally:
            self._hands.end()

    # -- the list

    def _gather(self) -> bool:
        """Take all tasks; only when no more will be added is it known what the items are."""
        while self._wish in (Wish.WORK, Wish.PAUSE):
            while jobs := self._feed.take(sys.maxsize, sys.maxsize):
                self._jobs += jobs
            if self._desk.finalized and not self._feed.waits:
                return True
            self._desk.outbox.notify()
            self._wait(None)
        return False

    def _wait(self, seconds: float | None) -> None:
        self._bell.wait(seconds)
        self._bell.clear()

    # -- the work

    def _work(self, helper: MultiProcessHelper) -> bool:
        while True:
            while self._wish is Wish.PAUSE:
                self._desk.outbox.notify()
                self._wait(None)
            if self._wish is not Wish.WORK:
                return False
            self._working = True
            try:
                ended = self._map(helper)
                if ended == _NO_ROOM:
                    continue
                if not ended:
                    return True
            finally:
                self._working = False
            if self._wish is Wish.WORK:  # somebody has said `multiprocesstools stop`
                return False

    def _map(self, helper: MultiProcessHelper) -> str:
        """Do a part of the items, and deliver what has come. Why it ended early, if it did."""
        crew, outcome = helper._crew, _Outcome(self.wake)
        crew.ask_to_stop(False)
        function = self._jobs[0].function
        thread = threading.Thread(
            target=outcome.note, args=(lambda: self._map_items(helper, function),), name="multiprocesstools-items",
            daemon=True,
        )  # fmt: skip
        thread.start()
        pause = 0.0
        while thread.is_alive():
            self._wait(max(_LOOK_SECONDS, pause))
            if self._wish is not Wish.WORK:
                crew.ask_to_stop()
            if self._wish is Wish.END:
                self._hands.end()
            began = time.monotonic()
            self._look()
            pause = (time.monotonic() - began) / _MOST_OF_TIME
        thread.join()
        more = self._look()
        if ended := outcome.ended(self._hands.error):
            return ended
        self._report_failed(helper)
        while more and self._wish is Wish.WORK:
            self._wait(_LOOK_SECONDS)
            more = self._look()
        return _NO_ROOM if more else ""

    def _map_items(self, helper: MultiProcessHelper, function: Function) -> str:
        summary = helper.map(
            Applied(function.packed), [label(job.task) for job in self._jobs], final="{index}.pkl",
            directory=self._place.name, save=save_result, executor=self._hands, progress=False,
        )  # fmt: skip
        return summary.ended or ("" if summary.unfinished == 0 else "not all is done")

    # -- what has come

    def _look(self) -> bool:
        """Deliver the results that are there, in the order of their tasks, as long as there is room. Are there more?

        There is always room for the one that a reader in order waits for.
        """
        outbox, there = self._desk.outbox, self._there()
        for name in sorted(there, key=lambda name: self._open[name].number):
            if self._wish is Wish.END or (not outbox.room() and self._open[name].number != outbox.next):
                break
            self._deliver(name)
        outbox.notify()
        return bool(there & self._open.keys())

    def _there(self) -> set[str]:
        """The results that were not delivered yet."""
        try:
            return {entry.name for entry in PosixDisk().list(self._folder)} & self._open.keys()
        except FileNotFoundError:
            return set()

    def _deliver(self, name: str) -> None:
        try:
            result, size = load_result(os.path.join(self._folder, name))
        except OSError:
            return  # the server is away; it is looked at again
        except Exception as error:
            job = self._open.pop(name)
            self._desk.took_failure(job, error, "")
        else:
            job = self._open.pop(name)
            self._desk.took_results([(job, result, size)])
        self._feed.settle()

    def _report_failed(self, helper: MultiProcessHelper) -> None:
        """All is over: what has no result has been set aside, here or elsewhere."""
        failed = {Path(item.item).name: item for item in helper.status().of("failed") if self._is_ours(item.item)}
        for name in sorted(self._open.keys() - self._there(), key=lambda name: self._open[name].number):
            item, job = failed.get(name), self._open.pop(name)
            job.attempt = item.attempt if item else 0
            words, trace = (item.error, item.traceback) if item else ("it has neither a result nor an error", "")
            self._desk.took_failure(job, FunctionFailed(words, trace), trace)
            self._feed.settle()

    def _is_ours(self, item: str) -> bool:
        return os.path.dirname(item) == self._place.name


class _Outcome:
    """What has come of a call in another thread."""

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told
        self._ended = ""
        self._error: BaseException | None = None

    def note(self, call: Callable[[], str]) -> None:
        try:
            self._ended = call()
        except BaseException as error:
            self._error = error
        finally:
            self._told()

    def ended(self, cause: BaseException | None) -> str:
        """The result, or what was raised, for which there may be a better cause."""
        if self._error is not None:
            raise cause or self._error
        return self._ended
