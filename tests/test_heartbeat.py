"""A C call that holds the interpreter lock, and the process that beats for such work: who is taken for dead, who
notices, and that no process is left behind, however its instance ends.

The observer is in a process namespace of its own: it cannot ask for a pid, as if it were on another machine. The C call
is a read from a pipe, so that the test decides how long it takes.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.claims.record import Beat, decode
from multiprocesstools.errors import BadArgument
from tests.processes import Child, events, outputs, records, wait_until
from tests.tools import require_root

BEAT_SECONDS, PATIENCE_SECONDS = 0.1, 1.0
VICTIM = """
import ctypes
with helper(beat_seconds=0.1, patience_seconds=1.0, heartbeat=ARGUMENTS[0]) as mph:
    for item in items(mph, ["a"]):
        with item:
            item.path.write_text("of the victim")
            say("holds")
            ctypes.PyDLL(None).read(0, ctypes.create_string_buffer(1), 1)  # unlike CDLL, it keeps the lock
            say(item.lost)
"""
OBSERVER = """
with helper(beat_seconds=0.1, patience_seconds=1.0) as mph:
    say("looks")
    for item in items(mph, ["a"]):
        with item:
            item.path.write_text("of the observer")
    say(sorted(failure.item for failure in mph.failures))
"""
ELSEWHERE = ("unshare", "--pid", "--fork", "--kill-child")
HELD = """
mph = helper(heartbeat="process", beat_seconds=0.1, patience_seconds=1.0)
item = mph.claim("a.txt", directory="out")
say(mph._crew.latest_member._pacemaker.child)
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def runs(pid: int) -> bool:
    """Is there such a process, other than one that waits to be noticed by its parent?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def reads(pid: int) -> int:
    """How often it has read anything (proc_pid_io(5)): what it does, whatever share of the machine it gets."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["syscr"])


def beat(run: Path, number: int = 1) -> Beat:
    found = decode((run / ".multiprocesstools" / "instances" / f"test-{number}").read_bytes()).beat
    assert found is not None
    return found


def wait_for_beats(run: Path, beats: int, number: int = 1) -> None:
    end = beat(run, number).count + beats
    wait_until(lambda: beat(run, number).count >= end, f"{beats} more beats")


class TestTheInterpreterLock:
    """A victim in a C call that holds it, and an observer that waits for the victim's item."""

    def test_a_thread_cannot_beat_meanwhile_but_the_loss_is_noticed_and_nothing_is_replaced(self, run: Path) -> None:
        require_root("unshare")
        with Child(run, VICTIM, "thread") as victim:
            victim.hear("holds")
            with Child(run, OBSERVER, before=ELSEWHERE) as observer:
                observer.hear("looks")
                observer.hear("[]")
                observer.succeed()
            assert outputs(run) == {"a.txt": "of the observer"}
            victim.go_on()
            victim.hear("True")
            victim.succeed()
            assert "others may take over 'out/a.txt'" in victim.errors
        assert outputs(run) == {"a.txt": "of the observer"}
        assert [line["item"] for line in events(run, "overdue", number=1)] == ["out/a.txt"]
        assert len(events(run, "lost", number=1)) >= 1
        assert [line["number"] for line in events(run, "done")] == [2]

    def test_a_process_beats_meanwhile_and_nobody_takes_over(self, run: Path) -> None:
        require_root("unshare")
        with Child(run, VICTIM, "process") as victim:
            victim.hear("holds")
            with Child(run, OBSERVER, before=ELSEWHERE) as observer:
                observer.hear("looks")
                wait_for_beats(run, int(3 * PATIENCE_SECONDS / BEAT_SECONDS))
                victim.go_on()
                victim.hear("False")
                victim.succeed()
                observer.hear("[]")
                observer.succeed()
        assert outputs(run) == {"a.txt": "of the victim"}
        assert events(run, "overdue", "lost", "taken over", "no pacemaker") == []

    def test_a_stopped_process_is_silent_although_another_beats_for_it(self, run: Path) -> None:
        require_root("unshare")
        with Child(run, VICTIM, "process") as victim:
            victim.hear("holds")
            victim.stop()
            with Child(run, OBSERVER, before=ELSEWHERE) as observer:
                observer.hear("looks")
                observer.hear("[]")
            victim.send(signal.SIGCONT)
            victim.go_on()
            victim.hear("True")
            victim.succeed()
        assert outputs(run) == {"a.txt": "of the observer"}
        assert len(events(run, "overdue", number=1)) == 1


