"""A server, instances and their items in virtual time: what do many of them cost the server, and is anybody idle?

The instances decide with the package's own rooms: `order.Walk`, `board.Board`, `watch.Watch`, `hints.Heard` and
`claims.peers`. Only the disk is a model: each operation costs the server a moment, a listing as many as `listing_cost`
says, one after the other. An item costs a claim, a look, a create, a link and two unlinks.

    python -m tests.spread.simulate [ITEMS FOLDERS INSTANCES ...]
"""

import heapq
import random
import sys
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from multiprocesstools.claims import identity, record
from multiprocesstools.claims.claim import Refusal
from multiprocesstools.claims.noted import Shown
from multiprocesstools.claims.peers import Peers, Sight, Verdict
from multiprocesstools.claims.record import Beat, Record
from multiprocesstools.claims.slots import Files, Listing
from multiprocesstools.claims.survey import Finding, State, decide
from multiprocesstools.loop.board import DONE, Board
from multiprocesstools.loop.order import FEW_FOLDERS, Act, Walk, listing_cost, lists_all_at_start, place_of
from multiprocesstools.loop.watch import Watch
from multiprocesstools.plans.finals import Folder, WorkList, work_list
from multiprocesstools.plans.hints import FRESH_SECONDS, Heard

BEAT_SECONDS, PATIENCE_SECONDS = 20.0, 300.0
SECONDS_PER_OPERATION = 1e-4
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 3.0
FREE, CLAIMED, FINISHED = range(3)

Wish = tuple[float, float]
"""Operations of the server, and seconds of one's own after that."""
Life = Generator[Wish, None, None]


def seconds_of_items(items: int, seed: int) -> Callable[[int], float]:
    """0.1 s to 60 s with a long tail, the same for whoever computes an item."""

    def seconds(position: int) -> float:
        chance = random.Random(position * 1_000_003 + seed)
        return min(60.0, max(0.1, chance.lognormvariate(0.0, 1.3)))

    return seconds


@dataclass
class World:
    """What is on the disk, and what it has cost."""

    work: WorkList
    seconds: Callable[[int], float]
    now: float = 0.0
    server_free: float = 0.0
    operations: float = 0.0
    attempts: int = 0
    wasted: int = 0
    listings: int = 0
    idle: int = 0
    rounds: int = 0
    again: int = 0
    hints: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    standing: set[str] = field(default_factory=set)
    dead: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.untouched = len(self.work)
        self.state = bytearray(len(self.work))
        self.owners: dict[int, list[str]] = {}
        self.held: list[set[int]] = [set() for _ in self.work.folders]
        self.numbers = {folder.path: number for number, folder in enumerate(self.work.folders)}
        self.missing = [set(folder.names) for folder in self.work.folders]

    # -- what the disk does

    def claim(self, position: int, attempt: int, who: str) -> bool:
        owners = self.owners.setdefault(position, [])
        if len(owners) >= attempt:
            return False
        assert len(owners) == attempt - 1
        self.untouched -= attempt == 1
        owners.append(who)
        if self.state[position] == FREE:
            self.state[position] = CLAIMED
            self.held[self.number(position)].add(position)
        return True

    def finish(self, position: int) -> None:
        number = self.number(position)
        folder = self.work.folders[number]
        self.state[position] = FINISHED
        self.held[number].discard(position)
        self.missing[number].discard(folder.names[position - folder.first])
        self.owners[position] = []

    def number(self, position: int) -> int:
        return self.numbers[self.work.folder(position).path]

    def listing(self, folder: Folder) -> Listing:
        """What a listing shows now: finals, claims, and the ends of attempts that somebody has declared over."""
        number = self.numbers[folder.path]
        shown = Shown(set())
        shown._missing = self.missing[number]
        items = {}
        for position in self.held[number]:
            attempts = len(self.owners[position])
            claims = {attempt: attempt for attempt in range(1, attempts + 1)}
            items[folder.names[position - folder.first]] = Files(claims=claims, ended=set(range(1, attempts)))
        self.listings += 1
        return Listing(folder.path, shown, items, [])

    def heard(self, standing: set[str]) -> Heard:
        """What the hints say to whoever has seen these records."""
        found = Heard(len(standing))
        for (kind, number), names in self.hints.items():
            if names & standing:
                if kind == "over":
                    found.over[number] = 0, 0
                else:
                    found.taken.add(number)
        return found


