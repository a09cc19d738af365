"""One run of a pool: the thread that gives tasks to workers and takes what comes of them, until all is done.

Guarantee: each task that was added is settled once, with a result or with the error of its last attempt, and the
workers are gone when the thread ends. Condition: the thread is let run; what it reports to is called in it.
"""

import logging
import signal
import threading
from dataclasses import dataclass
from enum import Enum

from multiprocesstools.errors import CannotBeSent, TaskTimeout, WorkerKilled
from multiprocesstools.workers.desk import Desk
from multiprocesstools.workers.feed import Feed
from multiprocesstools.workers.memory import MemoryGone
from multiprocesstools.workers.packing import pack, unpack_error, unpack_result
from multiprocesstools.workers.pool import Event, Job, Pool
from multiprocesstools.workers.worker import DONE, FAILED, MESSAGE

_log = logging.getLogger("multiprocesstools.workers")


class Wish(Enum):
    """What is asked of a shift."""

    WORK = "work"
    PAUSE = "pause"
    LEAVE = "leave"  # when what is in work is done
    END = "end"  # now


@dataclass(frozen=True, slots=True)
class Terms:
    """How tasks are done."""

    n_workers: int
    timeout: float | None
    max_attempts: int
    start_method: str


class Shift:
    """A pool at work for a desk. `wake` and `kill` may be called by any thread."""

    def __init__(self, desk: Desk, feed: Feed, terms: Terms) -> None:
        self._desk, self._feed, self._terms = desk, feed, terms
        self._pool = Pool(terms.n_workers, start_method=terms.start_method, timeout=terms.timeout)
        self._wish, self._lock = Wish.WORK, threading.Lock()

    @property
    def at_rest(self) -> bool:
        """Is no task in work?"""
        return self._feed.in_hand == 0

    def wake(self) -> None:
        """There is something to look at."""
        self._pool.wake()

    def kill(self) -> None:
        """End the workers, whatever the thread of this run does."""
        self._pool.kill_all()

    def ask(self, wish: Wish) -> None:
        """Change what is asked of it, by any thread. After that nothing is begun that is not wished."""
        if wish in (Wish.WORK, Wish.PAUSE):
            with self._lock:
                if self._wish in (Wish.WORK, Wish.PAUSE):
                    self._wish = wish
        else:
            self._wish = wish
        self.wake()

    def run(self) -> bool:
        """Work until all is done, or until it is told to leave. Was all done? WorkersUnusable, OSError."""
        kill = True
        try:
            while self._wish is not Wish.END:
                self._pool.fill()
                self._give()
                self._desk.outbox.notify()
                if self._pool.busy == 0 and (self._is_done() or self._wish is Wish.LEAVE):
                    kill = False
                    return self._is_done()
                for event in self._pool.wait():
                    self._take(event)
            return False
        finally:
            self._pool.close(kill=kill)

    def _is_done(self) -> bool:
        return self._wish is Wish.WORK and self._desk.is_all(self._feed)

    def _give(self) -> None:
        while self._pool.idle and (job := self._next()) is not None:
            try:
                packed = pack(job.task, "task")
            except Exception as error:
                job.attempt += 1
                self._fail(job, error, "")
            else:
                self._pool.give(job, packed)

    def _next(self) -> Job | None:
        with self._lock:
            wanted = self._wish is Wish.WORK
            return self._feed.take(fresh=not self._desk.outbox.is_full) if wanted else None

    def _take(self, event: Event) -> None:
        job = event.job
        if event.word == MESSAGE:
            self._desk.took_message(event.packed.decode())
        elif job is None:
            return
        elif event.word == DONE:
            self._finish(job, event.packed)
        elif event.word == FAILED:
            self._try_again(job, *self._error(event.packed))
        else:
            seconds = self._terms.timeout
            expired = event.expired and seconds is not None
            self._try_again(job, TaskTimeout(seconds) if expired and seconds else WorkerKilled(event.code), "")

    def _finish(self, job: Job, packed: bytes) -> None:
        try:
            result, size = unpack_result(packed)
        except MemoryGone:  # it was killed between its answer and now
            self._try_again(job, WorkerKilled(-signal.SIGKILL), "")
        except Exception as error:
            self._fail(job, CannotBeSent("result", "?", f"{type(error).__name__}: {error}"), "")
        else:
            self._give()  # so that its worker has something to do while others hear of this result
            self._desk.took_result(job, result, size)
            self._feed.settle()

    def _error(self, packed: bytes) -> tuple[BaseException, str]:
        try:
            return unpack_error(packed)
        except Exception as error:  # a class that only the worker has
            return CannotBeSent("exception", "?", f"{type(error).__name__}: {error}"), ""

    def _try_again(self, job: Job, error: BaseException, traceback: str) -> None:
        if job.attempt >= self._terms.max_attempts or isinstance(error, CannotBeSent):
            self._fail(job, error, traceback)
        else:
            _log.info("a task has failed, attempt %d, and is tried again: %s", job.attempt, error)
            self._feed.put_back(job)

    def _fail(self, job: Job, error: BaseException, traceback: str) -> None:
        self._desk.took_failure(job, error, traceback)
        self._feed.settle()
