"""`map` with an executor when something goes wrong: workers that are killed, executors that cannot be used, signals,
owners that die."""

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.calls.flight import Flight
from multiprocesstools.claims import identity
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.errors import BadArgument, ExecutorUnusable, PoolBroken
from tests.mapped import (
    QUIET,
    assert_all_ended,
    kill_at_three,
    kill_beside_a_writer,
    leave,
    mapped,
    raise_beside_one_that_is_killed,
    raise_what_cannot_be_read,
    raise_what_looks_broken,
    write,
)
from tests.processes import Child, ended, events, hidden, outputs, records, wait_until

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def mph(run: Path) -> Iterator[MultiProcessHelper]:
    with MultiProcessHelper("test", run, stop_after=None, **QUIET) as helper:
        yield helper


def forked(workers: int = 2) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("fork"))


def spawned() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool that breaks takes its time to end the workers that are left."""
    terminate = multiprocessing.process.BaseProcess.terminate

    def terminate_late(process: Any) -> None:
        time.sleep(1.5)
        terminate(process)

    monkeypatch.setattr(multiprocessing.process.BaseProcess, "terminate", terminate_late)


class TestKilledWorkers:
    """A worker is killed in the middle of an item: the pool is broken, and one of the items that it held did it."""

    @pytest.mark.parametrize("make", [forked, spawned], ids=["fork", "spawn"])
    def test_with_a_function_that_makes_executors_the_run_goes_on(
        self, run: Path, mph: MultiProcessHelper, make: Any
    ) -> None:
        made: list[Executor] = []

        def noted() -> Executor:
            made.append(make())
            return made[-1]

        summary = mapped(mph, kill_at_three, range(8), noted, order="given")
        assert (summary.done, summary.failed, summary.unfinished) == (7, 1, 0)
        assert outputs(run) == {f"{number}.txt": str(number) for number in range(8) if number != 3}
        assert [(failure.item, failure.attempt) for failure in summary.failures] == [("out/3.txt", 3)]
        assert "perhaps by this item" in summary.failures[0].exception
        attempts = Counter(event["item"] for event in events(run, "failed"))
        assert attempts.pop("out/3.txt") == 3
        assert set(attempts.values()) <= {1}, "what was only beside the killer is charged once, then it is tried alone"
        assert len(made) == 4
        assert all(refuses(executor) for executor in made), "what was made is shut down"
        assert_all_ended(run)

    def test_with_an_executor_it_ends_clearly_and_is_started_again(self, run: Path, mph: MultiProcessHelper) -> None:
        """Three starts until the killer is set aside; nobody else is, however often he was beside it."""
        for _ in range(3):
            with forked(4) as executor, pytest.raises(PoolBroken, match="executor=lambda: ProcessPoolExecutor"):
                mapped(mph, kill_at_three, range(8), executor, order="given")
            assert_all_ended(run)
        with forked(4) as executor:
            summary = mapped(mph, kill_at_three, range(8), executor, order="given")
        assert (summary.done, summary.failed) == (7, 1)
        assert ended(run, "3.txt", 3)["exception"].startswith("WorkerDied: a worker of the executor was killed")

    @pytest.mark.parametrize("given", [True, False], ids=["given", "made"])
    def test_what_a_worker_writes_until_the_broken_pool_has_ended_it_is_removed(
        self, run: Path, mph: MultiProcessHelper, late: None, given: bool
    ) -> None:
        """A pool that breaks says so before it ends the workers that are left."""
        if given:
            with forked() as executor, pytest.raises(PoolBroken):
                mapped(mph, kill_beside_a_writer, range(2), executor, order="given")
        else:
            summary = mapped(mph, kill_beside_a_writer, range(2), forked, order="given")
            assert (summary.done, summary.failed) == (1, 1)
        assert {event["item"] for event in events(run, "failed")} == {"out/0.txt", "out/1.txt"}
        assert_all_ended(run)

    def test_what_a_pool_held_that_breaks_while_the_loop_ends_is_removed_when_it_has_ended_its_workers(
        self, run: Path, late: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        give_back = Flight.give_back

        def give_back_what_broke(flight: Flight) -> None:
            wait_until(lambda: all(sent.future.done() for sent in flight._sent.values()), "the pool is broken")
            give_back(flight)

        monkeypatch.setattr(Flight, "give_back", give_back_what_broke)
        strict = MultiProcessHelper("test", run, on_error="raise", **QUIET)
        with strict as mph, forked(3) as executor, pytest.raises(ValueError, match="broken"):
            mapped(mph, raise_beside_one_that_is_killed, range(3), executor, order="given")
        assert list(run.parent.glob("finished-1")), "it did write after that"
        wait_until(lambda: not any(name.startswith(".mpt-") for name in hidden(run)), "what it wrote is removed")
        assert_all_ended(run)

    def test_a_broken_pool_of_the_user_is_shut_down_by_the_user_only(self, run: Path, mph: MultiProcessHelper) -> None:
        """Two shutdowns at a time close the same files: the second one fails, or closes a file of somebody else."""
        by = []

        class Watched(ProcessPoolExecutor):
            def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
                by.append(threading.current_thread())
                super().shutdown(wait=wait, cancel_futures=cancel_futures)

        with Watched(2, multiprocessing.get_context("fork")) as executor, pytest.raises(PoolBroken):
            mapped(mph, kill_beside_a_writer, range(2), executor, order="given")
        assert by == [threading.main_thread()]
        assert_all_ended(run)

    def test_a_broken_pool_that_never_ends_keeps_nobody_waiting(
        self, run: Path, mph: MultiProcessHelper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Since Python 3.12 it holds its lock until its workers have ended, and one may refuse to. A shutdown that does
        not wait would wait for that lock."""
        monkeypatch.setattr("multiprocesstools.calls.executors._END_SECONDS", 0.2)
        ended = threading.Event()

        class Held(ProcessPoolExecutor):
            def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
                if refuses(self):
                    ended.wait(60)
                super().shutdown(wait=wait, cancel_futures=cancel_futures)

        began = time.monotonic()
        make = partial(Held, 2, multiprocessing.get_context("fork"))
        summary = mapped(mph, kill_at_three, range(2, 8), make, order="given")
        ended.set()
        assert (summary.done + summary.failed, summary.unfinished) == (6, 0)
        assert time.monotonic() - began < 30

    def test_all_that_a_broken_pool_held_counts_as_one_failure_in_a_row(self, run: Path) -> None:
        with MultiProcessHelper("test", run, stop_after=2, **QUIET) as mph:
            summary = mapped(mph, kill_at_three, range(8), lambda: forked(4), order="given")
        assert (summary.done, summary.failed) == (7, 1)

    def test_what_died_with_its_whole_process_is_tried_alone_at_last(self, run: Path) -> None:
        """With threads the process goes too. Its items come together again, until the last attempt of each."""
        script = """
            from concurrent.futures import ThreadPoolExecutor
            def work(source, path):
                if source == 3:
                    time.sleep(0.05)
                    os.kill(os.getpid(), signal.SIGKILL)
                time.sleep(0.1)
                path.write_text("done")
            with helper() as mph, ThreadPoolExecutor(4) as pool:
                mph.map(work, range(4), final="{value}.txt", directory="out", executor=pool, progress=False)
        """
        for start in range(4):
            with Child(run, script) as child:
                assert child.finish() == (-signal.SIGKILL if start < 3 else 0)
        assert sorted(outputs(run)) == ["0.txt", "1.txt", "2.txt"]
        assert [ended(run, "3.txt", attempt)["outcome"] for attempt in (1, 2, 3)] == ["died"] * 3