class Reader:
    """The disk of `Peers`: it reads the record of whoever has an item."""

    def __init__(self, world: World) -> None:
        self._world = world

    def read(self, path: str, limit: int = 0, *, whole: bool = True) -> bytes | None:
        """`path` is a position. A beat counts up as long as its instance lives."""
        world = self._world
        owners = world.owners[int(path)]
        if not owners:
            return None
        beats = int(min(world.now, world.dead.get(owners[-1], world.now)) / BEAT_SECONDS)
        return record.encode(Record(owners[-1], "other", 1, identity.current(), 0.0, Beat(beats, beats)))


class Instance:
    """One instance. `dies` after so many items, in the middle of the next."""

    def __init__(self, world: World, number: int, dies: int = -1) -> None:
        self.world, self.name, self.dies = world, f"{number:032x}", dies
        self.board = Board(world.work, lambda path, names: self._listed, lambda slot, files: decide(files, {}, 3), 20.0)
        self.instances, self.done = 1, 0
        self._listed: Any = None
        self.number = number
        self._chance = random.Random(number)
        self._seen: set[str] = set()
        self._look_again = 0.0
        self._judged: dict[int, float] = {}
        self.peers = Peers(
            Reader(world), self, "", self.name, beat_seconds=BEAT_SECONDS, patience_seconds=PATIENCE_SECONDS,  # type: ignore[arg-type]
            is_gone=lambda other: False, own_beat=self.elapsed,
        )  # fmt: skip

    def elapsed(self) -> float:
        return self.world.now

    def live(self) -> Life:
        world, board = self.world, self.board
        world.standing.add(self.name)
        yield from self._count_instances()
        spans = [(folder.first, folder.end) for folder in board.folders]
        shares = len(spans) >= FEW_FOLDERS
        walk = Walk(board.states, spans, "spread", self.name, start=place_of(self.number), shares=shares)
        walk.instances = self.instances
        if lists_all_at_start(len(spans), self.instances):
            for number in range(len(spans)):
                yield from self._list(number)
                walk.listed(number)
        yield from self._walk(walk)
        yield from self._rest(shares)
        self._check_idle()
        yield from self._leave()

    def _leave(self) -> Life:
        """Its hints become those of somebody who stays."""
        world = self.world
        world.standing.discard(self.name)
        others = sorted(world.standing)
        told = [names for names in world.hints.values() if self.name in names]
        cost = 1.0 + len(told) + listing_cost(sum(map(len, world.hints.values())))
        for names in told:
            names.discard(self.name)
            if others:
                names.add(self._chance.choice(others))
        yield cost, 0.0

    def _walk(self, walk: Walk) -> Life:
        world = self.world
        while (step := walk.next()) is not None:
            if step.act is Act.LIST:
                yield from self._list(step.number)
                walk.listed(step.number)
            elif step.act is Act.ASK:
                yield from self._ask()
                walk.instances = self.instances
            elif step.act is Act.TELL and self.instances == 1:
                continue
            elif step.act is Act.TELL:
                world.hints.setdefault(("taken", step.number), set()).add(self.name)
                yield 1.0, 0.0
            else:
                won = yield from self._try(step.number, 1)
                if not won:
                    walk.met()

    def _rest(self, shares: bool) -> Life:
        board, world = self.board, self.world
        left = {number for number, folder in enumerate(board.folders) if not board.is_settled(folder)}
        watch = Watch({n: len(folder.names) for n, folder in enumerate(board.folders)}, self.name, BEAT_SECONDS)
        pause = FIRST_PAUSE
        self._check_idle()
        yield 0.0, watch.first_pause_seconds(left, self.instances)
        while left:
            if shares:
                yield from self._ask()
                left = {number for number in left if not board.is_settled(board.folders[number])}
            claimed = False
            for number in watch.choose(left, self.instances):
                claimed |= yield from self._look(number)
                if board.is_settled(board.folders[number]):
                    left.discard(number)
                    if shares:
                        world.hints.setdefault(("over", number), set()).add(self.name)
                        yield 1.0, 0.0
            if left and not claimed:
                self._check_idle()
                world.rounds += 1
                yield 0.0, watch.pause_seconds(pause, self.instances)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _look(self, number: int) -> Generator[Wish, None, bool]:
        """A round over a directory; was an item taken over?"""
        claimed = False
        yield from self._list(number)
        for name, position in self.board.tried(self.board.folders[number], self._listed):
            finding = decide(self._listed.items[name], {}, 3)
            if self._judged.get(position, -1e9) + 0.9 * BEAT_SECONDS > self.world.now:
                continue
            verdict = self.peers.judge_claim(str(position))
            self._judged[position] = self.world.now
            yield 1.0, 0.0
            if verdict.sight is Sight.SILENT and self.world.state[position] == CLAIMED:
                self.world.again += 1
                claimed |= yield from self._try(position, finding.attempt + 1)
        return claimed

    def _try(self, position: int, attempt: int) -> Generator[Wish, None, bool]:
        world, board = self.world, self.board
        world.attempts += 1
        finished = world.state[position] == FINISHED
        if finished:  # the claim is won, and the look under it shows the final
            world.wasted += 1
            yield 4.0, 0.0
            board.note_refusal(position, Refusal(Finding(State.DONE, 1)))
            return False
        won = world.claim(position, attempt, self.name)
        yield 1.0, 0.0
        if not won:
            world.wasted += 1
            verdict = Verdict(Sight.ALIVE)
            board.note_refusal(position, Refusal(Finding(State.RUNNING, attempt), verdict))
            return False
        if self.done == self.dies:
            world.dead[self.name] = world.now
            raise Died
        yield 2.0, world.seconds(position)
        if world.state[position] != FINISHED:
            world.finish(position)
        yield 3.0, 0.0
        board.states[position] = DONE
        self.done += 1
        return True

    def _list(self, number: int) -> Life:
        folder = self.board.folders[number]
        self._listed = self.world.listing(folder)
        self.board.read(folder)
        shown = len(folder.names) - len(self.world.missing[number]) + len(self.world.held[number])
        yield listing_cost(shown), 0.0

    def _ask(self) -> Life:
        world, said = self.world, self.world.hints.values()
        cost = listing_cost(sum(map(len, said)))
        if world.now >= self._look_again or any(names - self._seen for names in said):
            cost += self._list_records()
        heard = world.heard(self._seen)
        self.board.hear(heard)
        yield cost, 0.0

    def _count_instances(self) -> Life:
        yield self._list_records(), 0.0

    def _list_records(self) -> float:
        self._seen, self._look_again = set(self.world.standing), self.world.now + FRESH_SECONDS
        self.instances = len(self._seen)
        return listing_cost(self.instances)

    def _check_idle(self) -> None:
        """It waits, or leaves: is there an item that nobody has claimed?"""
        self.world.idle += self.world.untouched > 0


