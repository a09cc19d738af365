"""Inserting while a protocol runs: by steps, by checks, on several machines; and scripts that disagree."""

import json
import threading
from pathlib import Path

import pytest

from multiprocesstools.errors import HelperClosed, StepsDiffer, UnknownStep
from multiprocesstools.run.directory import Run
from multiprocesstools.steps import Status
from multiprocesstools.steps.book import Entry, encode_steps
from multiprocesstools.steps.ledger import Ledger
from multiprocesstools.steps.overview import overview
from multiprocesstools.steps.place import Place
from multiprocesstools.steps.step import CHECK, Step
from tests.processes import Child, wait_until
from tests.steps.scripts import STEPS, begun, crowd
from tests.steps.test_protocol import Steps

GROWING = (
    STEPS
    + """
class Growing(Stamped):
    def insert_all_steps(self):
        self.insert_function_step("read", 6)
        self.insert_function_step("work", "close", wait=True)
    def read(self, n):
        stamp("read", "begin")
        ids = [self.insert_function_step("work", f"register {k}") for k in range(n)]
        self.insert_function_step("work", "table", prerequisites=ids)
        stamp("read", "end")

report = Growing(RUN, threads=2, **QUICK).run()
say("ok" if report.ok else report.problems)
"""
)


def test_what_a_running_step_inserts_waits_for_it_and_the_held_step_for_all(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with crowd(3, run, GROWING):
        pass
    order = begun(run)
    assert order[0] == "read"
    assert order[-2:] == ["table", "close"]
    assert sorted(order[1:-2]) == [f"register {k}" for k in range(6)]
    found = overview(Run(run))
    assert found is not None
    assert [found.plan[s].prerequisites for s in range(3, 10)] == [(1,)] * 6 + [(3, 4, 5, 6, 7, 8)]
    assert found.plan[2].prerequisites == (1, *range(3, 10))


CHECKED = (
    STEPS
    + """
class Streaming(Stamped):
    def insert_all_steps(self):
        self.seen = set()
        self.insert_function_step("work", "open")
        self.insert_function_step("work", "close", wait=True)
    def steps_check(self):
        names = os.listdir(ARGUMENTS[0])
        for name in sorted(set(names) - self.seen - {"end"}):
            self.seen.add(name)
            self.insert_function_step("work", name)
        return "end" not in names

report = Streaming(RUN, check_seconds=0.1, **QUICK).run()
say("ok" if report.ok else report.problems)
"""
)


def test_checks_on_several_machines_insert_each_new_file_once(tmp_path: Path) -> None:
    run, frames = tmp_path / "run", tmp_path / "frames"
    frames.mkdir()
    with crowd(3, run, CHECKED, frames):
        for number in range(5):
            (frames / f"frame{number}").touch()
            wait_until(lambda n=number: f"frame{n}" in begun(run), "the new frame is worked on while it runs")
        (frames / "end").touch()
    order = begun(run)
    assert sorted(order) == sorted(["open", "close", *(f"frame{n}" for n in range(5))])
    assert order[-1] == "close"
    found = overview(Run(run))
    assert found is not None
    assert all(2 not in step.prerequisites for step in found.plan), "nothing waits for a step that is held"
    with Child(run, CHECKED, frames) as again:
        again.hear("ok")
    assert begun(run) == order


class Checked(Steps):
    """A check that answers what it is told."""

    answers: tuple[bool | None, ...] = ()
    asked = 0

    def steps_check(self) -> bool | None:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        if self.asked <= 2:
            self.insert_function_step("note", f"new {self.asked}", prerequisites=[])
        return answer


@pytest.mark.parametrize(
    ("answers", "asked"), [((True, True, True, False), 4), ((None,), 1), ((False,), 1)], ids=["more", "nothing", "over"]
)  # fmt: skip
def test_a_check_says_whether_more_may_come(tmp_path: Path, answers: tuple[bool | None, ...], asked: int) -> None:
    protocol = Checked(tmp_path, check_seconds=0.05)
    protocol.answers = answers
    assert protocol.run().ok
    assert protocol.asked >= asked
    assert protocol.ran[0] == "new 1"


def test_a_held_step_is_released_when_nothing_came_for_long_enough(tmp_path: Path) -> None:
    protocol = Checked(
        tmp_path, lambda p: p.insert_function_step("note", "close", wait=True), check_seconds=0.05,
        check_patience_seconds=0.5,
    )  # fmt: skip
    protocol.answers = (None,)
    assert protocol.run().ok
    assert protocol.ran == ["new 1", "new 2", "close"]


def test_an_exception_in_a_check_is_raised_and_nothing_is_lost(tmp_path: Path) -> None:
    class Bad(Steps):
        broken = True

        def steps_check(self) -> bool:
            if self.broken:
                raise OSError("no such folder")
            return False

    protocol = Bad(tmp_path, lambda p: p.insert_function_step("note", 1))
    with pytest.raises(OSError, match="no such folder"):
        protocol.run()
    protocol.broken = False
    assert protocol.run().ok
    assert protocol.ran == [1]


def test_an_unknown_prerequisite_of_a_new_step_is_an_error_at_once(tmp_path: Path) -> None:
    class Inserting(Steps):
        def insert(self) -> None:
            with pytest.raises(UnknownStep, match="waits for step 99"):
                self.insert_function_step("note", 1, prerequisites=[99])
            with pytest.raises(UnknownStep, match="waits for step 2, which does not exist"):
                self.insert_function_step("note", 1, prerequisites=[2])

    protocol = Inserting(tmp_path)
    protocol.step("insert")
    report = protocol.run().check()
    assert len(report.plan) == 1


def test_two_scripts_that_disagree_are_told_about_which_step(tmp_path: Path) -> None:
    run = tmp_path / "run"
    script = (
        STEPS
        + """
from multiprocesstools.errors import StepsDiffer

class Seven(Stamped):
    def hold(self):
        say("in work")
        wait()
    def insert_all_steps(self):
        self.insert_function_step("hold")
        for number in range(2, 10):
            self.insert_function_step("work", number if number != 7 else int(ARGUMENTS[0]))
try:
    say(Seven(RUN, **QUICK).run())
except StepsDiffer as error:
    say(json.dumps([error.step, error.recorded, error.given, str(error)]))
"""
    )
    with Child(run, script, 70) as first:
        first.hear("in work")
        with Child(run, script, 71) as second:
            step, recorded, given, text = json.loads(second.hear())
            assert (step, recorded, given) == (7, "step 7 work(70), after [6]", "step 7 work(71), after [6]")
            assert recorded in text
            assert given in text
            assert "Seven-1" in text
        with Child(run, script, 70) as third:
            wait_until(lambda: len(Run(run).possibly_alive()) == 2, "one that agrees takes part")
            first.go_on()
            assert (first.hear(), third.hear()) == ("9 steps: 9 finished", "9 steps: 9 finished")


def test_scripts_of_different_length_disagree_where_one_ends() -> None:
    from multiprocesstools.steps.book import Book
    from multiprocesstools.steps.resume import session_entry
    from multiprocesstools.steps.session import compare
    from multiprocesstools.steps.step import Step

    book = Book()
    steps = [Step(1, "a", function="a"), Step(2, "b", function="b")]
    never = {"is_done": lambda item: False, "is_whole": lambda item: True, "failed_attempt": lambda item: 0}
    never["knows"] = lambda step: True
    book.turn(session_entry(book, "p", steps, by="i", restart=False, **never))
    compare(book, steps, [])
    with pytest.raises(StepsDiffer, match=r"recorded: step 2 b.*\n.*here:     no step any more"):
        compare(book, steps[:1], ["other"])


def test_a_step_that_was_taken_over_inserts_nothing_and_says_so(tmp_path: Path) -> None:
    """A zombie: stopped past its patience, it goes on after another instance has carried out its step."""
    run = tmp_path / "run"
    script = (
        STEPS
        + """
from multiprocesstools.errors import StepTakenOver
QUICK |= {"beat_seconds": 0.2, "patience_seconds": 1}

class Zombie(Stamped):
    def insert_all_steps(self):
        self.insert_function_step("grow", wait=False)
    def grow(self):
        stamp("grow", "begin")
        if ARGUMENTS[0] == "zombie":
            say("in work")
            wait()
            try:
                self.insert_function_step("work", "of the zombie")
            except StepTakenOver as error:
                say(error)
                raise
        self.insert_function_step("work", "of the heir")

say(Zombie(RUN, **QUICK).run())
"""
    )
    with Child(run, script, "zombie") as zombie:
        zombie.hear("in work")
        slot = next((run / "steps").glob(".grow.*.claim-1"))
        end = {
            "format": 1, "outcome": "died", "exception": "silent", "traceback": "", "host": "h", "pid": 1, "started": 0,
            "ended": 0, "by": "another machine",
        }  # fmt: skip
        slot.with_name(slot.name.replace("claim-1", "ended-1")).write_text(json.dumps(end))
        with Child(run, script, "heir") as heir:
            wait_until(lambda: "of the heir" in begun(run), "the heir has taken it over")
            zombie.go_on()
            assert "step 1 grow() was taken over by another instance" in zombie.hear()
            assert zombie.hear() == "2 steps: 2 finished"
            assert heir.hear() == "2 steps: 2 finished"
    assert begun(run) == ["grow", "grow", "of the heir"]


def test_a_second_attempt_finds_what_the_first_had_inserted(tmp_path: Path) -> None:
    run = tmp_path / "run"
    script = (
        STEPS
        + """
class Twice(Stamped):
    def insert_all_steps(self):
        self.insert_function_step("grow")
    def grow(self):
        for k in range(4):
            say(self.insert_function_step("work", k))
            if k == 2 and ARGUMENTS[0] == "victim":
                os.kill(os.getpid(), 9)

say(Twice(RUN, **QUICK).run())
"""
    )
    with Child(run, script, "victim") as victim:
        assert [victim.hear() for _ in range(3)] == ["2", "3", "4"]
        victim.finish()
    with Child(run, script, "heir") as heir:
        assert [heir.hear() for _ in range(4)] == ["2", "3", "4", "5"]
        assert heir.hear() == "5 steps: 5 finished"
    assert begun(run) == [0, 1, 2, 3]


def test_equal_steps_that_wait_for_others_are_several_steps_also_the_second_time(tmp_path: Path) -> None:
    class Inserting(Steps):
        tries = 0

        def insert(self) -> None:
            self.tries += 1
            ids = [
                self.insert_function_step("note", 1, prerequisites=[]),
                self.insert_function_step("note", 1),
                self.insert_function_step("note", 2, wait=True),
                self.insert_function_step("note", 2, prerequisites=[]),
            ]
            assert ids == [2, 3, 4, 5]
            if self.tries == 1:
                raise ValueError("after it has inserted them")

    protocol = Inserting(tmp_path, retry_failures=True)
    protocol.step("insert")
    assert protocol.run().ok
    assert protocol.tries == 2
    assert sorted(protocol.ran) == [1, 1, 2, 2]


def test_inserting_does_not_read_the_whole_record_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    catch_up = Ledger.catch_up
    monkeypatch.setattr(Ledger, "catch_up", lambda ledger: read.append(1) or catch_up(ledger))

    class Inserting(Steps):
        def insert(self) -> None:
            before = len(read)
            for number in range(50):
                self.insert_function_step("note", number)
            assert len(read) == before

    protocol = Inserting(tmp_path)
    protocol.step("insert")
    assert protocol.run().counts == {Status.FINISHED: 51}


def test_who_was_silent_and_was_not_taken_over_inserts_what_it_likes(tmp_path: Path) -> None:
    class Silent(Steps):
        def insert(self) -> None:
            instance = self._part._crew.latest_member.instance  # type: ignore[union-attr]
            instance.beats._overdue_at = 0.0
            assert instance.overdue()
            self.insert_function_step("note", 1)

    protocol = Silent(tmp_path, beat_seconds=20, patience_seconds=300)
    protocol.step("insert")
    assert protocol.run().problems == []
    assert protocol.ran == [1]


def test_what_a_step_inserts_after_its_run_was_left_is_refused(tmp_path: Path) -> None:
    """A check raises, so the run ends while a thread still works on a step."""
    begun, left, refused = threading.Event(), threading.Event(), threading.Event()

    class Left(Steps):
        def insert(self) -> None:
            begun.set()
            left.wait(20)
            try:
                self.insert_function_step("note", 1)
            except HelperClosed:
                refused.set()

        def steps_check(self) -> bool:
            if begun.wait(20):
                raise OSError("no such folder")
            return False

    protocol = Left(tmp_path, threads=2)
    protocol.step("insert")
    with pytest.raises(OSError, match="no such folder"):
        protocol.run()
    left.set()
    assert refused.wait(20)
    assert protocol.update_steps() == 1, "the script has not changed"


LATE = (
    STEPS
    + """
from multiprocesstools.steps.conductor import Conductor

class Late(Stamped):
    def insert_all_steps(self):
        self.insert_function_step("grow")
    def grow(self):
        say("in work")
        wait()
        self.insert_function_step("late")
    def late(self):
        say("late")
        wait()

if ARGUMENTS[0] == "other":
    read = Conductor.read
    def read_and_wait(self):
        read(self)
        if not self.frontier.is_over:
            say("has read the record")
            wait()
    Conductor.read = read_and_wait
say("over", Late(RUN, **QUICK).run())
"""
)


def test_who_sees_the_end_of_a_step_learns_what_it_has_inserted_before_it_leaves(tmp_path: Path) -> None:
    """The other one has read the record before the step inserts, and lists the items after that step has ended."""
    run = tmp_path / "run"
    with Child(run, LATE, "one") as one:
        one.hear("in work")
        with Child(run, LATE, "other") as other:
            other.hear("has read the record")
            one.go_on()
            one.hear("late")
            other.go_on(1000)  # it lists the end of the first step, and knows of no other
            other.hear("has read the record")
            one.go_on()
            while (heard := other.hear()) == "has read the record":
                pass
            assert heard == "over 2 steps: 2 finished"
            one.hear("over 2 steps: 2 finished")


def test_a_held_step_is_not_released_while_somebody_was_faster_to_record_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Just when all seems to have ended, a step is recorded that inserts another one."""
    recorded: list[Step] = []
    append = Ledger.append

    def append_second(ledger: Ledger, entry: Entry) -> list[int] | None:
        if entry["kind"] == "release" and not recorded:
            other = Place(Run(tmp_path)).ledger()
            other.catch_up()
            recorded.append(Step(3, "insert", function="self.insert", origin=CHECK))
            assert append(other, {"kind": "steps", "steps": encode_steps(recorded)})
        return append(ledger, entry)

    class Held(Steps):
        def insert(self) -> None:
            self.insert_function_step("note", "inserted")

    monkeypatch.setattr(Ledger, "append", append_second)
    protocol = Held(tmp_path)
    protocol.step("note", "close", wait=True)
    protocol.step("note", 1, after=[])
    assert protocol.run().plan[1].prerequisites == (2, 3, 4)
    assert protocol.ran == [1, "inserted", "close"]
