"""Random graphs of steps on the simulated disk, in virtual time: several machines, crashes, stale caches, lost replies.

What runs is the package: beginning and joining sessions, the record, the conductor, insertion, the claims. Simulated
are the work of a step (it takes a while, may fail, may insert another step) and the disk. The detector of the tests
judges by stamps that the work leaves, with the kernel's time. At the end everything works again, and a newcomer brings
the run to its end.

`python -m tests.proof.simulated.steps SEED` prints the trace of one seed.
"""

import random
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

from multiprocesstools.claims.assess import look_twice
from multiprocesstools.claims.bind import Expelled
from multiprocesstools.claims.claim import Refusal, end, take
from multiprocesstools.claims.ended import Outcome
from multiprocesstools.claims.hands import Claim, How
from multiprocesstools.claims.instance import Instance, Rules
from multiprocesstools.claims.publish import Published, publish_draft
from multiprocesstools.claims.record import Unreadable, decode
from multiprocesstools.claims.slots import Files, Listing, Slot, read_listing
from multiprocesstools.errors import RunDirectoryUnusable, SessionReplaced, StepTakenOver
from multiprocesstools.items.fate import Fate
from multiprocesstools.items.results import encode
from multiprocesstools.run.directory import unusable
from multiprocesstools.steps.conductor import Conductor, Wishes
from multiprocesstools.steps.inserting import Insertion, Request
from multiprocesstools.steps.performer import Current
from multiprocesstools.steps.place import Place
from multiprocesstools.steps.scribe import Scribe
from multiprocesstools.steps.session import enter_session
from multiprocesstools.steps.step import SCRIPT, Step
from tests.clocks import HandClock
from tests.proof.simulated.clients import Ways, forget
from tests.proof.simulated.disk import SimulatedDisk
from tests.proof.simulated.kernel import Crashed, Kernel, Machine, Process, Task
from tests.proof.simulated.members import instance_of, is_gone
from tests.proof.simulated.server import start
from tests.steps.detector import Stamp, faults, random_graph

RUN, HOME = "/run", "/run/.multiprocesstools"
INSTANCES, RECORD, ITEMS = f"{HOME}/instances", f"{HOME}/steps", f"{RUN}/steps"
DIRECTORIES = (RUN, HOME, INSTANCES, RECORD, ITEMS)
BEAT_SECONDS, PATIENCE_SECONDS = 1.0, 10.0
_TROUBLE_SECONDS, _REST_SECONDS = 25.0, 600.0
_MOST_STARTS = 40


@dataclass
class Told:
    """What one seed has come to."""

    seed: int
    broken: list[str] = field(default_factory=list)
    steps: int = 0
    crashes: int = 0
    begun_again: int = 0
    inserted: int = 0
    failed: int = 0
    sessions: int = 0
    operations: int = 0
    trace: list[str] = field(default_factory=list)


class SimulatedRun:
    """What `Place` and `enter_session` ask of a run, on the simulated disk."""

    directory, home, private_names = RUN, HOME, 0

    def __init__(self, disk: SimulatedDisk, number: int, is_gone: Any) -> None:
        self.disk, self._number, self._is_gone = disk, number, is_gone
        self.clock = HandClock()

    def private(self) -> str:
        self.private_names += 1
        return f"{HOME}/.mpt-{self._number:032x}-{self.private_names}"

    def possibly_alive(self) -> list[str]:
        """A record is there, and nobody has proved that its process is gone."""
        found = []
        for entry in self.disk.list(INSTANCES):
            if entry.name.startswith("."):
                continue
            try:
                record = decode(self.disk.read(f"{INSTANCES}/{entry.name}") or b"")
            except (OSError, Unreadable):
                found.append(entry.name)
                continue
            if not self._is_gone(record.identity):
                found.append(record.file_name)
        return sorted(found)

    def settings(self) -> Rules:
        return RULES

    def absolute(self, path: str) -> str:
        return f"{RUN}/{path}"


RULES = Rules(BEAT_SECONDS, PATIENCE_SECONDS, 3, False)


