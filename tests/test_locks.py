"""`lock` and `limit`: how many hold them at once, what comes back from the dead, and what those are told who wait."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.errors import (
    AlreadyHeld,
    BadArgument,
    BadName,
    HelperClosed,
    LimitDiffers,
    LockTimeout,
    NotHeld,
    RunDirectoryUnusable,
    StopRequested,
)
from tests.processes import Child, command, events, wait_until
from tests.proof.simulated.explore import Search
from tests.proof.simulated.lockers import SETTINGS

HOLD = """
with helper() as mph:
    with eval("mph." + ARGUMENTS[0]) as lock:
        say("inside")
        wait()
        say("still", lock.held, lock.lost)
    say("outside")
    wait()
"""
NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
needs_namespaces = pytest.mark.skipif(os.getuid() != 0, reason="another process namespace needs root")


def helper(run: Path, **options: object) -> MultiProcessHelper:
    return MultiProcessHelper("test", run, **{"beat_seconds": 0.2, "patience_seconds": 20, "durable": False} | options)


def tokens(run: Path, kind: str, name: str) -> list[str]:
    return sorted(os.listdir(run / ".multiprocesstools" / kind / name))


@pytest.mark.parametrize("setting", SETTINGS, ids=[setting.name for setting in SETTINGS])
def test_no_interleaving_and_no_fault_gives_the_lock_to_two(setting) -> None:  # type: ignore[no-untyped-def]
    found = Search(setting).run()
    assert [str(one) for one in found.broken] == [] and found.complete
    assert found.states > 100


def test_the_search_sees_a_lock_that_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever frees a token under its name of before, as one breaks an ordinary lock file, gives it to two."""
    monkeypatch.setattr("multiprocesstools.claims.tokens.Token.freed", lambda token: token._replace(holder=""))
    monkeypatch.setattr("multiprocesstools.claims.tokens._move", _move_without_a_source)
    found = [Search(setting).run(60_000).violations for setting in SETTINGS if "three" in setting.name]
    assert any("two owners" in promise for violations in found for promise in violations)


def _move_without_a_source(me, directory, old, new, disk=None) -> bool:  # type: ignore[no-untyped-def]
    """The new name is made, whether or not the old one was still there."""
    try:
        me.disk.rename(f"{directory}/{old.name}", f"{directory}/{new.name}")
    except OSError:
        try:
            me.disk.create(f"{directory}/{new.name}", b"")
        except FileExistsError:
            return False
    return True


