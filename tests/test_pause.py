"""`pause` and `resume`, with the real command and real processes."""

import errno
import os
import pty
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.errors import HelperClosed, StopRequested
from multiprocesstools.run.directory import Run
from multiprocesstools.run.requests import PAUSE, STOP, Requests, request, withdraw
from tests.disks import Faulty, fail_once
from tests.processes import CHECKOUT, Child, command, events, hidden, outputs, records, wait_until

LOOP = """
with helper(beat_seconds=0.05) as mph:
    for item in items(mph, range(int(ARGUMENTS[0])), chunk=int(ARGUMENTS[1]) if ARGUMENTS[1:] else 1):
        with item:
            say("at", item.source)
            wait()
            item.path.write_text(str(os.getpid()))
say("over", mph.stop_requested)
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def said(what: str, run: Path) -> str:
    done = command(what, run)
    assert done.returncode == 0, done.stderr
    return done.stdout


def is_noted(run: Path, event: str, times: int = 1) -> bool:
    return len(events(run, event)) >= times


def wait_for_event(run: Path, event: str, times: int = 1) -> None:
    wait_until(lambda: is_noted(run, event, times), f"{event} is in the journal")


def pause(run: Path, times: int = 1) -> None:
    assert "test-1" in said("pause", run)
    wait_for_event(run, "paused", times)


def test_a_paused_loop_finishes_the_item_in_hand_and_goes_on_with_resume(run: Path) -> None:
    with Child(run, LOOP, 2) as child:
        child.hear("at 0")
        pause(run)
        child.go_on()
        wait_until(lambda: outputs(run) == {"0.txt": str(child.pid)}, "the item in hand is finished")
        assert "1 of 2 done, 1 free" in command("status", run).stdout and hidden(run) == []
        assert "test-1 on" in (text := command("status", run).stdout) and "(paused)" in text and "resume" in text
        assert "items/s" not in text, "nothing is foretold while nothing goes on"
        assert "goes on at the next beat" in said("resume", run)
        child.hear("at 1")
        child.go_on()
        child.hear("over False")
        child.succeed()
        assert "paused: nothing new is begun" in child.errors and "resumed" in child.errors
    assert [event["event"] for event in events(run, "paused", "resumed")] == ["paused", "resumed"]


def test_a_restarted_script_works_while_the_others_are_paused(run: Path) -> None:
    with Child(run, LOOP, 3) as old:
        old.hear("at 0")
        pause(run)
        old.go_on()
        with Child(run, LOOP, 3) as later:
            later.hear("at 1")
            later.go_on()
            later.hear("at 2")
            later.go_on()
            later.hear("over False")
        assert outputs(run)["1.txt"] == str(later.pid)
        said("resume", run)
        old.hear("over False")


def test_a_paused_loop_ends_when_it_is_asked_to_stop(run: Path) -> None:
    with Child(run, LOOP, 3) as child:
        child.hear("at 0")
        pause(run)
        child.go_on()
        assert "test-1" in said("stop", run)
        child.hear("over True")
        child.succeed()
    assert set(outputs(run)) == {"0.txt"} and hidden(run) == []


def test_a_signal_ends_a_paused_loop(run: Path) -> None:
    with Child(run, LOOP, 3) as child:
        child.hear("at 0")
        pause(run)
        child.go_on()
        wait_until(lambda: outputs(run), "the item in hand is finished")
        child.send(15)
        assert child.finish() == -15
    assert hidden(run) == [] and records(run) == []


def test_what_a_killed_paused_instance_held_is_taken_over(run: Path) -> None:
    with Child(run, LOOP, 1) as child:
        child.hear("at 0")
        pause(run)
        child.kill()
    with Child(run, LOOP, 1) as heir:
        heir.hear("at 0")
        heir.go_on()
        heir.hear("over False")
    assert outputs(run) == {"0.txt": str(heir.pid)}


def test_the_rest_of_a_chunk_is_given_back(run: Path) -> None:
    with Child(run, LOOP, 4, 4) as child:
        child.hear("at 0")
        pause(run)
        child.go_on()
        with Child(run, LOOP, 4, 4) as later:
            for number in (1, 2, 3):
                later.hear(f"at {number}")
                later.go_on()
            later.hear("over False")
        said("resume", run)
        child.hear("over False")
    assert [outputs(run)[f"{number}.txt"] for number in range(4)] == [str(child.pid), *[str(later.pid)] * 3]


def test_paused_again_it_pauses_again_and_resumed_twice_is_said(run: Path) -> None:
    with Child(run, LOOP, 2) as child:
        child.hear("at 0")
        for turn in (1, 2):
            pause(run, turn)
            assert "next beat" in said("resume", run)
            wait_for_event(run, "resumed", turn)
            assert said("resume", run) == "nothing is paused\n"
        child.go_on()
        child.hear("at 1")


def test_nothing_to_pause_or_resume_is_said(run: Path) -> None:
    MultiProcessHelper("test", run).cleanup()
    assert said("pause", run) == "no instance is at work: nothing to pause\n"
    assert said("resume", run) == "nothing is paused\n"
    request(Run(run), PAUSE)
    assert "taken back; no instance is at work" in said("resume", run)
    assert command("pause", run / "no").returncode == command("resume", run / "no").returncode == 4


SINGLES = """
mph = helper(beat_seconds=0.05)
mph.create_directory("out")
say("ready")
wait()
what = ARGUMENTS[0]
if what == "claim":
    say("got", mph.claim("x", directory="out") is not None)
