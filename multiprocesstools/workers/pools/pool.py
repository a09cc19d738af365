"""Processes that work for one thread, each on one job at a time: given, awaited, killed, replaced.

    starting --ready--> idle --give--> busy --answer--> idle        any --dies--> gone, and another one is started

A worker is given several jobs as long as they are short and small: as many as take about 2 ms, as measured. What it
does not begin soon, because one takes longer than those before, is taken back and given to others.

Every worker has a connection of its own, because the pools that there are (pebble, concurrent.futures, loky, and
multiprocessing itself) share one for all results: a worker that is killed while it sends a large one leaves its lock
taken and the parent in the middle of a message, and the pool hangs or breaks (`scripts/pool-faults` shows it).

Guarantee: whatever kills a worker, it costs the one job that it was at, and the event says so. Each answer is sent at
once. Waiting takes no time of the processor. Condition: all methods but `wake` and `kill_all` are called by one thread,
which has done with the events of one `wait` before it gives again.
"""

import selectors
import signal
import socket
import time
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.context import BaseContext
from typing import NamedTuple

from multiprocesstools.errors import WorkersUnusable
from multiprocesstools.workers.pools.line import (
    DONE,
    END,
    FAILED,
    MESSAGE,
    MOST,
    READY,
    SMALL,
    TASK,
    Message,
    Packed,
    record,
)  # fmt: skip
from multiprocesstools.workers.pools.staff import Job, Worker, await_ends, start_worker

_GRACE_SECONDS, _END_SECONDS = 0.3, 3.0
_MOST_STILLBORN = 10
_AHEAD_NANOSECONDS, _PATIENCE_SECONDS = 2_000_000, 0.05
"""How much work a worker is given at a time, and how long what waits behind a job is left to it."""


class Event(NamedTuple):
    """What has come of a job. `word`: what a worker said (DONE, FAILED, MESSAGE); TASK, it was not begun and can be
    given again; None, its worker has ended, of which `code` is what is known."""

    word: int | None
    job: Job | None
    packed: Packed = b""
    code: int = 0
    expired: bool = False


