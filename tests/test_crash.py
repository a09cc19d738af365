"""A process that is killed, stopped or expelled in mid-item loses nothing for others, and replaces nothing later."""

import signal
import time
from pathlib import Path

import pytest

from multiprocesstools.claims import identity
from multiprocesstools.claims.instance import Instance, Rules
from multiprocesstools.claims.record import Beat, Record
from multiprocesstools.claims.sweep import sweep
from multiprocesstools.run.directory import Run
from tests.processes import (
    Child,
    briefly,
    command,
    ended,
    events,
    hidden,
    names,
    outputs,
    records,
    run_to_end,
    wait_until,
)

HOLD = """
for item in items(helper(beat_seconds={beat}, patience_seconds={patience}), {sources}, wait=False):
    with item:
        item.path.write_text("half")
        say("working", item.source, item.attempt)
        wait()
        item.path.write_text("first")
        say("lost", item.lost)
"""
TAKE_OVER_SECONDS = 2.0


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def hold(sources: str = '["a"]', beat: float = 20, patience: float = 300) -> str:
    """A script that holds its first item; with the default beat nothing can be learnt from silence in a test."""
    return HOLD.format(sources=sources, beat=beat, patience=patience)


class TestKilled:
    """kill -9 in mid-item."""

    def test_the_next_peer_that_asks_takes_the_item_at_once(self, run: Path) -> None:
        with Child(run, hold()) as child, Child(run, "wait()\n" + hold()) as peer:
            child.hear("working a 1")
            child.kill()
            asked = time.monotonic()
            peer.go_on()
            peer.hear("working a 2")
            assert time.monotonic() - asked < TAKE_OVER_SECONDS
            peer.go_on()
            peer.succeed()
        assert outputs(run) == {"a.txt": "first"}
        taken = events(run, "taken over")
        assert briefly(taken) == [("taken over", "a.txt", 1)]
        assert taken[0]["from"]["pid"] == child.pid
        assert taken[0]["sight"] == "gone"

    def test_the_attempt_is_written_down_as_died(self, run: Path) -> None:
        with Child(run, hold()) as child, Child(run, "wait()\n" + hold()) as peer:
            child.hear("working a 1")
            child.kill()
            peer.go_on()
            peer.hear("working a 2")
            assert ended(run, "a.txt", 1)["outcome"] == "died"
            assert str(child.pid) in ended(run, "a.txt", 1)["exception"]

    @pytest.mark.parametrize("style", ["loop", "claim"])
    def test_a_peer_that_is_at_work_already_takes_the_item_when_it_asks_next(self, run: Path, style: str) -> None:
        loop = """
            mph = helper(beat_seconds=20, patience_seconds=300)
            for item in items(mph, ["b", "a", "c"]):
                with item:
                    say("working", item.source, item.attempt)
                    wait()
                    item.path.write_text("second")
        """
        single = """
            mph = helper(beat_seconds=20, patience_seconds=300)
            for name, attempt in (("b", 1), ("c", 1), ("a", 2)):
                with mph.claim(name + ".txt", directory="out") as item:
                    say("working", name, item.attempt)
                    wait()
                    item.path.write_text("second")
        """
        with Child(run, hold()) as child:
            child.hear("working a 1")
            with Child(run, loop if style == "loop" else single) as peer:
                peer.hear("working b 1")
                peer.go_on()
                peer.hear("working c 1")  # it has met the claim of "a" meanwhile, in the loop
                child.kill()
                asked = time.monotonic()
                peer.go_on()
                peer.hear("working a 2")
                assert time.monotonic() - asked < TAKE_OVER_SECONDS
                peer.go_on()
                peer.succeed()
        assert outputs(run) == dict.fromkeys(["a.txt", "b.txt", "c.txt"], "second")

    def test_a_peer_that_met_the_claim_without_learning_whose_it_is_takes_the_item_at_once(self, run: Path) -> None:
        """It had begun before the claim was made, so it walked into it and lost the race."""
        peer_script = """
            for item in items(helper(beat_seconds=20, patience_seconds=300), ["b", "a", "c"]):
                with item:
                    say("working", item.source, item.attempt)
                    wait()
                    item.path.write_text("second")
        """
        with Child(run, peer_script) as peer:
            peer.hear("working b 1")
            with Child(run, hold()) as child:
                child.hear("working a 1")
                peer.go_on()
                peer.hear("working c 1")
                child.kill()
                asked = time.monotonic()
                peer.go_on()
                peer.hear("working a 2")
                assert time.monotonic() - asked < TAKE_OVER_SECONDS
                peer.go_on()
                peer.succeed()

    def test_a_peer_that_waits_takes_the_item_at_once(self, run: Path) -> None:
        peer_script = """
            mph = helper(beat_seconds=20, patience_seconds=300)
            for item in items(mph, ["a"], progress=lambda tally: say("waiting") if tally.waiting_for else None):
                with item:
                    say("working", item.attempt)
                    item.path.write_text("second")
        """
        with Child(run, hold()) as child:
            child.hear("working a 1")
            with Child(run, peer_script) as peer:
                peer.hear("waiting")
                child.kill()
                died = time.monotonic()
                while (heard := peer.hear()) == "waiting":
                    pass
                assert heard == "working 2"
                assert time.monotonic() - died < TAKE_OVER_SECONDS

    def test_cleanup_alone_frees_the_item_without_options_or_waiting(self, run: Path) -> None:
        with Child(run, hold()) as child:
            child.hear("working a 1")
            child.kill()
            before = command("status", run)
            assert (before.returncode, "1 stale" in before.stdout) == (3, True), before.stdout
            began = time.monotonic()
            cleanup = command("cleanup", run)
            assert (cleanup.returncode, cleanup.stderr) == (0, ""), cleanup.stdout
            assert time.monotonic() - began < 5
        assert hidden(run) == [".a.txt.claim-1", ".a.txt.ended-1"]
        assert records(run) == []
        assert "1 stale" not in command("status", run).stdout
        with Child(run, hold()) as peer:
            peer.hear("working a 2")
            peer.go_on()
            peer.succeed()
        assert (outputs(run), hidden(run)) == ({"a.txt": "first"}, [])

    def test_what_was_written_in_place_is_not_taken_for_finished(self, run: Path) -> None:
        script = """
            mph = helper()
            out = Path(mph.create_directory("out"))
            if mph.create_temp_file("a.txt", "a.tmp", "out"):
                (out / "a.txt").write_text(ARGUMENTS[0])
                say("working")
                wait()
                mph.delete_tempfile("a.tmp", "out")
                say("finished")
            else:
                say("not available")
        """
        with Child(run, script, "half") as child:
            child.hear("working")
            with Child(run, script, "whole") as peer:
                peer.hear("not available")
            child.kill()
        with Child(run, script, "whole") as peer:
            peer.hear("working")
            peer.go_on()
            peer.hear("finished")
        assert outputs(run) == {"a.txt": "whole"}
        assert hidden(run) == [".a.txt.partial-1"]
        assert (run / "out" / ".a.txt.partial-1").read_text() == "half"
        assert ".partial-1" in command("status", run).stdout

    def test_the_placeholder_of_a_killed_process_goes_with_cleanup(self, run: Path) -> None:
        script = """
            mph = helper()
            mph.create_directory("out")
            mph.create_temp_file("a.txt", "a.tmp", "out")
            say("working")
            wait()
        """
        with Child(run, script) as child:
            child.hear("working")
            assert "is alive" in command("cleanup", "--no-wait", run).stdout
            assert "a.tmp" in names(run / "out")
            child.kill()
        assert command("cleanup", run).returncode == 0
        assert "a.tmp" not in names(run / "out")


