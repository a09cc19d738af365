"""An instance: its record, its beat, and what it does when it was silent or expelled."""

import errno
import os
from pathlib import Path

import pytest

from multiprocesstools.claims.claim import end, take
from multiprocesstools.claims.ended import Outcome
from multiprocesstools.claims.hands import Claim
from multiprocesstools.claims.publish import publish
from multiprocesstools.claims.record import decode
from tests.claims.conftest import World
from tests.disks import Faulty, fail_once


def test_a_claim_is_a_link_to_the_record_and_one_beat_refreshes_all(world: World) -> None:
    me = world.join()
    for name in ("a", "b"):
        assert isinstance(take(me, world.slot(name)), Claim)
    assert os.stat(me.path).st_nlink == 3
    world.clock.now += 5
    me.beat()
    for name in ("a", "b"):
        with open(world.slot(name).claim(1), "rb") as file:
            record = decode(file.read())
        assert record.id == me.record.id
        assert record.beat is not None and (record.beat.count, record.beat.seconds) == (2, 5)


def test_leaving_removes_the_record_unless_it_still_vouches_for_a_claim(world: World) -> None:
    one, two = world.join(), world.join()
    take(two, world.slot())
    for instance in (one, two):
        instance.leave()
    assert not os.path.exists(one.path)
    assert os.path.exists(two.path)


def test_what_interrupts_it_while_it_changes_a_directory_leaves_nothing_there(world: World) -> None:
    """Nobody would know whose it is, when the record of the instance has gone."""
    disk = Faulty()
    me = world.join(disk)

    def interrupt(moment: str, verb: str, _: object) -> None:
        if (moment, verb) == ("after", "create"):
            raise KeyboardInterrupt

    disk.hook = interrupt
    with pytest.raises(KeyboardInterrupt):
        me.stir(str(world.root / "out"))
    assert world.hidden() == []


def test_an_instance_is_overdue_when_it_could_not_beat_for_long(world: World) -> None:
    me = world.join()
    world.clock.now += 8.4
    assert not me.overdue()
    world.clock.now += 0.2
    assert me.overdue()
    me.tend()
    assert not me.overdue()


def test_an_overdue_instance_warns_once_for_each_item_in_hand(world: World) -> None:
    me = world.join()
    take(me, world.slot())
    world.clock.now += 9
    me.tend()
    assert world.events.count(("overdue", 1)) == 1  # type: ignore[attr-defined]
    me.tend()
    assert world.events.count(("overdue", 1)) == 1  # type: ignore[attr-defined]


def test_a_missing_record_is_noticed_within_eight_beats_and_everything_held_is_lost(world: World) -> None:
    me = world.join()
    claim = take(me, world.slot())
    assert isinstance(claim, Claim)
    os.unlink(me.path)
    for _ in range(8):
        me.beat()
    assert me.expelled and claim.lost


def test_an_ended_file_without_room_is_written_at_a_later_beat(world: World) -> None:
    disk = Faulty()
    me = world.join(disk)
    claim = take(me, world.slot())
    assert isinstance(claim, Claim)
    fail_once(disk, "create", OSError(errno.ENOSPC, "full"))
    end(me, claim, me.ended(Outcome.FAILED))
    assert not os.path.exists(world.slot().ended(1))
    me.tend()
    assert os.path.exists(world.slot().ended(1))
    assert not me.hands.claims()


def test_a_taken_name_is_refused(world: World) -> None:
    me = world.join()
    with pytest.raises(FileExistsError):
        me.join()


def test_a_look_that_failed_is_repeated_before_anything_new_begins(world: World) -> None:
    disk = Faulty()
    me, heir = world.join(disk), world.join()
    held = take(me, world.slot())
    assert isinstance(held, Claim)
    world.die(me)
    take(heir, world.slot())
    world.clock.now += 60
    fail_once(disk, "list", OSError(errno.EACCES, "denied"))
    me.tend()
    assert not held.lost
    take(me, world.slot("b"))
    assert held.lost


def test_a_beat_whose_write_hung_is_as_old_as_its_beginning(world: World) -> None:
    """Others may have seen it long ago; when it returns after patience the owner must look at what it holds."""
    me, heir = world.join(), world.join()
    held = take(me, world.slot())
    assert isinstance(held, Claim)
    world.die(me)
    take(heir, world.slot())
    write = me._kept.write  # type: ignore[union-attr]

    def hang(offset: int, data: bytes) -> None:
        world.clock.now += 20
        write(offset, data)

    me._kept.write = hang  # type: ignore[union-attr, method-assign, assignment]
    me.tend()
    assert me.overdue() and held.lost


def test_its_own_final_does_not_make_a_claim_lost(world: World) -> None:
    """The heart looks while the work is being published: the final that it sees is our own."""
    me = world.join()
    held = take(me, world.slot())
    assert isinstance(held, Claim)
    Path(me.staging(held)).touch()
    looked = []

    def clear_up() -> None:
        me.look_at_hands(me.disk)
        looked.append(held.lost)

    link = me.disk.disk.link
    me.disk.disk.link = lambda source, target: (link(source, target), clear_up())  # type: ignore[method-assign]
    publish(me, held, [(me.staging(held), held.slot.final)])
    assert looked == [False]


@pytest.mark.parametrize("error", [None, OSError(errno.EIO, "gone")], ids=["back", "gone"])
def test_what_is_new_waits_for_a_server_that_comes_back_but_not_for_ever(world: World, error: OSError | None) -> None:
    """A beat that hangs for longer than patience and then arrives is followed by one that is fresh."""
    me = world.join()
    assert me._kept is not None
    write, begun = me._kept.write, []

    def hang(offset: int, data: bytes) -> None:
        begun.append(world.clock.now)
        if len(begun) == 1:
            world.clock.now += 11
        if error is not None:
            raise error
        write(offset, data)

    me._kept.write = hang  # type: ignore[method-assign]
    world.clock.now += 9
    if error is None:
        assert isinstance(take(me, world.slot()), Claim)
    else:
        with pytest.raises(OSError, match="no beat could be written for 20 s"):
            take(me, world.slot())
    assert len(begun) == (2 if error is None else 1)


@pytest.mark.parametrize(("late", "hangs"), [(8, 8), (6, 5), (1, 12), (1, 1)])
def test_an_owner_that_was_silent_for_patience_knows_it(world: World, late: int, hangs: int) -> None:
    """Others see no beat from the one before until this one has arrived, however late it began or long it hung."""
    me, heir = world.join(), world.join()
    held = take(me, world.slot())
    assert isinstance(held, Claim)
    taken: list[Claim] = []

    def pass_time(seconds: int) -> None:
        for _ in range(seconds):
            world.clock.now += 1
            heir.beat()
            if not taken and isinstance(claim := take(heir, world.slot()), Claim):
                taken.append(claim)

    def hang(offset: int, data: bytes) -> None:
        pass_time(hangs)
        write(offset, data)

    assert me._kept is not None
    write = me._kept.write
    take(heir, world.slot())
    pass_time(late)
    me._kept.write = hang  # type: ignore[method-assign]
    me.tend()
    assert bool(taken) == held.lost == (late + hangs > 10)