def test_a_lock_is_held_by_one_thread_of_one_process(tmp_path: Path) -> None:
    inside, most, errors, together = [0], [0], [], threading.Barrier(5)

    def work(mph: MultiProcessHelper) -> None:
        try:
            together.wait()
            for _ in range(3):
                with mph.lock("x"):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    time.sleep(0.001)
                    inside[0] -= 1
        except BaseException as error:
            errors.append(error)

    with helper(tmp_path) as one, helper(tmp_path) as other:
        threads = [threading.Thread(target=work, args=(mph,)) for mph in (one, one, one, other, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == [] and most == [1]
    assert len(tokens(tmp_path, "locks", "x")) == 2


def test_a_limit_lets_so_many_in_and_not_one_more(tmp_path: Path) -> None:
    call = "limit('x', 2)"
    with Child(tmp_path, HOLD, call) as one, Child(tmp_path, HOLD, call) as other, helper(tmp_path) as mph:
        for child in (one, other):
            child.hear("inside")
        with pytest.raises(LockTimeout, match=r"^limit\('x', 2\) was not to be had within 0.1 s") as caught:
            mph.limit("x", 2, timeout=0.1).acquire()
        assert all(f"(process {child.pid} on " in str(caught.value) for child in (one, other))
        one.go_on()
        one.hear("still True False")
        with mph.limit("x", 2, timeout=10) as lock:
            assert lock.held


def test_a_process_of_this_machine_that_is_killed_gives_its_lock_back_in_well_under_a_second(tmp_path: Path) -> None:
    with Child(tmp_path, HOLD, "lock('x')") as child, helper(tmp_path) as mph:
        child.hear("inside")
        with pytest.raises(TimeoutError) as caught:
            mph.lock("x", timeout=0.5).acquire()
        assert f"process {child.pid}" in str(caught.value) and "since 20" in str(caught.value)
        child.kill()
        killed = time.monotonic()
        with mph.lock("x", timeout=10):
            assert time.monotonic() - killed < 0.5
        mph.cleanup()
    assert [event["lock"] for event in events(tmp_path, "lock taken over")] == ["x"]


@needs_namespaces
def test_a_holder_that_cannot_be_probed_loses_its_lock_after_patience_and_not_before(tmp_path: Path) -> None:
    script = HOLD.replace("helper()", "helper(beat_seconds=0.3, patience_seconds=1.5)")
    with (
        Child(tmp_path, script, "lock('x')", before=NAMESPACE) as child,
        helper(tmp_path, beat_seconds=0.3, patience_seconds=1.5) as mph,
    ):
        child.hear("inside")
        with pytest.raises(LockTimeout):
            mph.lock("x", timeout=2).acquire()  # it beats, for longer than patience
        child.kill()
        killed = time.monotonic()
        with mph.lock("x", timeout=10):
            assert 1.0 < time.monotonic() - killed < 10


@needs_namespaces
def test_a_holder_that_was_stopped_for_longer_than_patience_is_told_that_it_has_lost_its_lock(tmp_path: Path) -> None:
    script = HOLD.replace("helper()", "helper(beat_seconds=0.3, patience_seconds=1.5)").replace(
        'say("still"', 'time.sleep(0.5); say("still"'
    )
    waiter = """
with helper(beat_seconds=0.3, patience_seconds=1.5) as mph:
    say("waits")
    with mph.lock("x"):
        say("inside")
        wait()
"""
    with Child(tmp_path, script, "lock('x')", before=NAMESPACE) as child:
        child.hear("inside")
        with Child(tmp_path, waiter) as other:
            other.hear("waits")
            victim = int(Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()[0])
            os.kill(victim, signal.SIGSTOP)
            other.hear("inside")
            os.kill(victim, signal.SIGCONT)
            child.go_on()
            child.hear("still True True")
            child.hear("outside")
            assert "was taken over from this process" in child.errors
            assert [name for name in tokens(tmp_path, "locks", "x") if "test-2" in name], "the zombie gave it back"


def test_a_thread_that_holds_a_lock_and_asks_for_it_again_is_told_so(tmp_path: Path) -> None:
    with helper(tmp_path) as mph, mph.lock("x") as lock, mph.lock("y"):
        for again in (lock.acquire, mph.lock("x").acquire, mph.limit("z", 2).acquire().acquire):
            with pytest.raises(AlreadyHeld, match="this thread holds"):
                again()


def test_only_who_holds_a_lock_can_release_it(tmp_path: Path) -> None:
    with helper(tmp_path) as mph:
        lock = mph.lock("x")
        with pytest.raises(NotHeld, match="does not hold lock"):
            lock.release()
        lock.acquire()
        caught: list[BaseException] = []
        thread = threading.Thread(target=lambda: _catch(lock.release, caught))
        thread.start()
        thread.join()
        assert [type(error) for error in caught] == [NotHeld] and lock.held
        lock.release()
        assert not lock.held


def _catch(call, caught: list[BaseException]) -> None:  # type: ignore[no-untyped-def]
    try:
        call()
    except BaseException as error:
        caught.append(error)


@pytest.mark.parametrize("n", [0, -1, 1001, 2.0, True, "3", None])
def test_a_limit_of_a_number_that_makes_no_sense_is_refused(tmp_path: Path, n: object) -> None:
    with helper(tmp_path) as mph, pytest.raises(BadArgument, match=r"n=.*from 1 to 1,000"):
        mph.limit("x", n)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "a/b", "..", ".mpt-x", "a\nb", "x" * 300])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with helper(tmp_path) as mph, pytest.raises(BadName):
        mph.lock(name)


@pytest.mark.parametrize("timeout", [-1, float("nan"), "5", True])
def test_a_timeout_that_makes_no_sense_is_refused(tmp_path: Path, timeout: object) -> None:
    with helper(tmp_path) as mph:
        with pytest.raises(BadArgument, match="timeout"):
            mph.lock("x", timeout=timeout)  # type: ignore[arg-type]
        with pytest.raises(BadArgument, match="timeout"):
            mph.lock("x").acquire(timeout=timeout)  # type: ignore[arg-type]


def test_two_numbers_for_one_name_are_an_error_while_somebody_holds_and_none_otherwise(tmp_path: Path) -> None:
    with Child(tmp_path, HOLD, "limit('x', 3)") as child, helper(tmp_path) as mph:
        child.hear("inside")
        with pytest.raises(LimitDiffers, match=r"limit\('x', 2\).*limit\('x', 3\).*process " + str(child.pid)):
            mph.limit("x", 2).acquire()
        child.go_on()
        child.hear("still True False")
        child.hear("outside")
        with mph.limit("x", 2):
            assert "of-2" in tokens(tmp_path, "limits", "x")
        with mph.lock("x"), mph.limit("x", 2):  # a lock of that name is another thing
            pass


