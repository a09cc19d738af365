"""Direct mode: a half-written final is never taken for a finished one."""

import errno
import os
from pathlib import Path

import pytest

from multiprocesstools.claims import direct
from multiprocesstools.claims.claim import Refusal, take
from multiprocesstools.claims.disk import HalfCreated
from multiprocesstools.claims.ended import Outcome
from multiprocesstools.claims.hands import Claim, How
from multiprocesstools.claims.instance import Instance
from multiprocesstools.claims.publish import Published, publish
from multiprocesstools.claims.survey import State
from multiprocesstools.errors import ClaimLost
from tests.claims.conftest import World
from tests.disks import Faulty, WithoutLinks, fail_once, fill, make_room


def begin(world: World, me: Instance, temp: str = "a.tmp") -> Claim:
    claim = take(me, world.slot(), how=How.IN_PLACE)
    assert isinstance(claim, Claim)
    assert direct.begin(me, claim, str(world.root / "out" / temp))
    return claim


def final(world: World) -> Path:
    return Path(world.slot().final)


def test_finishing_publishes_and_leaves_nothing_else(world: World) -> None:
    me = world.join()
    claim = begin(world, me)
    assert sorted(os.listdir(world.root / "out")) == [".a.csv.claim-1", ".a.csv.direct", "a.tmp"]
    final(world).write_text("whole")
    direct.finish(me, claim)
    assert os.listdir(world.root / "out") == ["a.csv"]


def test_a_half_written_final_is_not_done_and_is_moved_aside(world: World) -> None:
    dead, heir = world.join(), world.join()
    begin(world, dead)
    final(world).write_text("ha")
    answer = take(heir, world.slot(), how=How.IN_PLACE)
    assert isinstance(answer, Refusal) and answer.state is State.RUNNING
    world.die(dead)
    claim = begin(world, heir, "a.tmp")
    assert claim.attempt == 2
    assert not final(world).exists()
    assert Path(world.slot().partial(1)).read_text() == "ha"
    final(world).write_text("whole")
    direct.finish(heir, claim)
    assert world.hidden() == [".a.csv.partial-1"]


@pytest.mark.parametrize("half_written", [True, False], ids=["half written", "signed only"])
def test_an_item_after_a_dead_direct_owner_is_published_the_ordinary_way(world: World, half_written: bool) -> None:
    dead, heir = world.join(), world.join()
    begin(world, dead)
    if half_written:
        final(world).write_text("ha")
    world.die(dead)
    claim = take(heir, world.slot())
    assert isinstance(claim, Claim)
    Path(heir.staging(claim)).write_text("whole")
    assert publish(heir, claim, [(heir.staging(claim), claim.slot.final)]) is Published.MINE
    assert final(world).read_text() == "whole"
    answer = take(world.join(), world.slot())
    assert isinstance(answer, Refusal) and answer.state is State.DONE


def test_giving_back_moves_what_was_written_aside(world: World) -> None:
    me = world.join()
    claim = begin(world, me)
    final(world).write_text("ha")
    direct.undo(me, claim, me.ended(Outcome.DROPPED))
    assert not final(world).exists()
    assert Path(world.slot().partial(1)).read_text() == "ha"
    assert not os.path.exists(world.slot().sign)
    assert begin(world, world.join()).attempt == 2


def test_who_was_taken_over_touches_nothing(world: World) -> None:
    zombie, heir = world.join(), world.join()
    late = begin(world, zombie)
    world.die(zombie)
    claim = begin(world, heir)
    final(world).write_text("heir")
    with pytest.raises(ClaimLost):
        direct.finish(zombie, late)
    assert final(world).read_text() == "heir"
    assert os.path.exists(world.slot().sign)
    direct.finish(heir, claim)
    assert world.hidden() == []


def test_a_placeholder_of_another_program_is_left_alone(world: World) -> None:
    me = world.join()
    foreign = world.root / "out" / "a.tmp"
    foreign.write_text("mine")
    claim = take(me, world.slot(), how=How.IN_PLACE)
    assert isinstance(claim, Claim)
    assert not direct.begin(me, claim, str(foreign))
    assert foreign.read_text() == "mine"
    assert not os.path.exists(world.slot().sign)


def test_a_planted_link_is_no_placeholder(world: World) -> None:
    me = world.join()
    victim = world.root / "victim"
    victim.write_text("untouched")
    (world.root / "out" / "a.tmp").symlink_to(victim)
    claim = take(me, world.slot(), how=How.IN_PLACE)
    assert isinstance(claim, Claim)
    assert not direct.begin(me, claim, str(world.root / "out" / "a.tmp"))
    assert victim.read_text() == "untouched"
    assert (world.root / "out" / "a.tmp").is_symlink()


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"x", b"\xff", b'{"format": "multiprocesstools placeholder 1"}'])
def test_foreign_bytes_are_no_placeholder(data: bytes) -> None:
    assert not direct.is_placeholder(data, "a.csv")
    assert direct.placeholder_owner(data) == ""


