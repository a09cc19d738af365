"""The loop among others: what it waits for, what it leaves, and when it ends."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.display.progress import Tally
from multiprocesstools.errors import FinalOfAnotherKind, TooManyFailures
from tests.disks import Faulty, fail_once

TAKE = """
import os, sys
from multiprocesstools import MultiProcessHelper
mph = MultiProcessHelper("other", sys.argv[1])
item = mph.claim(sys.argv[2])
with item:
    print(item.attempt, flush=True)
    sys.stdin.read()
    item.path.write_text("other")
"""


def helper(directory: Path, **how: object) -> MultiProcessHelper:
    return MultiProcessHelper("loop", directory, beat_seconds=1, patience_seconds=5, **how)  # type: ignore[arg-type]


def other(directory: Path, final: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", TAKE, str(directory), final]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    return process


def finish(process: subprocess.Popen[bytes]) -> int:
    """Let the other one go on, and wait for its end."""
    if process.stdin is not None:
        process.stdin.close()
    code = process.wait(30)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    return code


def test_with_wait_the_loop_stays_until_others_have_finished(tmp_path: Path) -> None:
    tallies: list[Tally] = []
    with helper(tmp_path) as mph:
        process = other(tmp_path, "0")
        threading.Timer(1.0, lambda: process.stdin and process.stdin.close()).start()
        for item in mph.items(range(2), final="{value}", progress=tallies.append):
            with item:
                item.path.write_text("loop")
        assert (tmp_path / "0").read_text() == "other" and (tmp_path / "1").read_text() == "loop"
        assert any(tally.waiting_for for tally in tallies)
    finish(process)


def test_without_wait_the_loop_leaves_what_others_have(tmp_path: Path) -> None:
    with helper(tmp_path) as mph:
        process = other(tmp_path, "0")
        done = []
        for item in mph.items(range(2), final="{value}", wait=False, progress=False):
            with item:
                done.append(item.source)
                item.path.touch()
        assert done == [1] and not (tmp_path / "0").exists()
    finish(process)


def test_a_waiting_loop_takes_over_from_a_killed_process_within_two_seconds(tmp_path: Path) -> None:
    with helper(tmp_path) as mph:
        process = other(tmp_path, "0")
        killed: list[float] = []

        def kill() -> None:
            process.send_signal(signal.SIGKILL)
            killed.append(time.monotonic())

        threading.Timer(1.0, kill).start()
        for item in mph.items(range(1), final="{value}", progress=False):
            with item:
                assert item.attempt == 2 and time.monotonic() - killed[0] < 2
                item.path.touch()
    finish(process)


def test_what_the_loop_itself_dropped_is_not_offered_again_and_nobody_waits_for_its_dead_heir(tmp_path: Path) -> None:
    offered = []
    with helper(tmp_path) as mph:
        for item in mph.items(range(2), final="{value}", order="given", progress=False):
            offered.append(item.source)
            with item:
                if item.source == 0:
                    item.drop()
                else:
                    heir = other(tmp_path, "0")
                    item.path.touch()
                    threading.Timer(0.5, heir.kill).start()
        assert offered == [0, 1]
        assert mph.status().free == 1
    finish(heir)


def test_one_directory_under_two_names_is_one(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "alias").symlink_to("out")
    with helper(tmp_path) as mph:
        item = mph.claim("x", directory=tmp_path / "out")
        assert item is not None
        assert mph.claim("x", directory=tmp_path / "alias") is None
        with item:
            item.path.touch()
        assert mph.claim("x", directory="alias") is None
        assert [i.source for i in mph.items(["x"], final="{value}", directory="alias", progress=False)] == []


def test_once_takes_over_from_an_owner_that_cannot_be_probed(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("another process namespace needs root")
    with MultiProcessHelper("once", tmp_path, beat_seconds=0.3, patience_seconds=1.5) as mph:
        command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c", TAKE]
        process = subprocess.Popen([*command, str(tmp_path), "x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"1\n"
        process.kill()
        process.wait(10)
        began = time.monotonic()
        assert mph.once("x", lambda path: path.write_text("mine")).read_text() == "mine"
        assert 1.0 < time.monotonic() - began < 10
    finish(process)


def test_ten_failures_in_a_row_end_the_loop_with_the_last_as_cause(tmp_path: Path) -> None:
    tried = 0
    with helper(tmp_path) as mph, pytest.raises(TooManyFailures, match="10 items failed in a row") as caught:
        for item in mph.items(range(1000), final="{value}", progress=False):
            with item:
                tried += 1
                undefined_name  # type: ignore[name-defined]  # noqa: F821
    assert tried == 10
    assert isinstance(caught.value.__cause__, NameError)


def test_a_few_broken_items_among_many_never_end_the_loop(tmp_path: Path) -> None:
    with helper(tmp_path) as mph:
        for item in mph.items(range(200), final="{value}", progress=False):
            with item:
                if item.source % 20 == 7:
                    raise ValueError("broken")
                item.path.touch()
        status = mph.status()
    assert (status.done, status.failed, status.free) == (190, 10, 0)


def test_failed_items_come_again_after_all_untried_ones(tmp_path: Path) -> None:
    tried = []
    with helper(tmp_path) as mph:
        for item in mph.items(range(5), final="{value}", order="given", progress=False):
            with item:
                tried.append(item.source)
                if item.source == 0 and item.attempt < 3:
                    raise ValueError
                item.path.touch()
    assert tried == [0, 1, 2, 3, 4, 0, 0]


def test_files_and_directories_do_not_mix_in_one_list_of_finals(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "1").touch()
    with helper(tmp_path) as mph, pytest.raises(FinalOfAnotherKind, match="a directory, while '1' is a file"):
        next(iter(mph.items(range(3), final="{value}", progress=False)))


def test_what_is_wrong_with_the_list_is_said_with_a_bar_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar has not begun then."""
    (tmp_path / "0").mkdir()
    (tmp_path / "1").touch()
    monkeypatch.setattr("multiprocesstools.display.progress._is_in_front", lambda: True)
    handler = signal.getsignal(signal.SIGTERM)
    with helper(tmp_path) as mph:
        with pytest.raises(FinalOfAnotherKind):
            next(iter(mph.items(range(3), final="{value}")))
        assert signal.getsignal(signal.SIGTERM) == handler


