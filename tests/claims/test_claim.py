"""One attempt: take -> publish | end, with every answer that a disk can give."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from multiprocesstools.claims.bind import Expelled
from multiprocesstools.claims.claim import Refusal, end, end_if_over, give_up, take
from multiprocesstools.claims.disk import Disk, HalfCreated
from multiprocesstools.claims.ended import Ended, Outcome, decode
from multiprocesstools.claims.hands import Claim, How
from multiprocesstools.claims.instance import Instance, Rules
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.claims.publish import Published, publish
from multiprocesstools.claims.slots import Slot
from multiprocesstools.claims.survey import State
from multiprocesstools.errors import RunDirectoryUnusable
from tests.claims.conftest import World, refused, won
from tests.disks import Faulty, OnlyWithinDirectories, fail_once, fill, make_room

KINDS = {"links": PosixDisk, "copies": OnlyWithinDirectories}


@pytest.fixture(params=KINDS, ids=list(KINDS))
def make(request: pytest.FixtureRequest) -> Callable[[], Disk]:
    return KINDS[request.param]


def write(me: Instance, claim: Claim, text: str = "result") -> list[tuple[str, str]]:
    Path(me.staging(claim)).write_text(text)
    return [(me.staging(claim), claim.slot.final)]


def finish(me: Instance, slot: Slot, text: str = "result") -> Published:
    claim = won(take(me, slot))
    return publish(me, claim, write(me, claim, text))


def fail(me: Instance, claim: Claim, outcome: Outcome = Outcome.FAILED) -> None:
    end(me, claim, me.ended(outcome, exception="ValueError: x"))


def test_an_item_is_won_once_and_published_without_leftovers(world: World, make: Callable[[], Disk]) -> None:
    one, two = world.join(make()), world.join(make())
    claim = won(take(one, world.slot()))
    assert refused(take(two, world.slot())) is State.RUNNING
    assert publish(one, claim, write(one, claim)) is Published.MINE
    assert refused(take(two, world.slot())) is State.DONE
    assert Path(world.slot().final).read_text() == "result"
    assert world.hidden() == []


def test_a_final_that_appears_before_the_claim_is_found_under_it(world: World, make: Callable[[], Disk]) -> None:
    Path(world.slot().final).write_text("older")
    assert refused(take(world.join(make()), world.slot())) is State.DONE
    assert world.hidden() == []


def test_a_failed_item_is_tried_again_and_then_set_aside(world: World, make: Callable[[], Disk]) -> None:
    me = world.join(make())
    for attempt in (1, 2, 3):
        claim = won(take(me, world.slot()))
        assert claim.attempt == attempt
        fail(me, claim)
    assert refused(take(me, world.slot())) is State.FAILED
    assert not os.path.exists(world.slot().final)


def test_success_after_failures_removes_all_attempts(world: World, make: Callable[[], Disk]) -> None:
    me = world.join(make())
    fail(me, won(take(me, world.slot())))
    Path(world.slot().retry(1)).touch()
    assert finish(me, world.slot()) is Published.MINE
    assert world.hidden() == []


@pytest.mark.parametrize("outcome", [Outcome.DROPPED, Outcome.INTERRUPTED])
def test_dropped_attempts_do_not_count(world: World, outcome: Outcome) -> None:
    me = world.join()
    for _ in range(5):
        fail(me, won(take(me, world.slot())), outcome)
    assert won(take(me, world.slot())).attempt == 6


def test_skipped_is_settled(world: World) -> None:
    me = world.join()
    fail(me, won(take(me, world.slot())), Outcome.SKIPPED)
    assert refused(take(world.join(), world.slot())) is State.SKIPPED


def test_the_item_of_a_dead_owner_is_taken_over_with_the_next_attempt(world: World, make: Callable[[], Disk]) -> None:
    dead, heir = world.join(make()), world.join(make())
    won(take(dead, world.slot()))
    world.die(dead)
    assert won(take(heir, world.slot())).attempt == 2
    assert world.slot().ended(1).rpartition("/")[2] in world.hidden()


def test_an_item_that_kills_its_owners_is_set_aside(world: World) -> None:
    for _ in range(3):
        victim = world.join()
        won(take(victim, world.slot()))
        world.die(victim)
    assert refused(take(world.join(), world.slot())) is State.FAILED


def test_a_zombie_never_replaces_the_new_owners_result(world: World, make: Callable[[], Disk]) -> None:
    zombie, heir = world.join(make()), world.join(make())
    late = won(take(zombie, world.slot()))
    world.die(zombie)
    assert finish(heir, world.slot(), "heir") is Published.MINE
    inode = os.stat(world.slot().final).st_ino
    assert publish(zombie, late, write(zombie, late, "zombie")) is Published.LOST
    assert Path(world.slot().final).read_text() == "heir"
    assert os.stat(world.slot().final).st_ino == inode
    assert world.hidden() == []


def test_a_zombie_that_is_first_counts_and_the_heir_loses(world: World) -> None:
    zombie, heir = world.join(), world.join()
    late = won(take(zombie, world.slot()))
    world.die(zombie)
    second = won(take(heir, world.slot()))
    assert publish(zombie, late, write(zombie, late, "zombie")) is Published.MINE
    assert publish(heir, second, write(heir, second, "heir")) is Published.LOST
    assert Path(world.slot().final).read_text() == "zombie"
    assert world.hidden() == []


# -- lost replies


@pytest.mark.parametrize("error", [FileExistsError(errno.EEXIST, "x"), OSError(errno.EIO, "x")], ids=["EEXIST", "EIO"])
@pytest.mark.parametrize("verb", ["link", "create"], ids=["linked", "copied"])
def test_an_own_claim_that_nobody_has_in_hand_is_dropped_and_the_next_attempt_made(
    world: World, verb: str, error: OSError
) -> None:
    """The reply to its creation was lost."""
    disk = Faulty()
    me = world.join(disk)
    if verb == "create":
        me.copies.add(world.slot().directory)
    fail_once(disk, verb, error, moment="after")
    claim = won(take(me, world.slot()))
    assert claim.attempt == 2
    assert decode(Path(world.slot().ended(1)).read_bytes()).outcome is Outcome.DROPPED
    assert publish(me, claim, write(me, claim)) is Published.MINE
    assert world.hidden() == []


@pytest.mark.parametrize("error", [FileExistsError(errno.EEXIST, "x"), OSError(errno.EIO, "x")], ids=["EEXIST", "EIO"])
def test_a_publication_whose_reply_was_lost_is_ours(world: World, error: OSError) -> None:
    disk = Faulty()
    me = world.join(disk)
    claim = won(take(me, world.slot()))
    parts = write(me, claim)
    fail_once(disk, "link", error, moment="after")
    assert publish(me, claim, parts) is Published.MINE
    assert world.hidden() == []


def test_an_attempt_that_was_left_is_never_entered_again(world: World) -> None:
    """Its ended-file is written at the next look, and the next attempt begins."""
    disk = Faulty()
    me = world.join(disk)
    claim = won(take(me, world.slot()))
    full = OSError(errno.ENOSPC, "full")
    fail_once(disk, "create", full)
    fail(me, claim)
    assert me.hands.owed()
    assert refused(take(me, world.slot())) is State.RUNNING  # still in hand: it owes its ended-file
    me.tend()
    assert not me.hands.owed()
    assert won(take(me, world.slot())).attempt == 2


def test_a_claim_made_by_a_call_that_raised_is_not_lost_for_ever(world: World) -> None:
    disk = Faulty()
    me = world.join(disk)

    def interrupt(moment: str, verb: str, arguments: tuple[object, ...]) -> None:
        if moment == "after" and verb == "link":
            disk.hook = lambda *_: None
            raise KeyboardInterrupt

    disk.hook = interrupt
    with pytest.raises(KeyboardInterrupt):
        take(me, world.slot())
    assert os.path.exists(world.slot().claim(1))
    assert finish(me, world.slot()) is Published.MINE


def test_a_claim_that_was_overlooked_after_a_lost_reply_is_declared_over(world: World) -> None:
    disk = Faulty()
    me = world.join(disk)
    fail_once(disk, "link", FileExistsError(errno.EEXIST, "x"), moment="after")
    assert refused(take(me, world.slot(), look=False)) is State.RUNNING
    assert won(take(me, world.slot(), me.look(world.slot()))).attempt == 2


# -- what stands in the way


def test_a_full_disk_at_the_claim_is_raised(world: World) -> None:
    disk = Faulty()
    me = world.join(disk)
    fill(disk, lambda path: ".claim-" in path)
    with pytest.raises(OSError, match="full"):
        take(me, world.slot())
    make_room(disk)
    assert won(take(me, world.slot())).attempt == 1


def test_where_a_record_has_no_room_for_one_more_name_the_claim_is_a_copy(world: World) -> None:
    """GlusterFS on ext4 says ENOSPC to the 47th link."""
    disk = Faulty()
    me = world.join(disk)
    fail_once(disk, "link", OSError(errno.ENOSPC, "full"))
    claim = won(take(me, world.slot()))
    assert os.stat(world.slot().claim(1)).st_ino != me.inode
    assert publish(me, claim, write(me, claim)) is Published.MINE
    won(take(me, world.slot("b")))
    assert os.stat(world.slot("b").claim(1)).st_ino == me.inode


@pytest.mark.parametrize("verb", ["sync", "link"])
def test_a_full_disk_at_publication_keeps_the_claim_for_its_end(world: World, verb: str) -> None:
    disk = Faulty()
    me = world.join(disk, rules=Rules(1, 10, 3))
    claim = won(take(me, world.slot()))
    parts = write(me, claim)
    fail_once(disk, verb, OSError(errno.EDQUOT, "quota"))
    with pytest.raises(OSError, match="quota"):
        publish(me, claim, parts)
    assert not os.path.exists(world.slot().final)
    fail(me, claim)
    assert won(take(me, world.slot())).attempt == 2


def test_a_directory_that_is_gone_is_said(world: World) -> None:
    with pytest.raises(RunDirectoryUnusable, match="not there any more"):
        take(world.join(), Slot(str(world.root / "missing"), "a"))


def test_an_instance_whose_record_is_gone_must_join_anew(world: World) -> None:
    me = world.join()
    os.unlink(me.path)
    with pytest.raises(Expelled):
        take(me, world.slot())
    assert me.expelled


def test_a_staging_file_that_vanished_is_reported(world: World) -> None:
    me = world.join()
    claim = won(take(me, world.slot()))
    assert publish(me, claim, [(me.staging(claim), world.slot().final)]) is Published.GONE


# -- directories as finals


def test_a_directory_is_published_by_a_rename_that_refuses_content(world: World) -> None:
    one, two = world.join(), world.join()
    first = won(take(one, world.slot("a.zarr")))
    world.die(one)
    second = won(take(two, world.slot("a.zarr")))
    for me, claim in ((two, second), (one, first)):
        os.mkdir(me.staging(claim))
        Path(me.staging(claim), me.record.id).touch()
    assert publish(two, second, [(two.staging(second), second.slot.final)]) is Published.MINE
    assert publish(one, first, [(one.staging(first), first.slot.final)]) is Published.LOST
    assert os.listdir(world.slot("a.zarr").final) == [two.record.id]
    assert world.hidden() == []


def test_an_empty_directory_is_never_published(world: World) -> None:
    me = world.join()
    claim = won(take(me, world.slot()))
    os.mkdir(me.staging(claim))
    with pytest.raises(OSError, match="never published"):
        publish(me, claim, [(me.staging(claim), claim.slot.final)])
    assert not os.path.exists(world.slot().final)


# -- several files, several threads, signals


def test_an_earlier_attempts_part_stays(world: World) -> None:
    me = world.join()
    claim = won(take(me, world.slot()))
    part = f"{world.slot().directory}/part"
    Path(part).write_text("earlier")
    parts = [(f"{me.staging(claim)}-part", part), *write(me, claim)]
    Path(parts[0][0]).write_text("later")
    assert publish(me, claim, parts) is Published.MINE
    assert Path(part).read_text() == "earlier"
    assert world.hidden() == []


def test_an_item_in_hand_is_refused_to_another_thread(world: World) -> None:
    me = world.join()
    won(take(me, world.slot()))
    assert refused(take(me, world.slot())) is State.RUNNING


def test_an_attempt_that_was_given_up_may_still_publish(world: World) -> None:
    one, two = world.join(), world.join()
    claim = won(take(one, world.slot()))
    give_up(one, claim, Ended(Outcome.DROPPED))
    second = won(take(two, world.slot()))
    assert second.attempt == 2
    assert publish(one, claim, write(one, claim, "one")) is Published.MINE
    assert publish(two, second, write(two, second, "two")) is Published.LOST
    assert Path(world.slot().final).read_text() == "one"
    assert world.hidden() == []


def test_an_overdue_instance_beats_and_looks_before_it_takes_anything(world: World) -> None:
    zombie, heir = world.join(), world.join()
    held = won(take(zombie, world.slot()))
    world.die(zombie)
    won(take(heir, world.slot()))
    world.clock.now += 60
    assert zombie.overdue()
    won(take(zombie, world.slot("b")))
    assert not zombie.overdue()
    assert held.lost


# -- what a hostile disk, or a busy one, can show (each of these was a bug once)


def test_a_final_whose_sign_a_listing_has_missed_is_not_done(world: World) -> None:
    """A listing is not atomic: the sign was made behind its back, then the final in front of it."""
    disk = Faulty()
    me = world.join(disk)
    Path(world.slot().claim(1)).touch()

    def sign_now(moment: str, verb: str, arguments: tuple[object, ...]) -> None:
        if verb == "list" and moment == "before":
            Path(world.slot().final).write_text("half")
        if verb == "list" and moment == "after":
            Path(world.slot().sign).touch()

    disk.hook = sign_now
    files = me.look(world.slot())
    assert files.sign and not files.done


def test_failed_is_said_only_when_two_listings_agree(world: World) -> None:
    """The first listing meets the ended-files of an item that is being cleared up after its success."""
    me = world.join()
    for _ in range(3):
        fail(me, won(take(me, world.slot())))
    before = me.look(world.slot())
    Path(world.slot().retry(3)).touch()
    assert before.last_retry == 0
    assert won(take(me, world.slot(), before)).attempt == 4


def test_a_record_that_another_client_removed_expels_although_the_server_says_stale(world: World) -> None:
    disk = Faulty()
    me = world.join(disk)
    fail_once(disk, "link", OSError(errno.ESTALE, "Stale file handle"))
    with pytest.raises(Expelled):
        take(me, world.slot())


def test_a_claim_that_could_not_be_written_is_dropped_and_not_died(world: World) -> None:
    """Without links a claim is created and then written: on a full disk it stays empty."""
    disk = Faulty()
    me = world.join(disk)
    me.copies.add(world.slot().directory)
    for attempt in (1, 2, 3):
        claim = world.slot().claim(attempt)
        full = HalfCreated(errno.ENOSPC, "full")
        fail_once(disk, "create", full, moment="after", when=lambda path, data, wanted=claim: path == wanted)
        with pytest.raises(OSError, match="full"):
            take(me, world.slot())
        Path(claim).write_bytes(b"")
    assert won(take(me, world.slot())).attempt == 4
    assert decode(Path(world.slot().ended(3)).read_bytes()).outcome is Outcome.DROPPED


def test_a_staging_file_removed_because_the_item_is_done_means_lost(world: World) -> None:
    zombie, heir = world.join(rules=Rules(1, 10, 3)), world.join()
    late = won(take(zombie, world.slot()))
    world.die(zombie)
    assert finish(heir, world.slot()) is Published.MINE
    assert publish(zombie, late, [(zombie.staging(late), world.slot().final)]) is Published.LOST
    assert world.hidden() == []


@pytest.mark.parametrize("durable", [True, False])
def test_a_link_or_a_pipe_is_never_published(world: World, durable: bool) -> None:
    me = world.join(rules=Rules(1, 10, 3, durable=durable))
    claim = won(take(me, world.slot()))
    os.symlink("nowhere", me.staging(claim))
    with pytest.raises(OSError):
        publish(me, claim, [(me.staging(claim), claim.slot.final)])
    os.unlink(me.staging(claim))
    os.mkfifo(me.staging(claim))
    with pytest.raises(OSError):
        publish(me, claim, [(me.staging(claim), claim.slot.final)])
    assert not os.path.lexists(world.slot().final)


def test_a_filesystem_that_says_not_permitted_for_exists_is_understood(world: World) -> None:
    """sshfs does so to half of those that lose a race."""
    disk = Faulty()
    one, two = world.join(), world.join(disk)
    claim, late = won(take(one, world.slot())), None
    world.die(one)
    late = won(take(two, world.slot()))
    parts = write(two, late)
    assert publish(one, claim, write(one, claim)) is Published.MINE
    fail_once(disk, "link", PermissionError(errno.EPERM, "Operation not permitted"))
    assert publish(two, late, parts) is Published.LOST


def test_without_a_look_a_lost_race_costs_one_operation(world: World) -> None:
    disk = Faulty()
    one, two = world.join(), world.join(disk)
    won(take(one, world.slot()))
    disk.calls.clear()
    assert refused(take(two, world.slot(), look=False)) is State.RUNNING
    assert [verb for verb, _ in disk.calls] == ["link"]


def test_a_half_written_final_that_is_moved_aside_during_a_listing_is_not_done(world: World) -> None:
    """The second listing has read the final already when its owner moves it aside and removes the sign."""
    disk = Faulty()
    me, observer = world.join(), world.join(disk)
    Path(world.slot().final).write_text("half")
    Path(world.slot().sign).touch()
    listings = 0

    def move_aside(moment: str, verb: str, arguments: tuple[object, ...]) -> None:
        nonlocal listings
        listings += verb == "list" and moment == "after"
        if verb == "list" and moment == "after" and listings == 2:
            os.rename(world.slot().final, world.slot().partial(1))

    real = disk.list
    disk.hook = move_aside
    signs = iter([False, False, False])

    def list_without_sign(directory: str) -> object:
        entries = real(directory)
        return [entry for entry in entries if not entry.name.endswith(".direct") or next(signs)]

    disk.list = list_without_sign  # type: ignore[method-assign, assignment]
    assert not observer.look(world.slot()).done
    assert me.hands.claims() == []


@pytest.mark.parametrize("verb", ["look", "rename"])
def test_a_claim_under_which_the_look_failed_is_given_back(world: World, verb: str) -> None:
    disk = Faulty()
    dead, me = world.join(), world.join(disk)
    if verb == "rename":
        won(take(dead, world.slot(), how=How.IN_PLACE))
        Path(world.slot().final).write_text("half")
        Path(world.slot().sign).touch()
        world.die(dead)
    fail_once(disk, verb, PermissionError(errno.EACCES, "denied"))
    with pytest.raises(PermissionError):
        take(me, world.slot())
    assert not me.hands.claims()
    assert isinstance(take(world.join(), world.slot()), Claim)


def test_old_words_about_an_attempt_are_not_believed_of_somebody_elses(world: World) -> None:
    """The item was finished by another one, its final deleted, and attempt 1 of its new life is not ours."""
    idle, other = world.join(), world.join()
    fail(idle, won(take(idle, world.slot())))
    assert finish(other, world.slot()) is Published.MINE
    os.unlink(world.slot().final)
    won(take(other, world.slot()))
    assert refused(take(idle, world.slot())) is State.RUNNING
    assert not os.path.exists(world.slot().ended(1))


def test_an_attempt_in_work_is_never_ended_by_its_own_process(world: World) -> None:
    me = world.join()
    held = won(take(me, world.slot()))
    assert isinstance(end_if_over(me, world.slot(), held.attempt), Refusal)
    assert not os.path.exists(world.slot().ended(1))


def test_a_torn_claim_after_a_passing_error_is_dropped_and_not_died(world: World) -> None:
    disk = Faulty()
    me = world.join(disk)
    me.copies.add(world.slot().directory)
    errors = [OSError(errno.EIO, "first"), HalfCreated(errno.EIO, "second")]

    def fail_twice(moment: str, verb: str, arguments: tuple[object, ...]) -> None:
        if verb == "create" and moment == "before" and str(arguments[0]).endswith(".claim-1") and errors:
            error = errors.pop(0)
            if isinstance(error, HalfCreated):
                Path(str(arguments[0])).touch()
            raise error

    disk.hook = fail_twice
    with pytest.raises(OSError, match="second"):
        take(me, world.slot())
    assert won(take(me, world.slot())).attempt == 2
    assert decode(Path(world.slot().ended(1)).read_bytes()).outcome is Outcome.DROPPED


def test_an_old_listing_is_not_believed_for_ever(world: World) -> None:
    """An NFS client may repeat an old listing; a change in the directory by this very client ends that."""
    disk = Faulty()
    owner, me = world.join(), world.join(disk)
    claim = won(take(owner, world.slot()))
    old = disk.list(world.slot().directory)
    assert publish(owner, claim, write(owner, claim)) is Published.MINE
    fresh, changed = disk.list, []
    disk.hook = lambda moment, verb, arguments: changed.append(1) if verb == "create" and moment == "after" else None
    disk.list = lambda directory: fresh(directory) if changed else old  # type: ignore[method-assign]
    assert refused(take(me, world.slot(), me.look(world.slot()))) is State.DONE
    assert world.hidden() == []


def test_names_that_never_agree_are_left_for_later(world: World) -> None:
    disk = Faulty()
    owner, me = world.join(), world.join(disk)
    won(take(owner, world.slot()))
    disk.read = lambda path, limit=0, *, whole=True: None  # type: ignore[method-assign, assignment]
    assert refused(take(me, world.slot(), me.look(world.slot()))) is State.RUNNING
    assert len([verb for verb, _ in disk.calls if verb == "list"]) < 100