def refuses(executor: Executor) -> bool:
    try:
        executor.submit(int)
    except RuntimeError:
        return True
    return False


@pytest.mark.parametrize("durable", [True, False])
def test_outputs_are_put_to_the_disk_by_the_workers(run: Path, monkeypatch: pytest.MonkeyPatch, durable: bool) -> None:
    """So that they wait for it at the same time, and the owner of the claims finds it done."""
    synced, sync = [], PosixDisk.sync

    def noted(disk: PosixDisk, path: str) -> None:
        synced.append((os.path.basename(path)[-5:], threading.current_thread().name.partition("_")[0]))
        sync(disk, path)

    monkeypatch.setattr(PosixDisk, "sync", noted)
    with MultiProcessHelper("test", run, durable=durable) as mph, ThreadPoolExecutor(2, "worker") as executor:
        mapped(mph, write, range(2), executor)
    by_workers = [("0.txt", "worker"), ("1.txt", "worker")]
    assert sorted(who for who in synced if who[1] == "worker") == (by_workers if durable else [])


class TestUnusableExecutors:
    """What cannot be used is refused before anything is claimed."""

    @pytest.mark.parametrize("make", [forked, lambda: ThreadPoolExecutor(2)], ids=["processes", "threads"])
    def test_one_that_is_shut_down(self, run: Path, mph: MultiProcessHelper, make: Any) -> None:
        with make() as executor:
            pass
        with pytest.raises(ExecutorUnusable, match=r"no more work .*shutdown.*call map inside its `with` block"):
            mapped(mph, write, range(3), executor)
        assert (hidden(run), outputs(run), events(run, "claimed")) == ([], {}, [])

    def test_one_that_is_broken(self, run: Path, mph: MultiProcessHelper) -> None:
        with forked() as executor:
            assert executor.submit(os.kill, os.getpid(), 0).exception() is None
            assert executor.submit(kill_at_three, 3, Path()).exception() is not None
            with pytest.raises(ExecutorUnusable, match="broken before, make a new one"):
                mapped(mph, write, range(3), executor)
        assert events(run, "claimed") == []

    def test_one_whose_workers_cannot_begin(self, run: Path) -> None:
        """The calls of a script that spawns its workers are not behind `if __name__ == "__main__"`."""
        path = run.with_name("script.py")
        path.write_text(
            "import sys\nfrom concurrent.futures import ProcessPoolExecutor as P\n"
            "from multiprocessing import get_context\nfrom multiprocesstools import MultiProcessHelper\n"
            "from tests.mapped import write\n"
            "with MultiProcessHelper('test', sys.argv[1]) as mph:\n"
            "    mph.map(write, [1], final='{value}', executor=lambda: P(1, get_context('spawn')), progress=False)\n"
        )
        script = "import subprocess; sys.exit(subprocess.call([sys.executable, ARGUMENTS[0], RUN]))"
        with Child(run, script, path) as child:
            assert child.finish() == 1
            last = child.errors.splitlines()[-1]
        assert "ExecutorUnusable: the executor cannot be used: its workers ended before they had begun" in last
        assert '`if __name__ == "__main__":`' in last
        assert not [name for name in os.listdir(run) if "claim" in name]

    @pytest.mark.parametrize("what", ["function", "save"])
    def test_a_function_that_cannot_be_pickled(self, run: Path, mph: MultiProcessHelper, what: str) -> None:
        function = (lambda source, path: None) if what == "function" else abs
        save = None if what == "function" else (lambda value, path: None)
        with forked() as executor:
            with pytest.raises(BadArgument, match=r"cannot get hold of it.*def at the top of a file"):
                mapped(mph, function, range(3), executor, save=save)
            assert events(run, "claimed") == []
            assert mapped(mph, write, range(3), executor).done == 3

    def test_one_that_is_shut_down_meanwhile(self, run: Path, mph: MultiProcessHelper) -> None:
        executor = ThreadPoolExecutor(2)

        def work(source: int, path: Path) -> None:
            if source == 2:
                executor.shutdown(wait=False, cancel_futures=True)
            path.write_text("done")

        with pytest.raises(ExecutorUnusable, match="shutdown"):
            mapped(mph, work, range(9), executor, order="given")
        assert len(outputs(run)) < 9
        assert_all_ended(run)

    def test_what_was_given_is_not_shut_down(self, mph: MultiProcessHelper) -> None:
        with ThreadPoolExecutor(2) as executor:
            mapped(mph, write, range(3), executor)
            assert not refuses(executor)

    @pytest.mark.parametrize("make", [ThreadPoolExecutor, lambda: ThreadPoolExecutor(2)], ids=["class", "lambda"])
    def test_a_class_makes_executors_too(self, mph: MultiProcessHelper, make: Any) -> None:
        assert mapped(mph, write, range(3), make).done == 3


