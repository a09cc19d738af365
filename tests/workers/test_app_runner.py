"""Apps, one part after the other and in processes."""

import gc
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multiprocesstools.errors import BadArgument, TasksBroken, WorkerKilled, WrongState
from multiprocesstools.workers import AppRunner, BaseApp, WorkerController, shared_array
from multiprocesstools.workers.app import perform
from multiprocesstools.workers.pools import line
from tests.processes import wait_until
from tests.workers.apps import (
    BadEnd,
    BadStart,
    BadTasks,
    Broken,
    FirstWaits,
    Frames,
    Gated,
    Halves,
    KillsItsFirstWorker,
)


def blocks(process: object = "self") -> set[int]:
    """The shared memory that a process has open or mapped, by inode."""
    found = set()
    for entry in Path(f"/proc/{process}/fd").glob("*"):
        try:
            if os.readlink(entry).startswith("/memfd:multiprocesstools"):
                found.add(entry.stat().st_ino)
        except OSError:
            continue  # closed meanwhile
    try:
        maps = Path(f"/proc/{process}/maps").read_text()
    except OSError:
        return found  # it has ended
    return found | {int(line.split()[4]) for line in maps.splitlines() if "/memfd:multiprocesstools" in line}


def blocks_anywhere() -> set[int]:
    return set().union(*(blocks(entry.name) for entry in Path("/proc").glob("[0-9]*")))


@pytest.fixture(autouse=True)
def no_shared_memory_is_left() -> Iterator[None]:
    before = blocks()
    yield
    gc.collect()  # a runner and its parts know each other
    assert blocks() <= before


def test_the_parallel_run_leaves_the_same_state_as_the_serial_one_in_the_order_of_the_tasks() -> None:
    serial, parallel, final = Halves(), Halves(), []
    serial.run()
    runner = AppRunner(parallel, 2)
    runner.sig_final_app_state.connect(lambda app: final.append((app, list(app.stored), list(app.calls))))
    runner.start()
    assert runner.join(60)
    assert parallel.state == serial.state
    assert serial.calls == ["pre_run", "post_run"]
    assert final == [(parallel, serial.stored, serial.calls)]
    assert parallel.threads == {"multiprocesstools-workers"} and runner.progress == 1.0


def test_each_result_is_stored_before_it_is_told_of() -> None:
    app, seen = Halves(), []
    runner = AppRunner(app, 2)
    runner.sig_results.connect(lambda index, result: seen.append(app.stored[-1] == (index, result)))
    with runner:
        pass
    assert seen == [True] * app.n


def test_a_part_that_fails_is_left_out_and_told_of_and_all_others_are_stored() -> None:
    app, failed, final = Broken(), {}, []
    runner = AppRunner(app, 2, max_attempts=2)
    runner.sig_failed.connect(failed.__setitem__)
    runner.sig_final_app_state.connect(final.append)
    runner.start()
    assert runner.join(60)
    assert [index for index, _ in app.stored] == [12, 11, 10, 9, 8, 6, 4, 2, 1]
    assert set(failed) == {3, 5, 7} == {failure.task for failure in runner.failures}
    assert isinstance(failed[3], ValueError) and isinstance(failed[5], WorkerKilled)
    assert "has no place" in str(failed[7])
    assert final == [app]


def test_a_runner_that_is_restarted_runs_the_app_anew() -> None:
    app, serial = Halves(4), Halves(4)
    runner = AppRunner(app, 1)
    runner.start()
    assert runner.join(60)
    runner.restart()
    assert runner.join(60)
    serial.run()
    serial.run()
    assert app.state == serial.state and runner.progress == 1.0


def test_a_stopped_run_tells_no_final_state_and_keeps_what_was_stored(tmp_path: Path) -> None:
    app, final, ended = Gated(tmp_path), [], []
    (tmp_path / "gate-2").touch()
    runner = AppRunner(app, 1)
    runner.sig_final_app_state.connect(final.append)
    runner.finished.connect(lambda: ended.append(True))
    runner.start()
    wait_until((tmp_path / "asked-1").exists, "part 1 waits at its gate")
    runner.stop()
    assert not runner.is_alive() and ended == [True]
    assert app.stored == [(2, True)] and final == []


def test_a_part_waits_until_it_may_carry_on(tmp_path: Path) -> None:
    app = Gated(tmp_path)
    runner = AppRunner(app, 2)
    runner.start()
    wait_until(lambda: (tmp_path / "asked-1").exists() and (tmp_path / "asked-2").exists(), "both have asked")
    assert not runner.join(0.2) and app.stored == []
    (tmp_path / "gate-1").touch()
    (tmp_path / "gate-2").touch()
    assert runner.join(60)
    assert app.stored == [(2, True), (1, True)]


