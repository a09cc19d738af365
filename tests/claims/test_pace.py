"""Beats that somebody else writes for an instance: what they say about silence, and who beats when they stop."""

import os

import pytest

from multiprocesstools.claims.claim import take
from multiprocesstools.claims.hands import Claim
from multiprocesstools.claims.instance import Instance
from multiprocesstools.claims.pace import NoteBeat
from tests.claims.conftest import World


class Told:
    """A process that beats, as a test wants it: `reports` are what it has said and nobody has heard yet."""

    def __init__(self, instance: Instance) -> None:
        self.reports: list[tuple[float, float]] = []
        self.runs = True
        instance.beats.pace = self

    def listen(self, note: NoteBeat) -> None:
        reports, self.reports = self.reports, []
        for report in reports:
            note(*report)


def held(world: World, me: Instance) -> Claim:
    claim = take(me, world.slot())
    assert isinstance(claim, Claim)
    return claim


def count_on_disk(me: Instance) -> str:
    with open(me.path) as file:
        return file.read()[-28:]


def test_beats_that_are_heard_late_are_as_good_as_own_ones(world: World) -> None:
    me, before = world.join(), world.clock.now
    pace, claim = Told(me), held(world, me)
    on_disk = count_on_disk(me)
    for second in range(1, 101):
        pace.reports.append((before + second, before + second))
    world.clock.now += 100
    assert not me.overdue()
    me.tend()
    assert not claim.lost and ("overdue", 1) not in world.events  # type: ignore[attr-defined]
    assert count_on_disk(me) == on_disk, "it has beaten itself"


@pytest.mark.parametrize(("silent", "noticed"), [(8.4, 0), (8.6, 1)])
def test_a_silence_that_was_over_before_it_was_heard_of_is_noticed(world: World, silent: float, noticed: int) -> None:
    me, heir, before = world.join(), world.join(), world.clock.now
    pace, claim = Told(me), held(world, me)
    world.die(me)
    take(heir, world.slot())
    beats = [before + 1, before + 2, before + 2 + silent, before + 3 + silent]
    pace.reports = [(began, began) for began in beats]
    world.clock.now += silent + 3.5
    me.tend()
    assert world.events.count(("overdue", 1)) == noticed  # type: ignore[attr-defined]
    assert claim.lost == bool(noticed)


def test_a_beat_that_hung_is_as_old_as_its_beginning(world: World) -> None:
    me, before = world.join(), world.clock.now
    pace = Told(me)
    pace.reports = [(before + 1, before + 20)]
    world.clock.now += 20
    assert me.overdue()


@pytest.mark.parametrize("late", [True, False], ids=["silent", "ended"])
def test_the_instance_beats_itself_when_the_other_does_not(world: World, late: bool) -> None:
    me = world.join()
    pace, on_disk = Told(me), count_on_disk(me)
    pace.runs = late
    world.clock.now += 9 if late else 1
    me.tend()
    assert count_on_disk(me) != on_disk and not me.overdue()


def test_what_an_observer_counts_rests_on_the_beats_of_the_other_process(world: World) -> None:
    """Its rounds count only while its own beats reach the disk, and those are the ones that are reported."""
    owner, me = world.join(), world.join()
    take(owner, world.slot())
    pace, before = Told(me), world.clock.now
    for second in range(1, 12):
        world.clock.now = before + second
        pace.reports = [(world.clock.now, world.clock.now)]
        taken = take(me, world.slot())
    assert isinstance(taken, Claim)


def test_a_removed_record_is_noticed_although_others_beat(world: World) -> None:
    me, before = world.join(), world.clock.now
    pace, claim = Told(me), held(world, me)
    os.unlink(me.path)
    for second in range(1, 10):
        pace.reports = [(before + second, before + second)]
        world.clock.now = before + second
        me.tend()
    assert me.expelled and claim.lost
