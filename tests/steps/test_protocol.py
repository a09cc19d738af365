"""Protocols in one process: both styles, what steps return, what fails, and input that makes no sense."""

import pickle
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools import read_result
from multiprocesstools.errors import (
    AnotherProtocol,
    BadArgument,
    BadStep,
    CyclicSteps,
    StepFailed,
    TooManyFailures,
    UnknownStep,
)
from multiprocesstools.steps import STEPS_SERIAL, Form, Made, Protocol, Status

QUICK: dict[str, Any] = {"durable": False, "beat_seconds": 0.5}


class Steps(Protocol):
    """Inserts what the test says, and notes what was run."""

    def __init__(self, directory: Path, insert: Callable[["Steps"], None] = lambda p: None, **options: Any) -> None:
        super().__init__(directory, **QUICK | options)
        self._insert, self.ran, self._lock = insert, [], threading.Lock()

    def insert_all_steps(self) -> None:
        self._insert(self)

    def note(self, *what: Any) -> None:
        with self._lock:
            self.ran.append(what[0] if len(what) == 1 else what)

    def fail(self, *what: Any) -> None:
        self.note(*what)
        raise ValueError("as told")


def numbers(*prerequisites: Any) -> Callable[[Steps], None]:
    """Steps that note their number, with these prerequisites."""

    def insert(protocol: Steps) -> None:
        for number, given in enumerate(prerequisites, 1):
            protocol.insert_function_step("note", number, prerequisites=given)

    return insert


def double(x: int) -> int:
    return 2 * x


# -- inserting and running


@pytest.mark.parametrize("threads", [1, 3])
def test_each_step_waits_for_the_one_before_unless_it_says_otherwise(tmp_path: Path, threads: int) -> None:
    protocol = Steps(tmp_path, numbers(None, None, None), threads=threads)
    report = protocol.run()
    assert protocol.ran == [1, 2, 3]
    assert report.ok
    assert [step.prerequisites for step in report.plan] == [(), (1,), (2,)]


@pytest.mark.parametrize(
    "given", [1, [1], (1,), {1}, iter([1]), (i for i in [1, 1])], ids=["int", "list", "tuple", "set", "iterator", "gen"]
)  # fmt: skip
def test_prerequisites_may_be_an_id_or_anything_that_gives_ids(tmp_path: Path, given: Any) -> None:
    protocol = Steps(tmp_path)
    first = protocol.step("note", 1)
    protocol.step("note", 2, after=[])
    protocol.step("note", 3, after=given)
    assert first == 1
    assert [step.prerequisites for step in protocol.run().plan] == [(), (), (1,)]


@pytest.mark.parametrize(
    "given", ["1", "", b"1", ["1"], [True], [1.0], True, 1.5, [0], [-1], [[1]], object()], ids=repr
)  # fmt: skip
def test_prerequisites_that_are_no_ids_are_refused_at_once(tmp_path: Path, given: Any) -> None:
    protocol = Steps(tmp_path)
    protocol.step("note", 1)
    with pytest.raises(BadArgument, match="'note'"):
        protocol.step("note", 2, after=given)
    assert protocol.run().counts == {Status.FINISHED: 1}


@pytest.mark.parametrize("given", [[7], [10**40], [2]], ids=["unknown", "huge", "itself"])
def test_what_cannot_be_planned_is_refused_before_anything_begins(tmp_path: Path, given: Any) -> None:
    protocol = Steps(tmp_path, numbers([], given))
    with pytest.raises((UnknownStep, CyclicSteps), match="step 2"):
        protocol.run()
    assert protocol.ran == []
    assert Steps(tmp_path, numbers([], [1])).run().ok, "nothing was recorded"


def test_handles_and_the_decorator_insert_the_same_steps(tmp_path: Path) -> None:
    protocol = Steps(tmp_path)
    a = protocol.step(double, 1)
    twice = protocol.as_step(double)
    b = twice(2, after=[a])
    c = twice(3, after=[])
    assert twice.function(4) == 8
    report = protocol.run()
    assert [report.outcomes[s].result for s in (a, b, c)] == [2, 4, 6]
    assert [step.prerequisites for step in report.plan] == [(), (a,), ()]
    assert (a.id, repr(b)) == (1, "<step 2>")


