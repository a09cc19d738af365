"""A batch system's word about the owner of a claim: asked after a few beats of silence, believed of the silent."""

import json
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools.claims.claim import take
from multiprocesstools.claims.hands import Claim
from multiprocesstools.claims.instance import Instance
from multiprocesstools.claims.peers import COMING, Sight, Word
from multiprocesstools.claims.publish import Published, publish
from multiprocesstools.claims.record import Record
from multiprocesstools.claims.survey import State
from multiprocesstools.claims.sweep import sweep
from tests.claims.conftest import World, refused, won
from tests.proof.simulated.simulate import Process, Simulation
from tests.proof.simulated.story import draw

TIMEOUT = Word("job 7 on cluster c ended: TIMEOUT", interrupted=True)
FAILED = Word("job 7 on cluster c ended: FAILED")
NODE_FAIL = Word("job 7 on cluster c ended: NODE_FAIL", interrupted=True, proof=False)


class Oracle:
    """Says the same of everybody, and keeps whom it was asked about, and when."""

    def __init__(self, world: World, word: Word | None) -> None:
        self.world, self.word = world, word
        self.asked: list[tuple[float, str, bool]] = []

    def __call__(self, owner: Record, gone: bool) -> Word | None:
        self.asked.append((self.world.clock.now, owner.id, gone))
        return self.word


def observe(world: World, observer: Instance, seconds: float, *beating: Instance) -> Sight:
    for _ in range(int(2 * seconds)):
        world.clock.now += 0.5
        for instance in (observer, *beating):
            instance.beat()
        observer.peers.judge_claim(world.slot().claim(1))
    return observer.peers.judge_claim(world.slot().claim(1)).sight


def pair(world: World, word: Word | None) -> tuple[Instance, Instance, Oracle]:
    """An owner of the item, and an observer who can ask."""
    owner, observer = world.join(), world.join()
    oracle = Oracle(world, word)
    observer.peers.inquiry = oracle
    won(take(owner, world.slot()))
    observer.peers.judge_claim(world.slot().claim(1))
    return owner, observer, oracle


def ended(world: World, attempt: int = 1) -> dict[str, Any]:
    return json.loads(Path(world.slot().ended(attempt)).read_text())


def test_nobody_is_asked_about_an_owner_that_beats_or_was_silent_for_less_than_three_beats(world: World) -> None:
    owner, observer, oracle = pair(world, TIMEOUT)
    assert observe(world, observer, 60, owner) is Sight.ALIVE
    began = world.clock.now
    assert observe(world, observer, 2.5) is Sight.ALIVE and oracle.asked == []
    assert observe(world, observer, 1) is Sight.GONE
    assert oracle.asked[0] == (began + 3, owner.record.id, False)


def test_whoever_beats_again_is_alive_whatever_is_said_of_its_job(world: World) -> None:
    owner, observer, _ = pair(world, TIMEOUT)
    assert observe(world, observer, 4) is Sight.GONE
    assert observe(world, observer, 1, owner) is Sight.ALIVE


def test_without_a_word_patience_decides(world: World) -> None:
    _, observer, oracle = pair(world, None)
    assert observe(world, observer, 9) is Sight.ALIVE and oracle.asked
    assert observe(world, observer, 2) is Sight.SILENT


@pytest.mark.parametrize(
    ("word", "sight", "outcome"),
    [
        pytest.param(TIMEOUT, Sight.GONE, "interrupted", id="interrupted"),
        pytest.param(FAILED, Sight.GONE, "died", id="died"),
        pytest.param(NODE_FAIL, Sight.SILENT, "interrupted", id="no proof"),
    ],
)
def test_the_word_ends_the_attempt_and_stands_in_its_ended_file(
    world: World, word: Word, sight: Sight, outcome: str
) -> None:
    owner, observer, _ = pair(world, word)
    assert observe(world, observer, 4) is sight
    claim = won(take(observer, world.slot()))
    assert claim.attempt == 2
    assert ended(world)["outcome"] == outcome
    assert ended(world)["exception"].endswith(word.text)
    assert owner.record.file_name in ended(world)["exception"]


