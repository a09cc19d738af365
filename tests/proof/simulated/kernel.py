"""Virtual time for simulated processes: machines with own clocks, a server that can be down, a queue of events.

A task (the loop of a process, or its beat) runs only while the kernel lets it; it stops at each operation and at each
sleep, so that a run is decided by the seed alone. Every operation takes a random time to the server and back. A task of
a process that has crashed is unwound at its next operation, which does not run.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from greenlet import getcurrent, greenlet

from tests.proof.simulated.clients import Outcome, Ways, outcomes, run_copy
from tests.proof.simulated.disk import refusal
from tests.proof.simulated.server import Operation, State, Who

NEVER = 0.0
_MOST_TASKS = 10
_READS = frozenset({"read", "look", "list"})
_LATENCY_SECONDS, _LOCK_SECONDS = 0.01, 0.05


class Crashed(BaseException):
    """The process of this task is gone."""


@dataclass
class Machine:
    """One client: its clocks, and until when it is suspended or cut off from the server (true time).

    `cached`: while it is cut off, it answers what only reads from what it saw last (a mount without close-to-open).
    """

    name: str
    offset: float = 0.0
    drift: float = 0.0
    suspended_until: float = NEVER
    cut_until: float = NEVER
    cached: State | None = None
    incapable: list[tuple[float, float]] = field(default_factory=list)


@dataclass
class Process:
    """One process. `incapable`: the times (from, to) in which it did not run; its machine has its own."""

    number: int
    machine: Machine
    alive: bool = True
    stopped_until: float = NEVER
    incapable: list[tuple[float, float]] = field(default_factory=list)
    tasks: list["Task"] = field(default_factory=list)

    @property
    def silences(self) -> list[tuple[float, float]]:
        """The times (from, to) in which it could give no sign of life."""
        return self.incapable + self.machine.incapable

    def delayed_until(self) -> float:
        return max(self.stopped_until, self.machine.suspended_until)


class Task:
    """A line of work of a process, which runs by the kernel's leave."""

    def __init__(self, kernel: "Kernel", process: Process, body: Callable[["Task"], None]) -> None:
        self.process, self._kernel = process, kernel
        self.number = process.number * _MOST_TASKS + len(process.tasks)
        self.request: Operation | None = None
        self.answer: Outcome | None = None
        self.error: BaseException | None = None
        self._fiber = greenlet(lambda: self._run(body), kernel.hub)
        process.tasks.append(self)

    def _run(self, body: Callable[["Task"], None]) -> None:
        try:
            if self.process.alive:
                body(self)
        except Crashed:
            pass
        except BaseException as error:  # an error of the package or of the simulation: the run reports it
            self.error = error
        self.request = None

    def resume(self) -> Operation | None:
        """Let it run until its next operation. None: it has ended."""
        self._fiber.switch()
        return self.request

    def ask(self, operation: Operation) -> Any:
        """Called by the task itself: stop until the kernel has an answer."""
        if not self.process.alive:
            raise Crashed
        self.request = operation
        self._kernel.hub.switch()
        if not self.process.alive:
            raise Crashed
        answer = self.answer
        assert answer is not None
        if answer.error:
            raise refusal(answer.error, operation)
        return answer.answer