class TestStopped:
    """SIGSTOP for longer than patience: falsely taken for dead, which must cost nothing but work."""

    def test_its_result_never_replaces_the_one_of_the_new_owner(self, run: Path) -> None:
        final = run / "out" / "a.txt"
        peer_script = hold(beat=0.2, patience=1).replace("wait=False", "wait=True").replace('"first"', '"second"')
        with Child(run, hold(beat=0.2, patience=1)) as child:
            child.hear("working a 1")
            child.stop()
            with Child(run, peer_script) as peer:
                peer.hear("working a 2")
                assert ended(run, "a.txt", 1)["outcome"] == "died"
                peer.go_on()
                peer.hear("lost False")
                peer.succeed()
            published = (final.stat().st_ino, final.read_text())
            assert published[1] == "second"
            child.send(signal.SIGCONT)
            wait_until(lambda: events(run, "lost", number=1), "it learns of the loss")
            child.go_on()
            child.hear("lost True")
            child.succeed()
            assert "finished by another instance first" in child.errors
        assert (final.stat().st_ino, final.read_text()) == published
        assert hidden(run) == []
        assert briefly(events(run, "overdue", "lost", "done", number=1)) == [
            ("overdue", "a.txt", 1), ("lost", "a.txt", 1), ("lost", "a.txt", 1),
        ]  # fmt: skip
        assert briefly(events(run, "taken over", "done", number=2)) == [
            ("taken over", "a.txt", 1), ("done", "a.txt", 2),
        ]  # fmt: skip

    def test_if_it_is_first_after_all_its_result_counts(self, run: Path) -> None:
        peer_script = hold(beat=0.2, patience=1).replace("wait=False", "wait=True").replace('"first"', '"second"')
        with Child(run, hold(beat=0.2, patience=1)) as child:
            child.hear("working a 1")
            child.stop()
            with Child(run, peer_script) as peer:
                peer.hear("working a 2")
                child.send(signal.SIGCONT)
                wait_until(lambda: events(run, "lost", number=1), "it learns of the loss")
                child.go_on()
                child.hear("lost True")
                child.succeed()
                assert outputs(run) == {"a.txt": "first"}
                peer.go_on()
                peer.hear("lost False")
                peer.succeed()
                assert "finished by another instance first" in peer.errors
        assert (outputs(run), hidden(run)) == ({"a.txt": "first"}, [])

    def test_in_place_it_says_that_the_claim_is_lost_and_touches_nothing(self, run: Path) -> None:
        script = """
            mph = helper(beat_seconds=0.2, patience_seconds=1)
            out = Path(mph.create_directory("out"))
            while not mph.create_temp_file("a.txt", "a.tmp", "out"):
                time.sleep(0.1)
            (out / "a.txt").write_text(ARGUMENTS[0])
            say("working")
            wait()
            try:
                mph.delete_tempfile("a.tmp", "out")
                say("finished")
            except Exception as error:
                say(type(error).__name__)
        """
        with Child(run, script, "first") as child:
            child.hear("working")
            child.stop()
            with Child(run, script, "second") as peer:
                peer.hear("working")
                child.send(signal.SIGCONT)
                child.go_on()
                child.hear("ClaimLost")
                child.succeed()
                assert "a.tmp" in names(run / "out")
                peer.go_on()
                peer.hear("finished")
                peer.succeed()
        assert outputs(run) == {"a.txt": "second"}
        assert hidden(run) == [".a.txt.partial-1"]