def test_a_gone_owner_is_taken_over_when_it_is_known_how_its_job_ended(world: World) -> None:
    owner, observer, oracle = pair(world, COMING)
    world.die(owner)
    assert refused(take(observer, world.slot())) is State.RUNNING
    assert oracle.asked == [(world.clock.now, owner.record.id, True)]
    oracle.word = TIMEOUT
    assert won(take(observer, world.slot())).attempt == 2
    assert ended(world)["outcome"] == "interrupted"


def test_a_sweep_does_not_wait_for_a_word(world: World) -> None:
    owner, observer, _ = pair(world, COMING)
    world.die(owner)
    report = sweep(observer, str(world.root / "instances"), [str(world.root / "out")])
    assert report.ended and ended(world)["outcome"] == "died" and "without a word" in ended(world)["exception"]


@pytest.mark.parametrize(("word", "removed"), [(TIMEOUT, True), (NODE_FAIL, False)], ids=["proof", "suspicion"])
def test_a_sweep_removes_what_an_owner_has_left_only_if_the_word_is_proof(
    world: World, word: Word, removed: bool
) -> None:
    owner, observer, _ = pair(world, word)
    staging = Path(world.slot().staging(f"{owner.record.id}-1"))
    staging.write_text("half")
    for _ in range(8):
        world.clock.now += 0.5
        observer.beat()
        observer.peers.judge_claim(owner.path)
    report = sweep(observer, str(world.root / "instances"), [str(world.root / "out")])
    assert report.ended == [world.slot().ended(1)]
    assert (str(staging) in report.removed, owner.path in report.removed) == (removed, removed)
    assert staging.exists() is Path(owner.path).exists() is not removed


@pytest.mark.parametrize("swept", [False, True], ids=["nobody sweeps", "somebody sweeps"])
def test_a_lying_batch_system_costs_a_computation_and_no_final_is_replaced(world: World, swept: bool) -> None:
    """The owner lives, is only slow, and has its output ready after the heir has published another one."""
    owner, heir, _ = pair(world, TIMEOUT)
    [claim] = owner.hands.claims()
    written = write(owner, claim, "the owner's")
    observe(world, heir, 4)
    second = won(take(heir, world.slot()))
    if swept:
        report = sweep(heir, str(world.root / "instances"), [str(world.root / "out")])
        assert written[0][0] in report.removed
    assert publish(heir, second, write(heir, second, "the heir's")) is Published.MINE
    inode = Path(world.slot().final).stat().st_ino
    assert publish(owner, claim, written) is Published.LOST
    assert (Path(world.slot().final).read_text(), Path(world.slot().final).stat().st_ino) == ("the heir's", inode)


def write(me: Instance, claim: Claim, text: str) -> list[tuple[str, str]]:
    Path(me.staging(claim)).write_text(text)
    return [(me.staging(claim), claim.slot.final)]


class Lied(Simulation):
    """A run in which a batch system says of every owner that is silent for three beats that its node has failed."""

    def _instance(self, process: Process) -> Instance:
        me = super()._instance(process)
        me.peers.inquiry = lambda owner, gone: NODE_FAIL
        return me

    def _is_excused(self, *attempt: Any) -> bool:
        """Two owners at once, which is what a lie costs."""
        return True


def test_no_promise_but_one_owner_rests_on_the_word() -> None:
    """Random schedules in virtual time, of what stands still for a while and comes back."""
    troubles = ("stop", "suspend", "cut", "crash")
    seeds = [seed for seed in range(60) if draw(seed).style != "in place"]
    told, honest = ([kind(seed, troubles).run() for seed in seeds] for kind in (Lied, Simulation))
    assert {one.story.seed: one.broken for one in told if one.broken} == {}
    assert sum(one.suspicions for one in told) > sum(one.suspicions for one in honest) > 0
