"""A worker on a run directory: sets up once, computes, hands in whole partitions, loses nothing when a task raises."""

import json
import signal
from pathlib import Path
from typing import Any

import numpy
import pytest

from multiprocesstools import tasks
from multiprocesstools.errors import BadArgument, BadName, CannotSave, SettingsDiffer, StoresDiffer, TooManyFailures
from multiprocesstools.run.directory import Run
from multiprocesstools.upkeep.retry import retry
from tests.tasks.stores import QUICK, Adder, Squares
from tests.tools import Child, wait_until

SQUARES = {index: index * index for index in range(10)}


class Broken(Squares):
    broken = frozenset([4])


class Late(Adder):
    """One partition of a thousand tasks."""

    dimensions = {"row": 1000}

    def __init__(self) -> None:
        super().__init__(1)


def collected(run: Path, store: Adder | None = None) -> Adder:
    store = store or Adder()
    tasks.TaskManager(store, run).collect()
    return store


def names(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "partitions").iterdir())


def test_it_works_until_nothing_is_left_and_sets_up_once(tmp_path: Path) -> None:
    worker = Squares(tmp_path, **QUICK)
    work = worker.run()
    assert (work.partitions, work.tasks, work.failures) == (3, 10, 0)
    assert str(work) == "3 partitions done, 10 tasks computed"
    assert sorted(worker.computed) == list(range(10)) and worker.run().partitions == 0 and worker.set_up == 1
    assert collected(tmp_path).given == SQUARES


def test_a_worker_without_work_ends_in_peace(tmp_path: Path) -> None:
    Squares(tmp_path, **QUICK).run()
    work = Squares(tmp_path, **QUICK).run()
    assert (work.partitions, work.tasks, work.failures) == (0, 0, 0)


def test_max_partitions_ends_it_early(tmp_path: Path) -> None:
    worker = Squares(tmp_path, **QUICK)
    assert [worker.run(max_partitions=1).partitions for _ in range(4)] == [1, 1, 1, 0]
    assert worker.set_up == 1 and sorted(worker.computed) == list(range(10))
    for wrong in (0, 1.5):
        with pytest.raises(BadArgument, match="max_partitions"):
            worker.run(max_partitions=wrong)  # type: ignore[arg-type]


def test_results_are_json_that_anybody_can_read(tmp_path: Path) -> None:
    Squares(tmp_path, **QUICK).run()
    assert names(tmp_path) == ["0000.results", "0001.results", "0002.results"]
    content = json.loads((tmp_path / "partitions" / "0001.results").read_text())
    assert content == {"format": 1, "ident": "Adder", "indices": [3, 4, 5], "results": [9, 16, 25]}


def test_arrays_travel_as_npz(tmp_path: Path) -> None:
    class Arrays(Squares):
        def compute(self, index: int, task: dict[str, Any]) -> Any:
            return {"index": index, "row": numpy.full(task["row"], index)}

    Arrays(tmp_path, **QUICK).run()
    with numpy.load(tmp_path / "partitions" / "0000.results") as file:
        assert "results.json" in file.files
    given = collected(tmp_path).given
    assert given[9]["row"].tolist() == [9] * 5 and given[9]["index"] == 9


# -- a task that raises


def test_the_error_of_a_task_is_recorded_with_its_traceback_and_tried_again_up_to_max_attempts(tmp_path: Path) -> None:
    worker = Broken(tmp_path, max_attempts=2, **QUICK)
    work = worker.run()
    assert (work.partitions, work.failures, worker.computed.count(4)) == (2, 2, 2)
    status = tasks.TaskManager(Adder(), tmp_path).status()
    assert (status.done, status.failed, status.waiting, status.running) == (2, 1, 0, 0)
    (failure,) = status.failures
    assert failure.item == "partitions/0001.results"
    assert (
        failure.error
        == "TaskFailed: task 4 {'index': 4, 'row': 3, 'column': 1}: ZeroDivisionError: nothing goes into 4"
    )
    assert 'raise ZeroDivisionError(f"nothing goes into {index}")' in failure.traceback


