"""`map`: a function over a list, shared by all who map it, in this process or by an executor."""

import functools
import json
import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools import MultiProcessHelper, Summary
from multiprocesstools.calls.call import check_save, takes_path
from multiprocesstools.claims.claim import first_attempt
from multiprocesstools.claims.slots import Slot
from multiprocesstools.crew.crew import Crew
from multiprocesstools.display.progress import Tally
from multiprocesstools.errors import BadArgument, MultiProcessError, TooManyFailures
from tests.mapped import QUIET, Reluctant, assert_all_ended, mapped, square, write, write_nothing, write_pid
from tests.processes import Child, command, events, hidden, names, outputs, wait_until

N = 3
forks_beside_threads = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def mph(run: Path) -> Iterator[MultiProcessHelper]:
    with MultiProcessHelper("test", run, stop_after=None, **QUIET) as helper:
        yield helper


@contextmanager
def nothing() -> Iterator[None]:
    yield None


EXECUTORS: dict[str, Callable[[], Any]] = {
    "here": nothing,
    "threads": lambda: ThreadPoolExecutor(N),
    "fork": lambda: ProcessPoolExecutor(N, multiprocessing.get_context("fork")),
    "spawn": lambda: ProcessPoolExecutor(2, multiprocessing.get_context("spawn")),
}
HERE = ["here", "threads"]


@forks_beside_threads
@pytest.mark.parametrize("how", EXECUTORS)
class TestEverywhere:
    """The same in this process, by threads and by processes."""

    def test_a_function_of_source_and_path_writes_the_outputs(
        self, run: Path, mph: MultiProcessHelper, how: str
    ) -> None:
        with EXECUTORS[how]() as executor:
            summary = mapped(mph, write, range(20), executor=executor)
        assert outputs(run) == {f"{number}.txt": str(number) for number in range(20)}
        assert hidden(run) == []
        assert (summary.total, summary.done, summary.here, summary.before, summary.unfinished) == (20, 20, 20, 0, 0)
        assert [event["attempt"] for event in events(run, "done")] == [1] * 20

    def test_the_value_of_a_function_of_source_is_saved(self, run: Path, mph: MultiProcessHelper, how: str) -> None:
        with EXECUTORS[how]() as executor:
            summary = mapped(mph, square, range(6), final="{value}.json", executor=executor)
        assert {name: json.loads(text)["square"] for name, text in outputs(run).items()} == {
            f"{number}.json": number**2 for number in range(6)
        }
        assert (summary.done, summary.failed, summary.failures) == (6, 0, ())


@forks_beside_threads
def test_workers_do_the_work_and_this_process_holds_the_claims(run: Path, mph: MultiProcessHelper) -> None:
    with EXECUTORS["fork"]() as executor:
        mapped(mph, write_pid, range(12), executor=executor)
    pids = set(outputs(run).values())
    assert str(os.getpid()) not in pids and len(pids) <= N
    assert len(events(run, "started")) == 1


def test_as_many_items_are_in_work_as_there_are_workers(run: Path, mph: MultiProcessHelper) -> None:
    """Each waits until three are there, so with fewer it would never end; and there are never more claims."""
    meet, most = threading.Barrier(N, timeout=10), []

    def together(source: int, path: Path) -> None:
        meet.wait()
        most.append(sum(".claim-" in name for name in hidden(run)))
        meet.wait()
        path.write_text("done")

    with ThreadPoolExecutor(N) as executor:
        assert mapped(mph, together, range(4 * N), executor=executor).done == 4 * N
    assert set(most) == {N}


