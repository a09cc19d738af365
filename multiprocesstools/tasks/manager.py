"""TaskManager: collects what the workers of a run have published into a store, and looks after the run.

Guarantee: `collect` calls `update_results` once per partition for each store object (see `feeder`), and of all managers
of a run one collects at a time. The manager holds no state that is not in the run directory: killed and started again
with a fresh store, it feeds that from the published results.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from multiprocesstools.display.progress import Tally, Voice, choose
from multiprocesstools.display.text import shown
from multiprocesstools.errors import AlreadyCollecting, LockTimeout
from multiprocesstools.helper import MultiProcessHelper
from multiprocesstools.run.directory import Run
from multiprocesstools.tasks.again import hand_out_again
from multiprocesstools.tasks.description import agree, describe
from multiprocesstools.tasks.feeder import Feeder
from multiprocesstools.tasks.saved import packed
from multiprocesstools.tasks.shelf import Shelf
from multiprocesstools.tasks.state import StoreStatus, look_at
from multiprocesstools.tasks.store import TaskStore

if TYPE_CHECKING:
    from multiprocesstools.display.progress import Listener, Progress

NAME, LOCK = "manager", "collect"
_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, _LOOK_SECONDS = 0.05, 2.0, 5.0


class TaskManager:
    """Collects the results of the partitions of a store from a run directory, and says how the run goes.

    Parameters
    ----------
    store: the object that `update_results` is called for.
    run_directory: what all workers share; made if it is missing.
    options: as of MultiProcessHelper (`beat_seconds`, `max_attempts`, ...), for whoever comes first.

    Raises BadArgument, BadName, StoresDiffer, RunDirectoryUnusable, SettingsDiffer.
    """

    def __init__(self, store: TaskStore, run_directory: str | os.PathLike[str], **options: Any) -> None:
        describe(store)
        self.store, self._options = store, options
        self.run = Run(run_directory)
        with self._helper():  # so that the settings are agreed before any worker comes
            description = agree(self.run, store, Voice().say)
        self.shelf = Shelf(self.run, description, pickles=store.pickles)
        self.feeder = Feeder(store, self.shelf)

    def collect(self, *, follow: bool = False, progress: "bool | Listener | None" = None) -> StoreStatus:
        """Call `update_results` for all partitions that are published and that this store was not given yet.

        follow: stay while workers run, until all partitions are done or set aside (or `multiprocesstools stop`), with a
        bar. progress: None for a bar or lines, False for silence, or a function that gets a `Tally`.

        Raises AlreadyCollecting when another manager or a server does; NotResults for a file that holds no results of
        its partition; what `update_results` raises goes through.
        """
        with self._helper() as helper, self.collecting(helper):
            if follow:
                self._follow(helper, progress)
            else:
                self.feeder.feed()
        return self.status()

    def serve(
        self, host: str = "127.0.0.1", port: int = 7080, *, token_file: str | os.PathLike[str] | None = None,
        lease_seconds: float = 60.0, task_seconds: float | None = None, stay: bool = False,
        most_bytes: int = 64 << 20, ready: Callable[[str], Any] | None = None,
        progress: "bool | Listener | None" = None,
    ) -> StoreStatus:  # fmt: skip
        """Hand out the partitions over XML-RPC, and call `update_results` for what comes back, until all is done.

        host, port: where it listens; port 0 takes a free one. Other machines reach only another `host`, and then a
        token is required. token_file: a file that holds it, of mode 0600. lease_seconds: a worker that gives no sign of
        life for so long loses its partition to another one. task_seconds: so does one that finishes no task for so
        long. stay: serve on when all is done, until `exit`. most_bytes: of one request, also when it is unpacked.
        ready: is called with the url when it listens. progress: as of `collect`. Workers by files may work on the same
        run meanwhile.

        Raises what `collect` does; BadArgument; OSError for an address that cannot be had.
        """
        from multiprocesstools.tasks.serving import check, serve

        token = check(
            host, port, token_file=token_file, lease_seconds=lease_seconds, task_seconds=task_seconds,
            most_bytes=most_bytes,
        )  # fmt: skip
        with self._helper() as helper, self.collecting(helper), self._watching(helper, progress) as watch:
            serve(
                self, helper, watch, host=host, port=port, token=token, lease_seconds=lease_seconds,
                task_seconds=task_seconds, stay=stay, most_bytes=most_bytes, ready=ready,
            )  # fmt: skip
        return self.status()

    @contextmanager
    def collecting(self, helper: MultiProcessHelper) -> Iterator[None]:
        """With the right to collect, which is given back when this process dies. AlreadyCollecting."""
        lock = helper.lock(LOCK, timeout=0)
        try:
            lock.acquire()
        except LockTimeout as error:
            raise AlreadyCollecting(self.run.directory, error.holders) from error
        try:
            yield
        finally:
            lock.release()

    def status(self) -> StoreStatus:
        """The state of the partitions; str() of it are the three lines of the original."""
        return look_at(self.run, self.shelf, len(self.feeder))

    def reschedule(self) -> list[int]:
        """Hand out again all partitions that are in work, whoever has them; their numbers.

        It is for owners that will never come back and cannot be proved dead. Who works on may go on: the first result
        counts, and nothing is lost.
        """
        return hand_out_again(self.run, self.shelf)

    def save2file(self, path: str | os.PathLike[str]) -> str:
        """Write the arrays of the store to an .npz, whole; relative to the run directory. The path.

        `resume_from` makes a store of it. BadArgument for a store that has no arrays.
        """
        target = self.run.absolute(os.fspath(path))
        data = packed(self.store)
        self.run.replace(target, data)
        return target

    # -- inside

    def _helper(self) -> MultiProcessHelper:
        return MultiProcessHelper(NAME, self.run.directory, **self._options)

    def _follow(self, helper: MultiProcessHelper, progress: "bool | Listener | None") -> None:
        with self._watching(helper, progress) as watch:
            while watch.goes_on() and not helper.stop_requested:
                self.run.clock.sleep(watch.pause_seconds())

    @contextmanager
    def _watching(self, helper: MultiProcessHelper, progress: "bool | Listener | None") -> Iterator["_Watch"]:
        show = choose(progress, Voice(), self.shelf.description.ident, shown(self.run.directory))
        watch = _Watch(self, show)
        watch.begin()
        try:
            yield watch
        finally:
            watch.end("stopped" if helper.stop_requested else "")


class _Watch:
    """Following a run: what is published is fed at once; all else costs more, and is looked at now and then."""

    def __init__(self, manager: TaskManager, show: "Progress") -> None:
        self._manager, self._show = manager, show
        self._total = manager.shelf.description.partitions
        self._began = time.monotonic()
        self._before = len(manager.feeder)
        self._status = manager.status()
        self._looked, self._pause = time.monotonic(), _SHORTEST_PAUSE_SECONDS

    def begin(self) -> None:
        self._show.start(self._tally())

    def goes_on(self) -> bool:
        """Feed what is there. May more come?"""
        fresh = self._manager.feeder.feed()
        self._pause = _SHORTEST_PAUSE_SECONDS if fresh else min(2 * self._pause, _LONGEST_PAUSE_SECONDS)
        fed = len(self._manager.feeder)
        over = fed + self._status.failed >= self._total
        if fed < self._total and (over or time.monotonic() - self._looked > _LOOK_SECONDS):
            self._status, self._looked = self._manager.status(), time.monotonic()  # some may have been tried again
        self._show.update(self._tally())
        return fed + self._status.failed < self._total

    def pause_seconds(self) -> float:
        return self._pause

    def end(self, reason: str) -> None:
        self._show.stop(self._tally(), reason)

    def _tally(self) -> Tally:
        fed, status = len(self._manager.feeder), self._status
        return Tally(
            self._total, fed, status.failed, running=status.running, here=fed - self._before,
            seconds=time.monotonic() - self._began,
        )  # fmt: skip
