"""A sweep removes what is provably left over, and nothing that belongs to the living."""

import errno
import json
import os
from pathlib import Path
from typing import Any

from multiprocesstools.claims.claim import take
from multiprocesstools.claims.direct import PLACEHOLDER_FORMAT
from multiprocesstools.claims.ended import Outcome, decode
from multiprocesstools.claims.hands import Claim, How
from multiprocesstools.claims.instance import Instance
from multiprocesstools.claims.sweep import Report, sweep
from tests.claims.conftest import World
from tests.disks import Faulty, fail_once


def run(world: World, me: Instance, **how: Any) -> Report:
    return sweep(me, str(world.root / "instances"), [str(world.root / "out")], **how)


def hold(world: World, me: Instance, name: str = "a.csv") -> Claim:
    claim = take(me, world.slot(name))
    assert isinstance(claim, Claim)
    Path(me.staging(claim)).touch()
    return claim


def died_while_it_wrote(world: World) -> tuple[Faulty, Instance, Instance, str]:
    """A disk, a dead instance, a sweeper on that disk, and a staging file of the dead one."""
    disk = Faulty()
    dead, sweeper = world.join(), world.join(disk)
    staging = world.slot().staging(f"{dead.record.id}-1")
    Path(staging).touch()
    world.die(dead)
    return disk, dead, sweeper, staging


def observe(world: World, sweeper: Instance, seconds: int = 12) -> Report:
    for _ in range(seconds):
        world.clock.now += 1
        sweeper.beat()
        report = run(world, sweeper)
    return report


def test_what_a_gone_owner_left_is_removed_and_its_item_freed(world: World) -> None:
    dead, sweeper = world.join(), world.join()
    hold(world, dead)
    world.die(dead)
    report = run(world, sweeper)
    assert world.hidden() == [".a.csv.claim-1", ".a.csv.ended-1"]
    assert decode(Path(world.slot().ended(1)).read_bytes()).outcome is Outcome.DIED
    assert not os.path.exists(dead.path)
    assert not report.waiting
    assert isinstance(take(sweeper, world.slot()), Claim)


def test_a_living_owner_loses_nothing(world: World) -> None:
    living, sweeper = world.join(), world.join()
    hold(world, living)
    before = world.hidden()
    report = run(world, sweeper)
    assert world.hidden() == before and os.path.exists(living.path)
    assert not report.removed and not report.ended
    assert {os.path.basename(waiting.path) for waiting in report.waiting} >= {".a.csv.claim-1", "test-1"}


def test_a_silent_owner_loses_its_attempt_after_patience_but_not_its_files(world: World) -> None:
    silent, sweeper = world.join(), world.join()
    claim = hold(world, silent)
    report = observe(world, sweeper, 5)
    assert not os.path.exists(world.slot().ended(1)) and report.undecided
    report = observe(world, sweeper, 12)
    assert os.path.exists(world.slot().ended(1))
    assert os.path.exists(silent.staging(claim)) and os.path.exists(silent.path)
    assert report.waiting and not report.undecided


def test_force_removes_the_files_of_a_silent_owner(world: World) -> None:
    silent, sweeper = world.join(), world.join()
    claim = hold(world, silent)
    run(world, sweeper, force=True)
    assert os.path.exists(world.slot().ended(1))
    assert not os.path.exists(silent.staging(claim)) and not os.path.exists(silent.path)


def test_the_leftovers_of_a_finished_item_are_removed_and_its_final_stays(world: World) -> None:
    dead, sweeper = world.join(), world.join()
    hold(world, dead)
    Path(world.slot().final).write_text("done")
    Path(world.slot().ended(1)).touch()
    Path(world.slot().retry(1)).touch()
    world.die(dead)
    run(world, sweeper)
    assert os.listdir(world.root / "out") == ["a.csv"]


def test_neither_a_sign_nor_a_half_written_final_nor_a_partial_is_touched(world: World) -> None:
    dead, sweeper = world.join(), world.join()
    take(dead, world.slot(), how=How.IN_PLACE)
    for path in (world.slot().final, world.slot().sign, world.slot().partial(1)):
        Path(path).write_text("x")
    world.die(dead)
    report = run(world, sweeper, force=True)
    assert all(os.path.exists(path) for path in (world.slot().final, world.slot().sign, world.slot().partial(1)))
    assert report.partials == [world.slot().partial(1)]


def test_a_dry_run_changes_nothing_and_says_what_it_would_do(world: World) -> None:
    dead, sweeper = world.join(), world.join()
    hold(world, dead)
    world.die(dead)
    before = world.hidden()
    report = run(world, sweeper, dry_run=True)
    assert world.hidden() == before and os.path.exists(dead.path)
    assert report.ended == [world.slot().ended(1)]
    assert dead.path in report.removed