class TestWhatComesBack:
    """From another process not everything can be sent; no exception of an item breaks the pool of the others."""

    def test_a_source_that_cannot_be_pickled(self, run: Path, mph: MultiProcessHelper) -> None:
        sources = [1, threading.Lock(), 3]
        with forked() as executor:
            summary = mapped(mph, write, sources, executor, final=lambda source: f"{sources.index(source)}.txt")
        assert (summary.done, summary.failed) == (2, 1)
        assert "cannot pickle" in summary.failures[0].exception

    @pytest.mark.parametrize(
        ("function", "words"),
        [(raise_what_cannot_be_read, "TwoFacts: 1 and 2"), (raise_what_looks_broken, "BrokenExecutor: another pool")],
        ids=["unreadable", "looks like a broken pool"],
    )
    def test_an_exception_that_would_break_the_pool(self, mph: MultiProcessHelper, function: Any, words: str) -> None:
        with forked() as executor:
            summary = mapped(mph, function, range(4), executor)
        assert (summary.done, summary.failed) == (3, 1)
        assert summary.failures[0].exception.startswith(f"FunctionFailed: {words}")
        assert f"in {function.__name__}" in summary.failures[0].traceback

    def test_an_exit_of_the_function_is_a_failed_attempt_and_goes_on(self, run: Path, mph: MultiProcessHelper) -> None:
        with forked() as executor, pytest.raises(SystemExit, match="enough"):
            mapped(mph, leave, range(4), executor)
        assert ended(run, "1.txt", 1)["outcome"] == "failed"
        assert_all_ended(run)