def test_parameters_and_parallel_sections_come_from_the_form(tmp_path: Path) -> None:
    class WithForm(Steps):
        def define_params(self, form: Form) -> None:
            form.add_param("sigma", 1.5)
            form.add_parallel_section(threads=3, mpi=1)

    assert WithForm(tmp_path).sigma == 1.5  # type: ignore[attr-defined]
    protocol = WithForm(tmp_path, sigma=2)
    assert (protocol.sigma, protocol.threads, protocol.mpi) == (2, 3, 1)  # type: ignore[attr-defined]
    with pytest.raises(BadArgument, match="no such parameter"):
        WithForm(tmp_path, sigmma=2)
    for taken in ("threads", "durable", "working_directory", "name", "run", "note", "working directory"):
        with pytest.raises(BadArgument, match=f"{taken!r}|{taken}"):
            type("Taken", (Steps,), {"define_params": lambda self, form, name=taken: form.add_param(name, 1)})(tmp_path)
    for bad in (0, -1, 1.5, "2", True, 10**9):
        with pytest.raises(BadArgument, match="whole number from 1"):
            WithForm(tmp_path, threads=bad)


def test_threads_work_at_the_same_time_and_serial_mode_does_not(tmp_path: Path) -> None:
    class Meeting(Steps):
        def meet(self, number: int) -> None:
            self.most = max(self.most, self.inside + 1)
            self.inside += 1
            if self.steps_execution_mode != STEPS_SERIAL:
                self.barrier.wait(20)
            self.inside -= 1

        def insert_all_steps(self) -> None:
            self.inside = self.most = 0
            self.barrier = threading.Barrier(3)
            for number in range(3):
                self.insert_function_step("meet", number, prerequisites=[])

    parallel = Meeting(tmp_path / "parallel", threads=3)
    assert parallel.run().ok, "all three met"
    serial = Meeting(tmp_path / "serial", threads=3)
    serial.steps_execution_mode = STEPS_SERIAL
    assert serial.run().ok
    assert serial.most == 1


def test_several_processes_here_share_the_steps(tmp_path: Path) -> None:
    """Each of three steps waits until three processes have one."""

    def meet(number: int) -> None:
        (tmp_path / f"here{number}").touch()
        end = time.monotonic() + 30
        while len(list(tmp_path.glob("here*"))) < 3:
            assert time.monotonic() < end, "the others did not come"
            time.sleep(0.01)

    protocol = Steps(tmp_path / "run", mpi=3)
    for number in range(3):
        protocol.step(meet, number, after=[])
    report = protocol.run()
    assert report.ok, report.problems
    assert len({outcome.pid for outcome in report.outcomes.values()}) == 3


# -- outcomes


def test_an_outcome_says_what_came_of_it_where_and_when(tmp_path: Path) -> None:
    protocol = Steps(tmp_path)
    step = protocol.step(double, 21)
    report = protocol.run()
    outcome = report.outcomes[step]
    assert (outcome.status, outcome.result, outcome.files, outcome.attempt) == (Status.FINISHED, 42, (), 1)
    assert outcome.host
    assert outcome.pid
    assert outcome.seconds is not None
    assert 0 <= outcome.seconds < 60
    assert read_result(tmp_path / report.items[step])["result"] == 42
    assert protocol.outcome(step) == outcome
    assert Status("finished") in report.counts


def test_a_step_asks_for_the_outcome_of_another_one(tmp_path: Path) -> None:
    class Asking(Steps):
        def ask(self, of: int) -> Any:
            outcome = self.outcome(of)
            return None if outcome is None else outcome.result

    protocol = Asking(tmp_path)
    first = protocol.step(double, 21)
    protocol.step("ask", int(first))
    protocol.step("ask", 4)
    protocol.step("note", "held", wait=True)
    protocol.step("ask", 99, after=[])
    report = protocol.run()
    assert [report.outcomes[step].result for step in (2, 3)] == [42, None]
    assert report.outcomes[5].error.startswith("UnknownStep")