class Kernel:
    """The events of one simulated run."""

    def __init__(self, seed: int, state: State, ways: Ways, fault_chance: float) -> None:
        self.hub = getcurrent()
        self.chance = random.Random(seed)
        self.now = 0.0
        self.state, self.ways, self.fault_chance = state, ways, fault_chance
        self.down_until = NEVER
        self.current: Task | None = None
        self.trace: list[str] = []
        self.operations = 0
        self.watch: Callable[[State, State, Operation], None] = lambda before, after, operation: None
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()

    def at(self, time: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (time, next(self._serial), event))

    def start(self, process: Process, body: Callable[[Task], None], at: float = 0.0) -> None:
        task = Task(self, process, body)
        self.at(at, lambda: self._resume(task))

    def run(self, until: float) -> None:
        """Let everything happen that happens before `until`."""
        while self._queue and self._queue[0][0] <= until:
            self.now, _, event = heapq.heappop(self._queue)
            event()
        self.now = max(self.now, until)

    def say(self, text: str) -> None:
        self.trace.append(f"{self.now:9.3f} {text}")

    def ask(self, operation: Operation) -> Any:
        """An operation of the task that runs just now."""
        assert self.current is not None
        return self.current.ask(operation)

    def crash(self, process: Process) -> None:
        """SIGKILL. What it has sent to the server may still arrive."""
        process.alive = False
        self.say(f"{process.number}: CRASH")
        for task in process.tasks:
            if task.request is not None:
                self._let_run(task)

    # -- tasks

    def _resume(self, task: Task) -> None:
        delayed = task.process.delayed_until()
        if delayed > self.now and task.process.alive:
            self.at(delayed + self._little(), lambda: self._resume(task))
            return
        self._let_run(task)

    def _let_run(self, task: Task) -> None:
        before, self.current = self.current, task
        request = task.resume()
        self.current = before
        if request is not None:
            self._send(task, request)

    def _send(self, task: Task, request: Operation) -> None:
        if request[0] == "sleep":
            self._reply(task, Outcome(self.state, None), max(request[1], 0.0))
            return
        self.operations += 1
        self.at(self.now + self._little(), lambda: self._arrive(task, request))

    def _arrive(self, task: Task, request: Operation) -> None:
        """The operation reaches the server, unless that is down or cannot be reached."""
        process = task.process
        if not process.alive and self.chance.random() < 0.5:
            return
        if process.machine.cut_until > self.now and process.machine.cached and request[0] in _READS:
            answer = outcomes(process.machine.cached, Who(process.machine.name, task.number), request, Ways())[0]
            self._reply(task, answer, self._little())
            return
        later = max(self.down_until, process.machine.cut_until)
        if later > self.now:
            self.at(later + self._little(), lambda: self._arrive(task, request))
            return
        before = self.state
        outcome = self._choose(outcomes(before, Who(process.machine.name, task.number), request, self.ways))
        self.state = outcome.state
        self.say(f"{process.number}: {_words(request)} -> {_answer(outcome)}")
        self.watch(before, self.state, request)
        if outcome.fault == "copy":
            self.at(self.now + self.chance.expovariate(0.2), lambda: self._run_copy(request))
        if process.alive:
            self._reply(task, outcome, self._little())

    def _run_copy(self, operation: Operation) -> None:
        before, self.state = self.state, run_copy(self.state, operation)
        self.say(f"LATE COPY of {_words(operation)}")
        self.watch(before, self.state, operation)

    def _choose(self, found: list[Outcome]) -> Outcome:
        """Stale answers and torn listings as often as others; what takes a fault, by its chance."""
        free = [outcome for outcome in found if outcome.fault in ("", "stale", "ageing")]
        faulty = [outcome for outcome in found if outcome.fault not in ("", "stale", "ageing")]
        if faulty and self.chance.random() < self.fault_chance:
            return self.chance.choice(faulty)
        return self.chance.choice(free)

    def _reply(self, task: Task, outcome: Outcome, after: float) -> None:
        def arrive() -> None:
            if not task.process.alive:
                return
            delayed = max(task.process.delayed_until(), task.process.machine.cut_until if outcome.fault else NEVER)
            if delayed > self.now:
                self.at(delayed + self._little(), arrive)
                return
            task.answer = outcome
            self._let_run(task)

        self.at(self.now + after, arrive)

    def _little(self) -> float:
        return self.chance.expovariate(1 / _LATENCY_SECONDS)


class KernelClock:
    """The clocks of one machine, in virtual time."""

    def __init__(self, kernel: Kernel, machine: Machine) -> None:
        self._kernel, self._machine = kernel, machine

    def wall(self) -> float:
        return 1.7e9 + self._kernel.now + self._machine.offset

    def elapsed(self) -> float:
        return 1000.0 + self._kernel.now * (1 + self._machine.drift)

    def sleep(self, seconds: float) -> None:
        self._kernel.ask(("sleep", seconds))


class KernelLock:
    """A lock between two tasks of one process, which lets the kernel go on while somebody waits for it."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel, self._held = kernel, False

    def acquire(self, timeout: float = -1) -> bool:
        waited = 0.0
        while self._held:
            if 0 <= timeout <= waited:
                return False
            self._kernel.ask(("sleep", _LOCK_SECONDS))
            waited += _LOCK_SECONDS
        self._held = True
        return True

    def release(self) -> None:
        self._held = False

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()


def _words(operation: Operation) -> str:
    return " ".join(str(part).rpartition("/")[2] for part in operation)[:120]


def _answer(outcome: Outcome) -> str:
    if outcome.error:
        text = refusal(outcome.error, ("", "")).strerror or ""
    elif isinstance(outcome.answer, tuple) and outcome.answer and isinstance(outcome.answer[0], tuple):
        text = " ".join(f"{name}#{inode}" for name, inode, _ in outcome.answer)
    else:
        text = str(outcome.answer)[:60]
    return f"{text} [{outcome.fault}]" if outcome.fault else text
