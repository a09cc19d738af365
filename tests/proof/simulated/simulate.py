"""Whole runs in virtual time, each decided by a seed: several machines, processes with beats, items, sweeps, retries.

What goes wrong is drawn from the seed too: crashes, processes stopped and machines suspended past patience, machines
cut off, a server that is down, clocks that are wrong and jump, lost replies, late duplicates, errors, full disks, stale
caches, torn and repeated listings, a power failure. Checked after every operation: finals appear whole and stay as they
are. Checked whenever an attempt begins: nobody else has it, and nobody else has the item unless its owner could give no
sign of life for patience. At the end everything works again, and a newcomer and a sweep bring the run to its end.

`python -m tests.proof.simulated.simulate SEED` prints the trace of one seed.
"""

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from multiprocesstools.claims import direct
from multiprocesstools.claims.again import try_again
from multiprocesstools.claims.assess import look_twice
from multiprocesstools.claims.bind import Expelled
from multiprocesstools.claims.claim import Refusal, end, give_up, take
from multiprocesstools.claims.ended import Outcome
from multiprocesstools.claims.hands import Claim, How
from multiprocesstools.claims.instance import Instance, Rules
from multiprocesstools.claims.publish import Published, discard, publish
from multiprocesstools.claims.slots import Slot
from multiprocesstools.claims.survey import SETTLED, State
from multiprocesstools.claims.sweep import sweep
from multiprocesstools.errors import ClaimLost
from tests.proof.figures import Figures
from tests.proof.simulated.clients import forget, lose_power
from tests.proof.simulated.kernel import Kernel, Machine, Process, Task
from tests.proof.simulated.members import instance_of
from tests.proof.simulated.players import DIRECTORIES, HALF, INSTANCES, OUT, WHOLE
from tests.proof.simulated.server import Operation, parent, start
from tests.proof.simulated.server import State as Disk
from tests.proof.simulated.story import Story, draw

BEAT_SECONDS, PATIENCE_SECONDS = 1.0, 10.0
_TROUBLE_SECONDS, _REST_SECONDS = 60.0, 400.0
_SLACK_SECONDS = 4 * BEAT_SECONDS


@dataclass
class Told:
    """What one simulated run has come to."""

    story: Story
    broken: list[str] = field(default_factory=list)
    suspicions: int = 0
    operations: int = 0
    troubles: int = 0
    trace: list[str] = field(default_factory=list)