class SimulatedPlace(Place):
    """Listings come from the simulated disk."""

    def listing(self) -> Listing:
        listed: Listing = self.run.disk.scan(self.items, lambda entries: read_listing(self.items, entries))
        return listed

    def is_whole(self, item: str) -> bool:
        return self.finished(item) is not None


class SimulatedCrew:
    """What a conductor asks of a crew, for one instance that is never expelled unnoticed."""

    stop_requested = paused = False

    def __init__(self, me: Instance) -> None:
        self._me, self.rules = me, me.rules
        self.guard = SimpleNamespace(signalled=None, critical=nullcontext())

    def member(self) -> SimpleNamespace:
        return SimpleNamespace(instance=self._me)

    def take(self, slot: Slot, files: Files | None, *, look: bool, how: How) -> Claim | Refusal:
        try:
            return take(self._me, slot, files, look=look, how=how)
        except OSError as error:
            raise unusable(slot.directory, error) from error

    def assess(self, slot: Slot) -> Any:
        return look_twice(self._me, slot)


class SimulatedPerformer:
    """The work of a step is handed in, and ends in virtual time. `work(step, claim)` says how it ended."""

    work: Any

    def __init__(self, crew: SimulatedCrew) -> None:
        self._crew, self.current = crew, Current()

    def perform(self, step: Step, slot: Slot, files: Files | None, share: Any) -> Fate | Refusal:
        taken = self._crew.take(slot, files, look=files is not None, how=How.DRAFT)
        fate: Fate | Refusal = taken if isinstance(taken, Refusal) else self.work(step, taken)
        return fate

    def count(self, step: Step, fate: object) -> None: ...


