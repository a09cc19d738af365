"""Pools that share their tasks through a run directory: on one machine here, on two in test_nfs_pools.py."""

import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.errors import BadArgument, FunctionFailed, ListChanged, UntrustedResult
from multiprocesstools.workers import WorkerController
from tests.processes import command, wait_until
from tests.workers import functions
from tests.workers.test_scripts import begin, run

SECONDS = 60.0
QUICK = {"beat_seconds": 0.2, "patience_seconds": 20, "durable": False}
SHARE = """
import os, sys
from multiprocesstools.workers import WorkerController
from tests.workers import functions

if __name__ == "__main__":
    with WorkerController(
        2, functions.meet, (sys.argv[1] + "-met",), run_directory=sys.argv[1],
        run_options={"beat_seconds": 0.2, "patience_seconds": 20, "durable": False},
    ) as controller:
        controller.add_tasks(range(int(sys.argv[2])))
        results = {}
        for task, result in controller:
            assert task not in results
            results[task] = result
            print(len(results), flush=True)
    assert [results[task][0] for task in range(len(results))] == [2 * task for task in range(len(results))]
    print("all", len(results), "here", sum(pid == os.getpid() for _, pid in results.values()), flush=True)
"""


def pool(directory: Path, function: Any = functions.double, *args: Any, **options: Any) -> WorkerController:
    options = {"run_options": QUICK} | options
    return WorkerController(2, function, args, run_directory=directory, **options)


def test_the_results_of_a_former_start_are_received_and_not_made_again(tmp_path: Path) -> None:
    for _ in range(2):
        with pool(tmp_path, functions.count_calls, str(tmp_path / "calls")) as controller:
            controller.add_tasks("abc")
            controller.add_task("d")
            assert list(controller.results(ordered=True)) == [(task, task.upper()) for task in "abcd"]
            assert controller.progress == 1
    assert sorted(path.read_text() for path in tmp_path.glob("calls-*")) == ["a", "b", "c", "d"]