def test_the_end_of_the_helper_gives_back_what_is_held(tmp_path: Path) -> None:
    with helper(tmp_path) as other:
        mph = helper(tmp_path)
        with mph.lock("x") as lock:
            mph.limit("y", 2).acquire()
            mph.cleanup()
            assert not lock.held
            with other.lock("x", timeout=0):
                pass
            lock.release()  # it was given back already
        with pytest.raises(HelperClosed):
            lock.acquire()
        assert [name for name in tokens(tmp_path, "limits", "y") if name.endswith(".free")] != []


def test_cleanup_gives_back_what_the_dead_held_and_removes_their_files(tmp_path: Path) -> None:
    with Child(tmp_path, HOLD, "limit('x', 2)") as child, Child(tmp_path, HOLD, "lock('y')") as living:
        child.hear("inside")
        living.hear("inside")
        child.kill()
        would = command("cleanup", tmp_path, "--dry-run")
        assert "1 lock of dead owners would be given back:" in would.stdout
        assert sum(name.endswith(".free") for name in tokens(tmp_path, "limits", "x")) == 1
        done = command("cleanup", tmp_path)
        assert "1 lock of dead owners given back:\n  .multiprocesstools/limits/x/" in done.stdout, done.stderr
        assert sum(name.endswith(".free") for name in tokens(tmp_path, "limits", "x")) == 2
        assert sum(name.endswith(".free") for name in tokens(tmp_path, "locks", "y")) == 0
        assert len(os.listdir(tmp_path / ".multiprocesstools" / "instances")) == 1


def test_who_waits_obeys_stop_and_the_item_in_hand_is_given_back(tmp_path: Path) -> None:
    script = """
with helper() as mph:
    for item in items(mph, [1, 2]):
        with item:
            say("waits")
            with mph.lock("x"):
                item.path.write_text("never")
    say("over", mph.stop_requested, len(mph.failures))
"""
    with helper(tmp_path) as mph, mph.lock("x"), Child(tmp_path, script) as child:
        child.hear("waits")
        assert command("stop", tmp_path).returncode == 0
        child.hear("over True 0")
        child.succeed()
        wait_until(lambda: mph.stop_requested, "this one hears of it, too")
        caught: list[BaseException] = []
        thread = threading.Thread(target=lambda: _catch(mph.lock("x").acquire, caught))
        thread.start()
        thread.join()
        assert [type(error) for error in caught] == [StopRequested]


@pytest.mark.parametrize("number", [2, 15], ids=["SIGINT", "SIGTERM"])
def test_a_signal_gives_the_lock_back_and_ends_a_wait(tmp_path: Path, number: int) -> None:
    waiting = HOLD.replace("with eval", 'say("waits")\n    with eval')
    with helper(tmp_path) as mph:
        with Child(tmp_path, HOLD, "lock('x')") as child:
            child.hear("inside")
            with Child(tmp_path, waiting, "lock('x')") as waiter:
                waiter.hear("waits")
                waiter.send(number)
                assert waiter.finish() != 0
            child.send(number)
            assert child.finish() != 0
        assert tokens(tmp_path, "locks", "x")[0].endswith(".free")
        with mph.lock("x", timeout=0):
            pass
    assert events(tmp_path, "lock taken over") == []


def test_a_forked_child_does_not_hold_what_its_parent_holds(tmp_path: Path) -> None:
    script = """
mph = helper()
with mph.lock("x") as lock:
    if os.fork() == 0:
        say("child", lock.held)
        try:
            mph.lock("x", timeout=0.2).acquire()
        except TimeoutError as error:
            say("refused", f"process {os.getppid()}" in str(error))
        os._exit(0)
    os.wait()
    say("parent", lock.held)
    if os.fork() == 0:
        lock.__exit__(None, None, None)
        os._exit(0)
    os.wait()
    say("parent", lock.held, lock.lost)
mph.cleanup()
"""
    with Child(tmp_path, script) as child:
        for line in ("child False", "refused True", "parent True", "parent True False"):
            child.hear(line)
        child.succeed()


def test_a_link_where_the_locks_should_be_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with helper(tmp_path / "run") as mph:
        (tmp_path / "run" / ".multiprocesstools" / "locks").symlink_to(elsewhere)
        with pytest.raises(RunDirectoryUnusable, match="symbolic link"):
            mph.lock("x").acquire()
    assert os.listdir(elsewhere) == []


def test_waiting_asks_at_growing_intervals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from multiprocesstools.claims import tokens as room

    asked: list[float] = []
    look = room.list_tokens
    monkeypatch.setattr(room, "list_tokens", lambda *where: asked.append(time.monotonic()) or look(*where))
    mph, other = (helper(tmp_path, beat_seconds=2) for _ in range(2))
    with mph, other, other.lock("x"), pytest.raises(LockTimeout):
        mph.lock("x", timeout=1.5).acquire()
    assert 5 < len(asked) < 45