WORKING = """
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from tests.mapped import write_and_hang
with helper(max_attempts=1) as mph, {executor} as pool:
    try:
        items = ["a", "b", "c", "d"]
        mph.map(write_and_hang, items, final="{{value}}.txt", directory="out", executor=pool, progress=False)
    except KeyboardInterrupt:
        say("interrupted")
        raise
"""
BREAKING = """
import multiprocessing.process
from concurrent.futures import ProcessPoolExecutor
from tests.mapped import kill_beside_a_late_writer
told = []
def terminate_late(process):
    told or (told.append(True), say("broken"))
    time.sleep(1.5)
    terminate(process)
terminate = multiprocessing.process.BaseProcess.terminate
multiprocessing.process.BaseProcess.terminate = terminate_late
with helper() as mph, ProcessPoolExecutor(3) as pool:
    try:
        mph.map(kill_beside_a_late_writer, range(3), final="{value}.txt", directory="out", executor=pool,
                order="given", progress=False)
    except KeyboardInterrupt:
        say("interrupted")
        raise
"""
THREADS, PROCESSES = (WORKING.format(executor=f"{kind}PoolExecutor(2)") for kind in ("Thread", "Process"))
MADE = PROCESSES.replace(", ProcessPoolExecutor(2) as pool", "").replace("=pool", "=lambda: ProcessPoolExecutor(2)")


def workers_at_work(run: Path, number: int) -> dict[str, int]:
    """Wait until so many items are in work; the process of each."""

    def signs() -> list[str]:
        return [path.name for path in run.parent.glob("working-*")]

    wait_until(lambda: len(signs()) == number, f"{number} items are in work")
    return {name.split("-")[1]: int(name.split("-")[2]) for name in signs()}