def test_two_scripts_split_the_tasks_and_each_receives_all_results(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    with begin(tmp_path, SHARE, directory, 60) as one, begin(tmp_path, SHARE, directory, 60) as two:
        outs = [process.communicate(timeout=SECONDS) for process in (one, two)]
    last = [out.splitlines()[-1].split() for out, _ in outs]
    assert [words[:2] for words in last] == [["all", "60"]] * 2, outs
    shares = [int(words[3]) for words in last]
    assert sum(shares) == 60
    assert min(shares) > 0


def test_a_script_that_is_killed_leaves_its_tasks_to_the_other(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    with begin(tmp_path, SHARE, directory, 100) as one, begin(tmp_path, SHARE, directory, 100) as two:
        for process in (one, two):
            process.stdout.readline()
        one.kill()
        out = two.stdout.read()  # communicate would miss what readline has read ahead
        errors = two.communicate(timeout=SECONDS)[1]
        one.communicate()
    assert out.splitlines()[-1].startswith("all 100"), errors


def test_a_task_that_fails_everywhere_is_set_aside_and_named(tmp_path: Path) -> None:
    with pool(tmp_path, functions.fail_on_each_hundredth) as controller:
        failed: list[Any] = []
        controller.sig_failed.connect(lambda *args: failed.append(args))
        controller.add_tasks(range(95, 105))
        assert len(list(controller)) == 9
    (failure,) = controller.failures
    assert failed == [(100, failure.error)]
    assert isinstance(failure.error, FunctionFailed)
    assert "ValueError: task 100 is broken" in str(failure.error)
    assert "in fail_on_each_hundredth" in failure.traceback
    assert failure.attempts == 3
    assert "fail_on_each_hundredth/5.pkl" in command("status", tmp_path).stdout


def test_a_task_that_kills_its_worker_or_takes_too_long_fails_alone(tmp_path: Path) -> None:
    with pool(tmp_path, functions.die_if, timeout=2.0, max_attempts=2) as controller:
        controller.add_tasks(["", "kill", "", "sleep"])
        assert list(controller) == [("", "")] * 2
    errors = {failure.task: str(failure.error) for failure in controller.failures}
    assert "WorkerKilled: the worker that had the task was killed by SIGKILL" in errors["kill"]
    assert "TaskTimeout: the task was not done within 2 s" in errors["sleep"]


def test_suspend_gives_back_what_was_not_begun_and_restart_goes_on(tmp_path: Path) -> None:
    with pool(tmp_path, functions.slow_double) as controller:
        controller.add_tasks(range(120))
        reader = controller.results(ordered=True)
        assert next(reader)[0] == 0
        assert controller.suspend(SECONDS)
        done = len(list((tmp_path / "slow_double").glob("[0-9]*.pkl")))
        assert not list((tmp_path / "slow_double").glob(".mpt-*"))
        assert 0 < done < 120
        assert controller.is_alive()
        assert "paused" not in command("status", tmp_path).stdout
        controller.restart()
        assert [task for task, _ in reader] == list(range(1, 120))
    assert len(list((tmp_path / "slow_double").glob("[0-9]*.pkl"))) == 120


def test_stop_gives_everything_back(tmp_path: Path) -> None:
    controller = pool(tmp_path, functions.wait_for, str(tmp_path / "never"))
    with controller:
        controller.add_tasks(range(3))
        controller.finalize_tasks()
        wait_until((tmp_path / "never.begun").exists, "a task has begun", SECONDS)
        controller.stop()
        assert not controller.is_alive()
    assert "3 free" in command("status", tmp_path).stdout
    assert controller.failures == []


def test_the_command_stop_ends_the_run(tmp_path: Path) -> None:
    with pool(tmp_path, functions.slow_double) as controller:
        controller.add_tasks(range(2000))
        controller.finalize_tasks()
        wait_until(lambda: list(tmp_path.glob("slow_double/[0-9]*.pkl")), "a task is done", SECONDS)
        command("stop", tmp_path)
        assert controller.join(SECONDS)
        assert 0 < len(list(controller)) < 2000


def test_the_same_tasks_are_the_same_list_and_others_are_refused(tmp_path: Path) -> None:
    with pool(tmp_path) as controller:
        controller.add_tasks(range(5))
    with pytest.raises(ListChanged), pool(tmp_path) as controller:
        controller.add_tasks([0, 1, 2, 3, 5])


def test_a_result_that_somebody_else_could_have_written_is_not_unpickled(tmp_path: Path) -> None:
    with pool(tmp_path) as controller:
        controller.add_tasks(range(3))
    os.chmod(tmp_path / "double" / "1.pkl", 0o666)
    with pool(tmp_path) as controller:
        controller.add_tasks(range(3))
        assert list(controller) == [(0, 0), (2, 4)]
    (failure,) = controller.failures
    assert isinstance(failure.error, UntrustedResult)


def test_a_result_that_cannot_be_pickled_fails_alone(tmp_path: Path) -> None:
    with pool(tmp_path, functions.unpicklable, max_attempts=1) as controller:
        controller.add_task(1)
        assert list(controller) == []
    assert "CannotBeSent" in str(controller.failures[0].error)


def test_what_makes_no_name_and_what_needs_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="name"):
        pool(tmp_path, lambda task: task)
    with pytest.raises(BadArgument, match="run_directory"):
        WorkerController(1, functions.double, name="double")
    with pytest.raises(BadArgument, match="cannot be sent"):
        pool(tmp_path, functions.add, threading.Lock())
    assert not PosixDisk().list(str(tmp_path))


def test_a_missing_main_guard_is_said(tmp_path: Path) -> None:
    script = SHARE.replace('if __name__ == "__main__":', "if True:")
    code, _, errors = run(tmp_path, script, tmp_path / "run", 5)
    assert code == 1
    assert "MainGuardMissing" in errors
    assert sys.executable not in errors


def test_more_results_than_may_wait_all_reach_the_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a former start are there at once, and fill the place of those that wait."""
    monkeypatch.setattr("multiprocesstools.workers.pools.outbox._MOST_RESULTS", 3)
    for _ in range(2):
        with pool(tmp_path) as controller:
            controller.add_tasks(range(20))
            assert list(controller.results(ordered=True)) == [(task, 2 * task) for task in range(20)]


def test_a_reader_in_order_is_not_kept_from_what_comes_after_a_task_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multiprocesstools.workers.pools.outbox._MOST_RESULTS", 3)
    with pool(tmp_path, functions.fail_on_each_hundredth) as controller:
        controller.add_tasks(range(20))
        assert list(controller.results(ordered=True)) == [(task, 2 * task) for task in range(1, 20)]
    assert [failure.task for failure in controller.failures] == [0]