def test_returned_files_are_kept_and_a_missing_one_fails_the_step(tmp_path: Path) -> None:
    there = tmp_path / "there.txt"
    there.write_text("x")
    protocol = Steps(tmp_path / "run")
    good = protocol.step(lambda: [str(there)], after=[])
    bad = protocol.step(lambda: [Path("/nowhere/a.txt"), str(there)], after=[])
    both = protocol.step(lambda: Made(result={"n": 1}, files=[there]), after=[])
    single = protocol.step(lambda: Path("/nowhere/b.txt"), after=[])
    report = protocol.run()
    assert report.outcomes[good].files == (str(there),)
    assert report.outcomes[both].result == {"n": 1}
    for step, name in ((bad, "/nowhere/a.txt"), (single, "/nowhere/b.txt")):
        assert report.outcomes[step].status is Status.FAILED
        assert report.outcomes[step].error.startswith("FilesMissing")
        assert name in report.outcomes[step].error
        assert str(there) not in report.outcomes[step].error


def test_files_inside_the_run_directory_are_named_from_there(tmp_path: Path) -> None:
    protocol = Steps(tmp_path)

    def write() -> list[str]:
        Path(protocol.working_directory, "made.csv").write_text("1")
        return ["made.csv"]

    step = protocol.step(write)
    assert protocol.run().check().outcomes[step].files == ("made.csv",)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("code", [0, 1, None, "bye"])
def test_sys_exit_in_a_step_is_a_failure(tmp_path: Path, code: Any, threads: int) -> None:
    protocol = Steps(tmp_path, threads=threads)

    def leave() -> None:
        raise SystemExit(code)

    step = protocol.step(leave)
    after = protocol.step("note", 1)
    report = protocol.run()
    assert report.outcomes[step].error.startswith("StepExited")
    assert report.statuses[after] is Status.ABORTED
    assert protocol.ran == []


def test_a_result_that_json_cannot_hold_is_a_failure_that_says_so(tmp_path: Path) -> None:
    protocol = Steps(tmp_path)
    step = protocol.step(lambda: {1, 2})
    assert "set is nothing that JSON can hold" in protocol.run().outcomes[step].error


@pytest.mark.parametrize("threads", [1, 2])
def test_a_failure_stops_what_depends_on_it_and_not_the_rest(tmp_path: Path, threads: int) -> None:
    protocol = Steps(tmp_path, threads=threads)
    bad = protocol.step("fail", "bad", after=[])
    protocol.step("note", "never", after=[bad])
    protocol.step("note", "other", after=[])
    protocol.step("note", "last", after=[3])
    report = protocol.run()
    assert sorted(protocol.ran) == ["bad", "last", "other"]
    assert report.outcomes[bad].error == "ValueError: as told"
    assert 'raise ValueError("as told")' in report.outcomes[bad].traceback
    assert report.counts == {Status.FINISHED: 2, Status.FAILED: 1, Status.ABORTED: 1}
    with pytest.raises(
        StepFailed, match=r"step 2 note.*cannot start, because step 1 fail.*failed: ValueError"
    ) as caught:
        report.check()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_stop_on_failure_begins_nothing_more_and_reports_what_ran(tmp_path: Path) -> None:
    failing, over = threading.Event(), threading.Event()

    class Both(Steps):
        def fails(self) -> None:
            failing.wait(20)
            raise ValueError("strict")

        def runs(self) -> str:
            failing.set()
            over.wait(0.3)
            return "reported"

    protocol = Both(tmp_path / "run", threads=2, stop_on_failure=True)
    protocol.step("fails", after=[])
    running = protocol.step("runs", after=[])
    protocol.step("note", "independent", after=[running])
    report = protocol.run()
    assert report.outcomes[running].result == "reported"
    assert protocol.ran == []
    assert [report.statuses[s] for s in (1, 2, 3)] == [Status.FAILED, Status.FINISHED, Status.SCHEDULED]


def test_a_tolerated_failure_lets_the_others_go_on(tmp_path: Path) -> None:
    protocol = Steps(tmp_path)
    protocol.step("fail", 1, tolerate_failure=True)
    protocol.step("note", 2)
    report = protocol.run()
    assert protocol.ran == [1, 2]
    assert report.ok
    assert "tolerated" in report.problems[0]