def identities(pids: Any) -> list[identity.Identity]:
    """Processes so that their end can be told from another process of the same number."""
    from dataclasses import replace

    own = identity.current()
    return [replace(own, pid=pid, start=int(Path(f"/proc/{pid}/stat").read_text().split()[21])) for pid in set(pids)]


def assert_dropped(run: Path, names: Any) -> None:
    assert {name: ended(run, f"{name}.txt", 1)["outcome"] for name in names} == dict.fromkeys(names, "dropped")


class TestSignals:
    """A real signal while several items are in work."""

    @pytest.mark.parametrize("script", [THREADS, PROCESSES, MADE], ids=["threads", "processes", "made"])
    def test_ctrl_c_gives_all_claims_back_at_once_and_nothing_is_left(self, run: Path, script: str) -> None:
        with Child(run, script) as child:
            working = workers_at_work(run, 2)
            child.send(signal.SIGINT)
            child.hear("interrupted")
            assert_dropped(run, working)
            assert not any(name.startswith(".mpt-") for name in hidden(run)), "while the workers are still at it"
            (run.parent / "go-on").touch()
            assert child.finish() == -signal.SIGINT
        assert outputs(run) == {}
        assert len(list(run.parent.glob("finished-*"))) == 2, "they did write after that"
        assert hidden(run) == sorted(f".{name}.txt.{kind}-1" for name in working for kind in ("claim", "ended"))
        assert records(run) == []
        run_again(run, script)

    @pytest.mark.parametrize("script", [PROCESSES, MADE], ids=["processes", "made"])
    def test_ctrl_c_in_a_terminal_reaches_the_workers_too(self, run: Path, script: str) -> None:
        """That is no failure of an item, and no pool that broke."""
        with Child(run, script, before=("setsid",)) as child:
            working = workers_at_work(run, 2)
            os.killpg(child.pid, signal.SIGINT)
            child.hear("interrupted")
            assert child.finish() == -signal.SIGINT
        assert_dropped(run, working)
        assert len(hidden(run)) == 4
        assert events(run, "failed") == [] and len(events(run, "dropped")) == 2

    def test_ctrl_c_while_a_broken_pool_ends_its_workers(self, run: Path) -> None:
        """It waits until they have: until then they may write."""
        with Child(run, BREAKING) as child:
            child.hear("broken")
            child.send(signal.SIGINT)
            child.hear("interrupted")
            assert child.finish() == -signal.SIGINT
        assert list(run.parent.glob("finished-*")), "one did write after that"
        assert_all_ended(run)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
    def test_workers_end_with_their_owner(self, run: Path, number: signal.Signals) -> None:
        with Child(run, PROCESSES) as child:
            working = workers_at_work(run, 2)
            workers = identities(working.values())
            assert not any(map(identity.is_gone, workers))
            child.send(number)
            assert child.finish() == -number
            wait_until(lambda: all(map(identity.is_gone, workers)), "the workers have ended")
        assert not any(name.startswith(".mpt-") for name in hidden(run))
        assert not list(run.parent.glob("finished-*"))
        if number == signal.SIGTERM:
            assert_dropped(run, working)
            assert records(run) == []

    def test_with_a_handler_that_returns_what_is_in_work_is_finished(self, run: Path) -> None:
        script = f"signal.signal(signal.SIGTERM, lambda number, frame: say('handled'))\n{THREADS}"
        with Child(run, script) as child:
            working = workers_at_work(run, 2)
            child.send(signal.SIGTERM)
            child.hear("handled")
            (run.parent / "go-on").touch()
            child.succeed()
        assert outputs(run) == {f"{name}.txt": "whole" for name in working}
        assert hidden(run) == []


def run_again(run: Path, script: str) -> None:
    with Child(run, script.replace("max_attempts=1", "")) as child:
        child.succeed()
    assert outputs(run) == {f"{name}.txt": "whole" for name in "abcd"}
    assert hidden(run) == []
