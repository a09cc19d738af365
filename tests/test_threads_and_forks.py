"""Threads may share a helper; a forked child becomes an instance of its own and never touches what its parent holds."""

import multiprocessing
import os
import threading
from collections import Counter
from pathlib import Path

import pytest

from multiprocesstools import MultiProcessHelper
from tests.processes import Child, briefly, events, hidden, names, outputs, records, run_to_end

ITEMS = 300
THREADS = 8


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def _in_threads(work: object) -> None:
    """Run `work()` in eight threads that begin together; their exceptions come through."""
    errors: list[BaseException] = []
    start = threading.Barrier(THREADS)

    def body() -> None:
        try:
            start.wait()
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=body) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


class TestThreads:
    """Eight threads and one helper."""

    def test_they_share_the_items_of_one_list(self, run: Path) -> None:
        seen: list[tuple[int, int]] = []

        def work() -> None:
            for item in mph.items(range(ITEMS), final="{value}.txt", directory="out", progress=False):
                with item:
                    seen.append((item.source, threading.get_ident()))
                    item.path.write_text(str(item.source))

        with MultiProcessHelper("test", run, durable=False) as mph:
            _in_threads(work)
        assert Counter(source for source, _ in seen) == Counter(range(ITEMS))
        assert len({thread for _, thread in seen}) > 1
        assert outputs(run) == {f"{number}.txt": str(number) for number in range(ITEMS)}
        assert hidden(run) == []
        assert len(events(run, "done")) == ITEMS

    def test_each_claim_is_given_to_one_thread(self, run: Path) -> None:
        winners: list[int] = []
        refused: list[int] = []

        def work() -> None:
            for number in range(60):
                item = mph.claim(f"{number}.txt", directory="out")
                if item is None:
                    refused.append(number)
                    continue
                with item:
                    winners.append(number)
                    item.path.write_text("whole")

        with MultiProcessHelper("test", run, durable=False) as mph:
            _in_threads(work)
        assert sorted(winners) == list(range(60))
        assert len(refused) == 60 * (THREADS - 1)
        assert hidden(run) == []

    def test_an_item_that_fails_in_one_thread_is_tried_again_in_any(self, run: Path) -> None:
        attempts: Counter[int] = Counter()

        def work() -> None:
            for item in mph.items(range(20), final="{value}.txt", directory="out", progress=False):
                with item:
                    attempts[item.source] += 1
                    if item.attempt < 3:
                        raise ValueError("not yet")
                    item.path.write_text("whole")

        with MultiProcessHelper("test", run, durable=False, stop_after=None) as mph:
            _in_threads(work)
        assert attempts == Counter(dict.fromkeys(range(20), 3))
        assert len(outputs(run)) == 20
        assert hidden(run) == []

    def test_the_documented_style_works_in_threads(self, run: Path) -> None:
        winners: list[int] = []

        def work() -> None:
            for number in range(40):
                if mph.create_temp_file(f"{number}.txt", f"{number}.{threading.get_ident()}.tmp", "out"):
                    winners.append(number)
                    (run / "out" / f"{number}.txt").write_text("whole")
                    mph.delete_tempfile(f"{number}.{threading.get_ident()}.tmp", "out")

        with MultiProcessHelper("test", run, durable=False) as mph:
            mph.create_directory("out")
            _in_threads(work)
        assert sorted(winners) == list(range(40))
        assert names(run / "out") == sorted(f"{number}.txt" for number in range(40))


FORKED = """
mph = helper(loggers=["work"])
with mph.claim("a.txt", directory="out") as item:
    item.path.write_text("of the parent")
    def work():
        other = mph.claim("b.txt", directory="out")
        with other:
            other.path.write_text("of the child")
        say("child", mph.instance_number, mph.claim("a.txt", directory="out"))
    {fork}
    say("parent", mph.instance_number, mph.tempfiles)
    wait()
"""
OS_FORK = """
    child = os.fork()
    if child == 0:
        work()
        sys.exit()
    assert os.waitpid(child, 0)[1] == 0
"""
MULTIPROCESSING = """
    import multiprocessing
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join()
    assert child.exitcode == 0
"""