def test_a_directory_that_cannot_be_listed_to_be_counted_ends_no_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, tallies = Faulty(), list[Tally]()
    monkeypatch.setattr("multiprocesstools.run.directory.PosixDisk", lambda: disk)
    monkeypatch.setattr("multiprocesstools.display.progress.Told.count_seconds", 0.0)
    with helper(tmp_path) as mph:
        for number, item in enumerate(mph.items(range(5), final="{value}", directory="out", progress=tallies.append)):
            with item:
                item.path.touch()
                if number == 0:
                    error = OSError(errno.EIO, os.strerror(errno.EIO))
                    fail_once(disk, "list", error, when=lambda directory: directory.endswith("/out"))
    assert len(os.listdir(tmp_path / "out")) == tallies[-1].done == 5


def test_a_loop_that_ends_early_counts_every_directory_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multiprocesstools.loop.scout.lists_all_at_start", lambda folders, instances: False)
    for folder in range(700):
        (tmp_path / str(folder)).mkdir()
        for name in "abc":
            (tmp_path / str(folder) / name).touch()
    os.remove(tmp_path / "0" / "a"), os.remove(tmp_path / "0" / "b")
    finals, tallies = [f"{folder}/{name}" for folder in range(700) for name in "abc"], list[Tally]()
    with helper(tmp_path, durable=False) as mph:
        for item in mph.items(finals, final="{value}", order="given", progress=tallies.append):
            with item:
                item.path.touch()
            break
    assert (tallies[-1].done, tallies[-1].open) == (2099, 1)


def test_a_forked_child_that_goes_on_with_its_parents_loop_is_told_so(tmp_path: Path) -> None:
    code = """
import os, sys
from multiprocesstools import MultiProcessHelper
with MultiProcessHelper("loop", sys.argv[1]) as mph:
    for item in mph.items(range(2), final="{value}", order="given", progress=False):
        with item:
            child = os.fork() if item.source == 0 else 1
            if child and item.source == 0:
                os.waitpid(child, 0)
            item.path.write_text(str(os.getpid()))
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "ForkedLoop: this loop was begun by the parent process" in done.stderr
    assert (tmp_path / "0").exists() and (tmp_path / "1").exists()


def test_the_loop_works_again_after_one_that_a_signal_has_ended(tmp_path: Path) -> None:
    with helper(tmp_path) as mph:
        unused = mph.claim("unused")
        assert unused is not None
        with pytest.raises(KeyboardInterrupt):
            for item in mph.items(range(4), final="{value}", progress=False):
                with item:
                    signal.raise_signal(signal.SIGINT)
        done = []
        for item in mph.items(range(4), final="{value}", progress=False):
            with item:
                done.append(item.source)
                item.path.touch()
    assert sorted(done) == [0, 1, 2, 3]


def test_an_item_that_was_dropped_and_is_held_again_by_this_process_is_left_alone(tmp_path: Path) -> None:
    held = None
    with helper(tmp_path) as mph:
        for item in mph.items(range(2), final="{value}", order="given", progress=False, wait=False):
            with item:
                if item.source == 0:
                    item.drop()
                else:
                    item.path.touch()
                    held = mph.claim("0")
        assert held is not None and held.attempt == 2
        assert not (tmp_path / ".0.ended-2").exists()
        with held:
            held.path.touch()
    assert (tmp_path / "0").exists()


def test_without_wait_a_failed_item_is_counted_as_failed(tmp_path: Path) -> None:
    tallies: list[Tally] = []
    with helper(tmp_path, max_attempts=2) as mph:
        for item in mph.items(range(2), final="{value}", wait=False, progress=tallies.append):
            with item:
                if item.source == 0:
                    raise ValueError
                item.path.touch()
    assert (tallies[-1].done, tallies[-1].failed, tallies[-1].running) == (1, 1, 0)


def test_a_placeholder_of_another_program_costs_no_claim(tmp_path: Path) -> None:
    (tmp_path / "a.tmp").write_text("foreign")
    with helper(tmp_path) as mph:
        for _ in range(3):
            assert not mph.create_temp_file("a.csv", "a.tmp", "working_directory")
    assert [name for name in os.listdir(tmp_path) if name.startswith(".a.csv")] == []
    assert (tmp_path / "a.tmp").read_text() == "foreign"