elif what == "create_temp_file":
    say("got", mph.create_temp_file("x", "x.tmp", "out"))
elif what == "once":
    say("got", mph.once("x", lambda path: path.write_text("built"), directory="out").read_text())
"""


@pytest.mark.parametrize("what", ["claim", "create_temp_file", "once"])
def test_single_items_wait_until_resume(run: Path, what: str) -> None:
    with Child(run, SINGLES, what) as child:
        child.hear("ready")
        pause(run)
        child.go_on()
        with Child(run, SINGLES.replace('"ready"', '"other"').replace("wait()", "pass"), "claim") as later:
            later.hear("other")
            later.hear("got True")
        assert ".x.claim-1" in hidden(run), "the later one has claimed it"
        assert [event["number"] for event in events(run, "claimed")] in ([2], []), "and the paused one has not"
        said("resume", run)
        child.hear("got built" if what == "once" else "got True")


def test_a_forked_child_of_a_paused_instance_is_paused_and_goes_on(run: Path) -> None:
    script = """
    mph = helper(beat_seconds=0.05)
    say("ready")
    wait()
    if os.fork() == 0:
        say("child")
        say("got", mph.claim("x", directory="out") is not None)
        os._exit(0)
    say("ended", os.wait()[1])
    """
    with Child(run, script) as child:
        child.hear("ready")
        pause(run)
        child.go_on()
        child.hear("child")
        wait_until(lambda: "test-2" in records(run), "the child has joined")
        assert not (run / "out").exists() or hidden(run) == []
        said("resume", run)
        child.hear("got True")
        child.hear("ended 0")


def test_a_paused_once_sees_what_somebody_else_has_built(run: Path) -> None:
    with Child(run, SINGLES, "once") as child:
        child.hear("ready")
        pause(run)
        child.go_on()
        with MultiProcessHelper("other", run) as mph:
            mph.once("x", lambda path: path.write_text("elsewhere"), directory="out")
        child.hear("got elsewhere")


def test_a_stop_lets_a_paused_once_end(run: Path) -> None:
    with MultiProcessHelper("test", run, beat_seconds=0.05, patience_seconds=5) as mph:
        request(Run(run), PAUSE)
        wait_until(lambda: mph._crew.paused, "it is paused")
        request(Run(run), STOP)
        with pytest.raises(StopRequested):
            mph.once("x", lambda path: path.touch())


def test_a_helper_that_is_closed_in_another_thread_does_not_wait_for_ever(run: Path) -> None:
    from threading import Timer

    mph = MultiProcessHelper("test", run, beat_seconds=0.05, patience_seconds=5)
    request(Run(run), PAUSE)
    wait_until(lambda: mph._crew.paused, "it is paused")
    timer = Timer(0.2, mph.cleanup)
    timer.start()
    with pytest.raises(HelperClosed):
        mph.claim("x")
    timer.join()


def test_tokens_are_obeyed_by_those_that_did_not_find_them(run: Path) -> None:
    place = Run(run).prepare()
    with closing(place.raw.hold(place.home)) as home:
        early = Requests(place, home)
        request(place, PAUSE)
        late = Requests(place, home)
        early.look(), late.look()
        assert (early.paused, late.paused) == (True, False)
        request(place, PAUSE)
        early.look(), late.look()
        assert (early.paused, late.paused) == (True, True), "a second request concerns both"
        (Path(place.home) / "pause").write_bytes(b"")
        early.look()
        assert early.paused, "what cannot be read changes nothing"
        assert withdraw(place, PAUSE) and not withdraw(place, PAUSE)
        early.look(), late.look()
        assert (early.paused, late.paused, early.stop_requested) == (False, False, False)


IN_HAND = """
from concurrent.futures import ThreadPoolExecutor
def work(source, path):
    if source == 1:
        open(f"{RUN}/begun", "x").close()
    while source == 1 and not os.path.exists(f"{RUN}/enough"):
        time.sleep(0.01)
    time.sleep(0.1)
    path.touch()
