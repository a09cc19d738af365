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
from multiprocesstools.workers.pools.desk import Desk
from multiprocesstools.workers.pools.feed import Feed
from multiprocesstools.workers.pools.line import DONE, FAILED, MESSAGE, SMALL, TASK, Packed
from multiprocesstools.workers.pools.memory import MemoryGone
from multiprocesstools.workers.pools.outbox import Done
from multiprocesstools.workers.pools.packing import pack, unpack_error, unpack_result
from multiprocesstools.workers.pools.pool import Event, Pool
from multiprocesstools.workers.pools.staff import Job

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


@dataclass(frozen=True, slots=True)
class Trouble:
    """A result that cannot be had."""

    job: Job
    error: Exception


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
                self._take(self._pool.wait())
                if self._wish is not Wish.WORK:
                    self._take(self._pool.take_back())
            return False
        finally:
            self._pool.close(kill=kill)

    def _is_done(self) -> bool:
        return self._wish is Wish.WORK and self._desk.is_all(self._feed)

    def _give(self) -> None:
        while (room := self._pool.look_for_room()) and (jobs := self._next(room)):
            packed, left = self._packed(jobs)
            given = self._pool.give(packed)
            left = [job for job, _ in packed[given:]] + left
            self._feed.put_back(left)
            if not given and left:
                return

    def _packed(self, jobs: list[Job]) -> tuple[list[tuple[Job, bytes]], list[Job]]:
        """With their tasks as bytes, up to the first large one; and the others."""
        packed: list[tuple[Job, bytes]] = []
        for place, job in enumerate(jobs, 1):
            try:
                task = pack(job.task, "task")
            except Exception as error:
                job.attempt += 1
                self._fail(job, error, "")
            else:
                packed.append((job, task))
                if len(task) > SMALL:
                    return packed, jobs[place:]
        return packed, []

    def _next(self, most: int) -> list[Job]:
        with self._lock:
            if self._wish is not Wish.WORK:
                return []
            return self._feed.take(most, self._desk.outbox.room(self._feed.in_hand))

    def _take(self, events: list[Event]) -> None:
        """All results are unpacked before anything is given, as the pool wants it; others hear of them after that, so
        that the workers have something to do meanwhile."""
        outcomes = self._opened(events)
        if events:
            self._give()
        done: list[Done] = []
        for outcome in outcomes:
            if type(outcome) is tuple:
                done.append(outcome)  # type: ignore[arg-type]
            else:
                self._finish(done)
                done = []
                self._hear(outcome)  # type: ignore[arg-type]
        self._finish(done)

    def _opened(self, events: list[Event]) -> "list[Done | Event | Trouble]":
        """In their order; what was not begun is put back."""
        opened: list[Done | Event | Trouble] = []
        not_begun: list[Job] = []
        for event in events:
            word, job, packed, _, _ = event
            if job is None or word != DONE:
                opened.append(event)
                if job is not None and word == TASK:
                    not_begun.append(job)
                continue
            try:
                result, size = unpack_result(packed)
                opened.append((job, result, size))
            except MemoryGone:  # it was killed between its answer and now
                opened.append(Trouble(job, WorkerKilled(-signal.SIGKILL)))
            except Exception as error:
                opened.append(Trouble(job, CannotBeSent("result", "?", f"{type(error).__name__}: {error}")))
        self._feed.put_back(not_begun)
        return opened

    def _finish(self, done: list[Done]) -> None:
        if done:
            self._desk.took_results(done)
            self._feed.settle(len(done))

    def _hear(self, event: "Event | Trouble") -> None:
        if isinstance(event, Trouble):
            self._try_again(event.job, event.error, "")
        elif event.word == MESSAGE:
            self._desk.took_message(event.packed.decode())
        elif event.job is None or event.word == TASK:
            return
        elif event.word == FAILED:
            self._try_again(event.job, *self._error(event.packed))
        else:
            seconds = self._terms.timeout
            expired = event.expired and seconds is not None
            self._try_again(event.job, TaskTimeout(seconds) if expired and seconds else WorkerKilled(event.code), "")

    def _error(self, packed: Packed) -> tuple[BaseException, str]:
        try:
            return unpack_error(packed)
        except Exception as error:  # a class that only the worker has
            return CannotBeSent("exception", "?", f"{type(error).__name__}: {error}"), ""

    def _try_again(self, job: Job, error: BaseException, traceback: str) -> None:
        if job.attempt >= self._terms.max_attempts or isinstance(error, CannotBeSent):
            self._fail(job, error, traceback)
        else:
            _log.info("a task has failed, attempt %d, and is tried again: %s", job.attempt, error)
            self._feed.put_back([job])

    def _fail(self, job: Job, error: BaseException, traceback: str) -> None:
        self._desk.took_failure(job, error, traceback)
        self._feed.settle()