def test_one_that_fails_at_task_900_of_1000_does_not_lose_899(tmp_path: Path) -> None:
    class Once(Squares):
        store = Late
        broken = frozenset([900])

        def compute(self, index: int, task: dict[str, Any]) -> Any:
            try:
                return super().compute(index, task)
            except ZeroDivisionError:
                assert names(tmp_path) == [".0000.results.claim-1"]
                self.broken = frozenset()
                raise

    worker = Once(tmp_path, **QUICK)
    worker.run()
    assert worker.computed == [*range(901), *range(900, 1000)]
    assert names(tmp_path) == ["0000.results"], "what was kept goes when the partition is done"
    assert collected(tmp_path, Late()).given == {index: index * index for index in range(1000)}


def test_what_was_computed_lies_beside_the_partition_also_when_that_was_set_aside(tmp_path: Path) -> None:
    Broken(tmp_path, max_attempts=1, **QUICK).run()
    kept = json.loads((tmp_path / "partitions" / "0001.partial-1").read_text())
    assert (kept["indices"], kept["results"]) == ([3], [9])
    assert retry(Run(tmp_path)) == ["partitions/0001.results"]
    worker = Squares(tmp_path, **QUICK)
    worker.run()
    assert worker.computed == [4, 5], "task 3 was not computed again"
    assert collected(tmp_path).given == SQUARES


def test_what_was_kept_and_cannot_be_read_is_computed_again(tmp_path: Path) -> None:
    Broken(tmp_path, max_attempts=1, **QUICK).run()
    (tmp_path / "partitions" / "0001.partial-1").write_bytes(b'{"format":1,"ident":"Adder","indices":[3],"res')
    retry(Run(tmp_path))
    worker = Squares(tmp_path, **QUICK)
    worker.run()
    assert worker.computed == [3, 4, 5] and collected(tmp_path).given == SQUARES


def test_what_cannot_be_kept_hides_no_error(tmp_path: Path) -> None:
    (tmp_path / "partitions" / "0001.partial-1").mkdir(parents=True)
    Broken(tmp_path, max_attempts=2, **QUICK).run()
    (failure,) = tasks.TaskManager(Adder(), tmp_path).status().failures
    assert "nothing goes into 4" in failure.error
    first = (tmp_path / "multiprocesstools_logs" / "Adder-1.log").read_text().splitlines()
    assert any("could not be kept" in line and "0001.partial-1" in line for line in first)
    assert (tmp_path / "partitions" / "0001.partial-2").is_file()


def test_get_that_raises_is_the_error_of_that_task(tmp_path: Path) -> None:
    class NoGet(Adder):
        def get(self, index: int | None, *params: Any) -> dict[str, Any]:
            if index == 4:
                raise LookupError("no such subject")
            return super().get(index, *params)

    work = Squares(tmp_path, NoGet(ident="Adder"), max_attempts=1, **QUICK).run()
    assert (work.partitions, work.failures) == (2, 1)
    (failure,) = tasks.TaskManager(Adder(), tmp_path).status().failures
    assert failure.error == "TaskFailed: task 4: LookupError: no such subject"
    assert (tmp_path / "partitions" / "0001.partial-1").exists()


def test_a_result_that_cannot_be_serialised_is_the_error_of_that_task_and_nothing_else_is_lost(tmp_path: Path) -> None:
    class Odd(Squares):
        def compute(self, index: int, task: dict[str, Any]) -> Any:
            return {1, 2} if index == 4 else index

    Odd(tmp_path, max_attempts=1, **QUICK).run()
    (failure,) = tasks.TaskManager(Adder(), tmp_path).status().failures
    assert failure.error.startswith(
        f"{CannotSave.__name__}: 'the result of task 4': a value of type set cannot be saved"
    )
    assert "pickles" in failure.error and (tmp_path / "partitions" / "0001.partial-1").exists()