def test_a_step_that_raised_is_tried_again_where_that_is_wished(tmp_path: Path) -> None:
    protocol = Steps(tmp_path, retry_failures=True)
    protocol.step("fail", 1)
    report = protocol.run()
    assert protocol.ran == [1, 1, 1]
    assert (report.outcomes[1].status, report.outcomes[1].attempt) == (Status.FAILED, 3)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_typo_that_makes_every_step_fail_ends_the_run_after_ten(tmp_path: Path, threads: int) -> None:
    def insert(protocol: Steps) -> None:
        for number in range(50):
            protocol.insert_function_step("fail", number, prerequisites=[])

    protocol = Steps(tmp_path, insert, threads=threads)
    with pytest.raises(TooManyFailures, match=r"1[0-2] items failed in a row") as caught:
        protocol.run()
    assert isinstance(caught.value.__cause__, ValueError)
    assert 10 <= caught.value.count <= len(protocol.ran) < 10 + threads, "what was in work may fail, too"
    assert protocol.overview().counts[Status.FAILED] == len(protocol.ran)
    protocol.fail = protocol.note  # type: ignore[method-assign]
    assert protocol.run().ok, "corrected and started again, it does all"


def test_failures_that_are_few_or_tolerated_or_allowed_do_not_end_the_run(tmp_path: Path) -> None:
    def failing(tolerate_failure: bool) -> Callable[[Steps], None]:
        def insert(protocol: Steps) -> None:
            for number in range(12):
                protocol.insert_function_step("fail", number, prerequisites=[], tolerate_failure=tolerate_failure)

        return insert

    assert Steps(tmp_path / "tolerated", failing(tolerate_failure=True)).run().ok
    assert Steps(tmp_path / "allowed", failing(tolerate_failure=False), stop_after=None).run().counts == {
        Status.FAILED: 12
    }
    mixed = Steps(tmp_path / "mixed", stop_after=2)
    for number in range(4):
        mixed.step("fail", number, after=[])
        mixed.step("note", number, after=[])
    assert mixed.run().counts == {Status.FINISHED: 4, Status.FAILED: 4}


def test_interactive_steps_wait_for_a_person(tmp_path: Path) -> None:
    def insert(protocol: Steps) -> None:
        protocol.insert_function_step("note", "look", interactive=True)
        protocol.insert_function_step("note", "after")

    protocol = Steps(tmp_path, insert)
    report = protocol.run()
    assert protocol.ran == []
    assert report.statuses == {1: Status.INTERACTIVE, 2: Status.NEW}
    assert protocol.run(interactive=True).ok
    assert protocol.ran == ["look", "after"]


def test_a_program_is_a_step_and_its_failure_fails_it(tmp_path: Path) -> None:
    protocol = Steps(tmp_path)
    protocol.insert_run_job_step("touch", [str(tmp_path / "a b")], prerequisites=[])
    protocol.insert_run_job_step("touch", f"'{tmp_path}/c d'", prerequisites=[])
    bad = protocol.insert_run_job_step("sh", ["-c", "echo broken >&2; exit 3"], prerequisites=[])
    none = protocol.insert_run_job_step("no-such-program-here", prerequisites=[])
    report = protocol.run()
    assert {path.name for path in tmp_path.glob("[ac] ?")} == {"a b", "c d"}
    assert report.outcomes[bad].error == "RuntimeError: sh ended with exit code 3: broken"
    assert report.outcomes[none].error.startswith("FileNotFoundError")


# -- held steps


def test_a_held_step_waits_for_all_steps_when_insertion_has_ended(tmp_path: Path) -> None:
    def insert(protocol: Steps) -> None:
        protocol.insert_function_step("note", "close", wait=True)
        for number in range(3):
            protocol.insert_function_step("note", number, prerequisites=[])

    protocol = Steps(tmp_path, insert)
    report = protocol.run()
    assert protocol.ran[-1] == "close"
    assert report.plan[1].prerequisites == (2, 3, 4)


def test_several_held_steps_are_released_in_their_order(tmp_path: Path) -> None:
    def insert(protocol: Steps) -> None:
        protocol.insert_function_step("note", "close", wait=True)
        protocol.insert_function_step("note", "report", wait=True)
        protocol.insert_function_step("note", "after close", prerequisites=[1])
        protocol.insert_function_step("note", "work", prerequisites=[])

    protocol = Steps(tmp_path, insert)
    assert protocol.run().ok
    assert protocol.ran[0] == "work"
    assert protocol.ran[1] == "close"
    assert sorted(protocol.ran[2:]) == ["after close", "report"]


def test_a_held_step_can_be_released_by_a_step(tmp_path: Path) -> None:
    class Releasing(Steps):
        def let(self) -> None:
            self.release(1)
            self.note("let")

    protocol = Releasing(tmp_path, threads=2)
    protocol.step("note", "held", after=[], wait=True)
    protocol.step("let", after=[])
    assert protocol.run().ok
    assert sorted(protocol.ran) == ["held", "let"]


