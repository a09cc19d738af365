"""SIGINT, SIGTERM and SIGHUP drop the claims at once, end the loop, and then act as if the package were not there."""

import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.crew.signals import SIGNALS
from multiprocesstools.errors import ItemNotEntered
from tests.processes import Child, briefly, command, ended, events, hidden, outputs, records

ENDING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
LOOP = """
mph = helper(max_attempts=1)
for item in items(mph, ["a"]):
    with item:
        item.path.write_text("half")
        say("working", item.attempt)
        wait()
        item.path.write_text("whole")
"""
CLAIM = """
mph = helper(max_attempts=1)
with mph.claim("a.txt", directory="out") as item:
    item.path.write_text("half")
    say("working", item.attempt)
    wait()
    item.path.write_text("whole")
"""
DIRECT = """
mph = helper(max_attempts=1)
out = Path(mph.create_directory("out"))
if mph.create_temp_file(final_file_name="a.txt", temp_file_name="a.tmp", path="out"):
    (out / "a.txt").write_text("half")
    say("working")
    wait()
    (out / "a.txt").write_text("whole")
    mph.delete_tempfile(temp_file_name="a.tmp", path="out")
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture(autouse=True)
def _keep_the_handlers_of_pytest() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
class TestInMidItem:
    """A signal while the work on an item goes on."""

    @pytest.mark.parametrize("script", [LOOP, CLAIM], ids=["items", "claim"])
    def test_the_item_is_given_back_and_the_process_dies_of_the_signal(
        self, run: Path, script: str, number: signal.Signals
    ) -> None:
        with Child(run, script) as child:
            child.hear("working 1")
            assert any(name.startswith(".mpt-") for name in hidden(run))
            child.send(number)
            assert child.finish() == -number
            assert ("KeyboardInterrupt" in child.errors) == (number == signal.SIGINT)
        assert hidden(run) == [".a.txt.claim-1", ".a.txt.ended-1"]
        assert ended(run, "a.txt", 1)["outcome"] == "dropped"
        assert records(run) == []
        assert briefly(events(run, "dropped", "done", "failed")) == [("dropped", "a.txt", 1)]
        assert [event["signal"] for event in events(run, "interrupted")] == [number.name]
        with Child(run, script) as peer:
            peer.hear("working 2")
            peer.go_on()
            peer.succeed()
        assert (outputs(run), hidden(run)) == ({"a.txt": "whole"}, [])

    def test_what_was_written_in_place_is_moved_aside(self, run: Path, number: signal.Signals) -> None:
        with Child(run, DIRECT) as child:
            child.hear("working")
            assert hidden(run) == [".a.txt.claim-1", ".a.txt.direct"]
            child.send(number)
            assert child.finish() == -number
        assert outputs(run) == {}
        assert hidden(run) == [".a.txt.claim-1", ".a.txt.ended-1", ".a.txt.partial-1"]
        assert records(run) == []
        assert briefly(events(run, "dropped", "done")) == [("dropped", "a.txt", 1)]
        with Child(run, DIRECT) as peer:
            peer.hear("working")
            peer.go_on()
            peer.succeed()
        assert (outputs(run), hidden(run)) == ({"a.txt": "whole"}, [".a.txt.partial-1"])


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_private_files_of_every_kind_are_gone(run: Path, number: signal.Signals) -> None:
    script = """
        for item in items(helper(), ["a"], final=["{value}.png", "{value}.txt"]):
            with item:
                (item.folder / "deep").mkdir()
                for path in item.paths:
                    path.write_text("half")
                say("working")
                wait()
    """
    with Child(run, script) as child:
        child.hear("working")
        assert sum(name.startswith(".mpt-") for name in hidden(run)) == 3
        child.send(number)
        assert child.finish() == -number
    assert hidden(run) == [".a.txt.claim-1", ".a.txt.ended-1"]


def test_the_claim_is_dropped_at_once_although_the_process_lives_on(run: Path) -> None:
    script = """
        mph = helper()
        try:
            for item in items(mph, ["a"]):
                with item:
                    say("working")
                    wait()
        except KeyboardInterrupt:
            say("caught", mph.stop_requested)
            wait()
        again = mph.claim("a.txt", directory="out")
        say(again)
        wait()
    """
    with Child(run, script) as child:
        child.hear("working")
        child.send(signal.SIGINT)
        child.hear("caught True")
        with Child(run, LOOP.replace("max_attempts=1", "")) as peer:
            peer.hear("working 2")
            peer.go_on()
            peer.succeed()
        child.go_on()
        child.hear("None")
    assert outputs(run) == {"a.txt": "whole"}


def test_an_interrupted_loop_can_be_started_again_in_the_same_process(run: Path) -> None:
    """The interrupted and re-run notebook cell."""
    script = """
        mph = helper()
        for attempt in (1, 2):
            try:
                for item in items(mph, ["a", "b"]):
                    with item:
                        say(item.source, item.attempt)
                        wait()
                        item.path.write_text("whole")
            except KeyboardInterrupt:
                say("caught")
    """
    with Child(run, script) as child:
        child.hear("a 1")
        child.send(signal.SIGINT)
        child.hear("caught")
        first, second = child.hear(), (child.go_on(), child.hear())[1]
        assert sorted([first, second]) == ["a 2", "b 1"]
        child.go_on()
        child.succeed()
    assert (outputs(run), hidden(run)) == ({"a.txt": "whole", "b.txt": "whole"}, [])


def test_a_process_that_waits_for_others_dies_of_the_signal(run: Path) -> None:
    waiting = """
        for item in items(helper(), ["a"], progress=lambda tally: say("waiting") if tally.waiting_for else None):
            raise AssertionError
    """
    with Child(run, LOOP.replace("max_attempts=1", "")) as child:
        child.hear("working 1")
        with Child(run, waiting) as peer:
            peer.hear("waiting")
            peer.send(signal.SIGTERM)
            assert peer.finish() == -signal.SIGTERM
        assert ".a.txt.ended-1" not in hidden(run)
        child.go_on()
        child.succeed()
    assert outputs(run) == {"a.txt": "whole"}


class TestTwoSignals:
    """A batch system that says SIGTERM just after SIGINT, an impatient finger on Ctrl-C."""

    @pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
    def test_the_second_one_waits_until_the_first_has_given_the_item_back(
        self, tmp_path: Path, second: signal.Signals
    ) -> None:
        for trial in range(8):
            run = tmp_path / str(trial)
            with Child(run, LOOP) as child:
                child.hear("working 1")
                child.send(signal.SIGINT)
                time.sleep(trial * 0.0002)
                child.send(second)
                assert child.finish() < 0
            assert ended(run, "a.txt", 1)["outcome"] == "dropped"
            assert [name for name in hidden(run) if name.startswith(".mpt-")] == []


class TestHandlersOfTheUser:
    """Handlers that were installed before the loop still run."""

    SCRIPT = """
        signal.signal(signal.SIGTERM, lambda number, frame: {act})
        mph = helper()
        for item in items(mph, ["a", "b", "c"]):
            with item:
                item.path.write_text("half")
                say("working")
                wait()
                item.path.write_text("whole")
        say("after", mph.stop_requested)
        wait()
    """

    def test_one_that_returns_lets_the_block_finish_and_the_loop_end(self, run: Path) -> None:
        with Child(run, self.SCRIPT.format(act="say('mine')")) as child:
            child.hear("working")
            child.send(signal.SIGTERM)
            child.hear("mine")
            assert ended(run, "a.txt", 1)["outcome"] == "dropped"
            child.go_on()
            child.hear("after True")
            assert outputs(run) == {"a.txt": "whole"}
            child.go_on()
            child.succeed()
        assert hidden(run) == []

    def test_one_that_exits_leaves_the_item_dropped_and_not_failed(self, run: Path) -> None:
        with Child(run, self.SCRIPT.format(act="sys.exit(3)")) as child:
            child.hear("working")
            child.send(signal.SIGTERM)
            assert child.finish() == 3
        assert hidden(run) == [".a.txt.claim-1", ".a.txt.ended-1"]
        assert ended(run, "a.txt", 1)["outcome"] == "dropped"
        assert briefly(events(run, "dropped", "failed")) == [("dropped", "a.txt", 1)]

    def test_what_is_written_in_place_stays_claimed_while_the_work_goes_on(self, run: Path) -> None:
        handler = "signal.signal(signal.SIGTERM, lambda number, frame: say('mine'))\n"
        with Child(run, handler + DIRECT) as child:
            child.hear("working")
            child.send(signal.SIGTERM)
            child.hear("mine")
            assert hidden(run) == [".a.txt.claim-1", ".a.txt.direct"]
            child.go_on()
            child.succeed()
        assert (outputs(run), hidden(run)) == ({"a.txt": "whole"}, [])

    def test_what_is_written_in_place_is_dropped_when_the_handler_exits(self, run: Path) -> None:
        handler = "signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(3))\n"
        with Child(run, handler + DIRECT) as child:
            child.hear("working")
            child.send(signal.SIGTERM)
            assert child.finish() == 3
        assert hidden(run) == [".a.txt.claim-1", ".a.txt.ended-1", ".a.txt.partial-1"]


class TestWhenHandlersAreThere:
    """Only while a loop runs or something is held, in the main thread, and where the user wants the signal."""

    @staticmethod
    def _handlers() -> list[object]:
        return [signal.getsignal(number) for number in SIGNALS]

    def test_they_come_with_the_loop_and_go_with_it(self, run: Path) -> None:
        before = self._handlers()
        with MultiProcessHelper("test", run) as mph:
            assert self._handlers() == before
            for item in mph.items(["a", "b"], final="{value}", progress=False):
                assert all(now != then for now, then in zip(self._handlers(), before, strict=True))
                with item:
                    item.path.touch()
            assert self._handlers() == before
            item = mph.claim("c")
            assert self._handlers() != before
            with item:
                item.path.touch()
            assert self._handlers() == before
            mph.create_directory("d")
            assert mph.create_temp_file("e", "e.tmp", "d")
            assert self._handlers() != before
            mph.delete_tempfile("e.tmp", "d")
            assert self._handlers() == before

    def test_a_handler_that_the_user_installs_in_mid_loop_stays(self, run: Path) -> None:
        def mine(number: int, frame: object) -> None:
            seen.append(number)

        seen: list[int] = []
        before = signal.getsignal(signal.SIGTERM)
        with MultiProcessHelper("test", run) as mph:
            for item in mph.items(["a"], final="{value}", progress=False):
                with item:
                    item.path.touch()
                    ours = signal.signal(signal.SIGTERM, mine)
            assert signal.getsignal(signal.SIGTERM) is mine
            signal.signal(signal.SIGTERM, lambda number, frame: seen.append(-number))
            for item in mph.items(["b"], final="{value}", progress=False):
                with item:
                    item.path.touch()
                    signal.raise_signal(signal.SIGTERM)
            assert seen == [-signal.SIGTERM]
        signal.signal(signal.SIGTERM, ours)  # as a careful user puts back what was there, although the loop is over
        signal.signal(signal.SIGTERM, before)

    def test_one_of_ours_that_was_put_back_late_only_passes_the_signal_on(self, run: Path) -> None:
        seen: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
        with MultiProcessHelper("test", run) as mph:
            for item in mph.items(["a"], final="{value}", progress=False):
                with item:
                    item.path.touch()
                    ours = signal.getsignal(signal.SIGTERM)
            signal.signal(signal.SIGTERM, ours)
            for item in mph.items(["b"], final="{value}", progress=False):
                with item:
                    item.path.touch()
                    signal.raise_signal(signal.SIGTERM)
        assert seen == [signal.SIGTERM]

    def test_helpers_may_be_nested_and_left_in_any_order(self, run: Path) -> None:
        seen: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
        before = self._handlers()
        with MultiProcessHelper("one", run) as one, MultiProcessHelper("two", run) as two:
            first, second = one.claim("a"), two.claim("b")
            with first:
                first.path.touch()
            third = one.claim("c")
            signal.raise_signal(signal.SIGTERM)
            assert seen == [signal.SIGTERM]
            assert one.stop_requested
            assert two.stop_requested
            for item in (second, third):
                with item:
                    item.drop()
            assert self._handlers() == before

    def test_an_ignored_signal_stays_ignored(self, run: Path) -> None:
        script = LOOP + "say('after')"
        with Child(run, script, before=("nohup",)) as child:
            child.hear("working 1")
            child.send(signal.SIGHUP)
            child.go_on()
            child.hear("after")
            child.succeed()
        assert outputs(run) == {"a.txt": "whole"}
        assert events(run, "interrupted") == []

    def test_loops_in_other_threads_install_nothing(self, run: Path) -> None:
        seen: list[bool] = []

        def work() -> None:
            for item in mph.items(["a"], final="{value}", progress=False):
                with item:
                    item.path.touch()
                    seen.append(self._handlers() == before)

        before = self._handlers()
        with MultiProcessHelper("test", run) as mph:
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        assert seen == [True]

    def test_a_signal_of_an_earlier_loop_does_not_end_a_later_one_in_a_thread(self, run: Path) -> None:
        done: list[str] = []

        def work() -> None:
            for item in mph.items(["b"], final="{value}", progress=False):
                with item:
                    item.path.touch()
                    done.append(item.source)

        with MultiProcessHelper("test", run) as mph:
            with pytest.raises(KeyboardInterrupt):
                for item in mph.items(["a"], final="{value}", progress=False):
                    with item:
                        signal.raise_signal(signal.SIGINT)
            assert mph.stop_requested
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        assert done == ["b"]


class TestForkedChildren:
    """Children that the work forks are not ours."""

    def test_a_forked_child_dies_of_the_signal_and_the_claim_stays(self, run: Path) -> None:
        script = """
            for item in items(helper(), ["a"]):
                with item:
                    child = os.fork()
                    if child == 0:
                        say("forked", os.getpid())
                        wait()
                        os._exit(0)
                    _, status = os.waitpid(child, 0)
                    say(os.waitstatus_to_exitcode(status))
                    wait()
                    item.path.write_text("whole")
        """
        with Child(run, script) as child:
            forked = int(child.hear().split()[1])
            os.kill(forked, signal.SIGTERM)
            child.hear(str(-signal.SIGTERM))
            assert hidden(run) == [".a.txt.claim-1"]
            child.go_on()
            child.succeed()
        assert (outputs(run), hidden(run)) == ({"a.txt": "whole"}, [])
        assert briefly(events(run, "dropped", "done")) == [("done", "a.txt", 1)]

    def test_a_forked_child_with_a_loop_of_its_own_drops_its_own_claim(self, run: Path) -> None:
        script = """
            mph = helper()
            for item in items(mph, ["a"]):
                with item:
                    child = os.fork()
                    if child == 0:
                        for other in items(mph, ["b"], final="{value}.txt"):
                            with other:
                                say("forked", os.getpid())
                                wait()
                        os._exit(0)
                    _, status = os.waitpid(child, 0)
                    say(os.waitstatus_to_exitcode(status))
                    wait()
                    item.path.write_text("whole")
        """
        with Child(run, script) as child:
            forked = int(child.hear().split()[1])
            assert len(records(run)) == 2
            os.kill(forked, signal.SIGTERM)
            child.hear(str(-signal.SIGTERM))
            assert hidden(run) == [".a.txt.claim-1", ".b.txt.claim-1", ".b.txt.ended-1"]
            assert len(records(run)) == 1
            child.go_on()
            child.succeed()
        assert outputs(run) == {"a.txt": "whole"}

    def test_a_child_that_is_terminated_at_once_dies(self, run: Path) -> None:
        """CPython forgets a signal that comes before a new child runs, if it has a handler in Python."""
        codes = []
        with MultiProcessHelper("test", run) as mph, mph.claim("a") as item:
            for _ in range(60):
                child = os.fork()
                if child == 0:
                    time.sleep(5)
                    os._exit(0)
                os.kill(child, signal.SIGTERM)
                codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            item.path.touch()
        assert codes == [-signal.SIGTERM] * 60

    @pytest.mark.parametrize("thread", [False, True], ids=["main thread", "other thread"])
    def test_a_child_has_the_handlers_and_the_mask_that_were_there_before(self, run: Path, thread: bool) -> None:
        script = """
            mph, other = helper(), helper()
            def fork():
                child = os.fork()
                if child == 0:
                    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
                    handlers = [signal.getsignal(number) for number in numbers]
                    say(handlers == before, signal.pthread_sigmask(signal.SIG_BLOCK, []))
                    os._exit(0)
                os.waitpid(child, 0)
            before = [signal.default_int_handler, signal.SIG_DFL, signal.SIG_DFL]
            with mph.claim("a") as item, other.claim("b") as second:
                if ARGUMENTS[0] == "True":
                    worker = threading.Thread(target=fork)
                    worker.start()
                    worker.join()
                else:
                    fork()
                say(signal.getsignal(signal.SIGTERM) != signal.SIG_DFL, signal.pthread_sigmask(signal.SIG_BLOCK, []))
                item.path.touch()
                second.path.touch()
        """
        with Child(run, script, thread) as child:
            child.hear("True set()")
            child.hear("True set()")
            child.succeed()
            lines = child.errors.splitlines()  # from 3.12 on Python itself warns of a fork beside threads
            assert [line for line in lines if "DeprecationWarning" not in line and "os.fork()" not in line] == []

    def test_a_signal_that_comes_during_a_fork_still_interrupts_the_parent(self, run: Path) -> None:
        script = """
            os.register_at_fork(before=lambda: os.kill(os.getpid(), int(ARGUMENTS[0])))
            for item in items(helper(), ["a"]):
                with item:
                    child = os.fork()
                    if child == 0:
                        os._exit(0)
                    say("waiting")
                    wait()
        """
        with Child(run, script, int(signal.SIGINT)) as child:
            child.hear("waiting")
            assert child.finish() == -signal.SIGINT
            assert child.errors.count("KeyboardInterrupt") == 1
        assert ended(run, "a.txt", 1)["outcome"] == "dropped"

    def test_a_signal_during_a_fork_is_not_left_to_a_heart_that_waits(self, run: Path) -> None:
        """Of a hundred that the heart had got, one did not wake the main thread, which waited already."""
        script = """
            forks = []
            os.register_at_fork(before=lambda: forks and os.kill(os.getpid(), signal.SIGINT))
            slow = 0
            for item in items(helper(beat_seconds=60, patience_seconds=300), ["a"]):
                with item:
                    while len(forks) < 250:
                        forks.append(time.monotonic())
                        try:
                            child = os.fork()
                            if child == 0:
                                os._exit(0)
                            time.sleep(5)
                        except KeyboardInterrupt:
                            slow += time.monotonic() - forks[-1] > 4
                        os.waitpid(child, 0)
            say(slow)
        """
        with Child(run, script) as child:
            assert child.hear() == "0"
            child.succeed()

    def test_a_pool_inside_an_item_works_and_ends(self, run: Path) -> None:
        context = multiprocessing.get_context("fork")
        with MultiProcessHelper("test", run) as mph:
            for item in mph.items([1, 2], final="{value}", progress=False):
                with item:
                    began = time.monotonic()
                    pool = context.Pool(2)
                    item.path.write_text(str(pool.map(abs, [-item.source, 5])))
                    pool.terminate()
                    pool.join()
                    assert time.monotonic() - began < 10
        assert [(run / name).read_text() for name in "12"] == ["[1, 5]", "[2, 5]"]


class TestOtherWaysOut:
    """`break`, `return`, exceptions, and items that are not used as they should be."""

    @pytest.fixture
    def mph(self, run: Path) -> Iterator[MultiProcessHelper]:
        with MultiProcessHelper("test", run, beat_seconds=0.2, patience_seconds=20, max_attempts=1) as mph:
            yield mph

    @staticmethod
    def _outcomes(run: Path) -> list[tuple[str, str, int]]:
        return briefly(events(run, "done", "failed", "dropped", "skipped"))

    @staticmethod
    def _items(mph: MultiProcessHelper, *sources: str, **options: object) -> Iterator[object]:
        return mph.items(
            sources or ("a", "b"), final="{value}.txt", directory="out", order="given", progress=False, **options
        )

    def test_break_before_writing_gives_the_item_back(self, run: Path, mph: MultiProcessHelper) -> None:
        for item in self._items(mph):
            with item:
                break
        mph.cleanup()
        assert self._outcomes(run) == [("dropped", "a.txt", 1)]
        assert ended(run, "a.txt", 1)["outcome"] == "dropped"

    def test_break_after_writing_publishes(self, run: Path, mph: MultiProcessHelper) -> None:
        for item in self._items(mph):
            with item:
                item.path.write_text("whole")
                break
        mph.cleanup()
        assert (outputs(run), hidden(run)) == ({"a.txt": "whole"}, [])
        assert self._outcomes(run) == [("done", "a.txt", 1)]

    def test_break_outside_the_block_gives_an_unused_item_back(self, run: Path, mph: MultiProcessHelper) -> None:
        for _ in self._items(mph):
            break
        mph.cleanup()
        assert self._outcomes(run) == [("dropped", "a.txt", 1)]

    @pytest.mark.parametrize("written", [True, False], ids=["after writing", "before writing"])
    def test_return_is_like_break(self, run: Path, mph: MultiProcessHelper, written: bool) -> None:
        def work() -> str:
            for item in self._items(mph):
                with item:
                    if written:
                        item.path.write_text("whole")
                    return "returned"
            raise AssertionError

        assert work() == "returned"
        mph.cleanup()
        assert self._outcomes(run) == [("done" if written else "dropped", "a.txt", 1)]
        assert hidden(run) == ([] if written else [".a.txt.claim-1", ".a.txt.ended-1"])

    def test_continue_before_writing_is_a_failure_that_says_so(self, run: Path, mph: MultiProcessHelper) -> None:
        for item in self._items(mph):
            with item:
                if item.source == "a":
                    continue
                item.path.write_text("whole")
        mph.cleanup()
        assert self._outcomes(run) == [("failed", "a.txt", 1), ("done", "b.txt", 1)]
        assert "nothing was written" in ended(run, "a.txt", 1)["exception"]

    def test_an_exception_inside_the_block_fails_the_item_and_the_loop_goes_on(
        self, run: Path, mph: MultiProcessHelper
    ) -> None:
        for item in self._items(mph):
            with item:
                item.path.write_text("half")
                if item.source == "a":
                    raise ValueError("broken image")
        mph.cleanup()
        assert self._outcomes(run) == [("failed", "a.txt", 1), ("done", "b.txt", 1)]
        assert ended(run, "a.txt", 1)["exception"] == "ValueError: broken image"
        assert "raise ValueError" in ended(run, "a.txt", 1)["traceback"]
        assert hidden(run) == [".a.txt.claim-1", ".a.txt.ended-1"]

    def test_an_exception_around_the_block_gives_back_what_is_in_hand(self, run: Path, mph: MultiProcessHelper) -> None:
        with pytest.raises(ZeroDivisionError):
            for item in self._items(mph):
                if item.source == "b":
                    raise ZeroDivisionError
                with item:
                    item.path.write_text("whole")
        mph.cleanup()
        assert self._outcomes(run) == [("done", "a.txt", 1), ("dropped", "b.txt", 1)]
        assert outputs(run) == {"a.txt": "whole"}

    def test_an_item_that_is_not_entered_says_so_and_is_given_back(self, run: Path, mph: MultiProcessHelper) -> None:
        with pytest.raises(ItemNotEntered, match=r"a\.txt"):
            for item in self._items(mph):
                item.path.write_text("half")
        mph.cleanup()
        assert self._outcomes(run) == [("dropped", "a.txt", 1)]
        assert hidden(run) == [".a.txt.claim-1", ".a.txt.ended-1"]

    def test_a_closed_generator_gives_back_what_is_in_hand(self, run: Path, mph: MultiProcessHelper) -> None:
        before = signal.getsignal(signal.SIGTERM)
        loop = self._items(mph)
        item = next(loop)
        item.path.write_text("half")
        assert signal.getsignal(signal.SIGTERM) != before
        loop.close()
        assert signal.getsignal(signal.SIGTERM) == before
        mph.cleanup()
        assert self._outcomes(run) == [("dropped", "a.txt", 1)]
        assert hidden(run) == [".a.txt.claim-1", ".a.txt.ended-1"]

    def test_on_error_raise_records_the_failure_and_lets_it_through(self, run: Path) -> None:
        with (
            MultiProcessHelper("test", run, max_attempts=1, on_error="raise") as mph,
            pytest.raises(ValueError, match="broken image"),
        ):
            for item in self._items(mph):
                with item:
                    raise ValueError("broken image")
        assert self._outcomes(run) == [("failed", "a.txt", 1)]

    def test_on_error_raise_reports_a_block_that_wrote_nothing(self, run: Path) -> None:
        with (
            MultiProcessHelper("test", run, max_attempts=1, on_error="raise") as mph,
            pytest.raises(Exception, match="nothing was written"),
        ):
            for item in self._items(mph):
                with item:
                    pass
        assert self._outcomes(run) == [("failed", "a.txt", 1)]

    def test_an_exit_of_the_work_is_a_failed_attempt_and_goes_on(self, run: Path, mph: MultiProcessHelper) -> None:
        with pytest.raises(SystemExit) as caught:
            for item in self._items(mph):
                with item:
                    raise SystemExit(7)
        assert caught.value.code == 7
        mph.cleanup()
        assert self._outcomes(run) == [("failed", "a.txt", 1)]
        assert ended(run, "a.txt", 1)["exception"] == "SystemExit: 7"

    def test_a_keyboard_interrupt_without_a_signal_drops_the_item(self, run: Path, mph: MultiProcessHelper) -> None:
        with pytest.raises(KeyboardInterrupt):
            for item in self._items(mph):
                with item:
                    raise KeyboardInterrupt
        mph.cleanup()
        assert self._outcomes(run) == [("dropped", "a.txt", 1)]


class TestBetweenClaimAndWork:
    """A signal after the claim was made and before the work has it: the process that goes on can have it again."""

    @staticmethod
    def _interrupt_once_after(monkeypatch: pytest.MonkeyPatch, target: str, done: list[str]) -> None:
        path, _, name = target.rpartition(":")
        owner = resolve_name(path.replace(":", ".", 1) if path.count(":") > 1 else path)
        original = getattr(owner, name)

        def interrupting(*arguments: object, **options: object) -> object:
            result = original(*arguments, **options)
            if not done:
                done.append("interrupted")
                signal.raise_signal(signal.SIGINT)
            return result

        monkeypatch.setattr(owner, name, interrupting)

    TAKEN, MADE = "multiprocesstools.crew.crew:claims:entered", "multiprocesstools.items.item:Item:__init__"

    @pytest.mark.parametrize(
        ("style", "target"),
        [
            pytest.param("items", TAKEN, id="items, when it was claimed"),
            pytest.param("items", MADE, id="items, when the item was made"),
            pytest.param("claim", TAKEN, id="claim, when it was claimed"),
            pytest.param("claim", MADE, id="claim, when the item was made"),
        ],
    )
    def test_it_is_dropped_and_can_be_claimed_again(
        self, run: Path, monkeypatch: pytest.MonkeyPatch, style: str, target: str
    ) -> None:
        def work() -> None:
            if style == "claim":
                with mph.claim("a.txt", directory="out") as item:
                    item.path.write_text(str(item.attempt))
                return
            for item in mph.items(["a"], final="{value}.txt", directory="out", progress=False, wait=False):
                with item:
                    item.path.write_text(str(item.attempt))

        done: list[str] = []
        before = signal.getsignal(signal.SIGINT)
        with MultiProcessHelper("test", run, max_attempts=1) as mph:
            self._interrupt_once_after(monkeypatch, target, done)
            with pytest.raises(KeyboardInterrupt):
                work()
            assert signal.getsignal(signal.SIGINT) == before
            assert done == ["interrupted"]
            assert ended(run, "a.txt", 1)["outcome"] == "dropped"
            assert outputs(run) == {}
            work()
        assert (outputs(run), hidden(run)) == ({"a.txt": "2"}, [])

    def test_in_place_it_is_dropped_and_can_be_claimed_again(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = signal.getsignal(signal.SIGINT)
        with MultiProcessHelper("test", run, max_attempts=1) as mph:
            mph.create_directory("out")
            self._interrupt_once_after(monkeypatch, "multiprocesstools.items.inplace:direct:begin", [])
            with pytest.raises(KeyboardInterrupt):
                mph.create_temp_file("a.txt", "a.tmp", "out")
            assert signal.getsignal(signal.SIGINT) == before
            assert "a.tmp" not in hidden(run)
            assert mph.create_temp_file("a.txt", "a.tmp", "out")
            (run / "out" / "a.txt").write_text("whole")
            mph.delete_tempfile("a.tmp", "out")
        assert (outputs(run), hidden(run)) == ({"a.txt": "whole"}, [])


class TestAtAnyMoment:
    """A signal that comes while a claim is made or an output is published loses nothing."""

    ROUNDS, ITEMS = 40, 2000
    NURSERY = """
        import random
        import multiprocesstools.loop.loop, multiprocesstools.items.inplace, multiprocesstools.upkeep.snapshot
        WHOLE = "whole " * 50
        begun = []

        def begin():
            if not begun:
                begun.append(say(os.getpid()))

        def work_with_items(mph):
            for item in items(mph, range(2000), order="spread"):
                with item:
                    item.path.write_text("half")
                    item.path.write_text(WHOLE)
                begin()

        def work_in_place(mph):
            out = mph.create_directory("out")
            for number in random.sample(range(2000), 2000):
                if mph.create_temp_file(f"{number}.txt", f"{number}.tmp", "out"):
                    Path(out, f"{number}.txt").write_text("half")
                    Path(out, f"{number}.txt").write_text(WHOLE)
                    mph.delete_tempfile(f"{number}.tmp", "out")
                    begin()

        def main():
            mph = helper(max_attempts=1, beat_seconds=1)
            {"items": work_with_items, "direct": work_in_place}[ARGUMENTS[0]](mph)
            mph.cleanup()

        while wait():
            child = os.fork()
            if child == 0:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                main()
                sys.exit()
            _, status = os.waitpid(child, 0)
            say(os.waitstatus_to_exitcode(status))
    """

    @pytest.mark.parametrize("style", ["items", "direct"])
    def test_nothing_is_lost_and_no_litter_stays(self, run: Path, style: str) -> None:
        chance = random.Random()
        codes = []
        with Child(run, self.NURSERY, style) as nursery:
            for _ in range(self.ROUNDS):
                nursery.go_on()
                pid = int(nursery.hear())
                time.sleep(chance.uniform(0, 0.01))  # this is the random moment
                os.kill(pid, number := chance.choice(ENDING))
                codes.append((int(nursery.hear()), -number))
            assert all(code == wanted for code, wanted in codes), codes
            left = hidden(run)
            assert [name for name in left if name.startswith(".mpt-") or name.endswith(".direct")] == []
            claims = [name for name in left if ".claim-" in name]
            assert all(name.replace(".claim-", ".ended-") in left for name in claims)
            assert claims, "no signal hit a claim"
            assert len(outputs(run)) < self.ITEMS
            nursery.go_on()
            nursery.hear()
            nursery.hear("0")
        assert set(outputs(run).values()) == {"whole " * 50}
        assert outputs(run).keys() == {f"{number}.txt" for number in range(self.ITEMS)}
        assert [name for name in hidden(run) if ".partial-" not in name] == []
        assert command("status", run).returncode == 0
        assert command("cleanup", run).returncode == 0  # of processes that were killed before their loop began
        assert records(run) == []
