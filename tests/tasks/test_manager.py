"""The manager: a store object gets each partition once, whatever was killed; one collects at a time."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest

from multiprocesstools import tasks
from multiprocesstools.display.progress import Tally
from multiprocesstools.errors import AlreadyCollecting, BadArgument, NotResults, StoresDiffer
from multiprocesstools.run.directory import Run
from multiprocesstools.tasks import description, ind2sub, resume_from
from multiprocesstools.tasks.shelf import Shelf
from tests.tasks.stores import QUICK, Adder, Squares
from tests.tools import CHECKOUT, Child, wait_until

SQUARES = {index: index * index for index in range(10)}


class Matrix(Adder):
    """Keeps what it is given in an array."""

    def __init__(self, num_partitions: int = 3, indices: Any = None) -> None:
        super().__init__(num_partitions, indices, "Adder")
        self.results = numpy.full((5, 2), numpy.nan)

    def update_results(self, task_index: list[int], results: list[Any]) -> None:
        rows, columns = ind2sub(numpy.array(task_index), (5, 2))
        self.results[rows - 1, columns - 1] = results


def test_each_partition_is_given_once_to_each_store_object(tmp_path: Path) -> None:
    store = Adder()
    manager = tasks.TaskManager(store, tmp_path, **QUICK)
    assert manager.collect().collected == 0
    Squares(tmp_path).run(1)
    assert [manager.collect().collected, manager.collect().collected, store.calls] == [1, 1, 1]
    Squares(tmp_path).run()
    assert tasks.TaskManager(store, tmp_path).collect().collected == 3
    assert (store.calls, store.given) == (3, SQUARES)
    fresh = Adder()
    status = tasks.TaskManager(fresh, tmp_path).collect()
    assert (fresh.calls, fresh.given, status.done, status.collected) == (3, SQUARES, 3, 3)


def test_the_status_is_data_and_the_three_lines_of_the_document(tmp_path: Path) -> None:
    manager = tasks.TaskManager(Adder(), tmp_path, **QUICK)
    lines = "3 Jobs are still waiting for execution\n0 Jobs are being processed\n0 Jobs are done"
    assert str(manager.status()) == lines
    with Child(HOLDING, tmp_path) as child:
        child.hear()
        status = manager.status()
        assert (status.waiting, status.running, status.done, status.failed) == (2, 1, 0, 0)
        assert status.in_work[0].item.startswith("partitions/") and status.as_dict()["tasks"] == 10
        child.kill()
    status = manager.status()
    assert (status.waiting, status.running) == (3, 0), "what a dead worker had waits for another"


HOLDING = """
from tests.tasks.stores import QUICK, Squares

class Holding(Squares):
    def compute(self, index, task):
        if index in (0, 3, 6):
            say(f"at {index}")
            wait()
        return 1000 + index if len(sys.argv) > 2 else index * index

work = Holding(sys.argv[1], **QUICK).run(1)
say(f"{work.partitions} accepted")
"""


def test_rescheduling_hands_out_again_what_is_in_work_and_the_first_result_counts(tmp_path: Path) -> None:
    store = Adder()
    manager = tasks.TaskManager(store, tmp_path, **QUICK)
    assert manager.reschedule() == []
    with Child(HOLDING, tmp_path, "late") as child:
        held = int(child.hear().removeprefix("at ")) // 3
        assert manager.reschedule() == [held]
        assert manager.reschedule() == [], "the second time nothing is in work"
        assert manager.status().waiting == 3
        assert Squares(tmp_path).run().partitions == 3
        child.go_on()
        assert child.hear() == "0 accepted"
        assert child.finish() == 0
    assert manager.collect().failed == 0
    assert (store.calls, store.given) == (3, SQUARES)


def test_who_was_rescheduled_and_is_first_counts_all_the_same_and_attempts_are_not_used_up(tmp_path: Path) -> None:
    store = Adder()
    manager = tasks.TaskManager(store, tmp_path, max_attempts=1, **QUICK)
    with Child(HOLDING, tmp_path) as child:
        child.hear()
        assert len(manager.reschedule()) == 1
        child.go_on()
        assert child.hear() == "1 accepted"
    assert Squares(tmp_path).run().partitions == 2
    assert manager.collect().failed == 0 and store.given == SQUARES


def test_following_collects_while_workers_run_and_ends_when_all_is_done(tmp_path: Path) -> None:
    store, seen = Adder(), list[Tally]()
    manager = tasks.TaskManager(store, tmp_path, **QUICK)
    with Child(HOLDING.replace("run(1)", "run()"), tmp_path) as child:

        def release(tally: Tally) -> None:
            if tally.done < 3 and (not seen or tally.done > seen[-1].done):
                child.go_on()
            seen.append(tally)

        status = manager.collect(follow=True, progress=release)
    assert (status.done, status.collected, store.calls, store.given) == (3, 3, 3, SQUARES)
    assert sorted({tally.done for tally in seen}) == [0, 1, 2, 3] and seen[-1].total == 3


def test_following_ends_when_what_is_left_was_set_aside(tmp_path: Path) -> None:
    class Broken(Squares):
        broken = frozenset([4])

    store = Adder()
    Broken(tmp_path, max_attempts=1, **QUICK).run()
    status = tasks.TaskManager(store, tmp_path).collect(follow=True, progress=False)
    assert (status.done, status.failed, sorted(store.given)) == (2, 1, [0, 1, 2, 6, 7, 8, 9])


FOLLOWING = """
from multiprocesstools import tasks
from tests.tasks.stores import Adder