class TestExpelled:
    """A sweep with --force took a living instance for dead."""

    def test_it_counts_what_it_holds_as_lost_and_joins_anew(self, run: Path) -> None:
        script = """
            mph = helper()
            for item in items(mph, ["a", "b"]):
                with item:
                    say("working", item.source, item.attempt, mph.instance_number)
                    wait()
                    item.path.write_text("whole")
                    say("lost", item.lost)
            say("end", mph.instance_number)
        """
        with Child(run, script) as child:
            child.hear("working a 1 1")
            child.stop()
            assert "is alive" in command("cleanup", "--force", run).stdout
            assert records(run) == ["test-1"]
            _sweep_as_on_another_machine(run)
            assert hidden(run) == [".a.txt.claim-1", ".a.txt.ended-1"]
            assert records(run) == []
            child.send(signal.SIGCONT)
            wait_until(lambda: events(run, "lost", number=1), "it finds that its record is gone")
            child.go_on()
            child.hear("lost True")
            child.hear("working b 1 2")
            assert records(run) == ["test-2"]
            child.go_on()
            child.hear("lost False")
            child.hear("end 2")
            child.succeed()
        assert outputs(run) == {"a.txt": "whole", "b.txt": "whole"}
        assert briefly(events(run, "done", number=2)) == [("done", "b.txt", 1)]
        assert "test-2.log" in names(run / "multiprocesstools_logs")
        assert records(run) == []

    def test_it_does_not_replace_what_others_have_published_since(self, run: Path) -> None:
        with Child(run, hold(beat=0.2, patience=20)) as child:
            child.hear("working a 1")
            child.stop()
            _sweep_as_on_another_machine(run)
            run_to_end(run, """
                for item in items(helper(), ["a"]):
                    with item:
                        item.path.write_text("second")
            """)  # fmt: skip
            child.send(signal.SIGCONT)
            wait_until(lambda: events(run, "lost", number=1), "it finds that its record is gone")
            child.go_on()
            child.hear("lost True")
            child.succeed()
        assert (outputs(run), hidden(run)) == ({"a.txt": "second"}, [])