def test_what_is_in_work_is_not_tried_once_more(mph: MultiProcessHelper, monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk comes round to where it began while the first items are still in work."""
    tried, win, looked = [], Crew.win, threading.Event()

    def noted(crew: Crew, take: Any, slot: Slot, how: Any) -> Any:
        if take is first_attempt:  # else it is one of those that were tried before
            tried.append(slot.name)
        return win(crew, take, slot, how)

    def work(source: int, path: Path) -> None:
        looked.wait(10)
        path.write_text("done")

    def listen(tally: Tally) -> None:
        if tally.waiting_for:
            looked.set()

    monkeypatch.setattr(Crew, "win", noted)
    with ThreadPoolExecutor(7) as executor:
        assert mapped(mph, work, range(6), executor=executor, progress=listen).done == 6
    assert sorted(tried) == [f"{number}.txt" for number in range(6)]


@pytest.mark.parametrize(("says", "expected"), [(2, 2), (None, len(os.sched_getaffinity(0)))])
def test_an_executor_says_how_many_or_the_processors_count(
    run: Path, mph: MultiProcessHelper, says: int | None, expected: int
) -> None:
    claims = []

    def count(source: int, path: Path) -> None:
        if source == 0:
            wait_until(lambda: len(hidden_claims(run)) == expected, "as many claims as workers")
            claims.append(len(hidden_claims(run)))
        path.write_text("done")

    with Reluctant(says) as executor:
        mapped(mph, count, range(20), executor=executor, order="given")
    assert claims == [expected]


def hidden_claims(run: Path) -> list[str]:
    return [name for name in hidden(run) if ".claim-" in name]


@pytest.mark.parametrize("how", HERE)
class TestFailures:
    """Retries, limits and `on_error` mean with an executor what they mean without."""

    def test_an_item_that_fails_is_tried_again_and_set_aside_after_its_attempts(
        self, run: Path, mph: MultiProcessHelper, how: str
    ) -> None:
        tries: Counter[int] = Counter()

        def fail(source: int, path: Path) -> None:
            tries[source] += 1
            if source == 1 or (source == 2 and tries[source] < 3):
                raise ValueError(f"no {source}\x1b[2J")
            path.write_text("done")

        with EXECUTORS[how]() as executor:
            summary = mapped(mph, fail, range(6), executor=executor)
        assert tries == {0: 1, 1: 3, 2: 3, 3: 1, 4: 1, 5: 1}
        assert (summary.done, summary.failed, summary.here, summary.unfinished) == (5, 1, 5, 0)
        [failure] = summary.failures
        assert (failure.item, failure.attempt) == ("out/1.txt", 3)
        assert "raise ValueError" in failure.traceback and "in fail" in failure.traceback
        assert "out/1.txt (attempt 3): ValueError: no 1\\x1b[2J" in str(summary)
        assert "\x1b" not in str(summary)
        assert "`multiprocesstools status --failed " in str(summary)
        assert not any(name.startswith(".mpt-") for name in hidden(run))

    def test_retry_failed_tries_again(self, run: Path, mph: MultiProcessHelper, how: str) -> None:
        good = threading.Event()

        def fail(source: int, path: Path) -> None:
            if not good.is_set():
                raise ValueError("no")
            path.write_text("done")

        with EXECUTORS[how]() as executor:
            assert mapped(mph, fail, range(2), executor=executor).failed == 2
            good.set()
            assert mapped(mph, fail, range(2), executor=executor).failed == 2
            assert mapped(mph, fail, range(2), executor=executor, retry_failed=True).done == 2

    def test_too_many_failures_end_it_and_nothing_stays_claimed(self, run: Path, how: str) -> None:
        def fail(source: int) -> int:
            raise NameError("a typo")

        with (
            EXECUTORS[how]() as executor,
            MultiProcessHelper("test", run, stop_after=4, **QUIET) as mph,
            pytest.raises(TooManyFailures, match="4 items failed in a row"),
        ):
            mapped(mph, fail, range(40), final="{value}.json", executor=executor)
        assert_all_ended(run)
        assert 4 <= len(events(run, "failed")) <= 4 + N

    def test_on_error_raise_lets_the_exception_through(self, run: Path, how: str) -> None:
        def fail(source: int, path: Path) -> None:
            if source == 5:
                raise LookupError("five")
            path.write_text("done")

        with (
            EXECUTORS[how]() as executor,
            MultiProcessHelper("test", run, on_error="raise", **QUIET) as mph,
            pytest.raises(LookupError, match="five"),
        ):
            mapped(mph, fail, range(20), executor=executor, order="given")
        assert_all_ended(run)
        assert [event["item"] for event in events(run, "failed")] == ["out/5.txt"]
        assert len(outputs(run)) < 20

    def test_without_wait_it_still_waits_for_what_it_has_in_work(
        self, run: Path, mph: MultiProcessHelper, how: str
    ) -> None:
        tries: Counter[int] = Counter()

        def fail(source: int, path: Path) -> None:
            tries[source] += 1
            if tries[source] < 3:
                raise ValueError("not yet")
            path.write_text("done")

        with EXECUTORS[how]() as executor:
            summary = mapped(mph, fail, range(4), executor=executor, wait=False)
        assert (summary.done, summary.unfinished, summary.ended) == (4, 0, "")
        assert set(tries.values()) == {3}


def test_what_fails_after_the_last_look_is_still_tried_again(mph: MultiProcessHelper) -> None:
    """Nothing is left to claim, and with wait=False nobody waits for others; but these are its own."""
    looked, tries = threading.Event(), []

    def fail_first(source: int, path: Path) -> None:
        tries.append(source)
        if len(tries) <= 2:
            looked.wait(3)
            raise ValueError("not yet")
        path.write_text("done")

    def listen(tally: Tally) -> None:
        if tally.waiting_for:
            looked.set()

    with ThreadPoolExecutor(N) as executor:
        summary = mapped(mph, fail_first, range(2), executor=executor, wait=False, progress=listen)
    assert (summary.done, summary.unfinished, sorted(tries)) == (2, 0, [0, 0, 1, 1])


class TestWhatIsWritten:
    """A function that writes nothing, writes elsewhere, or returns what cannot be saved."""

    @pytest.mark.parametrize("how", HERE)
    def test_nothing(self, run: Path, mph: MultiProcessHelper, how: str) -> None:
        with EXECUTORS[how]() as executor:
            summary = mapped(mph, write_nothing, range(2), executor=executor)
        assert summary.failed == 2
        words = {failure.exception for failure in summary.failures}
        assert words == {
            "FunctionWroteNothing: the function came back and has not written the path that it was given, which "
            f"becomes '{number}.txt'; it returned a value of type int, which is saved for a function(source) of one "
            "parameter; write to exactly that path"
            for number in range(2)
        }

    @pytest.mark.parametrize("how", HERE)
    def test_beside_the_path(self, run: Path, mph: MultiProcessHelper, how: str) -> None:
        def add_a_suffix(source: int, path: Path) -> None:
            path.with_name(path.name + ".npy").write_text("there")

        with EXECUTORS[how]() as executor:
            summary = mapped(mph, add_a_suffix, range(2), final="{value}.dat", executor=executor)
        words = sorted(failure.exception for failure in summary.failures)
        assert all(f"it wrote '{number}.dat.npy' instead (removed)" in words[number] for number in range(2))
        assert not any(name.startswith(".mpt-") for name in hidden(run))

    def test_what_another_item_writes_is_never_removed(self, run: Path, mph: MultiProcessHelper) -> None:
        """x.dat writes nothing while x.dat.npy is being written, whose private name begins like that of x.dat."""
        begun, failed = threading.Event(), threading.Event()

        def work(source: str, path: Path) -> None:
            if source == "x.dat":
                begun.wait(10)
                return
            path.write_text("whole")
            begun.set()
            failed.wait(10)

        def listen(tally: Tally) -> None:
            if len(mph.failures) == 1:
                failed.set()

        with ThreadPoolExecutor(2) as executor:
            summary = mapped(mph, work, ["x.dat", "x.dat.npy"], final="{value}", executor=executor, progress=listen)
        assert (summary.done, summary.failed) == (1, 1)
        assert [failure.item for failure in mph.failures] == ["out/x.dat"] * 3
        assert outputs(run) == {"x.dat.npy": "whole"}

    def test_the_final_itself(self, run: Path, mph: MultiProcessHelper, capfd: pytest.CaptureFixture[str]) -> None:
        """It is done, by whoever wrote it; that is said."""

        def write_the_final(source: int, path: Path) -> None:
            (run / "out" / f"{source}.txt").write_text("there")

        summary = mapped(mph, write_the_final, range(2))
        assert (summary.done, summary.here) == (2, 0)
        assert "something was written to item.final" in capfd.readouterr().err

    @pytest.mark.parametrize("how", HERE)
    def test_what_cannot_be_saved(self, run: Path, mph: MultiProcessHelper, how: str) -> None:
        with EXECUTORS[how]() as executor:
            summary = mapped(mph, lambda source: {source}, range(2), final="{value}.json", executor=executor)
        assert summary.failed == 2
        words = min(failure.exception for failure in summary.failures)
        assert words.startswith("CannotSave: '0.json': a value of type set cannot be saved as .json: ")

    def test_a_save_of_ones_own(self, run: Path, mph: MultiProcessHelper) -> None:
        summary = mapped(mph, lambda source: source, range(2), save=lambda value, path: path.write_text(f"<{value}>"))
        assert (summary.done, outputs(run)) == (2, {"0.txt": "<0>", "1.txt": "<1>"})
        summary = mapped(mph, lambda source: None, [7], save=lambda value, path: None)
        assert "has not written the path" in summary.failures[0].exception

    def test_several_files(self, run: Path, mph: MultiProcessHelper) -> None:
        def both(source: int, paths: list[Path]) -> None:
            for number, path in enumerate(paths if source else paths[1:]):
                path.write_text(str(number))

        summary = mapped(mph, both, range(2), final=["{value}.log", "{value}.txt"])
        assert (summary.done, summary.failed) == (1, 1)
        assert "becomes '0.log'" in summary.failures[0].exception
        assert outputs(run) == {"1.log": "0", "1.txt": "1"}


class TestSignatures:
    """Which kind a function is, is decided before anything is claimed, by what must be given to it."""

    @pytest.mark.parametrize(
        ("function", "expected"),
        [
            (lambda source: 1, False), (lambda source, path: 1, True), (lambda source, radius=3: 1, False),
            (lambda source, path, radius=3: 1, True), (lambda source, *more: 1, False), (lambda *, a=1, **b: 1, None),
            (lambda source, path, *more: 1, True), (lambda source=None: 1, False), (len, False), (int, None),
            (functools.partial(write, "x"), False), (functools.partial(write, path=Path()), False),
            (functools.partial(print), None), ("text".join, False), (str.join, True), (Summary, None), (dict, None),
            (lambda *any: 1, None), (lambda a=1, b=2: 1, None), (lambda: 1, None), (lambda a, b, c: 1, None),
            (lambda a, *, key: 1, None), ("write", None), (None, None),
        ],
    )  # fmt: skip
    def test_a_function_is_of_one_of_two_kinds(self, function: Any, expected: bool | None) -> None:
        if expected is None:
            with pytest.raises(BadArgument, match=r"function\(source\)|write a def around it") as caught:
                takes_path(function)
            assert caught.value.argument == "function"
        else:
            assert takes_path(function) is expected

    def test_a_coroutine_is_refused(self) -> None:
        async def later(source: int) -> int:
            return source

        with pytest.raises(BadArgument, match="coroutine"):
            takes_path(later)

    def test_save_belongs_to_functions_that_return_a_value(self) -> None:
        assert check_save(write, with_path=False) is write
        for given in (".npy", 3, lambda value: 1, int):
            with pytest.raises(BadArgument, match="save="):
                check_save(given, with_path=False)
        with pytest.raises(BadArgument, match=r"takes \(source, path\)"):
            check_save(write, with_path=True)

    @pytest.mark.parametrize(
        "more",
        [
            {"function": 3}, {"function": square, "final": "{value}.tif"}, {"function": square, "final": "{value}"},
            {"function": square, "final": ["{value}.csv", "{value}.json"]}, {"save": write}, {"executor": 4},
            {"executor": lambda: 4}, {"order": "backwards"}, {"chunk": 0}, {"final": "{unknown}"},
        ],
    )  # fmt: skip
    def test_nothing_is_claimed_for_bad_arguments(
        self, run: Path, mph: MultiProcessHelper, more: dict[str, Any]
    ) -> None:
        with pytest.raises(BadArgument):
            mapped(mph, **{"function": write, "sources": range(3)} | more)
        assert events(run, "claimed", "done", "dropped", "failed") == []
        assert mapped(mph, write, range(3)).done == 3

    def test_a_package_that_is_missing_is_missed_before(
        self, mph: MultiProcessHelper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("multiprocesstools.calls.saving.find_spec", lambda name: None)
        with pytest.raises(BadArgument, match="pip install numpy"):
            mapped(mph, square, range(3), final="{value}.npy")


class TestTogether:
    """Several instances, several calls."""

    def test_two_processes_share_one_map(self, run: Path) -> None:
        script = """
            from concurrent.futures import ThreadPoolExecutor
            from tests.mapped import write
            begin = threading.Barrier(3)
            def work(source, path):
                if source % 10 == 0:
                    time.sleep(0.02)
                write(source, path)
            with helper() as mph, ThreadPoolExecutor(3) as pool:
                say("ready")
                wait()
                s = mph.map(work, range(120), final="{value}.txt", directory="out", executor=pool, progress=False)
            say(s.total, s.done, s.failed, s.unfinished, s.here, s.before, s.elsewhere)
        """
        with Child(run, script) as one, Child(run, script) as two:
            for child in (one, two):
                child.hear("ready")
            for child in (one, two):
                child.go_on()
            said = [list(map(int, child.hear().split())) for child in (one, two)]
            one.succeed(), two.succeed()
        assert [facts[:4] for facts in said] == [[120, 120, 0, 0]] * 2
        assert sum(facts[4] for facts in said) == 120 and all(facts[4] for facts in said)
        assert all(here + before + elsewhere == 120 for *_, here, before, elsewhere in said)
        assert outputs(run) == {f"{number}.txt": str(number) for number in range(120)}
        assert len({event["item"] for event in events(run, "done")}) == len(events(run, "done")) == 120

    def test_a_second_call_has_nothing_to_do(self, mph: MultiProcessHelper) -> None:
        mapped(mph, write, range(3))
        summary = mapped(mph, write, range(5))
        assert (summary.here, summary.before, summary.elsewhere) == (2, 3, 0)
        assert str(summary).splitlines()[0] == "5 items: 5 done"
        assert str(summary).endswith("; 3 were done before")

    @pytest.mark.parametrize("chunk", [7, "auto"])
    def test_chunks(self, run: Path, mph: MultiProcessHelper, chunk: int | str) -> None:
        with ThreadPoolExecutor(N) as executor:
            summary = mapped(mph, write, range(60), executor=executor, chunk=chunk)
        assert (summary.done, summary.here) == (60, 60)
        assert (len(outputs(run)), hidden(run)) == (60, [])

    def test_a_chunk_is_held_until_its_last_item_is_done(self, run: Path, mph: MultiProcessHelper) -> None:
        seen = []

        def look(source: int, path: Path) -> None:
            if source == 0:
                wait_until(lambda: len(outputs(run)) == 3, "the other three are done")
                seen.extend(name for name in hidden(run) if name.startswith(".chunk-"))
            path.write_text("done")

        with ThreadPoolExecutor(4) as executor:
            mapped(mph, look, range(4), executor=executor, chunk=4)
        assert len(seen) == 1 and seen[0].endswith(".claim-1")
        assert hidden(run) == []

    def test_many_directories_are_not_counted_before(self, run: Path, mph: MultiProcessHelper) -> None:
        with ThreadPoolExecutor(N) as executor:
            summary = mapped(mph, write, range(100), final="{shard}/{value}.txt", executor=executor)
            assert (summary.done, summary.here, summary.before, summary.elsewhere) == (100, 100, None, None)
            summary = mapped(mph, write, range(100), final="{shard}/{value}.txt", executor=executor)
        assert str(summary).endswith("; 100 were done before, or by others")

    def test_skipped_items_are_counted(self, mph: MultiProcessHelper) -> None:
        for item in mph.items(range(2), final="{value}.txt", directory="out", progress=False):
            with item:
                item.skip("nothing there")
        summary = mapped(mph, write, range(3))
        assert (summary.done, summary.skipped, summary.unfinished) == (1, 2, 0)
        assert str(summary).startswith("3 items: 1 done, 2 skipped\n")

    @pytest.mark.parametrize("how", HERE)
    def test_a_listener_hears_of_it(self, mph: MultiProcessHelper, how: str) -> None:
        told: list[Tally] = []
        with EXECUTORS[how]() as executor:
            mapped(mph, write, range(5), executor=executor, progress=told.append)
        assert (told[0].done, told[-1].done, told[-1].here) == (0, 5, 5)

    def test_what_others_did_counts_even_in_silence(self, run: Path, mph: MultiProcessHelper) -> None:
        """Somebody else finishes an item meanwhile; this call is stopped before it has looked for that."""
        with MultiProcessHelper("other", run, **QUIET) as other:
            theirs = other.claim("1.txt", directory="out")
            assert theirs is not None

            def work(source: int, path: Path) -> None:
                path.write_text("done")
                with theirs:
                    theirs.path.write_text("by another")
                stop(run, mph)

            summary = mapped(mph, work, range(3), order="given")
        assert (summary.done, summary.here, summary.before, summary.elsewhere) == (2, 1, 0, 1)
        assert "others did 1 meanwhile" in str(summary)


def stop(run: Path, mph: MultiProcessHelper) -> None:
    command("stop", run)
    wait_until(lambda: mph.stop_requested, "the stop was seen")


class TestStop:
    """`multiprocesstools stop` while several items are in work: what was begun is finished, the rest is given back."""

    def test_what_is_in_work_is_finished_and_the_rest_given_back(self, run: Path, mph: MultiProcessHelper) -> None:
        done = []

        def work(source: int, path: Path) -> None:
            stop(run, mph)
            wait_until(lambda: len(hidden(run)) > 4, "the others were given back")
            done.append(source)
            path.write_text("whole")

        with Reluctant(4) as executor:
            summary = mapped(mph, work, range(20), executor=executor)
        assert len(done) == 1 and list(outputs(run)) == [f"{done[0]}.txt"]
        assert (summary.done, summary.here, summary.unfinished) == (1, 1, 19)
        assert "stopped" in summary.ended and "it ended early: stopped" in str(summary)
        assert Counter(event["event"] for event in events(run, "done", "dropped")) == {"done": 1, "dropped": 3}
        assert_all_ended(run)


class TestSummary:
    """It is data, and a text that anybody understands."""

    def test_it_is_data(self, run: Path, mph: MultiProcessHelper) -> None:
        def fail(source: int, path: Path) -> None:
            raise ValueError("no")

        summary = mapped(mph, fail, range(2))
        data = json.loads(json.dumps(summary.as_dict()))
        assert (data["total"], data["failed"], data["unfinished"], data["elsewhere"]) == (2, 2, 0, 0)
        assert data["directory"] == str(run)
        assert sorted(failure["item"] for failure in data["failures"]) == ["out/0.txt", "out/1.txt"]
        assert "Traceback" in data["failures"][0]["traceback"]
        with pytest.raises(AttributeError):
            summary.done = 3  # type: ignore[misc]

    def test_a_long_list_of_failures_is_cut_in_the_text(self, mph: MultiProcessHelper) -> None:
        summary = mapped(mph, lambda source, path: 1 / 0, range(15))
        assert len(summary.failures) == 15
        assert str(summary).count("ZeroDivisionError") == 10 and "... and 5 more" in str(summary)


def test_a_closed_helper_is_refused(run: Path) -> None:
    mph = MultiProcessHelper("test", run, **QUIET)
    mph.cleanup()
    with pytest.raises(MultiProcessError, match="cleaned up"):
        mapped(mph, write, range(2))
    assert "out" not in names(run)
