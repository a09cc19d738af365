"""What the instances of a simulated run do: programs over the real claim code, which know nothing of each other.

A program is a function of a `Player`. Its only contact with the world is `player.ask`, so that a scheduler can step it:
operations on the disk, questions ("gone?", is this process proved gone; "silent?", shall its silence count as longer
than patience) and choices ("choose": what the work does). What it does and says is noted in `player.facts`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from multiprocesstools.claims import direct
from multiprocesstools.claims.again import try_again
from multiprocesstools.claims.assess import look_twice
from multiprocesstools.claims.bind import Expelled
from multiprocesstools.claims.chunk import leave_chunk, take_chunk, take_item
from multiprocesstools.claims.claim import Refusal, end, give_up, take
from multiprocesstools.claims.ended import Outcome
from multiprocesstools.claims.hands import Claim, How
from multiprocesstools.claims.identity import Identity
from multiprocesstools.claims.instance import Instance, Rules
from multiprocesstools.claims.peers import Peers, Sight, Verdict
from multiprocesstools.claims.publish import Published, discard, publish, publish_draft
from multiprocesstools.claims.record import Beat, Record
from multiprocesstools.claims.slots import Files, Slot, chunk_name
from multiprocesstools.claims.survey import SETTLED, Finding, State
from multiprocesstools.claims.sweep import sweep
from multiprocesstools.errors import ClaimLost
from tests.clocks import FrozenClock, HandClock
from tests.proof.simulated.disk import SimulatedDisk
from tests.proof.simulated.server import Operation

RUN, OUT, INSTANCES = "/run", "/run/out", "/run/instances"
DIRECTORIES = (RUN, OUT, INSTANCES)
HALF, WHOLE = b"half", b"whole"
PLACEHOLDER = f"{OUT}/a.tmp"
ITEM = Slot(OUT, "a")
IN_CHUNK, OTHER = (Slot(OUT, name, chunk_name("0" * 16, 0)) for name in ("a", "b"))
_ROUNDS_ALONE = 4

Ask = Callable[[Operation], Any]
Program = Callable[["Player"], None]


@dataclass(frozen=True)
class Facts:
    """What a program has done so far, as a value.

    `owns`: the attempt at which it is at work. `left`: (attempt, outcome) of those that it ended. `said`: what it was
    told of the item, last, and `at` which attempt. `given_up`: it works on, but has declared its attempt over.
    `retried`: how often it asked for a retry.
    """

    owns: int = 0
    left: tuple[tuple[int, str], ...] = ()
    said: str = ""
    at: int = 0
    given_up: bool = False
    retried: int = 0
    wrote: bool = False


@dataclass
class Player:
    """One process. `rules` are those of the run; `in_place` says whether finals may be written in place."""

    number: int
    machine: str
    ask: Ask
    rules: Rules
    in_place: bool = False
    copies: bool = False
    facts: Facts = field(default_factory=Facts)
    clock: HandClock = field(default_factory=FrozenClock)

    def __post_init__(self) -> None:
        self.disk = SimulatedDisk(self.ask, self.number)

    def note(self, **changes: Any) -> None:
        self.facts = Facts(**{**vars(self.facts), **changes})

    def join(self) -> Instance:
        own = Record(f"{self.number:032x}", "test", self.number, identity_of(self.number, self.machine), 0.0, Beat())
        me = Instance(
            self.disk, self.clock, INSTANCES, own, self.rules, is_gone=self._is_gone, is_here=lambda other: False,
            writes_in_place=lambda directory: self.in_place,
        )  # fmt: skip
        me.join()
        me.peers = _Suspecting(me.peers, self.ask)  # type: ignore[assignment]
        if self.copies:
            me.copies.add(OUT)
        self.ask(("joined",))
        return me

    def reach(self, me: Instance, *place: int) -> None:
        """Nothing but the state of the instance matters from here on: histories that agree in it may be merged."""
        known = {name: value for name, value in vars(me).items() if name not in _WITHOUT_CONSEQUENCES}
        known |= {"hands": [getattr(me.hands, name) for name in ("_entered", "_left", "_owed")]}
        self.ask(("reach", f"{place} {self.facts} {sorted(known.items())} {self.disk.position}"))

    def _is_gone(self, other: Identity) -> bool:
        return bool(self.ask(("gone?", other.pid)))


_WITHOUT_CONSEQUENCES = frozenset(
    {
        "disk",
        "clock",
        "beats",
        "rules",
        "notice",
        "record",
        "is_here",
        "writes_in_place",
        "hands",
        "peers",
        "_kept",
        "_keeping",
    }
)
"""What an instance refers to and never changes in a simulation without time; `hands` is compared by its content."""


class _Suspecting:
    """Judges owners like `Peers`, except that a scheduler may say that one was silent for longer than patience."""

    def __init__(self, peers: Peers, ask: Ask) -> None:
        self._peers, self._ask = peers, ask

    def judge_claim(self, path: str) -> Verdict:
        return self._suspect(path, self._peers.judge_claim(path))

    def judge(self, path: str, data: bytes) -> Verdict:
        return self._suspect(path, self._peers.judge(path, data))

    def _suspect(self, path: str, verdict: Verdict) -> Verdict:
        if verdict.sight is Sight.ALIVE and self._ask(("silent?", path, verdict.owner is not None)):
            return Verdict(Sight.SILENT, verdict.owner, 1.0)
        return verdict


def identity_of(number: int, machine: str) -> Identity:
    return Identity(host=machine, machine=machine, boot="boot", namespace="ns", pid=number, start=number, user=0)


# -- programs


def worker(*works: str, rounds: int = 3, lists: bool = True, how: How = How.STAGED, slot: Slot = ITEM) -> Program:
    """Takes the item until it is settled, and works on it in one of these ways at each attempt. Every round but the
    first begins with a listing, as the loop does; none without `lists`, as with `claim`.

    ok: publishes. fail: ends the attempt as failed. fatal, skip, drop: so. late: declares it over (a signal), goes on
    and publishes all the same.
    """

    def play(player: Player) -> None:
        me = player.join()
        for number in range(rounds):
            player.reach(me, number)
            if _one_round(player, me, works, listing=lists and number > 0, how=how, slot=slot):
                return
        if player.ask(("alone?",)):  # then nothing may stand in the way any more
            for number in range(_ROUNDS_ALONE):
                player.reach(me, rounds + number)
                if _one_round(player, me, works, listing=True, how=how, slot=slot):
                    return
            player.note(said="stuck")

    return play


def _one_round(
    player: Player, me: Instance, works: tuple[str, ...], *, listing: bool, how: How = How.STAGED, slot: Slot = ITEM
) -> bool:
    """One try at the item, as the loop makes it. True: it is settled, or this instance does not want it any more."""
    files = me.look(slot) if listing else None
    if files is not None and files.done:
        player.note(said="done")
        return True
    taken = _take(player, me, files if files and files.highest else None, how, slot)
    if taken is None:
        return True
    if isinstance(taken, Refusal):
        return _told(player, taken)
    _work(player, me, taken, works[0] if len(works) == 1 else player.ask(("choose", works)))
    return player.facts.said in ("done", "dropped")


def _take(
    player: Player, me: Instance, files: Files | None, how: How = How.STAGED, slot: Slot = ITEM
) -> Claim | Refusal | None:
    try:
        taken = take(me, slot, files, how=how)
    except Expelled:
        player.note(said="expelled")
        return None
    except OSError:  # no room, no server: the loop would come back later
        return Refusal(Finding(State.RUNNING))
    if isinstance(taken, Claim):
        player.note(owns=taken.attempt, said="", at=0, given_up=False)
    return taken


def _work(player: Player, me: Instance, claim: Claim, how: str) -> None:
    if how in ("ok", "late"):
        if how == "late":
            give_up(me, claim, me.ended(Outcome.DROPPED))
            player.note(given_up=True, left=(*player.facts.left, (claim.attempt, "dropped")))
        _write_and_publish(player, me, claim)
        return
    outcome = {"fail": Outcome.FAILED, "fatal": Outcome.FATAL, "skip": Outcome.SKIPPED, "drop": Outcome.DROPPED}[how]
    _end(player, me, claim, outcome)


def _write_and_publish(player: Player, me: Instance, claim: Claim) -> None:
    staging = me.staging(claim)
    try:
        result = publish_draft(me, claim, WHOLE) if claim.draft else _write_staging(player, me, claim, staging)
    except OSError:
        discard(me, staging)
        return _end(player, me, claim, Outcome.FAILED)
    if result is Published.GONE:
        return _end(player, me, claim, Outcome.FAILED)
    player.note(owns=0, said="done", wrote=result is Published.MINE)
    return None


def _write_staging(player: Player, me: Instance, claim: Claim, staging: str) -> Published:
    player.disk.create(staging, HALF)
    stamp = me.disk.look(staging)
    if stamp is not None:
        player.ask(("write", stamp.inode, 0, WHOLE))
    return publish(me, claim, [(staging, claim.slot.final)])


def _end(player: Player, me: Instance, claim: Claim, outcome: Outcome) -> None:
    said = "dropped" if outcome is Outcome.DROPPED else ""
    player.note(owns=0, left=(*player.facts.left, (claim.attempt, outcome.value)), said=said)
    end(me, claim, me.ended(outcome))
    if me.hands.owed():
        me.tend()


def chunk_worker(*works: str, rounds: int = 2) -> Program:
    """Takes the chunk with both items, and works on the other one and on the item; when somebody else has the chunk, or
    had it, it goes on with the item alone, as `worker` does."""

    def play(player: Player) -> None:
        me = player.join()
        for number in range(rounds):
            player.reach(me, number)
            if _chunk_round(player, me, works):
                return
        if player.ask(("alone?",)):
            for number in range(_ROUNDS_ALONE):
                player.reach(me, rounds + number)
                if _chunk_round(player, me, works):
                    return
            player.note(said="stuck")

    return play


def _chunk_round(player: Player, me: Instance, works: tuple[str, ...]) -> bool:
    try:
        taken = take_chunk(me, IN_CHUNK.holder(1))
    except Expelled:
        player.note(said="expelled")
        return True
    except OSError:  # no room, no server: the loop would come back later
        return False
    if isinstance(taken, Refusal):
        return _one_round(player, me, works, listing=True, slot=IN_CHUNK)
    _work_through(player, me, taken, works)
    return player.facts.said in ("done", "dropped")


def _work_through(player: Player, me: Instance, chunk: Claim, works: tuple[str, ...]) -> None:
    """The items of a chunk, one after the other, and the end of the chunk."""
    done = 0
    for slot in (OTHER, IN_CHUNK):
        taken = take_item(me, slot, chunk)
        if isinstance(taken, Refusal):
            done += taken.state is State.DONE
            if slot is IN_CHUNK:
                _told(player, taken)
        elif slot is OTHER:
            done += _publish_other(player, me, taken)
        else:
            player.note(owns=1, said="", at=0, given_up=False)
            _work(player, me, taken, works[0] if len(works) == 1 else player.ask(("choose", works)))
            done += player.facts.said == "done"
    leave_chunk(me, chunk, done=done == 2)


def _publish_other(player: Player, me: Instance, claim: Claim) -> bool:
    try:
        return _write_staging(player, me, claim, me.staging(claim)) in (Published.MINE, Published.LOST)
    except OSError:
        end(me, claim, me.ended(Outcome.FAILED))
        return False


def in_place(*works: str, rounds: int = 3) -> Program:
    """The documented style: writes the final itself. ok: writes half, then the whole, and finishes. drop: half
    only. again: the same, and it tries once more."""

    def play(player: Player) -> None:
        me = player.join()
        for number in range(rounds):
            player.reach(me, number)
            taken = _take(player, me, None, How.IN_PLACE)
            if taken is None or (isinstance(taken, Refusal) and _told(player, taken)):
                return
            if isinstance(taken, Claim):
                how = works[0] if len(works) == 1 else player.ask(("choose", works))
                _write_in_place(player, me, taken, how)
                if player.facts.said in ("done", "dropped", "lost"):
                    return

    return play


def _told(player: Player, refusal: Refusal) -> bool:
    player.note(said=refusal.state.value, at=refusal.finding.attempt)
    return refusal.state in SETTLED


def _write_in_place(player: Player, me: Instance, claim: Claim, how: str) -> None:
    try:
        if not direct.begin(me, claim, PLACEHOLDER):
            return player.note(owns=0, said="dropped", left=(*player.facts.left, (claim.attempt, "dropped")))
        inode = _open_final(player)
        if how == "ok":
            player.ask(("write", inode, 0, WHOLE))
            direct.finish(me, claim)
            return player.note(owns=0, said="done", wrote=True)
        said = "dropped" if how == "drop" else ""
        player.note(owns=0, left=(*player.facts.left, (claim.attempt, "dropped")), said=said)
        direct.undo(me, claim, me.ended(Outcome.DROPPED))
    except ClaimLost:
        player.note(owns=0, said="lost")
    except OSError:
        player.note(owns=0, left=(*player.facts.left, (claim.attempt, "dropped")), said="dropped")
        direct.undo(me, claim, me.ended(Outcome.DROPPED))
    return None


def _open_final(player: Player) -> int:
    """open(final, "w") by the user's code: whatever is there is emptied."""
    try:
        player.disk.create(ITEM.final, HALF)
    except FileExistsError:
        pass
    stamp = player.disk.look(ITEM.final)
    if stamp is None:
        raise FileNotFoundError(ITEM.final)
    player.ask(("write", stamp.inode, 0, HALF + b" "))
    return stamp.inode


def sweeper(*, force: bool = False, times: int = 2) -> Program:
    """The command `cleanup`."""

    def play(player: Player) -> None:
        me = player.join()
        for number in range(times):
            player.reach(me, number)
            sweep(me, INSTANCES, [OUT], placeholders=[PLACEHOLDER], force=force)
        me.leave()
        player.note(said="swept")

    return play


def retrier() -> Program:
    """The command `retry`."""

    def play(player: Player) -> None:
        me = player.join()
        finding = look_twice(me, ITEM)
        if finding.state is State.FAILED:
            player.note(retried=player.facts.retried + 1)
            try_again(me.disk, ITEM, finding.attempt)

    return play