def end_well(child: Child) -> None:
    child.go_on()
    child.succeed()


def end_badly(child: Child) -> None:
    child.go_on()
    child.finish()


def clean_up(child: Child) -> None:
    child.go_on()
    child.hear("0")


def interrupt_the_group(child: Child) -> None:
    """Ctrl-C in a terminal reaches all processes of the group."""
    os.killpg(child.pid, signal.SIGINT)
    child.finish()


def terminate(child: Child) -> None:
    child.send(signal.SIGTERM)
    child.finish()


FORKED = "if os.fork() == 0:\n    time.sleep(600)\n"
ENDS: dict[str, tuple[str, Callable[[Child], None]]] = {
    "cleanup": ("wait(); mph.cleanup()", end_well),
    "the end of the script": ("wait()", end_well),
    "an exception": ("wait(); raise ValueError", end_badly),
    "no handlers of the interpreter": ("wait(); os._exit(0)", end_well),
    "another program": ("wait(); os.execv('/bin/true', ['true'])", end_well),
    "SIGKILL": ("wait()", Child.kill),
    "SIGKILL while a forked child has the same pipes": (FORKED + "wait()", Child.kill),
    "cleanup while a forked child has the same pipes": (FORKED + "wait(); mph.cleanup(); say(0); wait()", clean_up),
    "SIGTERM": ("wait()", terminate),
    "Ctrl-C": ("wait()", interrupt_the_group),
}


class TestTheEnd:
    """No process is left, however the instance ends."""

    @pytest.mark.parametrize("how", ENDS)
    def test_it_ends_with_its_instance(self, run: Path, how: str) -> None:
        script, end = ENDS[how]
        with Child(run, HELD + script, before=("setsid",)) as child:
            try:
                pacemaker = int(child.hear())
                wait_for_beats(run, 3)
                assert runs(pacemaker)
                end(child)
                wait_until(lambda: not runs(pacemaker), "the process that beats has ended")
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)

    def test_the_record_goes_after_it_and_beats_no_more(self, run: Path) -> None:
        with MultiProcessHelper("test", run, heartbeat="process", beat_seconds=0.1, patience_seconds=1):
            wait_for_beats(run, 3)
        assert records(run) == []
        assert events(run, "no pacemaker") == []

    def test_it_beats_for_nobody_when_the_record_was_removed_and_the_instance_joins_anew(self, run: Path) -> None:
        with MultiProcessHelper("test", run, heartbeat="process", beat_seconds=0.1, patience_seconds=1) as mph:
            (run / ".multiprocesstools" / "instances" / "test-1").unlink()
            wait_until(lambda: mph._crew.latest_member.instance.expelled, "the loss of the record is noticed")
            assert mph.claim("a.txt") is not None
            assert mph.instance_number == 2
            wait_for_beats(run, 3, number=2)