def _sweep_as_on_another_machine(run: Path) -> None:
    """What `cleanup --force` does on a machine that cannot see the process."""
    place = Run(run)
    own = Record("f" * 32, "cleanup", 1, identity.current(), place.clock.wall(), Beat())
    me = Instance(
        place.raw, place.clock, place.instances, own, Rules(0.2, 20), is_gone=lambda other: False,
        is_here=lambda other: False,
    ).join()  # fmt: skip
    sweep(me, place.instances, [str(run / "out")], force=True)
    me.leave()


class TestAnItemThatKillsItsProcess:
    """It is tried `max_attempts` times, then set aside; nothing else suffers."""

    def test_it_is_set_aside_as_died_and_nobody_else_is_blamed(self, run: Path) -> None:
        worker = """
            mph = helper(stop_after=None)
            for item in items(mph, [f"item{n}" for n in range(12)], order="spread"):
                with item:
                    with open(ARGUMENTS[0], "a") as audit:
                        audit.write(item.source + "\\n")
                    if item.source == "item5":
                        os.kill(os.getpid(), signal.SIGKILL)
                    item.path.write_text("whole")
        """
        audit = run.parent / "audit"
        deaths = 0
        workers = [Child(run, worker, audit), Child(run, worker, audit)]
        while workers:
            with workers.pop(0) as child:
                code = child.finish()
                assert code in (0, -signal.SIGKILL), child.errors
            if code:  # the supervisor starts another one
                deaths += 1
                workers.append(Child(run, worker, audit))
        assert deaths == 3
        lines = audit.read_text().split()
        assert {name: lines.count(name) for name in sorted(set(lines))} == {
            f"item{n}": 3 if n == 5 else 1 for n in range(12)
        }
        assert sorted(outputs(run)) == sorted(f"item{n}.txt" for n in range(12) if n != 5)
        assert [ended(run, "item5.txt", attempt)["outcome"] for attempt in (1, 2, 3)] == ["died"] * 3
        assert sorted(hidden(run)) == sorted(f".item5.txt.{kind}-{k}" for kind in ("claim", "ended") for k in (1, 2, 3))
        status = command("status", run)
        assert status.returncode == 1
        assert "item5.txt" in status.stdout
        assert command("cleanup", run).returncode == 0
        assert records(run) == []

    def test_a_process_that_holds_several_items_dies_with_all_and_none_is_set_aside(self, run: Path) -> None:
        script = """
            mph = helper()
            held = [mph.claim(f"{name}.txt", directory="out") for name in "ab"]
            os.kill(os.getpid(), signal.SIGKILL)
        """
        with Child(run, script) as child:
            assert child.finish() == -signal.SIGKILL
        run_to_end(run, """
            for item in items(helper(), ["a", "b"]):
                with item:
                    assert item.attempt == 2
                    item.path.write_text("whole")
        """)  # fmt: skip
        assert (outputs(run), hidden(run)) == ({"a.txt": "whole", "b.txt": "whole"}, [])