def test_files_of_other_programs_stay(world: World) -> None:
    sweeper = world.join()
    names = [".hidden", "notes.txt", ".mpt-notours.x", ".a.claim-x"]
    for name in names:
        (world.root / "out" / name).touch()
    run(world, sweeper, force=True)
    assert sorted(os.listdir(world.root / "out")) == sorted(names)


def test_a_record_that_was_never_finished_goes_with_its_gone_owner(world: World) -> None:
    dead, sweeper = world.join(), world.join()
    private = world.root / "instances" / f".mpt-{dead.record.id}-e1.ended"
    os.link(dead.path, private)
    os.unlink(dead.path)
    run(world, sweeper)
    assert private.exists()
    world.die(dead)
    run(world, sweeper)
    assert not private.exists()


def test_the_staging_file_of_an_instance_that_joins_during_the_sweep_stays(world: World) -> None:
    """It belongs to one of several files of an item, and an earlier attempt has published that one already."""
    disk = Faulty()
    sweeper = world.join(disk)
    (world.root / "out" / "part").write_text("earlier")
    staging: list[str] = []

    def join_now(moment: str, verb: str, arguments: tuple[object, ...]) -> None:
        if moment == "after" and verb == "list" and not staging:
            newcomer = world.join()
            staging.append(world.slot("part").staging(f"{newcomer.record.id}-1"))
            Path(staging[0]).touch()

    disk.hook = join_now
    run(world, sweeper)
    assert staging and os.path.exists(staging[0])


def test_one_directory_that_cannot_be_written_does_not_end_the_sweep(world: World) -> None:
    disk = Faulty()
    dead, sweeper = world.join(), world.join(disk)
    for name in ("a", "b"):
        hold(world, dead, name)
    world.die(dead)
    fail_once(disk, "link", PermissionError(errno.EACCES, "denied"), when=lambda source, target: ".ended-" in target)
    report = run(world, sweeper)
    assert len(report.ended) == 1 and len(report.unreadable) == 1
    assert os.path.exists(dead.path)  # something of it is left, so its record must stay


def test_the_record_of_an_owner_stays_with_a_private_file_that_cannot_be_removed(world: World) -> None:
    disk, dead, sweeper, staging = died_while_it_wrote(world)
    error = PermissionError(errno.EACCES, "denied")
    fail_once(disk, "remove_tree", error)
    report = run(world, sweeper)
    assert len(report.unreadable) == 1 and os.path.exists(staging) and os.path.exists(dead.path)
    assert not run(world, sweeper).unreadable
    assert not os.path.exists(staging) and not os.path.exists(dead.path)


def test_the_record_of_an_owner_stays_while_a_directory_cannot_be_listed(world: World) -> None:
    disk, dead, sweeper, staging = died_while_it_wrote(world)
    error = PermissionError(errno.EACCES, "denied")
    fail_once(disk, "list", error, when=lambda directory: directory.endswith("/out"))
    report = run(world, sweeper)
    assert report.unreadable == [f"{world.root}/out: denied"] and not report.removed
    assert not report.undecided  # it is known to be gone: observing it longer changes nothing
    assert os.path.exists(staging) and os.path.exists(dead.path)
    assert set(run(world, sweeper).removed) == {staging, dead.path}
    assert not os.path.exists(staging) and not os.path.exists(dead.path)


def test_the_record_of_an_owner_stays_while_a_placeholder_cannot_be_read(world: World) -> None:
    disk = Faulty()
    dead, sweeper = world.join(), world.join(disk)
    placeholder = str(world.root / "out" / "a")
    line = {"format": PLACEHOLDER_FORMAT, "owner": dead.record.id, "final": "b"}
    Path(placeholder).write_text(json.dumps(line))
    world.die(dead)

    def is_broken(moment: str, verb: str, arguments: tuple[Any, ...]) -> None:
        if (verb, arguments[0]) == ("read", placeholder):
            raise OSError(errno.EIO, "broken")

    sound, disk.hook = disk.hook, is_broken
    report = run(world, sweeper, placeholders=[placeholder])
    assert report.unreadable == [f"{placeholder}: broken"] and not report.removed
    disk.hook = sound
    assert set(run(world, sweeper, placeholders=[placeholder]).removed) == {placeholder, dead.path}


def test_a_part_of_an_unfinished_item_is_not_judged_by_its_own_name(world: World) -> None:
    silent, sweeper = world.join(), world.join()
    hold(world, silent, "item.b")
    (world.root / "out" / "item.a").write_text("of an earlier attempt")
    staging = world.slot("item.a").staging(f"{silent.record.id}-1")
    Path(staging).touch()
    for _ in range(15):
        world.clock.now += 1
        sweeper.beat()
        out = str(world.root / "out")
        sweep(sweeper, str(world.root / "instances"), [out], parts=[out])
    assert os.path.exists(world.slot("item.b").ended(1))
    assert os.path.exists(staging)
    for _ in range(15):
        world.clock.now += 1
        sweeper.beat()
        run(world, sweeper)
    assert not os.path.exists(staging)  # where no parts lie, it is the leftover of a finished item