def test_pickles_travel_where_the_store_says_so_but_not_from_a_file_that_others_may_write(tmp_path: Path) -> None:
    class Pickles(Adder):
        pickles = True

    class Sets(Squares):
        store = Pickles

        def compute(self, index: int, task: dict[str, Any]) -> Any:
            return {index}

    Sets(tmp_path, **QUICK).run()
    assert collected(tmp_path, Pickles()).given[7] == {7}
    for path in (tmp_path / "partitions" / "0001.results", tmp_path / "partitions"):
        path.chmod(0o777)
        with pytest.raises(ValueError, match=r"\.results.*pickle, and others may write"):
            collected(tmp_path, Pickles())
        path.chmod(0o700)
    whole = (tmp_path / "partitions" / "0001.results").read_bytes()
    (tmp_path / "partitions" / "0001.results").write_bytes(whole.replace(b'"__multi', b'"\\u005f_multi'))
    (tmp_path / "partitions" / "0001.results").chmod(0o777)
    with pytest.raises(ValueError, match="and others may write"):
        collected(tmp_path, Pickles())
    (tmp_path / "partitions" / "0001.results").chmod(0o700)
    assert collected(tmp_path, Pickles()).given[7] == {7}
    with pytest.raises(ValueError, match="pickle"):
        collected(tmp_path, Adder(ident="Pickles"))


def test_a_worker_that_only_fails_stops_soon(tmp_path: Path) -> None:
    class Typo(Squares):
        broken = frozenset(range(10))

    with pytest.raises(TooManyFailures, match="3 items failed in a row"):
        Typo(tmp_path, stop_after=3, **QUICK).run()
    assert Squares(tmp_path, **QUICK).run().partitions == 3, "nothing has to be cleaned up"


def test_what_setup_raises_goes_through_and_nothing_is_taken(tmp_path: Path) -> None:
    class NoData(Squares):
        def setup(self) -> None:
            raise FileNotFoundError("fixations.mat")

    with pytest.raises(FileNotFoundError, match="fixations"):
        NoData(tmp_path, **QUICK).run()
    assert list(tmp_path.iterdir()) == []


INTERRUPTED = """
from tests.tasks.stores import QUICK, Squares

class Slow(Squares):
    def compute(self, index, task):
        if index == 5:
            say("at 5")
            wait()
        return index * index

Slow(sys.argv[1], **QUICK).run()
"""


def test_ctrl_c_gives_the_partition_back_with_what_was_computed_of_it(tmp_path: Path) -> None:
    with Child(INTERRUPTED, tmp_path) as child:
        child.hear()
        child.process.send_signal(signal.SIGINT)
        assert child.finish() != 0
    worker = Squares(tmp_path, **QUICK)
    assert worker.run().failures == 0
    assert 5 in worker.computed and not {3, 4} & set(worker.computed)
    assert collected(tmp_path).given == SQUARES


def test_sigterm_gives_the_partition_back_at_once_and_uses_no_attempt_up(tmp_path: Path) -> None:
    """Whoever sends it wants the process to end now: what was computed of the partition is computed again."""
    with Child(INTERRUPTED.replace("**QUICK", "max_attempts=1, **QUICK"), tmp_path) as child:
        child.hear()
        child.process.send_signal(signal.SIGTERM)
        assert child.finish() == -signal.SIGTERM
    worker = Squares(tmp_path, **QUICK)
    assert worker.run().failures == 0 and {3, 4, 5} <= set(worker.computed)
    assert collected(tmp_path).given == SQUARES


