"""An instance that cannot do what is ready waits for one that can, also for one that is only just starting."""

import time
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools.helper import MultiProcessHelper
from multiprocesstools.run.directory import Run
from multiprocesstools.steps import Protocol, runner
from tests.processes import Child, wait_until
from tests.steps.scripts import STEPS, begun

HALVES = (
    STEPS
    + """
class Halves(Stamped):
    def insert_all_steps(self):
        for number in range(4):
            self.insert_function_step("ab"[number % 2], number)
        setattr(self, ARGUMENTS[0], None)  # from here on this instance lacks it
    def a(self, number):
        self.work(number)
    b = a

say(Halves(RUN, **QUICK).run())
"""
)


def test_who_lacks_the_function_of_the_first_step_waits_for_one_that_starts_later(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with Child(run, HALVES, "a") as early:
        wait_until(lambda: list(Path(Run(run).home).glob("steps/in-1.*")), "the early one takes part")
        with Child(run, HALVES, "b") as late:
            assert (early.hear(), late.hear()) == ("4 steps: 4 finished",) * 2
    assert begun(run) == [0, 1, 2, 3]


IN_TURN = "from multiprocesstools.steps import runner\nrunner._LATECOMERS_SECONDS = 1.0\n" + HALVES.replace(
    "range(4)", "range(14)"
).replace("self.work(number)", "self.work(number, 0.25)")


def test_two_that_need_each_other_again_and_again_stay_for_longer_than_one_waits_for_latecomers(tmp_path: Path) -> None:
    run, began = tmp_path / "run", time.monotonic()
    with Child(run, IN_TURN, "a") as one, Child(run, IN_TURN, "b") as other:
        assert (one.hear(), other.hear()) == ("14 steps: 14 finished",) * 2
    assert begun(run) == list(range(14))
    assert time.monotonic() - began > 3.0, "else it says nothing"


@pytest.mark.parametrize("lacks", ["function", "device"])
def test_where_nobody_comes_it_leaves_and_says_what_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    monkeypatch.setattr(runner, "_LATECOMERS_SECONDS", 0.2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    class Left(Protocol):
        def insert_all_steps(self) -> None:
            self.insert_function_step("work", needs_gpu=lacks == "device")
            if lacks == "function":
                self.work = None

        def work(self) -> None:
            raise AssertionError("this instance cannot do it")

    report = Left(tmp_path / "run", gpus=[] if lacks == "device" else None, durable=False).run()
    assert not report.ok
    assert len(report.problems) == 1


@pytest.mark.timeout(60)
def test_several_of_whom_none_can_do_it_do_not_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "_LATECOMERS_SECONDS", 0.5)
    protocol = Protocol(tmp_path / "run", mpi=3, gpus=[], durable=False)
    protocol.step(print, "on a GPU", needs_gpu=True)
    report = protocol.run()
    assert not report.ok
    assert report.notes == ()
    assert "needs a function or a GPU that this instance does not have; waiting 0.5 s" in capfd.readouterr().err


def test_a_report_is_of_the_steps_that_were_run_though_others_begin_anew_right_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: list[bool] = []

    class Work(Protocol):
        def insert_all_steps(self) -> None:
            self.insert_function_step("work")

        def work(self) -> None:
            if broken:
                raise ValueError("broken since")

    leave = MultiProcessHelper.__exit__

    def leave_and_begin_anew(helper: MultiProcessHelper, *error: Any) -> Any:
        left = leave(helper, *error)
        if not broken:
            broken.append(True)
            assert not Work(tmp_path, name="w", durable=False).run(restart=True).ok
        return left

    monkeypatch.setattr(MultiProcessHelper, "__exit__", leave_and_begin_anew)
    protocol = Work(tmp_path, name="w", durable=False)
    assert protocol.run().ok
    assert not protocol.overview().ok  # the later session, in which the step failed