def test_a_held_step_that_the_script_releases_waits_for_all_that_exist_then(tmp_path: Path) -> None:
    protocol = Steps(tmp_path)
    held = protocol.step("note", "held", wait=True)
    protocol.step("note", "before", after=[])
    protocol.step("note", "after it", after=[held])
    protocol.release(held)
    protocol.step("note", "later", after=[])
    report = protocol.run()
    assert report.plan[held].prerequisites == (2,)
    assert protocol.ran.index("before") < protocol.ran.index("held") < protocol.ran.index("after it")


def test_a_held_step_whose_prerequisite_failed_does_not_wait_for_ever(tmp_path: Path) -> None:
    protocol = Steps(tmp_path)
    protocol.step("note", "close", wait=True)
    protocol.step("fail", 1, after=[])
    report = protocol.run()
    assert report.statuses[1] is Status.ABORTED
    assert protocol.ran == [1]


# -- what makes no sense


@pytest.fixture
def protocol(tmp_path: Path) -> Iterator[Steps]:
    return Steps(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([Path("a")], "argument 1 .*str\\(path\\)"), ([1, object()], "argument 2"), ([{1: 2}], "key 1 of a dict"),
        ([{1, 2}], "set is nothing"), ([[[lambda: 1]]], "function is nothing"), ([b"x"], "bytes is nothing"),
    ],
)  # fmt: skip
def test_an_argument_that_json_cannot_hold_is_named(protocol: Steps, arguments: list[Any], words: str) -> None:
    with pytest.raises(BadStep, match=words):
        protocol.step("note", *arguments)


def test_the_handle_of_a_step_is_no_argument_and_the_error_says_what_to_write(protocol: Steps) -> None:
    first = protocol.step("note", 1)
    with pytest.raises(BadStep, match=r"argument 1.*a step is no value.*after=.*outcome"):
        protocol.step("note", first)


def test_an_argument_that_holds_itself_is_refused(protocol: Steps) -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(BadStep, match="nested too deeply, or holds itself"):
        protocol.step("note", circle)


def test_arguments_are_pickled_if_asked(tmp_path: Path) -> None:
    protocol = Steps(tmp_path, pickle_arguments=True)
    protocol.step("note", Path("a"), {1, 2})
    assert protocol.run().ok
    assert protocol.ran == [(Path("a"), {1, 2})]
    with pytest.raises(BadStep, match="cannot be pickled"):
        protocol.step("note", lambda: 1)


@pytest.mark.parametrize(
    "function", [None, 3, "no_such", "ran", object()], ids=["None", "3", "unknown", "data", "object"]
)
def test_what_is_no_function_is_refused(protocol: Steps, function: Any) -> None:
    with pytest.raises(BadStep):
        protocol.step(function)


def test_lambdas_and_closures_are_matched_by_their_code_and_what_they_enclose(protocol: Steps, tmp_path: Path) -> None:
    def make(n: int) -> Callable[[], int]:
        return lambda: n

    def identity(function: Any) -> str:
        return protocol._functions.learn(function)[1]

    assert identity(make(1)) == identity(make(1))
    assert identity(make(1)) != identity(make(2))
    assert identity(lambda: 1) != identity(lambda: 2)
    lock = threading.Lock()
    with pytest.raises(BadStep, match=r"the variable 'lock' that it encloses cannot be matched.*as an argument"):
        protocol.step(lambda: lock)


def test_a_run_directory_of_another_protocol_is_refused(tmp_path: Path) -> None:
    assert Steps(tmp_path, numbers(None)).run().ok
    with pytest.raises(AnotherProtocol, match=r"'Steps'.*'other'"):
        Steps(tmp_path, numbers(None), name="other").run()
    assert Steps(tmp_path, numbers(None)).run().ok


def test_a_protocol_without_steps_is_over_at_once(tmp_path: Path) -> None:
    report = Steps(tmp_path).run()
    assert report.ok
    assert str(report) == "0 steps: none"


def test_two_equal_steps_are_two_steps(tmp_path: Path) -> None:
    protocol = Steps(tmp_path)
    for _ in range(3):
        protocol.step("note", "same", after=[])
    assert protocol.run().ok
    assert protocol.ran == ["same"] * 3