FORKED = """
from tests.tasks.stores import QUICK, Squares

worker = Squares(sys.argv[1], **QUICK)
worker.run(1)
child = os.fork()
work = worker.run(1)
os.write(1, f"{worker.set_up} {work.partitions}\\n".encode())
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_forked_worker_sets_up_once_for_itself(tmp_path: Path) -> None:
    with Child(FORKED, tmp_path) as child:
        assert {child.hear(), child.hear()} == {"1 1", "2 1"}
        assert child.finish() == 0, child.errors
    assert collected(tmp_path).given == SQUARES


def test_a_killed_worker_is_taken_over_at_once_and_published_are_whole_partitions_alone(tmp_path: Path) -> None:
    with Child(INTERRUPTED, tmp_path) as child:
        child.hear()
        finals = [name for name in names(tmp_path) if not name.startswith(".")]
        assert "0001.results" not in finals
        child.kill()
    worker = Squares(tmp_path, **QUICK)
    worker.run()
    assert {3, 4, 5} <= set(worker.computed) and len(worker.computed) == len(set(worker.computed))
    assert collected(tmp_path).given == SQUARES


# -- what does not fit together


def test_a_worker_of_another_store_is_refused(tmp_path: Path) -> None:
    tasks.TaskManager(Adder(), tmp_path)
    for store, words in ((Adder(ident="others"), "'Adder' -> 'others'"), (Larger(), "10 -> 15")):
        with pytest.raises(StoresDiffer, match=words):
            Squares(tmp_path, store, **QUICK).run()
    assert Squares(tmp_path).run().partitions == 3


class Larger(Adder):
    dimensions = {"row": 5, "column": 3}

    def __init__(self) -> None:
        super().__init__(ident="Adder")


def test_a_worker_follows_the_cut_and_the_indices_of_the_run_and_a_manager_must_have_them(tmp_path: Path) -> None:
    tasks.TaskManager(Adder(2, [1, 3, 5, 7]), tmp_path, **QUICK)
    worker = Squares(tmp_path, Adder(5))
    assert worker.run().partitions == 2 and sorted(worker.computed) == [1, 3, 5, 7]
    for store in (Adder(2), Adder(3, [1, 3, 5, 7])):
        with pytest.raises(StoresDiffer):
            tasks.TaskManager(store, tmp_path)
    worker.place = tmp_path / "another"
    assert worker.run().partitions == 5, "a run that it begins itself is cut as its own store says"


def test_more_partitions_than_tasks_are_as_many_as_tasks_and_it_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, said = Adder(100), "Adder: 10 tasks make 10 partitions, not 100"
    manager = tasks.TaskManager(store, tmp_path, **QUICK)
    assert said in capsys.readouterr().err
    assert str(manager.status()).startswith("10 Jobs are still waiting for execution\n")
    assert Squares(tmp_path).run(4).partitions == 4
    assert [line.split()[0] for line in str(manager.status()).splitlines()] == ["6", "0", "4"]
    Squares(tmp_path).run()
    assert manager.collect().collected == 10 and store.calls == 10
    assert said not in capsys.readouterr().err
    Squares(tmp_path / "other", Adder(11)).run()
    assert "10 partitions, not 11" in capsys.readouterr().err, "a worker may come first"


@pytest.mark.parametrize("ident", ["a/b", "", ".hidden", "two\nlines"])
def test_an_ident_that_is_no_name_is_refused(tmp_path: Path, ident: str) -> None:
    with pytest.raises(BadName):
        Squares(tmp_path / "run", Adder(ident=ident)).run()
    assert not (tmp_path / "run").exists()


def test_a_worker_needs_a_store_and_compute(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="`store` of the worker"):
        tasks.Worker(tmp_path)

    class Empty(tasks.Worker):
        store = Adder

    assert Empty(tmp_path, progress=False, max_attempts=1, **QUICK).run().failures == 3
    assert "Empty needs compute" in tasks.TaskManager(Adder(), tmp_path).status().failures[0].error


def test_the_options_of_the_helper_are_those_of_the_worker(tmp_path: Path) -> None:
    first = Child(INTERRUPTED, tmp_path)
    with first:
        first.hear()
        with pytest.raises(SettingsDiffer):
            Squares(tmp_path, max_attempts=7).run()
    wait_until(lambda: Squares(tmp_path).run().partitions >= 0, "the run goes on")
