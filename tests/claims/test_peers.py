"""Observing others: only proof or patience ends an attempt."""

import errno
import os
from pathlib import Path

import pytest

from multiprocesstools.claims.claim import take
from multiprocesstools.claims.hands import Claim
from multiprocesstools.claims.peers import Sight
from tests.claims.conftest import World
from tests.disks import Faulty


def pass_time(world: World, seconds: float, *, observer, beating=(), step: float = 0.5) -> None:  # type: ignore[no-untyped-def]
    """Let time pass in steps; the observer and those in `beating` beat, and the observer looks, in each."""
    for _ in range(int(seconds / step)):
        world.clock.now += step
        for instance in (observer, *beating):
            instance.beat()
        observer.peers.judge_claim(world.slot().claim(1))


def test_a_living_owner_is_alive_for_ever(world: World) -> None:
    owner, observer = world.join(), world.join()
    assert isinstance(take(owner, world.slot()), Claim)
    pass_time(world, 100, observer=observer, beating=[owner])
    verdict = observer.peers.judge_claim(world.slot().claim(1))
    assert verdict.sight is Sight.ALIVE and verdict.beating
    assert verdict.owner is not None and verdict.owner.id == owner.record.id


def test_a_silent_owner_is_silent_after_patience_and_not_before(world: World) -> None:
    owner, observer = world.join(), world.join()
    take(owner, world.slot())
    pass_time(world, 9, observer=observer)
    assert observer.peers.judge_claim(world.slot().claim(1)).sight is Sight.ALIVE
    pass_time(world, 2, observer=observer)
    assert observer.peers.judge_claim(world.slot().claim(1)).sight is Sight.SILENT


def test_a_gone_owner_needs_no_patience(world: World) -> None:
    owner, observer = world.join(), world.join()
    take(owner, world.slot())
    world.die(owner)
    assert observer.peers.judge_claim(world.slot().claim(1)).sight is Sight.GONE


def test_a_gap_between_rounds_starts_the_count_anew(world: World) -> None:
    owner, observer = world.join(), world.join()
    take(owner, world.slot())
    pass_time(world, 8, observer=observer)
    world.clock.now += 500
    observer.beat()
    assert observer.peers.judge_claim(world.slot().claim(1)).sight is Sight.ALIVE
    pass_time(world, 8, observer=observer)
    assert observer.peers.judge_claim(world.slot().claim(1)).sight is Sight.ALIVE
    pass_time(world, 4, observer=observer)
    assert observer.peers.judge_claim(world.slot().claim(1)).sight is Sight.SILENT


def test_rounds_without_own_beats_do_not_count(world: World) -> None:
    owner, observer = world.join(), world.join()
    take(owner, world.slot())
    for _ in range(100):
        world.clock.now += 0.5
        assert observer.peers.judge_claim(world.slot().claim(1)).sight is Sight.ALIVE


def test_an_empty_claim_has_an_unknown_owner_and_is_stale_only_after_patience(world: World) -> None:
    observer = world.join()
    Path(world.slot().claim(1)).touch()
    verdict = observer.peers.judge_claim(world.slot().claim(1))
    assert (verdict.sight, verdict.owner) == (Sight.ALIVE, None)
    pass_time(world, 11, observer=observer)
    assert observer.peers.judge_claim(world.slot().claim(1)).sight is Sight.SILENT


def test_a_planted_link_or_pipe_is_an_unknown_owner(world: World) -> None:
    observer = world.join()
    os.symlink(observer.path, world.slot("link").claim(1))
    os.mkfifo(world.slot("pipe").claim(1))
    for name in ("link", "pipe"):
        verdict = observer.peers.judge_claim(world.slot(name).claim(1))
        assert (verdict.sight, verdict.owner) == (Sight.ALIVE, None)


def test_a_missing_claim_has_vanished(world: World) -> None:
    assert world.join().peers.judge_claim(world.slot().claim(1)).sight is Sight.VANISHED


def test_linked_and_copied_claims_of_one_owner_do_not_disturb_each_other(world: World) -> None:
    owner, observer = world.join(), world.join()
    take(owner, world.slot("linked"))
    owner.copies.add(world.slot().directory)
    take(owner, world.slot("copied"))
    os.unlink(owner.path)
    for _ in range(24):
        world.clock.now += 0.5
        observer.beat()
        sights = [observer.peers.judge_claim(world.slot(name).claim(1)).sight for name in ("linked", "copied")]
    assert sights == [Sight.SILENT, Sight.SILENT]


def test_a_copied_claim_lives_by_the_beat_of_its_owners_record(world: World) -> None:
    owner, observer = world.join(), world.join()
    owner.copies.add(world.slot().directory)
    take(owner, world.slot())
    pass_time(world, 30, observer=observer, beating=[owner])
    assert observer.peers.judge_claim(world.slot().claim(1)).sight is Sight.ALIVE
    pass_time(world, 12, observer=observer)
    assert observer.peers.judge_claim(world.slot().claim(1)).sight is Sight.SILENT


def test_an_error_that_passes_is_no_round(world: World) -> None:
    disk = Faulty()
    owner, observer = world.join(), world.join(disk)
    take(owner, world.slot())
    disk.hook = lambda moment, verb, arguments: (
        (_ for _ in ()).throw(OSError(errno.EIO, "x")) if verb == "read" else None
    )
    with pytest.raises(OSError, match="x"):
        observer.peers.judge_claim(world.slot().claim(1))