with helper(beat_seconds=0.05) as mph, ThreadPoolExecutor(2) as executor:
    mph.map(work, range(100), final="{value}.txt", executor=executor, order="given", progress=False)
"""


def test_what_an_executor_has_in_hand_is_finished_in_a_pause(run: Path) -> None:
    with Child(run, IN_HAND) as child:
        wait_until((run / "begun").exists, "an item is in hand")
        pause(run)
        (run / "enough").touch()
        wait_until((run / "1.txt").exists, "it is published although the run is paused")
        assert len(list(run.glob("*.txt"))) < 100
        said("resume", run)
        assert child.finish() == 0
    assert len(list(run.glob("*.txt"))) == 100


UNTIL = """
from datetime import timedelta
with helper(beat_seconds=0.05) as mph:
    for item in items(mph, range(3), until=timedelta(seconds=4)):
        with item:
            say("at", item.source)
            wait()
            item.path.touch()
say("over", mph.stop_requested)
"""


def test_a_loop_whose_time_is_over_does_not_stay_for_the_end_of_a_pause(run: Path) -> None:
    with Child(run, UNTIL) as child:
        child.hear("at 0")
        pause(run)
        child.go_on()
        child.hear("over False")
        assert child.finish() == 0


def test_an_old_request_that_cannot_be_read_at_once_is_no_new_one_later(run: Path) -> None:
    """A soft mount answers EIO while its server restarts."""
    request(Run(run).prepare(), PAUSE)
    disk = Faulty()
    fail_once(disk, "read", OSError(errno.EIO, os.strerror(errno.EIO)))
    place = Run(run, disk=disk)
    with closing(place.raw.hold(place.home)) as home:
        late = Requests(place, home)
        late.look()
        assert not late.paused
        assert sum(verb == "read" for verb, _ in disk.calls) == 3


BAR = """
import os, sys
from multiprocesstools import MultiProcessHelper
with MultiProcessHelper("talk", sys.argv[1], beat_seconds=0.05, patience_seconds=5) as mph:
    for item in mph.items(range(3), final="{value}.txt"):
        with item:
            item.path.write_text("x")
        if mph.status().done == 1:
            os.write(1, b"ready" + bytes([10]))  # rich takes over what is printed
            sys.stdin.readline()
"""


def test_the_bar_says_that_it_is_paused(run: Path) -> None:
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", BAR, str(run)], stderr=slave, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "200"}, cwd=CHECKOUT,
    )  # fmt: skip
    os.close(slave)
    assert child.stdin is not None and child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    assert command("pause", run).returncode == 0
    wait_until(lambda: b'"paused"' in next((run / "multiprocesstools_logs").glob("*.jsonl")).read_bytes(), "paused")
    child.stdin.write("\n"), child.stdin.flush()
    written = b""
    wait_for = re.compile(rb"paused: `multiprocesstools resume` goes on")
    while not wait_for.search(written):
        written += os.read(master, 1 << 16)
    command("resume", run)
    child.communicate(timeout=20)
    os.close(master)
    assert child.returncode == 0 and len(list(run.glob("*.txt"))) == 3
