"""Processes that work for one thread, each on one job at a time: given, awaited, killed, replaced.

    starting --ready--> idle --give--> busy --answer--> idle        any --dies--> gone, and another one is started

Every worker has a connection of its own, because the pools that there are (pebble, concurrent.futures, loky, and
multiprocessing itself) share one for all results: a worker that is killed while it sends a large one leaves its lock
taken and the parent in the middle of a message, and the pool hangs or breaks (`scripts/pool-faults` shows it).

Guarantee: whatever kills a worker, it costs the one job that it had, and the event says so. Waiting takes no time of
the processor. Condition: all methods but `wake` and `kill_all` are called by one thread.
"""

import os
import selectors
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import forkserver, get_context, resource_tracker
from multiprocessing.context import BaseContext
from typing import Any

from multiprocesstools.errors import WorkersUnusable
from multiprocesstools.workers.packing import Function
from multiprocesstools.workers.worker import DONE, END, FAILED, FUNCTION, MESSAGE, READY, TASK, Line, work

_GRACE_SECONDS, _END_SECONDS = 0.3, 3.0
_MOST_STILLBORN = 10


@dataclass(slots=True)
class Job:
    """A task in work, and how often it was begun."""

    number: int
    task: Any
    function: Function
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """What a worker said of a job (DONE, FAILED, MESSAGE), or None for its end, of which `code` is what is known."""

    word: int | None
    job: Job | None
    packed: bytes = b""
    code: int = 0
    expired: bool = False


@dataclass(eq=False, slots=True)
class Worker:
    """A process of the pool."""

    process: Any
    line: Line
    ready: bool = False
    job: Job | None = None
    deadline: float | None = None
    knows: int | None = None
    expired: bool = False
    watched: tuple[int, ...] = field(default=(), repr=False)


