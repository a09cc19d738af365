"""A chunk: won at once, published item by item, finished by others item by item."""

from pathlib import Path

import pytest

from multiprocesstools.claims.assess import look_twice
from multiprocesstools.claims.chunk import leave_chunk, take_chunk, take_item
from multiprocesstools.claims.claim import end, give_up, take
from multiprocesstools.claims.ended import Outcome
from multiprocesstools.claims.hands import Claim
from multiprocesstools.claims.instance import Instance
from multiprocesstools.claims.publish import Published, publish
from multiprocesstools.claims.slots import Slot, check_name, chunk_name
from multiprocesstools.claims.survey import State
from multiprocesstools.errors import BadName
from tests.claims.conftest import World, refused, won

CHUNK = chunk_name("0123456789abcdef" * 2, 7)


def items(world: World) -> list[Slot]:
    return [Slot(str(world.root / "out"), name, CHUNK) for name in ("a", "b", "c")]


def hold(world: World, me: Instance) -> Claim:
    return won(take_chunk(me, items(world)[0].holder(1)))


def finish(me: Instance, claim: Claim) -> Published:
    Path(me.staging(claim)).write_text("result")
    return publish(me, claim, [(me.staging(claim), claim.slot.final)])


def test_a_chunk_is_won_once_and_nothing_is_left_when_all_is_done(world: World) -> None:
    one, two = world.join(), world.join()
    chunk = hold(world, one)
    assert refused(take_chunk(two, chunk.slot)) is State.RUNNING
    for slot in items(world):
        assert finish(one, won(take_item(one, slot, chunk))) is Published.MINE
    assert world.hidden() == [f".{CHUNK}.claim-1"]
    leave_chunk(one, chunk, done=True)
    assert world.hidden() == [] and one.hands.claims() == []


def test_an_item_of_a_chunk_costs_three_changes_and_the_chunk_two(world: World) -> None:
    from tests.disks import Faulty

    disk = Faulty()
    me = world.join(disk)
    disk.calls.clear()
    chunk = hold(world, me)
    for slot in items(world):
        claim = won(take_item(me, slot, chunk))
        disk.create(me.staging(claim), b"x")
        publish(me, claim, [(me.staging(claim), claim.slot.final)])
    leave_chunk(me, chunk, done=True)
    changes = [verb for verb, _ in disk.calls if verb in ("create", "link", "unlink", "rename")]
    assert len(changes) == 3 * 3 + 2


def test_no_item_of_a_chunk_is_claimed_by_itself_while_the_chunk_is_free_or_held(world: World) -> None:
    one, two = world.join(), world.join()
    assert refused(take(two, items(world)[0])) is State.FREE
    hold(world, one)
    assert refused(take(two, items(world)[0])) is State.RUNNING
    assert world.hidden() == [f".{CHUNK}.claim-1"]


def test_what_is_left_of_a_chunk_is_for_everybody(world: World) -> None:
    one, two = world.join(), world.join()
    chunk, [a, b, c] = hold(world, one), items(world)
    finish(one, won(take_item(one, a, chunk)))
    leave_chunk(one, chunk, done=False)
    assert refused(take(two, a)) is State.DONE
    assert won(take(two, b)).attempt == won(take(one, c)).attempt == 2


def test_a_failed_item_of_a_living_chunk_may_be_tried_again_by_others(world: World) -> None:
    one, two = world.join(), world.join()
    chunk, [a, b, _] = hold(world, one), items(world)
    end(one, won(take_item(one, a, chunk)), one.ended(Outcome.FAILED, exception="ValueError: x"))
    assert won(take(two, a)).attempt == 2
    assert refused(take(two, b)) is State.RUNNING


def test_a_skipped_item_of_a_chunk_is_settled(world: World) -> None:
    one, two = world.join(), world.join()
    chunk, [a, *_] = hold(world, one), items(world)
    end(one, won(take_item(one, a, chunk)), one.ended(Outcome.SKIPPED, exception="empty"))
    assert refused(take(two, a)) is State.SKIPPED


def test_the_items_of_a_dead_owner_are_taken_over_one_by_one_and_its_death_counts_for_none(world: World) -> None:
    dead, heir = world.join(), world.join()
    chunk, [a, b, _] = hold(world, dead), items(world)
    won(take_item(dead, a, chunk))
    world.die(dead)
    assert won(take(heir, a)).attempt == 2
    assert f".{b.name}.ended-1" not in world.hidden()
    finding = look_twice(heir, b)
    assert finding.state is State.CLAIMED and won(take(heir, b)).attempt == 2
    for attempt in (2, 3, 4):
        claim = heir.hands.claims()[0] if attempt == 2 else won(take(heir, a))
        assert claim.attempt == attempt
        end(heir, claim, heir.ended(Outcome.FAILED))
    assert refused(take(heir, a)) is State.FAILED


def test_a_falsely_suspected_owner_cannot_change_how_often_an_item_was_tried(world: World) -> None:
    zombie, heir = world.join(), world.join()
    chunk, [a, *_] = hold(world, zombie), items(world)
    late = won(take_item(zombie, a, chunk))
    world.die(zombie)
    heirs = won(take(heir, a))
    end(zombie, late, zombie.ended(Outcome.FATAL, exception="too late"))
    end(heir, heirs, heir.ended(Outcome.FAILED))
    assert won(take(heir, a)).attempt == 3


def test_an_overdue_owner_begins_with_nothing_more_of_its_chunk(world: World) -> None:
    me = world.join()
    chunk, [a, b, _] = hold(world, me), items(world)
    finish(me, won(take_item(me, a, chunk)))
    world.clock.sleep(100)
    refused(take_item(me, b, chunk))
    assert chunk.lost
    leave_chunk(me, chunk, done=False)
    assert won(take(world.join(), b)).attempt == 2


def test_a_chunk_that_was_given_up_is_for_everybody_and_is_not_gone_on_with(world: World) -> None:
    me, other = world.join(), world.join()
    chunk, [a, b, _] = hold(world, me), items(world)
    claim = won(take_item(me, a, chunk))
    for held in (claim, chunk):
        give_up(me, held, me.ended(Outcome.DROPPED))
    assert refused(take_item(me, b, chunk)) is State.RUNNING
    assert won(take(other, b)).attempt == 2
    assert finish(me, claim) is Published.MINE
    assert refused(take(other, a)) is State.DONE


def test_a_claim_from_before_there_were_chunks_is_judged_by_itself(world: World) -> None:
    """An item that a dead instance had claimed by itself, in a chunk that is held and then left."""
    dead, owner, heir = world.join(), world.join(), world.join()
    [a, *_] = items(world)
    won(take(dead, Slot(a.directory, a.name)))
    chunk = hold(world, owner)
    assert refused(take(heir, a)) is State.RUNNING
    world.die(dead)
    assert won(take(heir, a)).attempt == 2
    leave_chunk(owner, chunk, done=False)
    assert refused(take(owner, a)) is State.RUNNING


def test_no_final_can_have_the_name_of_a_chunk() -> None:
    with pytest.raises(BadName):
        check_name(CHUNK)
    assert check_name("chunk-7") == "chunk-7"