class Simulation:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.chance = draw = random.Random(f"steps {seed}")
        self.graph = random_graph(seed, draw.randint(1, 30), reach=10)
        names = list(self.graph)
        self.failing = set(draw.sample(names, draw.choice((0, 0, 1, 2)) if len(names) > 2 else 0))
        self.tolerated = {name for name in self.failing if draw.random() < 0.3}
        self.inserters = set(draw.sample(names, min(len(names), draw.choice((0, 0, 1, 3)))))
        ways = Ways(
            stale=draw.random() < 0.5, stubborn=draw.random() < 0.3, ageing=draw.random() < 0.2,
            torn=draw.random() < 0.6, repeated=draw.random() < 0.1, lost=draw.random() < 0.5, error=draw.random() < 0.2,
        )  # fmt: skip
        self.kernel = Kernel(seed, start(*DIRECTORIES), ways, draw.choice((0.0, 0.005, 0.02)))
        self.machines = [
            Machine(f"machine {n}", draw.choice((0.0, 3600.0, -86400.0))) for n in range(draw.randint(1, 3))
        ]
        self.processes: dict[int, Process] = {}
        self.stamps: list[Stamp] = []
        self.ended = False
        self.told = Told(seed)

    def run(self) -> Told:
        with self._virtual_time():
            for _ in range(self.chance.randint(2, 5)):
                self.join(self.chance.uniform(0, 3))
            for _ in range(self.chance.randrange(6)):
                self.kernel.at(self.chance.uniform(0.5, _TROUBLE_SECONDS), self._trouble)
            self.kernel.run(_TROUBLE_SECONDS)
            self.kernel.fault_chance = 0.0
            self.join(self.kernel.now)
            self.kernel.run(_TROUBLE_SECONDS + _REST_SECONDS)
        self._judge()
        self.told.operations, self.told.trace = self.kernel.operations, self.kernel.trace
        return self.told

    @contextmanager
    def _virtual_time(self) -> Iterator[None]:
        """The rooms of steps ask for the time themselves, and choose among ready steps by chance."""
        clock = SimpleNamespace(monotonic=lambda: 1000.0 + self.kernel.now, time=lambda: 1.7e9 + self.kernel.now)
        with (
            mock.patch("multiprocesstools.steps.conductor.time", clock),
            mock.patch("multiprocesstools.steps.outlook.time", clock),
            mock.patch("multiprocesstools.steps.scribe.time", clock),
            mock.patch("multiprocesstools.steps.conductor.random", self.chance),
        ):
            yield

    # -- processes

    def join(self, at: float) -> None:
        """A new process on one of the machines. One that ends by an error of the disk is started again."""
        number = len(self.processes) + 1
        if number > _MOST_STARTS:
            return
        process = self.processes[number] = Process(number, self.chance.choice(self.machines))

        def main(task: Task) -> None:
            try:
                self._live(process)
            except (OSError, RunDirectoryUnusable, Expelled, SessionReplaced) as error:
                self.kernel.say(f"{number}: ends by {error!r}")
                self.join(self.kernel.now + 1)
            finally:
                process.alive = False

        self.kernel.start(process, main, max(at, self.kernel.now))

    def _live(self, process: Process) -> None:
        me = instance_of(process, self.processes, self.kernel, RULES, instances=INSTANCES)
        me.join()
        self.kernel.start(process, lambda heart: self._beat(process, me), self.kernel.now)
        run = SimulatedRun(me.disk, process.number, lambda other: is_gone(other, process, self.processes))  # type: ignore[arg-type]
        place = SimulatedPlace(run)  # type: ignore[arg-type]
        ledger = place.ledger(durable=False)
        own = me.record.file_name
        enter_session(place, ledger, "simulated", self._script(), me=own, knows=lambda step: True)
        self.told.sessions = max(self.told.sessions, ledger.book.start.number)
        crew = SimulatedCrew(me)
        performer: Any = SimulatedPerformer(crew)
        conductor = Conductor(
            crew,
            place,
            ledger,
            Wishes(),
            can_run=lambda step: True,
            performer=performer,  # type: ignore[arg-type]
        )
        insertion = Insertion(conductor, Scribe(crew, conductor, lambda step: True))  # type: ignore[arg-type]
        performer.work = lambda step, claim: self._work(process, me, insertion, step, claim)
        conductor.look()
        while not self._is_over(conductor):
            if not conductor.work_once() or self.chance.random() < 0.2:
                me.clock.sleep(self.chance.uniform(0.05, BEAT_SECONDS))
                conductor.look()
        me.leave()
        self.ended = True

    @staticmethod
    def _is_over(conductor: Conductor) -> bool:
        """As `Runner` asks it: still after a last look."""
        if conductor.frontier.is_over:
            conductor.look()
        return conductor.frontier.is_over

    def _beat(self, process: Process, me: Instance) -> None:
        while process.alive:
            me.clock.sleep(BEAT_SECONDS)
            try:
                me.tend()
            except OSError:
                continue

    def _script(self) -> list[Step]:
        ids = {name: number for number, name in enumerate(self.graph, start=1)}
        return [
            Step(ids[name], name, "[]", tuple(ids[o] for o in waits), name, tolerate_failure=name in self.tolerated)
            for name, waits in self.graph.items()
        ]

    # -- the work of a step

    def _stamp(self, process: Process, step: Step, what: str) -> None:
        self.kernel.say(f"{process.number}: {step.name} {what}s")
        self.stamps.append(Stamp(self.kernel.now, step.name, what, str(process.number)))

    def _work(self, process: Process, me: Instance, insertion: Insertion, step: Step, claim: Claim) -> Fate:
        self._stamp(process, step, "begin")
        current = insertion._conductor.performer.current
        current.step, current.inserted, current.looked = step, Counter(), float("-inf")
        current.item = SimpleNamespace(  # type: ignore[assignment]
            final=SimpleNamespace(name=claim.slot.name), lost=claim.lost, attempt=claim.attempt
        )
        try:
            me.clock.sleep(self.chance.choice((0.0, 0.1, 1.0, 3.0)))
            if step.name in self.inserters and step.origin == SCRIPT:
                insertion.insert(Request(f"{step.name}+", f"{step.name}+", "[]"))
        except StepTakenOver:
            return self._end(me, claim, Outcome.DROPPED)
        except OSError:
            return self._end(me, claim, Outcome.FAILED)
        finally:
            current.step = current.item = None
        self._stamp(process, step, "end")
        if step.name in self.failing:
            return self._end(me, claim, Outcome.FATAL)
        return self._publish(me, step, claim)

    def _publish(self, me: Instance, step: Step, claim: Claim) -> Fate:
        line = {"step": step.id, "result": None, "files": [], "host": "", "pid": 0, "started": 0, "ended": 0}
        try:
            result = publish_draft(me, claim, encode(line | {"attempt": claim.attempt}))
        except OSError:
            return self._end(me, claim, Outcome.FAILED)
        if result is Published.GONE:
            return self._end(me, claim, Outcome.FAILED)
        return Fate.DONE if result is Published.MINE else Fate.LOST

    def _end(self, me: Instance, claim: Claim, outcome: Outcome) -> Fate:
        end(me, claim, me.ended(outcome))
        return Fate.DROPPED if outcome is Outcome.DROPPED else Fate.FAILED

    # -- troubles

    def _trouble(self) -> None:
        living = [process for process in self.processes.values() if process.alive]
        trouble = self.chance.choice(("crash", "crash", "crash", "server", "forget", "clock"))
        self.kernel.say(f"TROUBLE {trouble}")
        machine = self.chance.choice(self.machines)
        if trouble == "crash" and living:
            self.told.crashes += 1
            self.kernel.crash(self.chance.choice(living))
            self.join(self.kernel.now + self.chance.uniform(0, 5))
        elif trouble == "server":
            self.kernel.down_until = max(self.kernel.down_until, self.kernel.now + self.chance.choice((2.0, 8.0)))
        elif trouble == "forget":
            self.kernel.state = forget(self.kernel.state, machine.name)
        elif trouble == "clock":
            machine.offset += self.chance.choice((-86400.0, 86400.0))

    # -- the end

    def _judge(self) -> None:
        told = self.told
        for process in self.processes.values():
            for task in process.tasks:
                if task.error is not None and not isinstance(task.error, Crashed):
                    told.broken.append(f"process {process.number} raised {task.error!r}")
        if stuck := [process.number for process in self.processes.values() if process.alive]:
            told.broken.append(f"stuck: {stuck} still run")
        if not self.ended:
            told.broken.append("nobody came to the end")
        blocked = self._blocked()
        graph = {name: waits for name, waits in self.graph.items() if name not in blocked}
        graph |= {f"{name}+": [name] for name in self.inserters - blocked - (self.failing - self.tolerated)}
        told.broken += faults(graph, self.stamps, crashed=self._excused(), again=self._again())
        begins = [stamp.step for stamp in self.stamps if stamp.what == "begin"]
        told.steps, told.begun_again = len(set(begins)), len(begins) - len(set(begins))
        told.inserted = len([step for step in set(begins) if step.endswith("+")])
        told.failed = len(self.failing.intersection(begins))

    def _again(self) -> set[str]:
        """What failed is tried again by the next session, and what waits for it runs again."""
        again = set(self.failing)
        for name in sorted(self.graph, key=_number):
            if not again.isdisjoint(self.graph[name]):
                again.add(name)
        return again | {f"{name}+" for name in again}

    def _blocked(self) -> set[str]:
        """What can never start."""
        blocked: set[str] = set()
        for name in sorted(self.graph, key=_number):
            if any(other in blocked or other in self.failing - self.tolerated for other in self.graph[name]):
                blocked.add(name)
        return blocked

    def _excused(self) -> set[str]:
        """Who has not come to its own end: it crashed, or the disk gave it an error."""
        return {str(number) for number, process in self.processes.items() if number not in self._clean}

    @property
    def _clean(self) -> set[int]:
        return {int(stamp.who) for stamp in self.stamps} - self._ended_badly

    @property
    def _ended_badly(self) -> set[int]:
        words = [line.split() for line in self.kernel.trace if "CRASH" in line or "ends by" in line or "EIO" in line]
        return {int(word[1].rstrip(":")) for word in words}


def _number(name: str) -> int:
    return int(name[1:])


def run_seeds(seeds: range) -> list[Told]:
    return [run_seed(seed) for seed in seeds]


def run_seed(seed: int) -> Told:
    told = Simulation(seed).run()
    told.trace.clear()  # the seed makes it again
    return told


if __name__ == "__main__":
    outcome = Simulation(int(sys.argv[1])).run()
    print("\n".join(outcome.trace))
    print(outcome.broken or "nothing broken")