class Simulation:
    """One seed."""

    def __init__(self, seed: int, troubles: tuple[str, ...] | None = None) -> None:
        """`troubles` takes the place of those that the seed would choose."""
        self.story = story = draw(seed)
        if troubles is not None:
            self.story = story = replace(story, troubles=troubles)
        self.kernel = Kernel(seed, start(*DIRECTORIES), story.ways, story.fault_chance)
        self.kernel.watch = self._watch
        self.chance = self.kernel.chance
        self.machines = [self._machine(number) for number in range(story.machines)]
        self.processes: dict[int, Process] = {}
        self.slots = [Slot(OUT, f"i{number}") for number in range(story.items)]
        self.owners: set[tuple[str, int, int]] = set()
        self.claimed: dict[str, float] = {}
        self.declared: dict[tuple[str, int], Process] = {}
        self.downs: list[tuple[float, float]] = []
        self.given_up: set[tuple[str, int, int]] = set()
        self.failures: dict[str, int] = dict.fromkeys((slot.name for slot in self.slots), 0)
        self.fatal: set[str] = set()
        self.skipped: set[str] = set()
        self.crashes = 0
        self.forced = self.retried = False
        self.calm = False
        self.told = Told(story)

    def _machine(self, number: int) -> Machine:
        offset = self.chance.choice((0.0, 3600.0, -3600.0, 86400.0))
        return Machine(f"machine {number}", offset, self.chance.uniform(-1e-3, 1e-3))

    def run(self) -> Told:
        for _ in range(self.story.processes):
            self.join(self.work, self.chance.uniform(0, 5))
        for trouble in self.story.troubles:
            self.kernel.at(self.chance.uniform(1, _TROUBLE_SECONDS), lambda trouble=trouble: self._trouble(trouble))
        self.kernel.run(_TROUBLE_SECONDS)
        self._calm_down()
        self.kernel.run(_TROUBLE_SECONDS + _REST_SECONDS)
        self._finish()
        self.told.operations, self.told.trace = self.kernel.operations, self.kernel.trace
        return self.told

    # -- processes

    def join(self, program: Callable[[Process, Instance], None], at: float) -> Process:
        """A new process on one of the machines that begins its program at that time."""
        number = len(self.processes) + 1
        process = self.processes[number] = Process(number, self.chance.choice(self.machines))

        def main(task: Task) -> None:
            me = self._instance(process)
            try:
                me.join()
            except OSError:
                process.alive = False
                return
            self.kernel.start(process, lambda heart: self._beat(process, me), self.kernel.now)
            try:
                program(process, me)
            finally:
                process.alive = False

        self.kernel.start(process, main, max(at, self.kernel.now))
        return process

    def _instance(self, process: Process) -> Instance:
        rules = Rules(BEAT_SECONDS, PATIENCE_SECONDS, self.story.max_attempts, self.story.durable)
        me = instance_of(
            process, self.processes, self.kernel, rules, in_place=self.story.style == "in place",
            notice=lambda *event, **facts: self._notice(process, *event, **facts),
        )  # fmt: skip
        if self.story.style == "copies":
            me.copies.add(OUT)
        return me

    def _beat(self, process: Process, me: Instance) -> None:
        while process.alive:
            me.clock.sleep(BEAT_SECONDS)
            me.tend()

    def work(self, process: Process, me: Instance) -> None:
        """A loop over all items, until all are settled."""
        settled: set[str] = set()
        while len(settled) < len(self.slots) and not me.expelled:
            listing = _try(lambda: me.listing(OUT))
            for slot in self.chance.sample(self.slots, len(self.slots)) if listing else ():
                files = listing.files(slot.name)
                if files.done:
                    self._hear(process, slot, "done", settled)
                elif slot.name not in settled and self._attempt(process, me, slot, files, settled):
                    break
            me.clock.sleep(self.chance.uniform(0.1, BEAT_SECONDS))
        me.leave()

    def _attempt(self, process: Process, me: Instance, slot: Slot, files: Any, settled: set[str]) -> bool:
        """True: something was done, so that the listing is old."""
        in_place = self.story.style == "in place"
        try:
            taken = take(me, slot, files if files.highest else None, how=How.IN_PLACE if in_place else How.STAGED)
        except (OSError, Expelled):
            return True
        if isinstance(taken, Refusal):
            if taken.state in SETTLED:
                self._hear(process, slot, taken.state.value, settled)
            return False
        self._owns(process, taken)
        me.clock.sleep(self.chance.choice((0.0, 0.1, 1.0, 3.0, 20.0)))
        (self._write_in_place if in_place else self._write)(process, me, taken)
        self.owners.discard((slot.name, taken.attempt, process.number))
        return True

    def _write(self, process: Process, me: Instance, claim: Claim) -> None:
        how = self.chance.choices(("ok", "fail", "skip", "drop", "fatal", "late"), (60, 20, 3, 10, 2, 5))[0]
        if how == "late":
            self.given_up.add((claim.slot.name, claim.attempt, process.number))
            _try(lambda: give_up(me, claim, me.ended(Outcome.DROPPED)))
        if how not in ("ok", "late"):
            return self._end(process, me, claim, how)
        staging = me.staging(claim)
        try:
            me.disk.create(staging, HALF)
            me.clock.sleep(self.chance.choice((0.0, 0.5)))
            stamp = me.disk.look(staging)
            if stamp is not None:
                self.kernel.ask(("write", stamp.inode, 0, WHOLE))
            result = publish(me, claim, [(staging, claim.slot.final)])
        except OSError:
            discard(me, staging)
            return self._end(process, me, claim, "fail")
        if result is Published.GONE:
            self._end(process, me, claim, "fail")
        return None

    def _end(self, process: Process, me: Instance, claim: Claim, how: str) -> None:
        name = claim.slot.name
        self.owners.discard((name, claim.attempt, process.number))
        self.failures[name] += how in ("fail", "fatal")
        if how == "fatal":
            self.fatal.add(name)
        if how == "skip":
            self.skipped.add(name)
        outcome = {"fail": Outcome.FAILED, "skip": Outcome.SKIPPED, "drop": Outcome.DROPPED, "fatal": Outcome.FATAL}[
            how
        ]
        end(me, claim, me.ended(outcome))

    def _write_in_place(self, process: Process, me: Instance, claim: Claim) -> None:
        key = (claim.slot.name, claim.attempt, process.number)
        try:
            begun = direct.begin(me, claim, f"{OUT}/{claim.slot.name}.tmp")
        except OSError:
            begun = False
        if not begun:
            return
        try:
            inode = self._open(me, claim.slot.final)
            me.clock.sleep(self.chance.choice((0.0, 0.5)))
            if self.chance.random() < 0.7:
                self.kernel.ask(("write", inode, 0, WHOLE))
                return direct.finish(me, claim)
        except ClaimLost:
            return
        except OSError:
            pass
        self.owners.discard(key)
        direct.undo(me, claim, me.ended(Outcome.DROPPED))

    def _open(self, me: Instance, path: str) -> int:
        try:
            me.disk.create(path, HALF)
        except FileExistsError:
            pass
        stamp = me.disk.look(path)
        if stamp is None:
            raise FileNotFoundError(path)
        self.kernel.ask(("write", stamp.inode, 0, HALF + b" "))
        return stamp.inode

    def cleanup(self, process: Process, me: Instance, *, force: bool = False) -> None:
        """The command `cleanup`: it observes for longer than patience."""
        for _ in range(int(PATIENCE_SECONDS / BEAT_SECONDS) + 4):
            _try(lambda: sweep(me, INSTANCES, [OUT], placeholders=self._placeholders(), force=force))
            me.clock.sleep(BEAT_SECONDS)
        me.leave()

    def _placeholders(self) -> list[str]:
        return [f"{OUT}/{slot.name}.tmp" for slot in self.slots]

    def retry(self, process: Process, me: Instance) -> None:
        """The command `retry`, for the first item that has failed."""
        for slot in self.slots:
            finding = _try(lambda slot=slot: look_twice(me, slot))
            if finding is not None and finding.state is State.FAILED:
                self.retried = True
                _try(lambda slot=slot, finding=finding: try_again(me.disk, slot, finding.attempt))
        me.leave()

    # -- troubles

    def _trouble(self, trouble: str) -> None:
        self.told.troubles += 1
        self.kernel.say(f"TROUBLE {trouble}")
        getattr(self, f"_trouble_{trouble.replace(' ', '_')}")()

    def _living(self) -> list[Process]:
        return [process for process in self.processes.values() if process.alive]

    def _trouble_crash(self) -> None:
        if living := self._living():
            self.crashes += 1
            self.kernel.crash(self.chance.choice(living))
        self.join(self.work, self.kernel.now + self.chance.uniform(0, 5))

    def _trouble_stop(self) -> None:
        if living := self._living():
            process = self.chance.choice(living)
            process.stopped_until = self._incapable(process, process.stopped_until)

    def _trouble_suspend(self) -> None:
        machine = self.chance.choice(self.machines)
        machine.suspended_until = self._incapable(machine, machine.suspended_until)

    def _trouble_suspend_all(self) -> None:
        """The host of all the virtual machines stands still."""
        seconds = self._some_time()
        for machine in self.machines:
            later = seconds + self.chance.uniform(0, 2)
            machine.suspended_until = self._incapable(machine, machine.suspended_until, later)

    def _trouble_cut_cleanup(self) -> None:
        """A sweeper loses the server, and reads what its client remembers."""
        machine = self.join(self.cleanup, self.kernel.now).machine
        self.kernel.at(self.kernel.now + 2, lambda: self._cut(machine, cached=True))

    def _trouble_cut(self) -> None:
        self._cut(self.chance.choice(self.machines), cached=self.chance.random() < 0.5)

    def _cut(self, machine: Machine, *, cached: bool) -> None:
        machine.cached = self.kernel.state if cached else None
        machine.cut_until = self._incapable(machine, machine.cut_until)

    def _some_time(self) -> float:
        return self.chance.choice((3.0, 8.0, 15.0, 40.0))

    def _incapable(self, who: Process | Machine, before: float, seconds: float = 0.0) -> float:
        """Note a time without signs of life; until when, also if it lasted longer already."""
        until = max(before, self.kernel.now + (seconds or self._some_time()))
        who.incapable.append((self.kernel.now, until))
        return until

    def _trouble_server(self) -> None:
        later = self.kernel.now + self.chance.choice((2.0, 8.0, 15.0, 30.0))
        self.kernel.down_until = max(self.kernel.down_until, later)
        self.downs.append((self.kernel.now, self.kernel.down_until))

    def _trouble_power(self) -> None:
        """Everything goes down at once, and what was not synced is lost."""
        for process in self._living():
            self.crashes += 1
            self.kernel.crash(process)
        self.kernel.state = lose_power(self.kernel.state)
        self.join(self.work, self.kernel.now + 5)

    def _trouble_clock(self) -> None:
        self.chance.choice(self.machines).offset += self.chance.choice((-86400.0, 86400.0))

    def _trouble_forget(self) -> None:
        self.kernel.state = forget(self.kernel.state, self.chance.choice(self.machines).name)

    def _trouble_cleanup(self) -> None:
        self.join(self.cleanup, self.kernel.now)

    def _trouble_force(self) -> None:
        self.forced = True
        self.join(lambda process, me: self.cleanup(process, me, force=True), self.kernel.now)

    def _trouble_retry(self) -> None:
        self.join(self.retry, self.kernel.now)

    def _calm_down(self) -> None:
        self.kernel.fault_chance, self.calm = 0.0, True
        self.join(self.work, self.kernel.now)

    # -- checks

    def _break(self, promise: str) -> None:
        self.kernel.say(f"BROKEN {promise}")
        self.told.broken.append(promise)

    def _watch(self, before: Disk, after: Disk, operation: Operation) -> None:
        if before.names is after.names and before.files is after.files:
            return
        for path in after.names.keys() - before.names.keys():
            self.claimed[path] = self.kernel.now
        for slot in self.slots:
            was, now = _final(before, slot), _final(after, slot)
            if was == now:
                continue
            if now is not None and now[1] != WHOLE:
                self._break(f"partial: {slot.name} counts as done without its whole content")
            if was is not None and (now is None or now[0] != was[0]):
                self._break(f"replaced: {slot.name}")

    def _owns(self, process: Process, claim: Claim) -> None:
        name = claim.slot.name
        for other_name, attempt, number in self.owners:
            other = self.processes[number]
            if other_name != name or number == process.number or not other.alive:
                continue
            if attempt == claim.attempt:
                self._break(f"two owners of attempt {attempt} at {name}")
            elif not self._is_excused(*min((attempt, number), (claim.attempt, process.number)), claim.slot):
                self._break(f"two owners of {name}, {number} and {process.number}, nobody suspected")
            else:
                self.told.suspicions += 1
        self.owners.add((name, claim.attempt, process.number))

    def _is_excused(self, attempt: int, number: int, slot: Slot) -> bool:
        """May the earlier of two attempts have been declared over although its owner lives?"""
        if self.forced or (slot.name, attempt, number) in self.given_up:
            return True
        since = self.claimed[slot.claim(attempt)]
        judge = self.declared.get((slot.name, attempt))
        blind = [*self.downs, *(judge.silences if judge else ())]
        return longest_silence(self.processes[number].silences, blind, since) >= PATIENCE_SECONDS - _SLACK_SECONDS

    def _hear(self, process: Process, slot: Slot, said: str, settled: set[str]) -> None:
        """An instance believes that the item is settled; is it true?"""
        if slot.name in settled:
            return
        settled.add(slot.name)
        final = _final(self.kernel.state, slot)
        if said == "done" and (final is None or final[1] != WHOLE):
            self._break(f"told done, and it is not: {slot.name}")
        excuses = self.crashes + self.told.suspicions + self._faults()
        if (
            said == "failed"
            and slot.name not in self.fatal
            and self.failures[slot.name] + excuses < self.story.max_attempts
        ):
            self._break(f"set aside wrongly: {slot.name}")
        if said == "skipped" and slot.name not in self.skipped:
            self._break(f"skipped wrongly: {slot.name}")

    def _faults(self) -> int:
        """False suspicions of owners that did not come to begin, and lost replies of copied claims."""
        incapable = sum(len(process.silences) for process in self.processes.values())
        return incapable + (self.story.max_attempts if self.story.style == "copies" or self.forced else 0)

    def _notice(self, process: Process, event: str, slot: Slot | None = None, attempt: int = 0, **facts: Any) -> None:
        self.kernel.say(f"{process.number}: ({event} {slot.name if slot else ''} {attempt or ''})")
        if event == "taken over" and slot is not None:
            self.declared[slot.name, attempt] = process

    # -- the end

    def _finish(self) -> None:
        """Everybody has ended. A sweep, then every item is done or set aside, and nothing is left beside the done."""
        for process in self.processes.values():
            for task in process.tasks:
                if task.error is not None:
                    self._break(f"process {process.number} raised {task.error!r}")
        if stuck := [process.number for process in self._living()]:
            self._break(f"stuck: {stuck} still run")
        self.join(self.cleanup, self.kernel.now)
        self.kernel.run(self.kernel.now + _REST_SECONDS)
        names = [path.rpartition("/")[2] for path in self.kernel.state.names if parent(path) == OUT]
        if self.story.ways.copy:
            return
        for slot in self.slots:
            if _final(self.kernel.state, slot) is not None:
                left = [n for n in names if slot.name in n and n != slot.name and ".partial-" not in n]
                if left:
                    self._break(f"litter: {left}")
        if records := [p for p in self.kernel.state.names if parent(p) == INSTANCES and "test-" in p]:
            self.kernel.say(f"records left: {records}")