class Pool:
    """`size` workers. Use `close` at the end. `timeout` seconds are what a job may take."""

    def __init__(self, size: int, *, start_method: str = "spawn", timeout: float | None = None) -> None:
        self._size, self._timeout = size, timeout
        self._context: BaseContext = get_context(start_method)
        self.workers: set[Worker] = set()
        self._idle: list[Worker] = []
        self._stillborn, self._proven = 0, False
        self._selector = selectors.DefaultSelector()
        self._bell, self._ear = socket.socketpair()
        for end in (self._bell, self._ear):
            end.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ, None)

    # -- for the one thread

    def fill(self) -> None:
        """Start the workers that are missing. OSError when the system refuses."""
        while len(self.workers) < self._size:
            self._start()

    @property
    def idle(self) -> bool:
        """Does a worker wait for a job?"""
        return bool(self._idle)

    @property
    def busy(self) -> int:
        """How many jobs are in work."""
        return sum(worker.job is not None for worker in self.workers)

    def give(self, job: Job, packed: bytes) -> None:
        """Have an idle worker do it. What goes wrong with that is told by the next `wait`."""
        worker = self._idle.pop()
        worker.job, job.attempt = job, job.attempt + 1
        if self._timeout is not None:
            worker.deadline = time.monotonic() + self._timeout
        try:
            if worker.knows != job.function.key:
                worker.line.send(FUNCTION, packed=job.function.packed)
                worker.knows = job.function.key
            worker.line.send(TASK, job.number, packed)
        except OSError:
            pass  # it has died, which its process tells

    def wait(self) -> Iterator[Event]:
        """What has happened, as soon as something has. WorkersUnusable when they cannot even start."""
        for key, _ in self._selector.select(self._seconds_left()):
            worker = key.data
            if worker is None:
                self._silence()
            elif worker in self.workers and key.fd == worker.watched[0]:
                yield from self._bury(worker)
            elif worker in self.workers:
                yield from self._hear(worker)
        for worker in [worker for worker in self.workers if worker.deadline and worker.deadline <= time.monotonic()]:
            worker.expired, worker.deadline = True, None
            _kill(worker, signal.SIGKILL)

    def close(self, *, kill: bool) -> None:
        """End all workers: those that are told so when they have nothing in hand, else they are killed."""
        for worker in self.workers:
            try:
                if not kill and worker.job is None:
                    worker.line.send(END)
                else:
                    _kill(worker, signal.SIGTERM)
            except OSError:
                pass  # it has died
        self._await_ends(_GRACE_SECONDS if kill else _END_SECONDS)
        self.kill_all()
        for worker in list(self.workers):
            self._let_go(worker)
        self._selector.close()
        self._bell.close()
        self._ear.close()

    # -- for any thread

    def wake(self) -> None:
        """Have `wait` return."""
        try:
            self._bell.send(b".")
        except OSError:
            pass  # it is awake, or has ended

    def kill_all(self) -> None:
        """SIGKILL to all workers and to what they have started."""
        for worker in list(self.workers):
            _kill(worker, signal.SIGKILL)

    # -- inside

    def _start(self) -> None:
        _start_helpers(self._context.get_start_method())
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(theirs,), name="multiprocesstools-worker")  # type: ignore[attr-defined]
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()
        worker = Worker(process, Line(ours))
        worker.watched = (_end_of(process), ours.fileno())
        self.workers.add(worker)
        for descriptor in worker.watched:
            self._selector.register(descriptor, selectors.EVENT_READ, worker)

    def _seconds_left(self) -> float | None:
        deadlines = [worker.deadline for worker in self.workers if worker.deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _silence(self) -> None:
        try:
            self._ear.recv(4096)
        except BlockingIOError:
            pass

    def _hear(self, worker: Worker) -> Iterator[Event]:
        """One message. The end of a connection is told by the end of the process."""
        try:
            word, number, packed = worker.line.receive()
        except (EOFError, OSError):
            self._selector.unregister(worker.watched[1])
            worker.watched = worker.watched[:1]
            _kill(worker, signal.SIGKILL)  # nothing can be heard of it any more
            return
        if word == MESSAGE:
            yield Event(MESSAGE, worker.job, packed)
        elif word == READY:
            worker.ready, self._proven, self._stillborn = True, True, 0
            self._idle.append(worker)
        elif word in (DONE, FAILED):
            job, worker.job, worker.deadline = worker.job, None, None
            assert job is not None and job.number == number
            self._idle.append(worker)
            yield Event(word, job, packed)

    def _bury(self, worker: Worker) -> Iterator[Event]:
        """It has ended: what it had said before still counts."""
        _kill(worker, signal.SIGKILL)  # what it has started
        while len(worker.watched) > 1 and worker.line.connection.poll(0):
            yield from self._hear(worker)
        job, code = worker.job, self._let_go(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        if not worker.ready:
            self._stillborn += 1
            nobody = not any(other.ready for other in self.workers)
            if nobody and (self._stillborn > _MOST_STILLBORN or (not self._proven and code > 0)):
                raise WorkersUnusable(code)
        if job is not None:
            yield Event(None, job, code=code, expired=worker.expired)

    def _let_go(self, worker: Worker) -> int:
        """Close what belongs to a worker that has ended. Its exit code."""
        for descriptor in worker.watched:
            self._selector.unregister(descriptor)
        worker.process.join()
        code = worker.process.exitcode
        os.close(worker.watched[0])
        worker.line.connection.close()
        worker.process.close()
        self.workers.discard(worker)
        return code if code is not None else -signal.SIGKILL

    def _await_ends(self, seconds: float) -> None:
        end, left = time.monotonic() + seconds, {worker.watched[0] for worker in self.workers}
        with selectors.DefaultSelector() as selector:
            for descriptor in left:
                selector.register(descriptor, selectors.EVENT_READ)
            while left and (seconds := end - time.monotonic()) > 0:
                for key, _ in selector.select(seconds):
                    selector.unregister(key.fd)
                    left.discard(key.fd)


def _start_helpers(method: str) -> None:
    """What multiprocessing starts with the first worker must not inherit the mask, and takes it back."""
    if method == "forkserver":
        forkserver.ensure_running()
    if method != "fork":
        resource_tracker.ensure_running()


def _end_of(process: Any) -> int:
    """A descriptor that can be read when the process has ended: pidfd_open(2), or what multiprocessing has, which a
    child of the process keeps open."""
    try:
        return os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not on Linux; or it has ended, and a fork server has reaped it
        return os.dup(process.sentinel)


def _kill(worker: Worker, number: int) -> None:
    """A signal to a worker that was not reaped, so that its number means no other one, and to its group."""
    try:
        os.killpg(worker.process.pid, number)
    except (ProcessLookupError, PermissionError):
        worker.process.kill()  # it has no group yet
    except ValueError:
        pass  # another thread has closed it
