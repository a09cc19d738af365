"""A claim that is the draft of its own output."""

import json
import os
from pathlib import Path

import pytest

from multiprocesstools.claims.claim import Refusal, end, take
from multiprocesstools.claims.ended import Outcome
from multiprocesstools.claims.hands import Claim, How
from multiprocesstools.claims.instance import Instance, Rules
from multiprocesstools.claims.publish import Published, publish_draft
from multiprocesstools.claims.survey import State
from tests.claims.conftest import World, won
from tests.disks import Faulty, fail_once


def draft(me: Instance, world: World) -> Claim:
    return won(take(me, world.slot(), how=How.DRAFT))


def test_the_claim_begins_with_its_owner_and_becomes_the_final(world: World) -> None:
    one, two = world.join(), world.join()
    claim = draft(one, world)
    assert not os.path.samefile(world.slot().claim(1), one.path)
    assert json.loads(Path(world.slot().claim(1)).read_text())["id"] == one.record.id
    other = take(two, world.slot(), how=How.DRAFT)
    assert isinstance(other, Refusal) and other.state is State.RUNNING
    assert other.verdict is not None and other.verdict.owner is not None
    assert other.verdict.owner.id == one.record.id
    assert publish_draft(one, claim, b"result\n") is Published.MINE
    assert Path(world.slot().final).read_text().splitlines()[1:] == ["result"]
    assert world.hidden() == []


@pytest.mark.parametrize("durable", [True, False])
def test_it_costs_three_changes_and_one_look_up(world: World, durable: bool) -> None:
    disk = Faulty()
    me = world.join(disk, rules=Rules(1, 10, 3, durable=durable))
    disk.calls.clear()
    publish_draft(me, draft(me, world), b"x")
    assert [verb for verb, _ in disk.calls] == ["draft", "look", "link", "unlink"]


def test_a_dead_owner_in_the_middle_of_its_result_is_recognised(world: World) -> None:
    dead, heir = world.join(), world.join()
    claim = draft(dead, world)
    assert claim.draft is not None
    claim.draft.append(b'{"half of a large result": "' + b"x" * 3_000_000)
    world.die(dead)
    taken = won(take(heir, world.slot(), how=How.DRAFT))
    assert taken.attempt == 2
    assert publish_draft(heir, taken, b"whole\n") is Published.MINE
    assert Path(world.slot().final).read_text().endswith("whole\n")


def test_a_zombie_never_replaces_the_result_of_another(world: World) -> None:
    zombie, heir = world.join(), world.join()
    late = draft(zombie, world)
    world.die(zombie)
    publish_draft(heir, draft(heir, world), b"first\n")
    assert publish_draft(zombie, late, b"late\n") is Published.LOST
    assert Path(world.slot().final).read_text().endswith("first\n")


def test_a_failed_attempt_leaves_no_open_file(world: World) -> None:
    me = world.join()
    before = len(os.listdir("/proc/self/fd"))
    end(me, draft(me, world), me.ended(Outcome.FAILED))
    assert len(os.listdir("/proc/self/fd")) == before
    assert draft(me, world).attempt == 2


def test_a_final_that_is_found_under_the_claim_leaves_no_open_file(world: World) -> None:
    me = world.join()
    Path(world.slot().final).write_text("older")
    before = len(os.listdir("/proc/self/fd"))
    refusal = take(me, world.slot(), how=How.DRAFT)
    assert isinstance(refusal, Refusal) and refusal.state is State.DONE
    assert len(os.listdir("/proc/self/fd")) == before and world.hidden() == []


def test_a_lost_reply_to_the_link_counts_as_published(world: World) -> None:
    disk = Faulty()
    me = world.join(disk)
    claim = draft(me, world)
    fail_once(disk, "link", FileExistsError(17, "exists"), moment="after")
    assert publish_draft(me, claim, b"x") is Published.MINE


def test_silence_is_judged_by_the_record_behind_the_draft(world: World) -> None:
    owner, observer = world.join(host="elsewhere", boot="other"), world.join()
    draft(owner, world)
    for _ in range(15):
        world.clock.sleep(1)
        owner.beat(), observer.beat()
        assert isinstance(take(observer, world.slot()), Refusal)
    seconds = 0
    while isinstance(answer := take(observer, world.slot()), Refusal):
        world.clock.sleep(1)
        observer.beat()
        seconds += 1
    assert answer.attempt == 2 and 9 <= seconds <= 12