class Waiting(Adder):
    def update_results(self, task_index, results):
        super().update_results(task_index, results)
        say(f"given {task_index[0]}")
        wait()

store = Waiting(ident="Adder")
tasks.TaskManager(store, sys.argv[1]).collect(follow=True, progress=False)
say(f"{sorted(store.given)}")
"""


def test_of_two_managers_one_collects_and_the_other_says_who_does(tmp_path: Path) -> None:
    Squares(tmp_path, **QUICK).run()
    store = Adder()
    manager = tasks.TaskManager(store, tmp_path)
    with Child(FOLLOWING, tmp_path) as child:
        assert child.hear() == "given 0"
        who, advice = rf"manager-\d+ .*process {child.process.pid}", f"multiprocesstools cleanup {tmp_path}"
        with pytest.raises(AlreadyCollecting, match=f"{who}.*{advice}"):
            manager.collect()
        assert store.calls == 0 and manager.status().done == 3
        child.kill()
    wait_until(lambda: may_collect(manager), "the right to collect comes back from the dead")
    assert store.given == SQUARES


def may_collect(manager: tasks.TaskManager) -> bool:
    try:
        return manager.collect().collected == 3
    except AlreadyCollecting:
        return False


def test_following_ends_after_a_stop(tmp_path: Path) -> None:
    from tests.tools import command

    Squares(tmp_path, **QUICK).run(1)
    with Child(FOLLOWING, tmp_path) as child:
        child.hear()
        assert "manager" in command("stop", tmp_path).stdout
        child.go_on()
        assert "[" in child.hear()


def test_ctrl_c_ends_following_and_gives_the_right_to_collect_back(tmp_path: Path) -> None:
    Squares(tmp_path, **QUICK).run(1)
    with Child(FOLLOWING, tmp_path) as child:
        child.hear()
        child.go_on()
        child.process.send_signal(signal.SIGINT)
        assert child.finish() == -signal.SIGINT
        assert "KeyboardInterrupt" in child.errors
    store = Adder()
    assert tasks.TaskManager(store, tmp_path).collect().collected == 1 and store.calls == 1


# -- what is wrong


def test_a_file_that_is_no_result_is_named_and_all_others_are_given(tmp_path: Path) -> None:
    Squares(tmp_path, **QUICK).run()
    bad = tmp_path / "partitions" / "0001.results"
    whole = bad.read_bytes()
    for content, words in (
        (b"rubbish", "cannot be read"), (whole[:-9], "cannot be read"), (b"PK\x03\x04rubbish", "no whole npz"),
        (whole.replace(b"[3,4,5]", b"[3,4,6]"), "other tasks"), (whole.replace(b"Adder", b"Other"), "'Other'"),
    ):  # fmt: skip
        bad.write_bytes(content)
        store = Adder()
        with pytest.raises(NotResults, match=rf"0001\.results.*{words}"):
            tasks.TaskManager(store, tmp_path).collect()
        assert sorted(store.given) == [0, 1, 2, 6, 7, 8, 9]
    bad.unlink()
    Squares(tmp_path).run()
    store = Adder()
    tasks.TaskManager(store, tmp_path).collect()
    assert store.given == SQUARES


def test_update_results_that_raises_is_not_called_twice_and_a_fresh_store_gets_all(
    tmp_path: Path,
) -> None:
    class Fragile(Adder):
        def update_results(self, task_index: list[int], results: list[Any]) -> None:
            super().update_results(task_index, results)
            if task_index[0] == 3:
                raise OSError("the disk is full")

    Squares(tmp_path, **QUICK).run()
    store = Fragile(ident="Adder")
    manager = tasks.TaskManager(store, tmp_path)
    with pytest.raises(OSError, match="disk is full") as caught:
        manager.collect()
    assert "fresh store" in caught.value.__notes__[0] and store.calls == 2
    for _ in range(2):
        with pytest.raises(BadArgument, match=r"part of partition 1 only.*fresh store"):
            manager.collect()
        assert manager.status().collected == 3 and store.calls == 3, "the others are given"
    fresh = Adder()
    tasks.TaskManager(fresh, tmp_path).collect()
    assert fresh.given == SQUARES


def test_a_store_that_was_interrupted_does_not_pass_for_whole(tmp_path: Path) -> None:
    class Slow(Adder):
        def update_results(self, task_index: list[int], results: list[Any]) -> None:
            if task_index[0] == 3:
                raise KeyboardInterrupt
            super().update_results(task_index, results)

    Squares(tmp_path, **QUICK).run()
    manager = tasks.TaskManager(Slow(ident="Adder"), tmp_path)
    with pytest.raises(KeyboardInterrupt) as caught:
        manager.collect()
    assert "partition 1" in caught.value.__notes__[0]
    with pytest.raises(BadArgument, match="part of partition 1 only"):
        manager.collect()


def test_a_run_that_is_begun_anew_in_its_directory_is_given_to_the_same_store_again(tmp_path: Path) -> None:
    class Latest(Adder):
        def update_results(self, task_index: list[int], results: list[Any]) -> None:
            self.given |= dict(zip(task_index, results, strict=True))

    class Cubes(Squares):
        def compute(self, index: int, task: dict[str, Any]) -> Any:
            return index**3

    store = Latest(ident="Adder")
    for worker in (Squares, Cubes):
        worker(tmp_path / "run", **QUICK).run()
        assert tasks.TaskManager(store, tmp_path / "run").collect().collected == 3
        shutil.rmtree(tmp_path / "run")
    assert store.given == {index: index**3 for index in range(10)}


def test_results_that_are_removed_while_somebody_collects_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Squares(tmp_path, **QUICK).run()
    store = Adder()
    manager = tasks.TaskManager(store, tmp_path)
    published = manager.shelf.published()
    (tmp_path / "partitions" / "0001.results").unlink()
    with monkeypatch.context() as before:
        before.setattr(Shelf, "published", lambda shelf: published)
        manager.collect()
    assert (sorted(store.given), store.calls) == ([0, 1, 2, 6, 7, 8, 9], 2)
    Squares(tmp_path).run()
    assert manager.collect().collected == 3 and store.given == SQUARES


def test_a_store_without_update_results_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    class Deaf(tasks.TaskStore):
        dimensions = {"row": 10}

    manager = tasks.TaskManager(Deaf(), tmp_path, **QUICK)
    assert manager.status().waiting == 10
    with pytest.raises(BadArgument, match="needs update_results"):
        manager.collect()


def test_two_stores_of_one_ident_and_other_sizes_do_not_share_a_run_directory(tmp_path: Path) -> None:
    class Larger(Adder):
        dimensions = {"row": 6, "column": 2}

    tasks.TaskManager(Adder(), tmp_path, **QUICK)
    before = (tmp_path / ".multiprocesstools" / "store.json").read_bytes()
    for other in (Larger(ident="Adder"), Adder(4), Adder(indices=[1]), Adder(ident="Other")):
        with pytest.raises(StoresDiffer, match="another task store"):
            tasks.TaskManager(other, tmp_path)
    assert (tmp_path / ".multiprocesstools" / "store.json").read_bytes() == before


def test_of_two_stores_that_come_at_the_same_moment_one_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    """The second one has looked before the first one wrote."""
    tasks.TaskManager(Adder(), tmp_path, **QUICK)
    look, looks = description.recorded, []

    def too_early(run: Run) -> Any:
        looks.append(run)
        return None if len(looks) == 1 else look(run)

    monkeypatch.setattr(description, "recorded", too_early)
    with pytest.raises(StoresDiffer, match="3 -> 4"):
        tasks.TaskManager(Adder(4), tmp_path)
    assert len(looks) == 2


@pytest.mark.parametrize("num_tasks", [0, -1, 2.5, None])
def test_a_number_of_tasks_that_cannot_be_leaves_no_directory(tmp_path: Path, num_tasks: Any) -> None:
    store = Adder()
    store.num_tasks = num_tasks
    with pytest.raises(BadArgument, match="num_tasks"):
        tasks.TaskManager(store, tmp_path / "run")
    assert not (tmp_path / "run").exists()


# -- save2file


def test_what_is_saved_can_be_resumed_from(tmp_path: Path) -> None:
    run, store = tmp_path / "run", Matrix()
    manager = tasks.TaskManager(store, run, **QUICK)
    Squares(run).run(1)
    manager.collect()
    path = manager.save2file("half.npz")
    assert path == str(run / "half.npz")
    rest = resume_from(path, Matrix, num_partitions=2)
    assert len(rest.indices) == 10 - int(numpy.isfinite(store.results).sum()) and 6 <= len(rest.indices) <= 7
    worker = Squares(tmp_path / "rest", Matrix(2, rest.indices), **QUICK)
    worker.run()
    assert sorted(worker.computed) == rest.indices
    tasks.TaskManager(rest, tmp_path / "rest").collect()
    assert rest.results.ravel().tolist() == list(SQUARES.values())


def test_a_store_without_arrays_has_nothing_to_save(tmp_path: Path) -> None:
    manager = tasks.TaskManager(Adder(), tmp_path, **QUICK)
    with pytest.raises(BadArgument, match="no attribute that is a numpy array"):
        manager.save2file("x.npz")
    assert not (tmp_path / "x.npz").exists()


# -- killed at every point

KILLED_EVERYWHERE = """
import importlib, os, pkgutil, shutil, signal, sys, time
import multiprocesstools
for module in pkgutil.walk_packages(multiprocesstools.__path__, "multiprocesstools."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)  # not anew in each child
from multiprocesstools import tasks
from multiprocesstools.claims import posix
from tests.tasks.stores import Adder

