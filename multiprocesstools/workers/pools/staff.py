"""The processes of a pool, as it sees them: started, given jobs, killed, let go.

Guarantee: a process that was started is ended by SIGKILL with all that it has started, whatever it does. Condition: it
is let go once it has ended, and by one thread.
"""

import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from typing import Any

from multiprocesstools.workers.pools.line import FUNCTION, LINE, TASK, Backlog, Line, record
from multiprocesstools.workers.pools.packing import Function
from multiprocesstools.workers.pools.worker import work


@dataclass(slots=True)
class Job:
    """A task in work, and how often it was begun."""

    number: int
    task: Any
    function: Function
    attempt: int = 0


@dataclass(eq=False, slots=True)
class Worker:
    """A process of the pool. `jobs`: the one that it is at, and those that it has not begun."""

    process: Any
    line: Line
    backlog: Backlog
    ready: bool = False
    jobs: deque[Job] = field(default_factory=deque)
    heard: float = 0.0
    answers: int = 0
    reads_line: bool = False
    deadline: float | None = None
    knows: int | None = None
    expired: Job | None = None
    watched: tuple[int, ...] = field(default=(), repr=False)

    @property
    def job(self) -> Job | None:
        """What it is at."""
        return self.jobs[0] if self.jobs else None

    def give_by_line(self, job: Job, packed: bytes) -> None:
        """What its queue has no room for. Until it has answered it gets nothing else, so that what it has not read can
        be taken back."""
        self.jobs.append(job)
        self.reads_line, job.attempt = True, job.attempt + 1
        try:
            if self.knows != job.function.key:
                self.backlog.put([record(LINE, 0, self.answers)])
                self.line.send(FUNCTION, packed=job.function.packed)
                self.knows = job.function.key
            self.backlog.put([record(LINE, 0, self.answers)])
            self.line.send(TASK, job.number, packed)
        except OSError:
            pass  # it has died, which its process tells

    def take_back(self) -> list[Job]:
        """The jobs that it has not begun."""
        return self.last_jobs(self.backlog.take_back()) if not self.reads_line else []

    def last_jobs(self, count: int) -> list[Job]:
        """So many, of which none was begun."""
        back = [self.jobs.pop() for _ in range(count)]
        for job in back:
            job.attempt -= 1
        return back[::-1]

    def kill(self, number: int) -> None:
        """A signal to it while it was not reaped, so that its number means no other one, and to its group."""
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            self.process.kill()  # it has no group yet
        except ValueError:
            pass  # another thread has closed it

    def let_go(self) -> int:
        """Close what belongs to it when it has ended. Its exit code."""
        self.process.join()
        code = self.process.exitcode
        os.close(self.watched[0])
        self.line.end.close()
        self.backlog.close()
        self.process.close()
        return code if code is not None else -signal.SIGKILL


def start_worker(context: BaseContext) -> Worker:
    """One more. OSError when the system refuses."""
    _start_helpers(context.get_start_method())
    (ours, theirs), backlog = socket.socketpair(), Backlog()
    process = context.Process(  # type: ignore[attr-defined]
        target=work, args=(theirs, backlog.taking), name="multiprocesstools-worker"
    )
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        process.start()
    except BaseException:
        ours.close()
        backlog.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
    return Worker(process, Line(ours), backlog, watched=(_end_of(process), ours.fileno()))


def await_ends(workers: Iterable[Worker], seconds: float) -> None:
    """Until all have ended, at most so long."""
    end, left = time.monotonic() + seconds, {worker.watched[0] for worker in workers}
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