class Pool:
    """`size` workers. Use `close` at the end. `timeout` seconds are what a job may take."""

    def __init__(self, size: int, *, start_method: str = "spawn", timeout: float | None = None) -> None:
        self._size, self._timeout = size, timeout
        self._context: BaseContext = get_context(start_method)
        self.workers: set[Worker] = set()
        self._open: list[tuple[Worker, int]] = []
        self._nanoseconds = _AHEAD_NANOSECONDS
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
    def busy(self) -> int:
        """How many jobs are in work."""
        return sum(len(worker.jobs) for worker in self.workers)

    def look_for_room(self) -> int:
        """How many jobs can be given now."""
        ahead = min(MOST, max(1, _AHEAD_NANOSECONDS // (self._nanoseconds + 1)))
        late = time.monotonic() - _PATIENCE_SECONDS
        self._open = []
        for worker in self.workers:
            most = 1 if worker.reads_line or (worker.jobs and worker.heard < late) else ahead
            if worker.ready and len(worker.jobs) < most:
                self._open.append((worker, most - len(worker.jobs)))
        self._open.sort(key=_jobs_in_hand)
        return sum(room for _, room in self._open)

    def give(self, jobs: Sequence[tuple[Job, bytes]]) -> int:
        """Have the workers in which there was room do them, evenly. How many of them were given: from the first on.

        What goes wrong with that is told by the next `wait`.
        """
        given = 0
        for place, (worker, room) in enumerate(self._open):
            if given == len(jobs):
                break
            share = -((given - len(jobs)) // (len(self._open) - place))
            given += self._give_some(worker, jobs[given : given + min(share, room)])
        return given

    def wait(self) -> list[Event]:
        """What has happened, as soon as something has. WorkersUnusable when they cannot even start."""
        events: list[Event] = []
        self._let_come()
        for key, _ in self._selector.select(self._seconds_left()):
            worker = key.data
            if worker is None:
                self._silence()
            elif worker in self.workers and key.fd == worker.watched[0]:
                self._bury(worker, events)
            elif worker in self.workers:
                self._hear(worker, events)
        now = time.monotonic()
        for worker in self.workers:
            if worker.deadline is not None and worker.deadline <= now:
                worker.expired, worker.deadline = worker.job, None
                worker.kill(signal.SIGKILL)
            if len(worker.jobs) > 1 and worker.heard + _PATIENCE_SECONDS <= now:
                events += _not_begun(worker.take_back())
        return events

    def take_back(self) -> list[Event]:
        """The jobs that were given and not begun."""
        return [event for worker in self.workers for event in _not_begun(worker.take_back())]

    def close(self, *, kill: bool) -> None:
        """End all workers: those that are told so when they have nothing in hand, else they are killed."""
        for worker in self.workers:
            if not kill and not worker.jobs:
                worker.backlog.put([record(END, 0, worker.answers)])
            else:
                worker.kill(signal.SIGTERM)
        await_ends(self.workers, _GRACE_SECONDS if kill else _END_SECONDS)
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
            worker.kill(signal.SIGKILL)

    # -- inside

    def _start(self) -> None:
        worker = start_worker(self._context)
        self.workers.add(worker)
        for descriptor in worker.watched:
            self._selector.register(descriptor, selectors.EVENT_READ, worker)

    def _give_some(self, worker: Worker, jobs: Sequence[tuple[Job, bytes]]) -> int:
        """Those that can wait in its queue, or one that cannot, if it has nothing else. How many?"""
        if not worker.jobs:
            worker.heard = time.monotonic()
            self._set_deadline(worker)
            if len(jobs[0][1]) > SMALL:
                self._nanoseconds = max(self._nanoseconds, _AHEAD_NANOSECONDS)
            if len(jobs[0][1]) > SMALL or jobs[0][0].function.key != worker.knows:
                worker.give_by_line(*jobs[0])
                return 1
        records, taken, knows, hand = [], worker.answers, worker.knows, worker.jobs
        for job, packed in jobs:
            if len(packed) > SMALL or job.function.key != knows:
                break
            records.append(record(TASK, job.number, taken, packed))
            hand.append(job)
            job.attempt += 1
        if records:
            worker.backlog.put(records)
        return len(records)

    def _set_deadline(self, worker: Worker) -> None:
        if self._timeout is not None:
            worker.deadline = time.monotonic() + self._timeout

    def _let_come(self) -> None:
        """While all workers have enough to do, to be woken for each answer would cost more than it."""
        least = min((len(worker.jobs) for worker in self.workers), default=0)
        if least > 1:
            time.sleep(min(_AHEAD_NANOSECONDS, least * self._nanoseconds) / 2e9)

    def _seconds_left(self) -> float | None:
        """Until a job has taken too long, or what waits behind one is taken back."""
        ends = [worker.deadline for worker in self.workers if worker.deadline is not None]
        ends += [worker.heard + _PATIENCE_SECONDS for worker in self.workers if len(worker.jobs) > 1]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _silence(self) -> None:
        try:
            self._ear.recv(4096)
        except BlockingIOError:
            pass

    def _hear(self, worker: Worker, events: list[Event]) -> None:
        """What it has said. The end of a connection is told by the end of the process."""
        try:
            messages = worker.line.hear()
        except BlockingIOError:
            return
        except (EOFError, OSError):
            self._selector.unregister(worker.watched[1])
            worker.watched = worker.watched[:1]
            worker.kill(signal.SIGKILL)  # nothing can be heard of it any more
        else:
            self._note(worker, messages, events)
            if not messages and worker.deadline is not None:
                self._set_deadline(worker)  # it has done, and its answer is on its way

    def _note(self, worker: Worker, messages: list[Message], events: list[Event]) -> None:
        answers = worker.answers
        for word, number, packed, nanoseconds in messages:
            if word in (DONE, FAILED):
                job = worker.jobs.popleft()
                assert job.number == number
                answers += 1
                self._nanoseconds += (nanoseconds - self._nanoseconds) >> 3
                events.append(Event(word, job, packed))
            elif word == MESSAGE:
                events.append(Event(MESSAGE, worker.job, packed))
            elif word == READY:
                worker.ready, self._proven, self._stillborn = True, True, 0
        if answers > worker.answers:
            worker.answers, worker.reads_line = answers, False
            worker.heard, worker.deadline = time.monotonic(), None
            if worker.jobs:
                self._set_deadline(worker)

    def _bury(self, worker: Worker, events: list[Event]) -> None:
        """It has ended: what it had said before still counts, and what it had not begun is not lost."""
        worker.kill(signal.SIGKILL)  # what it has started
        try:
            while len(worker.watched) > 1:
                self._note(worker, worker.line.hear(), events)
        except (EOFError, OSError):
            pass  # that was all
        code = self._let_go(worker)
        if not worker.ready:
            self._stillborn += 1
            nobody = not any(other.ready for other in self.workers)
            if nobody and (self._stillborn > _MOST_STILLBORN or (not self._proven and code > 0)):
                raise WorkersUnusable(code)
        job = worker.job
        if job is not None and (worker.expired is None or worker.expired is job):
            worker.jobs.popleft()
            events.append(Event(None, job, code=code, expired=worker.expired is job))
        events += _not_begun(worker.last_jobs(len(worker.jobs)))

    def _let_go(self, worker: Worker) -> int:
        """Of one that has ended. Its exit code."""
        for descriptor in worker.watched:
            self._selector.unregister(descriptor)
        self.workers.discard(worker)
        return worker.let_go()


def _not_begun(jobs: Sequence[Job]) -> list[Event]:
    return [Event(TASK, job) for job in jobs]


def _jobs_in_hand(place: tuple[Worker, int]) -> int:
    return len(place[0].jobs)