class TestItsOwnEnd:
    """The process that beats is killed."""

    SCRIPT = """
    with helper(heartbeat="process", beat_seconds=0.1, patience_seconds=1.0) as mph:
        item = mph.claim("a.txt", directory="out")
        with item:
            while True:
                wait()
                say(mph._crew.latest_member._pacemaker.child)
    """

    def test_it_is_noticed_begun_again_and_said_once(self, run: Path) -> None:
        with Child(run, self.SCRIPT.replace("\n    ", "\n")) as child:
            seen = []
            for _ in range(3):
                child.go_on()
                seen.append(int(child.hear()))
                os.kill(seen[-1], signal.SIGKILL)
                wait_until(lambda: len(events(run, "no pacemaker")) == len(seen), "the loss is noticed")
                wait_for_beats(run, 3)
            child.go_on()
            seen.append(int(child.hear()))
            assert len(set(seen)) == 4
            assert [pid for pid in seen if runs(pid)] == seen[-1:]
            assert not any(Path(f"/proc/{pid}").exists() for pid in seen[:-1]), "a zombie was left"
            assert child.errors.count("a thread does it") == 1
        assert events(run, "overdue") == []

    def test_a_thread_beats_where_it_cannot_be_started(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        with MultiProcessHelper("test", run, heartbeat="process", beat_seconds=0.1, patience_seconds=1):
            wait_for_beats(run, 3)
        assert "/nowhere/python" in events(run, "no pacemaker")[0]["reason"]
        assert events(run, "overdue") == []


class TestItself:
    """What the process has, and has not."""

    def test_it_has_two_pipes_and_the_record_and_a_session_of_its_own(self, run: Path, tmp_path: Path) -> None:
        with (
            (tmp_path / "inherited").open("w") as file,
            MultiProcessHelper("test", run, heartbeat="process", beat_seconds=0.1, patience_seconds=1) as mph,
        ):
            os.set_inheritable(file.fileno(), True)
            wait_for_beats(run, 2)
            pacemaker = mph._crew.latest_member._pacemaker.child
            opened = sorted(os.readlink(path) for path in Path(f"/proc/{pacemaker}/fd").iterdir())
            assert [name.partition(":")[0] for name in opened] == [
                "/dev/null", mph._crew.latest_member.instance.path, "pipe", "pipe",
            ]  # fmt: skip
            assert os.getsid(pacemaker) == os.getpgid(pacemaker) == pacemaker

    def test_a_forked_child_has_one_of_its_own(self, run: Path) -> None:
        forked = """
        with helper(heartbeat="process", beat_seconds=0.1, patience_seconds=1.0) as mph:
            wait()
            child = os.fork()
            if child == 0:
                mph.claim("b.txt", directory="out")
                say(mph._crew.latest_member._pacemaker.child)
                wait()
                mph.cleanup()
                os._exit(0)
            say(mph._crew.latest_member._pacemaker.child)
            assert os.waitpid(child, 0)[1] == 0
            wait()
        """
        with Child(run, forked.replace("\n        ", "\n")) as child:
            child.go_on()
            pacemakers = {int(child.hear()), int(child.hear())}
            assert len(pacemakers) == 2
            wait_for_beats(run, 3, number=1)
            wait_for_beats(run, 3, number=2)
            child.go_on()  # to the forked one: the other waits for its end
            wait_until(lambda: [runs(pid) for pid in pacemakers].count(True) == 1, "the child's has ended with it")
            wait_for_beats(run, 3)
            child.go_on()
            child.succeed()
            assert not any(map(runs, pacemakers))
        assert events(run, "no pacemaker", "overdue") == []

    def test_it_idles_while_its_instance_is_stopped(self, run: Path) -> None:
        with Child(run, HELD + "wait()") as child:
            pacemaker = int(child.hear())
            wait_for_beats(run, 2)
            child.stop()
            before, last = reads(pacemaker), beat(run)
            time.sleep(1)
            assert beat(run).count <= last.count + 1, "the one that was under way"
            assert 0 < reads(pacemaker) - before < 50

    def test_a_forked_child_takes_away_none_of_the_reports(self, run: Path) -> None:
        forked = """
        if os.fork() == 0:
            end = time.monotonic() + 1.5
            while time.monotonic() < end:
                item.lost
            os._exit(0)
        os.wait()
        say(item.lost)
        """
        with Child(run, HELD + forked.replace("\n        ", "\n")) as child:
            child.hear()
            child.hear("False")
            child.succeed()
        assert events(run, "overdue") == []

    def test_a_script_without_a_main_guard_and_one_from_a_pipe_can_use_it(self, run: Path) -> None:
        with Child(run, HELD + "say(__name__); wait()") as child:
            child.hear()
            child.hear("__main__")
            wait_for_beats(run, 3)


@pytest.mark.parametrize("heartbeat", ["fibre", "", None, True])
def test_an_unknown_heartbeat_is_refused_before_anything_is_made(run: Path, heartbeat: object) -> None:
    with pytest.raises(BadArgument, match="heartbeat"):
        MultiProcessHelper("test", run, heartbeat=heartbeat)  # type: ignore[arg-type]
    assert not run.exists()


@pytest.mark.parametrize(("name", "value"), [("executable", ""), ("frozen", True)])
def test_a_python_that_no_other_can_be_started_from_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    monkeypatch.setattr(sys, name, value, raising=False)
    with pytest.raises(BadArgument, match=r"sys\.executable"):
        MultiProcessHelper("test", run, heartbeat="process")
    assert not run.exists()