class TestForks:
    """A child that was forked while its parent holds an item."""

    @pytest.mark.parametrize("fork", [OS_FORK, MULTIPROCESSING], ids=["os.fork", "multiprocessing"])
    def test_the_child_is_an_instance_of_its_own(self, run: Path, fork: str) -> None:
        with Child(run, FORKED.format(fork=fork.strip())) as child:
            child.hear("child 2 None")
            child.hear("parent 1 []")
            assert outputs(run) == {"b.txt": "of the child"}
            assert sorted(name for name in hidden(run) if not name.startswith(".mpt-")) == [".a.txt.claim-1"]
            assert records(run)[0] == "test-1"
            child.go_on()
            child.succeed()
        assert (outputs(run), hidden(run)) == ({"a.txt": "of the parent", "b.txt": "of the child"}, [])
        logs = run / "multiprocesstools_logs"
        assert {"test-1.jsonl", "test-1.log", "test-2.jsonl", "test-2.log"} <= set(names(logs))
        assert briefly(events(run, "done", "dropped", number=1)) == [("done", "a.txt", 1)]
        assert briefly(events(run, "done", "dropped", number=2)) == [("done", "b.txt", 1)]
        assert len(events(run, "started")) == 2

    def test_the_exit_handlers_of_the_parent_do_not_run_in_the_child(self, run: Path) -> None:
        """A child that only ends writes nothing, drops nothing and says nothing."""
        script = """
            mph = helper(loggers=["work"])
            for item in items(mph, ["a", "b"], progress=None):
                with item:
                    item.path.write_text("whole")
                    if item.source == "a":
                        child = os.fork()
                        if child == 0:
                            sys.exit(0)
                        say(os.waitpid(child, 0)[1])
        """
        with Child(run, script) as child:
            child.hear("0")
            child.succeed()
            assert child.errors.count("2 items") == 1
            assert child.errors.count("done here") == 1
        assert outputs(run) == {"a.txt": "whole", "b.txt": "whole"}
        assert briefly(events(run, "done", "dropped")) == [("done", "a.txt", 1), ("done", "b.txt", 1)]
        assert len(events(run, "ended")) == 1
        assert len(events(run, "started")) == 1

    def test_a_child_does_not_wait_for_a_lock_that_a_thread_of_its_parent_held(self, run: Path) -> None:
        with MultiProcessHelper("test", run) as mph:
            journal = mph._crew.latest_member.journal
            held, release = threading.Event(), threading.Event()

            def hold() -> None:
                with journal._lock, mph._crew._lock:
                    held.set()
                    release.wait()

            thread = threading.Thread(target=hold)
            thread.start()
            held.wait()
            child = multiprocessing.get_context("fork").Process(target=_end_in_a_child, args=(mph,))
            child.start()
            child.join(10)
            release.set()
            thread.join()
            try:
                assert child.exitcode == 0
            finally:
                child.kill()
                child.join()

    def test_the_child_of_a_child_is_one_more_instance(self, run: Path) -> None:
        script = """
            mph = helper()
            def work(depth):
                with mph.claim(f"{depth}.txt", directory="out") as item:
                    item.path.write_text(str(mph.instance_number))
                    if depth < 3:
                        child = os.fork()
                        if child == 0:
                            work(depth + 1)
                            sys.exit()
                        assert os.waitpid(child, 0)[1] == 0
            work(1)
        """
        run_to_end(run, script)
        assert outputs(run) == {"1.txt": "1", "2.txt": "2", "3.txt": "3"}
        assert (hidden(run), records(run)) == ([], [])

    def test_workers_of_a_pool_may_use_the_helper_that_they_inherit(self, run: Path) -> None:
        script = """
            import multiprocessing
            def work(number):
                item = mph.claim(f"{number}.txt", directory="out")
                if item is not None:
                    with item:
                        item.path.write_text(str(mph.instance_number))
                return os.getpid()
            mph = helper()
            mph.create_directory("out")
            with multiprocessing.get_context("fork").Pool(2) as pool:
                pids = pool.map(work, range(20), chunksize=1)
                pool.close()
                pool.join()
            assert os.getpid() not in pids
        """
        run_to_end(run, script)
        assert sorted(outputs(run)) == sorted(f"{number}.txt" for number in range(20))
        assert "1" not in outputs(run).values()
        assert hidden(run) == []

    def test_a_child_never_settles_the_item_that_it_inherits(self, run: Path) -> None:
        script = """
            mph = helper()
            for item in items(mph, ["a"]):
                with item:
                    item.path.write_text("half")
                    child = os.fork()
                    if child == 0:
                        try:
                            with item:
                                raise ValueError("in the child")
                        except ValueError:
                            os._exit(0)
                    assert os.waitpid(child, 0)[1] == 0
                    say("back")
                    wait()
                    item.path.write_text("whole")
        """
        with Child(run, script) as child:
            child.hear("back")
            assert [name for name in hidden(run) if not name.startswith(".mpt-")] == [".a.txt.claim-1"]
            child.go_on()
            child.succeed()
        assert (outputs(run), hidden(run)) == ({"a.txt": "whole"}, [])


def _end_in_a_child(mph: MultiProcessHelper) -> None:
    mph.status()
    mph.cleanup()
    os._exit(0)