def test_a_final_whose_publication_lost_its_reply_is_not_taken_back(world: World) -> None:
    """Removing the sign publishes. If that ran and only its answer was lost, somebody may have seen it."""
    disk = Faulty()
    me = world.join(disk)
    claim = begin(world, me)
    final(world).write_text("whole")
    fail_once(disk, "unlink", OSError(errno.EACCES, "lost"), moment="after", when=lambda path: path.endswith(".direct"))
    with pytest.raises(OSError, match="lost"):
        direct.finish(me, claim)
    direct.undo(me, claim, me.ended(Outcome.DROPPED))
    assert final(world).read_text() == "whole"


@pytest.mark.parametrize("what", ["placeholder", "sign"])
def test_no_room_at_the_beginning_gives_the_item_back(world: World, what: str) -> None:
    disk = Faulty()
    me = world.join(disk)
    claim = take(me, world.slot(), how=How.IN_PLACE)
    assert isinstance(claim, Claim)
    wanted = {"placeholder": "a.tmp", "sign": ".direct"}[what]
    fill(disk, lambda path: path.endswith(wanted))
    with pytest.raises(OSError, match="full"):
        direct.begin(me, claim, str(world.root / "out" / "a.tmp"))
    make_room(disk)
    assert not me.hands.claims()
    assert not (world.root / "out" / "a.tmp").exists()
    assert begin(world, me).attempt == 2


def test_what_cannot_be_moved_aside_is_tried_again_at_the_next_beat(world: World) -> None:
    disk = Faulty()
    me = world.join(disk)
    claim = begin(world, me)
    final(world).write_text("half")
    fail_once(disk, "rename", OSError(errno.ENOSPC, "full"))
    direct.undo(me, claim, me.ended(Outcome.DROPPED))
    assert me.hands.owed() and final(world).exists()
    me.tend()
    assert not me.hands.owed() and not final(world).exists()
    assert begin(world, me).attempt == 2


def test_a_beat_does_not_wait_for_what_cannot_be_moved_aside(world: World) -> None:
    disk = Faulty()
    me = world.join(disk)
    claim = begin(world, me)
    final(world).write_text("half")
    fail_once(disk, "rename", OSError(errno.ENOSPC, "full"))
    direct.undo(me, claim, me.ended(Outcome.DROPPED))
    fail_once(disk, "rename", OSError(errno.EIO, "passing"))
    before = world.clock.now
    me.tend()
    assert world.clock.now == before and me.hands.owed()
    me.tend()
    assert not me.hands.owed()


def test_what_is_looked_at_while_it_is_published_is_not_lost(world: World) -> None:
    disk = Faulty()
    me = world.join(disk)
    claim = begin(world, me)
    final(world).write_text("whole")

    def look_now(moment: str, verb: str, arguments: tuple[object, ...]) -> None:
        if moment == "after" and verb == "unlink" and str(arguments[0]).endswith(".direct"):
            disk.hook = lambda *_: None
            me.look_at_hands(me.disk)

    disk.hook = look_now
    direct.finish(me, claim)
    assert not claim.lost


def test_a_placeholder_that_could_not_be_written_leaves_nothing_and_is_tried_again(world: World) -> None:
    class Half(WithoutLinks):
        def create(self, path: str, data: bytes, *, durable: bool = False) -> None:
            if b"placeholder" in data and not torn:
                torn.append(path)
                Path(path).touch()
                raise HalfCreated(errno.ENOSPC, "full", path)
            super().create(path, data, durable=durable)

    torn: list[str] = []
    me = world.join(Half())
    claim = take(me, world.slot(), how=How.IN_PLACE)
    assert isinstance(claim, Claim)
    with pytest.raises(OSError, match="full"):
        direct.begin(me, claim, str(world.root / "out" / "a.tmp"))
    assert torn and not os.path.exists(torn[0]) and not os.path.exists(world.root / "out" / "a.tmp")
    assert begin(world, me).attempt == 2


def test_without_links_the_placeholder_of_another_program_is_not_replaced(world: World) -> None:
    foreign = world.root / "out" / "a.tmp"
    foreign.touch()
    me = world.join(WithoutLinks())
    claim = take(me, world.slot(), how=How.IN_PLACE)
    assert isinstance(claim, Claim) and not direct.begin(me, claim, str(foreign))
    assert foreign.read_bytes() == b""