Intervals = Iterable[tuple[float, float]]


def longest_silence(silent: Intervals, blind: Intervals, since: float) -> float:
    """The longest time after `since` in which somebody was silent, and who judged it was not blind."""
    longest = 0.0
    for begin, until in silent:
        parts = [(max(begin, since), until)]
        for left, right in blind:
            parts = [piece for a, b in parts for piece in ((a, min(b, left)), (max(a, right), b))]
        longest = max([longest, *(b - a for a, b in parts)])
    return longest


def _final(state: Disk, slot: Slot) -> tuple[int, bytes] | None:
    """Inode and content of a final that counts as done."""
    inode = state.names.get(slot.final)
    if inode is None or slot.sign in state.names:
        return None
    return inode, state.files[inode].data


def _try(action: Callable[[], Any]) -> Any:
    try:
        return action()
    except OSError:
        return None


def run(short: bool, seeds: range | None = None) -> list[Figures]:
    """Some thousand seeds, or a hundred thousand."""
    began = time.monotonic()
    told = run_seeds(seeds or range(3_000 if short else 100_000))
    return [figures(told, time.monotonic() - began)]


def run_seeds(seeds: range) -> list[Told]:
    """All of them, in two processes."""
    with multiprocessing.get_context("spawn").Pool(2, maxtasksperchild=40) as pool:
        return pool.map(_run_seed, seeds, chunksize=50)


def _run_seed(seed: int) -> Told:
    told = Simulation(seed).run()
    told.trace.clear()  # the seed makes it again
    return told


def figures(told: list[Told], seconds: float) -> Figures:
    words = [promise for one in told for promise in one.broken]
    count = {kind: sum(word.startswith(kind) for word in words) for kind in ("partial", "replaced", "two owners")}
    tried = {
        "schedules": len(told), "operations": sum(one.operations for one in told),
        "troubles": sum(one.troubles for one in told),
    }  # fmt: skip
    return Figures(
        "random schedules in virtual time",
        tried,
        lost=len(words) - sum(count.values()),
        twice=count["two owners"],
        partial=count["partial"],
        replaced=count["replaced"],
        seconds=seconds,
        notes=[f"seed {one.story.seed}: {promise}" for one in told for promise in one.broken],
    )


if __name__ == "__main__":
    simulation = Simulation(int(sys.argv[1]))
    try:
        outcome = simulation.run()
    finally:
        print("\n".join(simulation.kernel.trace))
    print(outcome.story)
    print(outcome.broken or "nothing broken")
