"""The command: what it prints, what it returns, as a user runs it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.errors import UnknownItem
from multiprocesstools.run.directory import Run
from multiprocesstools.upkeep.retry import retry

HOLD = """
import os, sys
from multiprocesstools import MultiProcessHelper
mph = MultiProcessHelper("victim", sys.argv[1])
for item in mph.items(range(4), final="{value}.txt", order="given", progress=False):
    with item:
        if item.source == 2:
            item.path.write_text("half")
            print("holding", flush=True)
            sys.stdin.read()
        item.path.write_text("x")
"""


def mpt(*arguments: object, code: int | None = None) -> str:
    command = [sys.executable, "-m", "multiprocesstools", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """A run of four items; two are done, and the owner of the third was killed in the middle of it."""
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"holding\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    return tmp_path


def run_items(directory: Path, broken: tuple[int, ...] = (), **how: Any) -> None:
    with MultiProcessHelper("cli", directory) as mph:
        for item in mph.items(range(4), final="{value}.txt", progress=False, **how):
            with item:
                if item.source in broken:
                    raise ValueError(f"broken {item.source}")
                item.path.write_text("x")


def test_status_of_a_finished_run_is_zero(tmp_path: Path) -> None:
    run_items(tmp_path)
    assert "4 of 4 done" in mpt("status", tmp_path, code=0)


def test_status_names_failed_items_and_shows_tracebacks_when_asked(tmp_path: Path) -> None:
    run_items(tmp_path, broken=(2,))
    short, long = mpt("status", tmp_path, code=1), mpt("status", "--failed", tmp_path, code=1)
    assert "3 of 4 done, 1 failed" in short and "2.txt: attempt 3" in short and "ValueError: broken 2" in short
    assert "Traceback" not in short and "Traceback (most recent call last)" in long


def test_status_shows_who_works_on_what_and_for_how_long(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"holding\n"
    text = ""
    while " for " not in text:  # the journal is written within a second
        text = mpt("status", tmp_path, code=3)
    assert "2 of 4 done, 1 running, 1 free" in text and "2.txt: attempt 1, victim-1 on " in text
    child.communicate(b"")
    assert child.returncode == 0


def test_status_as_json_has_the_same_facts(crashed: Path) -> None:
    data = json.loads(mpt("status", "--json", crashed, code=3))
    assert (data["total"], data["done"], data["stale"], data["free"], data["code"]) == (4, 2, 1, 1, 3)
    assert [item["item"] for item in data["items"]] == ["2.txt"]
    assert data["instances"][0]["gone"] is True


def test_cleanup_after_a_crash_on_this_machine_needs_no_options_and_no_waiting(crashed: Path) -> None:
    staging = [path for path in crashed.iterdir() if path.name.startswith(".mpt-")]
    assert len(staging) == 1
    before = sorted(os.listdir(crashed))
    assert "would be removed" in mpt("cleanup", "--dry-run", crashed, code=0)
    assert sorted(os.listdir(crashed)) == before
    text = mpt("cleanup", crashed, code=0)
    assert "1 attempt of dead owners declared over" in text and staging[0].name in text
    assert not staging[0].exists()
    assert "2 of 4 done, 2 free" in mpt("status", crashed, code=3)
    run_items(crashed)
    assert "4 of 4 done" in mpt("status", crashed, code=0)
    assert "nothing to clean up" in mpt("cleanup", crashed, code=0)
    assert sorted(name for name in os.listdir(crashed) if name.startswith(".")) == [".multiprocesstools"]


def test_cleanup_says_what_it_could_not_see_and_keeps_the_records_of_the_dead_until_it_can(tmp_path: Path) -> None:
    out, away = tmp_path / "out", tmp_path / "away"
    hold = HOLD.replace('"{value}.txt"', '"out/{value}.txt"')
    child = subprocess.Popen([sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"holding\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    out.rename(away)
    out.symlink_to(out)  # a place that nobody can list, not even root
    text = mpt("cleanup", tmp_path, code=3)
    assert "could not be looked at or removed:\n  out: " in text and "--force" not in text
    out.unlink()
    away.rename(out)
    mpt("cleanup", tmp_path, code=0)
    assert sorted(os.listdir(out)) == [".2.txt.claim-1", ".2.txt.ended-1", "0.txt", "1.txt"]
    assert os.listdir(tmp_path / ".multiprocesstools" / "instances") == []


def test_cleanup_leaves_the_living_alone_and_is_content(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"holding\n"
    before = sorted(os.listdir(tmp_path))
    assert "is alive" in mpt("cleanup", "--force", tmp_path, code=0)
    assert sorted(os.listdir(tmp_path)) == before
    child.communicate(b"")
    assert child.returncode == 0


def test_retry_makes_failed_items_claimable_by_name_or_all(tmp_path: Path) -> None:
    run_items(tmp_path, broken=(1, 2))
    assert "1 item can be claimed again" in mpt("retry", tmp_path, "1.txt", code=0)
    assert "2 of 4 done, 1 failed, 1 free" in mpt("status", tmp_path, code=3)
    assert "1 item can be claimed again" in mpt("retry", tmp_path, code=0)
    run_items(tmp_path)
    mpt("status", tmp_path, code=0)
    assert "nothing was set aside as failed" in mpt("retry", tmp_path, code=0)


def test_retry_of_an_unknown_item_names_the_nearest(tmp_path: Path) -> None:
    run_items(tmp_path, broken=(1,))
    assert "no item '11.txt' of this run was set aside; nearest: 1.txt" in mpt("retry", tmp_path, "11.txt", code=2)
    with pytest.raises(UnknownItem) as caught:
        retry(Run(tmp_path), ("11.txt",))
    assert caught.value.nearest == ["1.txt"]


def test_retry_failed_does_the_same_from_the_script(tmp_path: Path) -> None:
    run_items(tmp_path, broken=(1,))
    run_items(tmp_path)
    mpt("status", tmp_path, code=1)
    run_items(tmp_path, retry_failed=True)
    mpt("status", tmp_path, code=0)


def test_stop_is_said_to_those_that_take_part_now(tmp_path: Path) -> None:
    with MultiProcessHelper("cli", tmp_path):
        text = mpt("stop", tmp_path, code=0)
    assert "asked to stop at the next beat (every 20 s), after the item in hand:\n  cli-1" in text
    run_items(tmp_path)  # a later instance does not obey an earlier request
    assert "4 of 4 done" in mpt("status", tmp_path, code=0)
    assert "no instance is at work" in mpt("stop", tmp_path, code=0)


def test_after_a_stop_nothing_is_merged_and_the_summary_says_why(tmp_path: Path) -> None:
    code = """
