"""Starting again: what is skipped, what runs again, and that no final is ever replaced."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools.errors import BadArgument
from multiprocesstools.steps import Status
from tests.processes import Child, wait_until
from tests.steps.scripts import STEPS, begun
from tests.steps.test_protocol import Steps


def run(directory: Path, insert: Callable[[Steps], None], **options: Any) -> tuple[list[Any], Any]:
    """Run a protocol; what was run, and the report."""
    protocol = Steps(directory, insert)
    report = protocol.run(**options)
    return protocol.ran, report


def forked(protocol: Steps) -> None:
    """a, and b and c after it; x by itself."""
    a = protocol.insert_function_step("note", "a", prerequisites=[])
    b = protocol.insert_function_step("note", "b", prerequisites=[a])
    protocol.insert_function_step("note", "c", prerequisites=[b])
    protocol.insert_function_step("note", "x", prerequisites=[])


def contents(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {p.name: (p.stat().st_ino, p.read_bytes()) for p in (directory / "steps").glob("*.json")}


def test_an_unchanged_protocol_runs_nothing_a_second_time(tmp_path: Path) -> None:
    assert sorted(run(tmp_path, forked)[0]) == ["a", "b", "c", "x"]
    ran, report = run(tmp_path, forked)
    assert ran == []
    assert report.ok
    assert report.outcomes[1].result is None


def test_a_restart_runs_everything_again_and_replaces_no_final(tmp_path: Path) -> None:
    run(tmp_path, forked)
    before = contents(tmp_path)
    ran = run(tmp_path, forked, restart=True)[0]
    assert sorted(ran) == ["a", "b", "c", "x"]
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(after) == 8
    assert sorted(name.split(".")[-2] for name in after) == ["1"] * 4 + ["2"] * 4
    assert run(tmp_path, forked)[0] == []


def test_a_step_inserted_in_the_middle_reruns_only_what_waits_for_it(tmp_path: Path) -> None:
    run(tmp_path, forked)

    def more(protocol: Steps) -> None:
        a = protocol.insert_function_step("note", "a", prerequisites=[])
        new = protocol.insert_function_step("note", "new", prerequisites=[])
        b = protocol.insert_function_step("note", "b", prerequisites=[a])
        protocol.insert_function_step("note", "c", prerequisites=[b, new])
        protocol.insert_function_step("note", "x", prerequisites=[])

    assert run(tmp_path, more)[0] == ["new", "c"]


def test_a_file_that_is_gone_reruns_its_step_and_what_waits_for_it(tmp_path: Path) -> None:
    made = tmp_path / "made.txt"

    class Making(Steps):
        def make(self) -> list[str]:
            self.note("make")
            made.write_text("x")
            return [str(made)]

        def insert_all_steps(self) -> None:
            self.insert_function_step("note", "first")
            self.insert_function_step("make")
            self.insert_function_step("note", "last")

    def again() -> list[Any]:
        protocol = Making(tmp_path / "run")
        assert protocol.run().ok
        return protocol.ran

    assert again() == ["first", "make", "last"]
    assert again() == []
    made.unlink()
    assert again() == ["make", "last"]
    assert again() == []


def test_what_failed_is_tried_again_by_the_next_start(tmp_path: Path) -> None:
    class Mended(Steps):
        broken = True

        def work(self) -> None:
            self.note("work")
            if self.broken:
                raise ValueError("broken")

        def insert_all_steps(self) -> None:
            self.insert_function_step("note", "first")
            self.insert_function_step("work")
            self.insert_function_step("note", "last")

    protocol = Mended(tmp_path)
    assert protocol.run().counts == {Status.FINISHED: 1, Status.FAILED: 1, Status.ABORTED: 1}
    protocol.broken, protocol.ran = False, []
    assert protocol.run().ok
    assert protocol.ran == ["work", "last"]


def test_a_prerequisite_that_was_removed_reruns_the_step(tmp_path: Path) -> None:
    run(tmp_path, forked)

    def fewer(protocol: Steps) -> None:
        protocol.insert_function_step("note", "a", prerequisites=[])
        b = protocol.insert_function_step("note", "b", prerequisites=[])
        protocol.insert_function_step("note", "c", prerequisites=[b])

    ran, report = run(tmp_path, fewer)
    assert ran == ["b", "c"]
    assert len(report.plan) == 3


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    script = (
        STEPS
        + """
class Killed(Stamped):
    def insert_all_steps(self):
        self.insert_function_step("grow")
        self.insert_function_step("work", "close", wait=True)
    def grow(self):
        stamp("grow", "begin")
        for k in range(4):
            self.insert_function_step("second", k)
    def second(self, k):
        stamp(k, "begin")
        if k == 2 and ARGUMENTS[0] == "victim":
            os.kill(os.getpid(), 9)

say(Killed(RUN, **QUICK).run())
"""
    )
    with Child(directory, script, "victim") as child:
        assert child.finish() == -9
    first = begun(directory)
    assert sorted(first[1:], key=str) == [0, 1, 2]
    with Child(directory, script, "heir") as child:
        assert child.hear() == "6 steps: 6 finished"
    assert begun(directory)[len(first) :] == [2, 3, "close"]


def test_a_restart_while_others_are_at_work_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    script = (
        STEPS
        + """
from multiprocesstools.errors import BadArgument
class Held(Stamped):
    def hold(self):
        say("in work")
        wait()
    def insert_all_steps(self):
        self.insert_function_step("hold")
try:
    say(Held(RUN, **QUICK).run(restart=ARGUMENTS[0] == "restart"))
except BadArgument as error:
    say(error)
"""
    )
    with Child(directory, script, "first") as first:
        first.hear("in work")
        with Child(directory, script, "restart") as second:
            assert "restart=True: others are at work: Held-1" in second.hear()
        first.go_on()
        first.hear("1 steps: 1 finished")
    with Child(directory, script, "restart") as one:
        one.hear("in work")
        with Child(directory, script, "restart") as two:  # the same restart, on another machine
            marks = directory / ".multiprocesstools" / "steps"
            wait_until(lambda: len(list(marks.glob("in-2.*"))) == 2, "it takes part")
            one.go_on()
            assert (one.hear(), two.hear()) == ("1 steps: 1 finished", "1 steps: 1 finished")


def test_a_restart_with_several_processes_here_is_one_restart(tmp_path: Path) -> None:
    for expected in (1, 2):
        protocol = Steps(tmp_path, mpi=3)
        for number in range(4):
            protocol.step("note", number, after=[])
        report = protocol.run(restart=True)
        assert report.ok
        assert {name.split(".")[-2] for name in report.items.values()} == {str(expected)}


def test_restart_is_no_other_word(tmp_path: Path) -> None:
    with pytest.raises((TypeError, BadArgument)):
        Steps(tmp_path).run(resume=False)  # type: ignore[call-arg]
