"""What a later start goes on from: steps that were held, steps that others have inserted, steps that had failed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools.run.directory import Run
from multiprocesstools.run.journal import read_journal
from multiprocesstools.steps import Status
from multiprocesstools.steps.place import Place
from multiprocesstools.steps.resume import session_entry
from tests.processes import command
from tests.steps.test_protocol import Steps


class Growing(Steps):
    """A held step inserts another one, as does a step after it; `trouble` is called by what is inserted."""

    trouble: Callable[[], None] = staticmethod(lambda: None)

    def insert_all_steps(self) -> None:
        self.insert_function_step("find", prerequisites=[])
        self.insert_function_step("merge", wait=True)
        self.insert_function_step("tell", prerequisites=[2])

    def find(self) -> None:
        self.note("find")

    def merge(self) -> None:
        self.note("merge")
        self.insert_function_step("publish", "merged")

    def tell(self) -> None:
        self.note("tell")
        self.insert_function_step("publish", "told")

    def publish(self, what: str) -> None:
        self.note(what)
        self.trouble()


def interrupt() -> None:
    raise KeyboardInterrupt


def run(directory: Path, kind: type[Steps] = Growing, **attributes: Any) -> list[Any]:
    """What a start has carried out; it finishes everything."""
    protocol = kind(directory)
    vars(protocol).update(attributes)
    assert protocol.run().ok
    return protocol.ran


def test_what_a_held_step_has_inserted_is_done_by_a_later_start_and_nothing_else(tmp_path: Path) -> None:
    first = Growing(tmp_path)
    first.trouble = interrupt
    with pytest.raises(KeyboardInterrupt):
        first.run()
    assert first.ran[:2] == ["find", "merge"]
    later = run(tmp_path)
    assert sorted([*first.ran, *later]) == sorted(["find", "merge", "tell", "merged", "told", first.ran[-1]])
    assert run(tmp_path) == []


class Interrupted(Growing):
    """Its check has trouble, before anything held is released."""

    def steps_check(self) -> bool:
        raise OSError("no such folder")


@pytest.mark.parametrize("times", [1, 2])
def test_a_start_that_ends_before_it_comes_to_held_steps_lets_the_next_one_find_what_they_left(
    tmp_path: Path, times: int
) -> None:
    assert sorted(run(tmp_path)) == ["find", "merge", "merged", "tell", "told"]
    for _ in range(times):
        with pytest.raises(OSError, match="no such folder"):
            Interrupted(tmp_path, name="Growing").run()
    assert run(tmp_path) == []


class Streaming(Steps):
    """A check inserts what may fail; what closes the set is held."""

    broken = True

    def insert_all_steps(self) -> None:
        self.insert_function_step("note", "close", wait=True)

    def steps_check(self) -> bool:
        for number in range(3):
            self.insert_function_step("register", number, prerequisites=[], tolerate_failure=True)
        return False

    def register(self, number: int) -> None:
        self.note(number)
        if self.broken and number == 1:
            raise ValueError("as told")


def test_a_step_of_a_check_that_failed_is_tried_again_and_what_tolerated_it_follows(tmp_path: Path) -> None:
    protocol = Streaming(tmp_path, check_seconds=0.05)
    report = protocol.run()
    assert protocol.ran == [0, 1, 2, "close"]
    assert report.counts == {Status.FINISHED: 3, Status.FAILED: 1}
    assert run(tmp_path, Streaming, broken=False) == [1, "close"]
    assert run(tmp_path, Streaming, broken=False) == []


@pytest.mark.parametrize("by", ["start", "command"])
def test_what_a_check_inserts_after_a_step_that_failed_follows_it(tmp_path: Path, by: str) -> None:
    class Chains(Streaming):
        def steps_check(self) -> bool:
            for number in range(3):
                first = self.insert_function_step("register", number, prerequisites=[], tolerate_failure=True)
                self.insert_function_step("note", f"after {number}", prerequisites=[first])
            return False

    assert Chains(tmp_path, check_seconds=0.05).run().ok
    if by == "command":
        step = next(s.id for s in Chains(tmp_path).overview().plan if s.arguments == "[1]")
        assert command("retry", tmp_path, str(step)).returncode == 0
    assert run(tmp_path, Chains, broken=False) == [1, "after 1", "close"]
    assert run(tmp_path, Chains, broken=False) == []


@pytest.mark.parametrize("when", ["between", "while it runs"])
def test_what_went_on_without_a_step_follows_also_if_that_was_retried_by_the_command(tmp_path: Path, when: str) -> None:
    class Tolerant(Steps):
        def insert_all_steps(self) -> None:
            self.insert_function_step("mend", prerequisites=[], tolerate_failure=True)
            self.insert_function_step("note", "after")
            self.insert_function_step("last")
            self.insert_function_step("note", "close", wait=True)

        def mend(self) -> None:
            self.note("mend")
            if self.broken:
                raise ValueError("not yet")

        def last(self) -> None:
            if when == "while it runs" and self.broken:
                self.broken = False
                assert command("retry", tmp_path, "1").returncode == 0

        broken = True

    assert Tolerant(tmp_path).run().ok
    if when == "between":
        assert command("retry", tmp_path, "1").returncode == 0
    mended = [] if when == "while it runs" else ["mend"]
    assert run(tmp_path, Tolerant, broken=False) == [*mended, "after", "close"]
    assert run(tmp_path, Tolerant, broken=False) == []


def test_what_a_step_had_inserted_and_nobody_else_knows_is_inserted_anew_by_it(tmp_path: Path) -> None:
    """A function inside another is known to those who have called that."""

    class Inner(Steps):
        def insert(self) -> None:
            def inner(number: int) -> None:
                self.note(number)
                if number == 2:
                    self.trouble()

            self.note("insert")
            for number in range(3):
                self.insert_function_step(inner, number)

        trouble = staticmethod(interrupt)

    first = Inner(tmp_path)
    first.step("insert")
    with pytest.raises(KeyboardInterrupt):
        first.run()
    assert "inner(2) can start, by who inserted it" in first.overview().problems[0]
    later = Inner(tmp_path)
    later.trouble = lambda: None  # type: ignore[method-assign]
    later.step("insert")
    assert later.run().ok
    assert first.ran == ["insert", 0, 1, 2]
    assert later.ran == ["insert", 0, 1, 2]
    again = Inner(tmp_path)
    again.step("insert")
    assert again.run().ok
    assert again.ran == []


def begin_anew(directory: Path, protocol: str = "Steps") -> None:
    """As another instance does, which takes all others for gone."""
    place = Place(Run(directory))
    ledger = place.ledger()
    ledger.catch_up()
    entry = session_entry(
        ledger.book, protocol, ledger.book.of_script(), by="another", restart=False, is_done=lambda item: False,
        is_whole=lambda item: True, failed_attempt=lambda item: 0, knows=lambda step: True,
    )  # fmt: skip
    assert ledger.append(entry) is not None


@pytest.mark.parametrize("threads", [1, 2])
def test_who_is_overtaken_by_a_new_session_takes_part_in_that_one(tmp_path: Path, threads: int) -> None:
    class Overtaken(Steps):
        overtaken = 0

        def begin(self) -> None:
            self.overtaken += 1
            if self.overtaken == 1:
                begin_anew(tmp_path, "Overtaken")
            self.insert_function_step("note", "inserted")

    protocol = Overtaken(tmp_path, threads=threads)
    protocol.step("begin", after=[])
    protocol.step("note", "after")
    report = protocol.run()
    assert report.ok, report.problems
    assert protocol.overtaken == 2, "what it inserted was refused, so the step was given back, and did not fail"
    assert sorted(protocol.ran) == ["after", "inserted"]
    events = [event["event"] for path in tmp_path.rglob("*.jsonl") for event in read_journal(path)]
    assert "failed" not in events
    assert "dropped" in events