import sys, time
from multiprocesstools import MultiProcessHelper
with MultiProcessHelper("stopped", sys.argv[1], beat_seconds=0.2, patience_seconds=5) as mph:
    for item in mph.items(range(1000), final="{value}.txt"):
        with item:
            time.sleep(0.05)
            item.path.touch()
        if item.index % 5 == 0:
            print("one", flush=True)
    mph.once("total", lambda path: path.touch())
"""
    pipe = subprocess.PIPE
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=pipe, stderr=pipe, text=True)
    assert child.stdout is not None and child.stdout.readline() == "one\n"
    mpt("stop", tmp_path, code=0)
    _, said = child.communicate(timeout=30)
    assert child.returncode == 1 and "StopRequested" in said and not (tmp_path / "total").exists()
    assert "stopped, as `multiprocesstools stop` asked: " in said and " not finished" in said


def test_single_items_and_what_is_built_once_are_counted(tmp_path: Path) -> None:
    with MultiProcessHelper("single", tmp_path) as mph:
        item = mph.claim("report.txt")
        assert item is not None
        with item:
            item.path.touch()
        mph.once("total.csv", lambda path: path.touch())
    assert "2 of 2 done" in mpt("status", tmp_path, code=0)


def test_an_item_that_failed_and_will_be_tried_again_is_named(tmp_path: Path) -> None:
    with MultiProcessHelper("cli", tmp_path) as mph:
        for item in mph.items([0], final="{value}.txt", progress=False):
            with item:
                raise ValueError("not yet")
            break
    text = mpt("status", tmp_path, code=3)
    assert "free to be tried again" in text and "not yet" in text


@pytest.mark.parametrize("command", ["status", "cleanup", "retry", "stop"])
def test_a_directory_without_a_run_is_unreachable(command: str, tmp_path: Path) -> None:
    assert "no run was started here" in mpt(command, tmp_path, code=4)
    assert "does not exist" in mpt(command, tmp_path / "missing", code=4)
    assert os.listdir(tmp_path) == []


def test_usage_errors_are_two(tmp_path: Path) -> None:
    assert "No such command" in mpt("frobnicate", code=2)
    assert "No such option" in mpt("status", "--frobnicate", code=2)


def test_help_and_version() -> None:
    assert "cleanup" in mpt("--help", code=0)
    assert "0.1" in mpt("--version", code=0)


def test_the_short_name_is_the_same_command(tmp_path: Path) -> None:
    run_items(tmp_path)
    for name in ("mpt", "multiprocesstools"):
        command = [str(Path(sys.executable).parent / name), "status", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "4 of 4 done" in done.stdout


def test_an_open_pipe_without_a_reader_is_no_error(tmp_path: Path) -> None:
    run_items(tmp_path)
    command = f"{sys.executable} -m multiprocesstools status {tmp_path} --json | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_the_placeholder_of_a_killed_process_is_removed_and_its_half_written_final_is_named(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from multiprocesstools import multiprocesshelper
mph = multiprocesshelper(name="direct", working_directory=sys.argv[1], loggers=[])
mph.create_directory("results")
mph.create_temp_file(final_file_name="a.csv", temp_file_name="a.tmp", path="results")
open(sys.argv[1] + "/results/a.csv", "w").write("half")
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert (tmp_path / "results" / "a.tmp").exists()
    assert "1 stale" in mpt("status", tmp_path, code=3)
    mpt("cleanup", tmp_path, code=0)
    assert not (tmp_path / "results" / "a.tmp").exists()
    assert (tmp_path / "results" / "a.csv").read_text() == "half"
    with MultiProcessHelper("heir", tmp_path) as mph:
        assert mph.create_temp_file("a.csv", "a.tmp", "results")
        (tmp_path / "results" / "a.csv").write_text("whole")
        mph.delete_tempfile(temp_file_name="a.tmp", path="results")
    assert ".a.csv.partial-1" in mpt("status", tmp_path, code=0)
    assert (tmp_path / "results" / "a.csv").read_text() == "whole"