def test_a_gate_that_never_opens_ends_with_the_timeout_of_the_runner(tmp_path: Path) -> None:
    runner = AppRunner(Gated(tmp_path), 1, timeout=0.5, max_attempts=1)
    runner.start()
    assert runner.join(60)
    assert [type(failure.error).__name__ for failure in runner.failures] == ["TaskTimeout", "TaskTimeout"]


def test_an_app_without_its_methods_says_which_it_needs() -> None:
    app = BaseApp()
    with pytest.raises(NotImplementedError, match="multiprocessing_get_tasks"):
        app.run()
    with pytest.raises(NotImplementedError, match="multiprocessing_func"):
        perform(0, app)
    assert app.multiprocessing_carryon() is True


@pytest.mark.parametrize("n_workers", [0, -1, 1.5, "2"])
def test_a_bad_number_of_workers_is_refused(n_workers: Any) -> None:
    with pytest.raises(BadArgument, match="n_workers"):
        AppRunner(Halves(), n_workers)


def test_what_is_no_app_and_what_an_app_brings_itself_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="subclass of BaseApp"):
        AppRunner(print)  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match="brings its own function"):
        AppRunner(Halves(), 1, function=print)
    runner = AppRunner(Halves(2), 1)
    calls: list[Any] = [
        lambda: runner.add_task(1), lambda: runner.add_tasks([1]), lambda: runner.change_function(print),
        runner.finalize_tasks, runner.results, lambda: iter(runner), runner.stop, runner.join, runner.suspend,
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(WrongState):
            call()
    shares = AppRunner(Frames(), 1, run_directory=tmp_path / "run")
    with pytest.raises(BadArgument, match="shared arrays, which stay on one machine"):
        shares.start()
    runner.start()
    with pytest.raises(WrongState):
        runner.start()
    assert runner.join(60) and len(runner.app.stored) == 2  # type: ignore[attr-defined]


def test_an_app_that_raises_before_after_or_between_its_parts_ends_the_run_with_its_error() -> None:
    with pytest.raises(RuntimeError, match="no start"):
        AppRunner(BadStart(), 1).start()
    last = AppRunner(BadEnd(2), 1)
    last.start()
    with pytest.raises(RuntimeError, match="no end"):
        last.join(60)
    assert len(last.app.stored) == 2  # type: ignore[attr-defined]
    tasks = AppRunner(BadTasks(), 1)
    tasks.start()
    with pytest.raises(TasksBroken, match="no second task"):
        tasks.join(60)
    assert tasks.app.stored == [(1, 0.5)]  # type: ignore[attr-defined]


def test_the_parts_of_an_app_are_items_of_a_run_directory_and_stored_again_by_who_comes_later(tmp_path: Path) -> None:
    serial = Halves()
    serial.run()
    for _ in range(2):
        with AppRunner(Halves(), 2, run_directory=tmp_path / "run") as runner:
            pass
        assert runner.app.stored == serial.stored  # type: ignore[attr-defined]
    assert (tmp_path / "run" / "Halves").is_dir()


def test_a_slot_that_raises_is_logged_and_the_app_is_finished(caplog: pytest.LogCaptureFixture) -> None:
    app = Halves(3)
    runner = AppRunner(app, 1)
    runner.sig_results.connect(lambda index, result: 1 / 0)
    with caplog.at_level(logging.ERROR), runner:
        pass
    assert len(app.stored) == 3 and "a slot" in caplog.text


def test_results_that_wait_for_an_earlier_one_are_bounded_while_somebody_joins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multiprocesstools.workers.pools.outbox._MOST_RESULTS", 4)
    app = FirstWaits(tmp_path)
    runner = AppRunner(app, 2)
    runner.start()
    joining = threading.Thread(target=runner.join)
    joining.start()
    wait_until(lambda: len(list(tmp_path.glob("begun-*"))) >= 4, "as many parts as may wait have begun")
    joining.join(0.3)
    begun = len(list(tmp_path.glob("begun-*")))
    (tmp_path / "go").touch()
    joining.join(60)
    assert begun == 4
    assert app.stored == [(index, index) for index in range(60, 0, -1)]


def test_workers_write_into_shared_arrays_and_no_array_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    whole = line.Line.send

    def counted(self: line.Line, word: int, number: int = 0, packed: bytes = b"", nanoseconds: int = 0) -> None:
        sizes.append(len(packed))
        whole(self, word, number, packed, nanoseconds)

    monkeypatch.setattr(line.Line, "send", counted)
    app = Frames(n=4, size=512)
    with AppRunner(app, 2):
        pass
    assert np.array_equal(app.doubled[:, 0, 0], [2, 4, 6, 8]) and app.doubled.nbytes == 4 << 20
    assert sizes and max(sizes) < 10_000


def test_a_copy_of_an_app_has_arrays_of_its_own() -> None:
    app = Frames()
    app.multiprocessing_pre_run()
    copy = app.copy()
    copy.frames[...] = 9
    assert app.frames[0, 0, 0] == 1 and copy.frames.is_shared and copy.frames is not app.frames


def test_a_part_of_a_shared_array_and_what_comes_of_it_travel_as_plain_data() -> None:
    array = shared_array((3, 2), np.int16)
    array[1] = 7
    for plain in (array[1], array * 1, array.T):
        again = pickle.loads(pickle.dumps(plain))
        assert np.array_equal(again, plain)
        again[...] = 1
    assert array.sum() == 14
    same = pickle.loads(pickle.dumps(array))
    same[0] = 5
    assert array.sum() == 24


def test_the_memory_lives_as_long_as_a_view_of_it_and_no_longer() -> None:
    before = blocks()
    array = shared_array(1000)
    view, data = array[10:20], pickle.dumps(array)
    view[...] = 3
    del array
    assert len(blocks() - before) == 1 and view.sum() == 30
    del view
    assert blocks() == before
    with pytest.raises(BadArgument, match="has let it go"):
        pickle.loads(data)


@pytest.mark.parametrize(
    ("shape", "dtype"), [(-1, float), ((2, -3), float), ("x", float), (2.5, float), (3, object), (3, "U0")]
)
def test_shapes_and_types_that_cannot_be_shared_are_refused(shape: Any, dtype: Any) -> None:
    with pytest.raises(BadArgument):
        shared_array(shape, dtype)
    assert shared_array((), "f4").shape == () and shared_array((0, 5)).size == 0


def test_memory_that_is_not_there_is_an_error_and_no_later_death() -> None:
    with pytest.raises(MemoryError, match="shared memory cannot be had"):
        shared_array(1 << 46, np.uint8)
    assert shared_array(1).sum() == 0


def test_a_killed_worker_takes_no_shared_memory_with_it(tmp_path: Path) -> None:
    app = KillsItsFirstWorker(wait=str(tmp_path / "killed"))
    with AppRunner(app, 2) as runner:
        pass
    assert (tmp_path / "killed").exists() and runner.failures == []
    assert np.array_equal(app.doubled[:, 0, 0], [2, 4, 6, 8])


@pytest.mark.parametrize("all_at_once", [False, True], ids=["the script alone", "its process group"])
def test_a_killed_parent_leaves_no_shared_memory_and_no_worker(tmp_path: Path, all_at_once: bool) -> None:
    """The group has the resource tracker of multiprocessing in it, which would give back what has a name."""
    wait = tmp_path / "wait"
    code = (
        "from multiprocesstools.workers import AppRunner\nfrom tests.workers.apps import Frames\n"
        f"if __name__ == '__main__':\n    with AppRunner(Frames(wait={str(wait)!r}), 2):\n        pass\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    named, environment = set(os.listdir("/dev/shm")), os.environ | {"PYTHONPATH": os.getcwd()}
    with subprocess.Popen(
        [sys.executable, str(script)], env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    ) as parent:
        try:
            marks = [Path(f"{wait}-{index}") for index in (0, 1)]
            wait_until(lambda: all(mark.exists() and mark.read_text() for mark in marks), "both workers are at work")
            workers = [int(mark.read_text()) for mark in marks]
            there = blocks(parent.pid)
            assert len(there) == 2 and there <= blocks(workers[0]) and there <= blocks_anywhere()
            assert not {name for name in set(os.listdir("/dev/shm")) - named if name.startswith("multiprocesstools")}
            os.kill(workers[0], signal.SIGKILL)
        finally:
            os.killpg(parent.pid, signal.SIGKILL) if all_at_once else parent.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the workers end")
    wait_until(lambda: not there & blocks_anywhere(), "the memory is given back")


def test_the_same_names_are_at_the_door() -> None:
    assert issubclass(AppRunner, WorkerController)
