"""The machines of a torture run: an NFS lab, workers on its nodes, an observer on its server; and what befalls it."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.labs.nfs import EXPORT, SHARED, NfsLab, Running, wait_until
from tests.proof.network import observer as network_observer
from tests.proof.network import worker as network_worker
from tests.proof.network.judge import Deaths, Finals, read_finals
from tests.proof.network.schedule import Fault, Kind, Plans
from tests.proof.network.worker import OUTPUTS, Process

RUN = "torture"
_HELLO_SECONDS = 60.0


@dataclass(frozen=True)
class Rules:
    """The settings of a run on the lab."""

    items: int
    items_per_list: int
    processes_per_node: int
    beat: float
    patience: float
    seed: int


@dataclass
class Worker:
    """A process on a node. `process` is known when it has said hello; `doomed` when the schedule has killed it."""

    node: str
    running: Running
    doomed: bool = False

    @property
    def process(self) -> Process | None:
        line, newline, _ = self.running.output.partition("\n")
        return Process.read(line) if newline else None

    def wait_for_hello(self) -> Process:
        wait_until(lambda: self.process is not None, _HELLO_SECONDS, f"a worker on {self.node} says who it is")
        assert self.process is not None
        return self.process


@dataclass
class Cluster:
    """Workers on all nodes, begun again when they or their machine were killed."""

    lab: NfsLab
    rules: Rules
    workers: list[Worker] = field(default_factory=list)
    tried: Counter[str] = field(default_factory=Counter)
    _killed: set[Process] = field(default_factory=set)
    _crashed: set[str] = field(default_factory=set)
    _observers: list[Running] = field(default_factory=list)
    _held: list[str] = field(default_factory=list)
    _boots: dict[str, str] = field(default_factory=dict)
    _mounting: threading.Lock = field(default_factory=threading.Lock)
    """A node boots only while the server is there, or its mount would give up."""

    def begin(self) -> None:
        self._observe()
        for node in self.lab.nodes:
            self._note_boot(node)
            self._start_workers(node)
        processes = self.rules.processes_per_node * len(self.lab.nodes)
        wait_until(lambda: self._begun() == processes, _HELLO_SECONDS, "all workers have begun an item")

    def _begun(self) -> int:
        """How many processes have begun an item, as the server has it."""
        found = self.lab.run("server", f"find {EXPORT / RUN}/audit -type f -size +0 2>/dev/null || true").check()
        return len(found.output.splitlines())

    def _start_workers(self, node: str) -> None:
        workers = [self._start_worker(node) for _ in range(self.rules.processes_per_node)]
        for worker in workers:
            worker.wait_for_hello()

    def _start_worker(self, node: str) -> Worker:
        rules = self.rules
        options = [
            "--items",
            rules.items,
            "--items-per-list",
            rules.items_per_list,
            "--beat",
            rules.beat,
            "--patience",
            rules.patience,
        ]
        command = [self.lab.python, Path(network_worker.__file__), SHARED / RUN, *map(str, options)]
        worker = Worker(node, self.lab.start(node, command))
        self.workers.append(worker)
        return worker

    def _observe(self, *words: str) -> Running:
        command = [self.lab.python, "-m", network_observer.__name__, EXPORT / RUN / OUTPUTS, *words]
        self._observers.append(self.lab.start("server", command))
        return self._observers[-1]

    def _note_boot(self, node: str) -> None:
        self._boots[node] = self.lab.run(node, "cat /proc/sys/kernel/random/boot_id").check().output.strip()

    # -- what befalls it

    def hold(self, node: str) -> None:
        """Stop a machine until all others have done everything, what it has in hand included (see `finish`)."""
        self.lab.pause(node)
        self._held.append(node)
        self.tried[Kind.PAUSE] += 1

    def suffer(self, plans: Plans) -> None:
        """Carry out the plans, side by side, until they or all workers have ended."""
        failed: list[BaseException] = []
        threads = [
            threading.Thread(target=self._follow, args=(machine, plan, failed)) for machine, plan in plans.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]

    def _follow(self, machine: str, plan: list[Fault], failed: list[BaseException]) -> None:
        chance = random.Random(f"{self.rules.seed} {machine}")
        try:
            for fault in plan:
                time.sleep(fault.idle)
                if failed or self._is_over():
                    return
                self._befall(machine, fault, chance)
                self.tried[fault.kind] += 1
        except BaseException as error:
            failed.append(error)

    def _is_over(self) -> bool:
        """Some worker has ended by itself: everything is done."""
        return any(not worker.running.runs and not worker.doomed for worker in self.workers)

    def _befall(self, machine: str, fault: Fault, chance: random.Random) -> None:
        match fault.kind:
            case Kind.CRASH:
                self._crash(machine, fault.seconds)
            case Kind.KILL:
                self._kill(machine, chance)
            case Kind.PAUSE | Kind.SHORT_PAUSE:
                self._undergo(self.lab.pause, machine, fault.seconds, self.lab.resume)
            case Kind.SERVER_PAUSE:
                with self._mounting:
                    self._undergo(self.lab.pause, machine, fault.seconds, self.lab.resume)
            case Kind.CUT | Kind.SHORT_CUT:
                self._undergo(self.lab.cut, machine, fault.seconds, self.lab.heal)
            case Kind.CLOCK:
                self.lab.clock(machine, fault.seconds)
            case Kind.SERVER_CRASH:
                with self._mounting:
                    self._undergo(self.lab.kill, machine, fault.seconds, self.lab.boot)
                self._observe()

    @staticmethod
    def _undergo(begin: Callable[[str], None], machine: str, seconds: float, end: Callable[[str], None]) -> None:
        begin(machine)
        time.sleep(seconds)
        end(machine)

    def _crash(self, node: str, seconds: float) -> None:
        for worker in self._living(node):
            worker.doomed = True
        self._crashed.add(self._boots[node])
        self.lab.kill(node)
        time.sleep(seconds)
        with self._mounting:
            self.lab.boot(node)
        self._note_boot(node)
        self._start_workers(node)

    def _kill(self, node: str, chance: random.Random) -> None:
        running = [worker for worker in self._living(node) if worker.running.runs]
        if not running:
            return
        worker = chance.choice(running)
        worker.doomed = True
        process = worker.wait_for_hello()
        self._killed.add(process)
        self.lab.run(node, ["kill", "-9", str(process.pid)])
        self._start_worker(node).wait_for_hello()

    def _living(self, node: str) -> list[Worker]:
        return [worker for worker in self.workers if worker.node == node and not worker.doomed]

    # -- the end

    def finish(self, seconds: float) -> None:
        """Every worker that the schedule left alive ends by itself, and well."""
        deadline = time.monotonic() + seconds
        self._wait([worker for worker in self.workers if worker.node not in self._held], deadline)
        while self._held:
            self.lab.resume(self._held.pop())
        self._wait(self.workers, deadline)

    @staticmethod
    def _wait(workers: list[Worker], deadline: float) -> None:
        for worker in workers:
            if not worker.doomed:
                worker.running.wait(max(1.0, deadline - time.monotonic())).check()

    def deaths(self) -> Deaths:
        return Deaths(frozenset(self._killed), frozenset(self._crashed))

    def finals(self) -> Finals:
        """What all observers have seen, and what a last look at every final finds."""
        self._observe("once").wait(60).check()
        return read_finals(line for observer in self._observers for line in observer.output.splitlines(keepends=True))

    def cleanup(self, *options: str) -> None:
        """Clean up on one node; something may wait for --force."""
        command = [self.lab.python, "-m", "multiprocesstools", "cleanup", SHARED / RUN, *options]
        done = self.lab.run(self.lab.nodes[0], command, timeout=10 * self.rules.patience)
        assert done.code in (0, 3), f"{done.output}{done.errors}"

    def snapshot(self, target: Path) -> Path:
        return self.lab.snapshot(RUN, target)


@contextmanager
def cluster(version: str, rules: Rules, lease_seconds: int) -> Iterator[Cluster]:
    with NfsLab(nodes=4, version=version, lease_seconds=lease_seconds) as lab:
        lab.assert_lease()
        yield Cluster(lab, rules)