AUDITED = {"open", "os.link", "os.rename", "os.remove", "os.mkdir", "os.listdir", "os.scandir", "os.truncate"}

class Counted(Adder):
    def update_results(self, task_index, results):
        sys.audit("given", RUN)
        super().update_results(task_index, results)
        sys.audit("given", RUN)

def collect(strike):
    count = 0
    def hook(event, arguments):
        nonlocal count
        if event in AUDITED | {"given"} and isinstance(arguments[0], (str, bytes, int)):
            if event == "given" or (isinstance(arguments[0], str) and arguments[0].startswith(RUN)):
                count += 1
                if count == strike:
                    os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    store = Counted(ident="Adder")
    manager = tasks.TaskManager(store, RUN)
    status = manager.collect(progress=False)
    assert (store.calls, status.collected) == (3, 3), (store.calls, status)
    assert store.given == {index: index * index for index in range(10)}, store.given
    os.write(1, f"{count}\\n".encode())

def forked(strike):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            collect(strike)
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

MADE, RUN = sys.argv[1], sys.argv[2]
strike, killed = 1, 0
while True:
    shutil.copytree(MADE, RUN)
    code = forked(strike)
    killed += code == -signal.SIGKILL
    if code == 0:
        break
    assert code == -signal.SIGKILL, code
    assert forked(0) == 0, f"after a kill at point {strike}"
    shutil.rmtree(RUN)
    strike += 1
os.write(2, f"killed at {killed} points\\n".encode())
"""


def test_killed_at_every_point_of_collect_and_started_again_the_store_is_whole(tmp_path: Path) -> None:
    """A point is each open, link, rename, removal and listing in the run directory, and the beginning and end of
    `update_results`; each has a run directory of its own, in which a second manager then collects."""
    Squares(tmp_path / "made", **QUICK).run()
    done = subprocess.run(
        [sys.executable, "-c", KILLED_EVERYWHERE, str(tmp_path / "made"), str(tmp_path / "run")],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stderr.split("killed at ")[1].split()[0]) > 30