class Died(Exception):
    """The process is gone; its record stays."""


def run(world: World, instances: list[tuple[float, Instance]]) -> None:
    """Let the instances live, each from its start on."""
    heap: list[tuple[float, int, Life]] = []
    for number, (start, instance) in enumerate(instances):
        heapq.heappush(heap, (start, number, instance.live()))
    while heap:
        world.now, number, life = heapq.heappop(heap)
        try:
            operations, seconds = next(life)
        except (StopIteration, Died):
            continue
        if operations:
            world.operations += operations
            world.server_free = max(world.server_free, world.now) + operations * SECONDS_PER_OPERATION
            seconds += world.server_free - world.now
        heapq.heappush(heap, (world.now + seconds, number, life))


def make_work(items: int, folders: int) -> WorkList:
    return work_list(range(items), lambda number: f"{number % folders:03x}/{number}", "/run")


@dataclass(frozen=True)
class Outcome:
    """What one simulation has shown."""

    instances: int
    operations_per_item: float
    wasted: float
    listings: int
    idle: int
    unfinished: int
    taken_over: int
    rounds: int
    seconds: float


def simulate(
    work: WorkList, instances: int, *, seconds: Callable[[int], float] | None = None, late: float = 0.0,
    crashing: int = 0, seed: int = 1,
) -> Outcome:  # fmt: skip
    """`late`: they start within so many seconds; `crashing` of them die in the middle of an item."""
    world = World(work, seconds or seconds_of_items(len(work), seed))
    chance = random.Random(seed)
    share = max(1, len(work) // instances)
    dies = {number: chance.randrange(share) for number in chance.sample(range(instances), crashing)}
    people = [
        (chance.uniform(0, late), Instance(world, number + 1, dies.get(number, -1))) for number in range(instances)
    ]
    run(world, people)
    unfinished = len(work) - world.state.count(FINISHED)
    return Outcome(
        instances, world.operations / len(work), world.wasted / max(world.attempts, 1), world.listings, world.idle,
        unfinished, world.again, world.rounds, world.now,
    )  # fmt: skip


def main(items: int = 1_000_000, folders: int = 256, *counts: int) -> None:
    work = make_work(items, folders)
    for count in counts or (1, 2, 8, 64, 512):
        began = time.monotonic()
        print(simulate(work, count), f"in {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
