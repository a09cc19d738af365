"""In a notebook: the loop shows a bar, an interrupted cell can be run again, and an idle kernel keeps nothing."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from multiprocesstools.display.table import table
from multiprocesstools.run.journal import read_journal
from tests.notebooks import Notebook, errors, said, shown
from tests.processes import DEADLINE_SECONDS, Child, briefly, ended, events, hidden, names, outputs, records, wait_until
from tests.readme import block, fill

HELPER = """
from multiprocesstools import MultiProcessHelper
mph = MultiProcessHelper("test", RUN, durable=False, beat_seconds=0.2, patience_seconds=20)
"""
"""A helper that another machine would wait for for 20 s; on this one it is alive as long as its kernel."""
LOOP = """
for item in mph.items(["a", "b"], final="{value}.txt", directory="out", order="given"):
    with item:
        item.path.write_text("half")
        if item.source == "a" and not (RUN / "go on").exists():
            (RUN / "in a").touch()
            while True:
                time.sleep(0.01)
        item.path.write_text("whole")
"""
PEER = """
mph = helper(patience_seconds=20)
for item in items(mph, ARGUMENTS):
    with item:
        say(item.source, item.attempt)
        item.path.write_text("of the peer")
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    with Notebook(tmp_path_factory.mktemp("notebook")) as notebook:
        yield notebook


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def notebook(kernel: Notebook, run: Path) -> Iterator[Notebook]:
    """The shared kernel, with a run directory of the test's own."""
    kernel.run_well(f"import time; from pathlib import Path; RUN = Path({str(run)!r})")
    yield kernel
    kernel.run_well("mph.cleanup()")


def assert_a_peer_gets(run: Path, *sources: str) -> None:
    """Another process gets the items at once, from a kernel that lives and beats."""
    with Child(run, PEER, *sources) as peer:
        assert sorted(peer.hear().split()[0] for _ in sources) == sorted(sources)
        peer.succeed()


class TestBar:
    """What a cell shows while its loop runs, and what of that is saved."""

    def test_it_is_one_output_that_changes(self, notebook: Notebook) -> None:
        notebook.run_well(HELPER)
        cell = notebook.run_well("""
            for item in mph.items(range(300), final="{value}.txt"):
                with item:
                    item.path.write_text("x")
        """)
        (text,), (html,) = shown(cell), shown(cell, "text/html")
        assert "300 done here" in text and "of 300 in all 300 are done" in text
        assert html.startswith('<progress value="300" max="300"></progress> test: 300 done here')
        assert said(cell) == ""

    def test_it_moves_while_the_cell_runs(self, notebook: Notebook, run: Path) -> None:
        notebook.run_well(HELPER)
        cell = notebook.begin("""
            for item in mph.items(range(3), final="{value}.txt", order="given"):
                with item:
                    item.path.write_text("x")
                    while item.source == 2 and not (RUN / "go on").exists():
                        time.sleep(0.01)
        """)
        wait_until(lambda: "2 of 3 done" in "".join(shown(notebook.outputs)), "the bar says how many are done")
        (run / "go on").touch()
        assert "3 done here" in shown(cell.result().outputs)[0]

    def test_failures_are_lines_below_it(self, notebook: Notebook) -> None:
        notebook.run_well(HELPER)
        cell = notebook.run_well("""
            for item in mph.items(range(3), final="{value}.txt"):
                with item:
                    item.path.write_text(str(1 / item.source))
        """)
        assert len(shown(cell)) == 1 and "1 failed" in shown(cell)[0]
        assert said(cell).count("0.txt failed") == 3

    def test_a_name_cannot_be_markup(self, notebook: Notebook) -> None:
        notebook.run_well(HELPER.replace('"test"', '"<b>test"'))
        cell = notebook.run_well("for item in mph.items([1], final='{value}'):\n    with item: item.path.touch()")
        assert "&lt;b&gt;test: 1 done here" in shown(cell, "text/html")[0]


class TestInterrupted:
    """The button with the square, in mid-item."""

    def test_another_process_gets_the_item_at_once(self, notebook: Notebook, run: Path) -> None:
        notebook.run_well(HELPER)
        cell = notebook.interrupt(notebook.begin(LOOP), (run / "in a").exists)
        assert errors(cell) == ["KeyboardInterrupt"]
        assert "interrupted by a signal" in shown(cell)[0]
        assert ended(run, "a.txt", 1)["outcome"] == "dropped"
        assert_a_peer_gets(run, "a", "b")

    def test_the_cell_can_be_run_again(self, notebook: Notebook, run: Path) -> None:
        notebook.run_well(HELPER)
        notebook.interrupt(notebook.begin(LOOP), (run / "in a").exists)
        (run / "go on").touch()
        notebook.run_well(LOOP)
        assert (outputs(run), hidden(run)) == ({"a.txt": "whole", "b.txt": "whole"}, [])

    def test_everything_can_be_run_again_from_the_top(self, notebook: Notebook, run: Path) -> None:
        notebook.run_well(HELPER)
        notebook.interrupt(notebook.begin(LOOP), (run / "in a").exists)
        (run / "go on").touch()
        notebook.run_well(HELPER.replace("20)", "40)") + LOOP)  # the former one does not count as somebody who lives
        assert (outputs(run), hidden(run)) == ({"a.txt": "whole", "b.txt": "whole"}, [])
        assert records(run) == ["test-2"]

    def test_an_interrupted_documented_loop_gives_its_item_back(self, notebook: Notebook, run: Path) -> None:
        notebook.run_well(HELPER + 'mph.create_directory("out")')
        cell = notebook.begin("""
            assert mph.create_temp_file("a.txt", "a.tmp", "out")
            (RUN / "out" / "a.txt").write_text("half")
            (RUN / "in a").touch()
            while True:
                time.sleep(0.01)
        """)
        notebook.interrupt(cell, (run / "in a").exists)
        assert not (run / "out" / "a.tmp").exists()
        assert_a_peer_gets(run, "a")


LEFT_OPEN = {
    "a loop that raised between `for` and `with`": """
        for item in mph.items(["a"], final="{value}.txt", directory="out"):
            1 / 0
    """,
    "a loop that was left and is kept": """
        loop = mph.items(["a"], final="{value}.txt", directory="out")
        for item in loop:
            break
    """,
    "an item that nobody entered": 'item = mph.claim("a.txt", directory="out")',
    "an item that nobody keeps": 'mph.claim("a.txt", directory="out")',
    "a placeholder that nobody deleted": """
        mph.create_directory("out")
        assert mph.create_temp_file("a.txt", "a.tmp", "out")
        (RUN / "out" / "a.txt").write_text("half")
    """,
    "a chunk": """
        loop = mph.items(["a", "b"], final="{value}.txt", directory="out", chunk=2, order="given")
        item = next(loop)
    """,
}


class TestIdle:
    """A kernel that runs no cell, while IPython keeps the last error, all results and every name."""

    @pytest.mark.parametrize("source", LEFT_OPEN.values(), ids=LEFT_OPEN.keys())
    def test_what_a_cell_leaves_open_is_free_when_it_ends(self, notebook: Notebook, run: Path, source: str) -> None:
        notebook.run_well(HELPER)
        notebook.run(source)
        assert briefly(events(run, "dropped", "done")) == [("dropped", "a.txt", 1)]
        assert not [name for name in hidden(run) if name.startswith(".mpt-")]
        if "chunk" not in source:
            assert_a_peer_gets(run, "a")
            assert outputs(run) == {"a.txt": "of the peer"}
        notebook.run_well(LOOP.replace("not (RUN", "False and (RUN"))
        assert sorted(outputs(run)) == ["a.txt", "b.txt"]

    def test_a_block_that_raised_has_settled_its_item(self, notebook: Notebook, run: Path) -> None:
        notebook.run_well(HELPER.replace("durable", 'on_error="raise", durable'))
        cell = notebook.run("""
            for item in mph.items(["a", "b"], final="{value}.txt", directory="out", order="given"):
                with item:
                    1 / 0
        """)
        assert errors(cell) == ["ZeroDivisionError"]
        assert ended(run, "a.txt", 1)["outcome"] == "failed"
        notebook.run_well("import sys; frame = sys.last_value.__traceback__.tb_next; assert frame")
        assert_a_peer_gets(run, "a", "b")

    def test_the_signal_handlers_are_those_of_the_kernel_again(self, notebook: Notebook) -> None:
        before = said(notebook.run_well("import signal; print(signal.getsignal(signal.SIGTERM))"))
        notebook.run_well(HELPER)
        for source in LEFT_OPEN.values():
            notebook.run(source)
        assert said(notebook.run_well("print(signal.getsignal(signal.SIGTERM))")) == before

    def test_a_thread_goes_on_after_its_cell(self, notebook: Notebook, run: Path) -> None:
        """And what it works on is left to it."""
        notebook.run_well(HELPER)
        notebook.run_well("""
            import threading
            began = threading.Event()
            def work():
                for item in mph.items(["a"], final="{value}.txt", directory="out"):
                    with item:
                        began.set()
                        while not (RUN / "go on").exists():
                            time.sleep(0.01)
                        item.path.write_text("of the thread")
            thread = threading.Thread(target=work)
            thread.start()
            began.wait()
        """)
        notebook.run_well("pass")
        assert [name for name in hidden(run) if "claim" in name or "ended" in name] == [".a.txt.claim-1"]
        (run / "go on").touch()
        notebook.run_well("thread.join()")
        assert (outputs(run), hidden(run)) == ({"a.txt": "of the thread"}, [])


class TestStale:
    """What is left of a former cell says so."""

    def test_an_item_of_a_former_cell_cannot_be_entered(self, notebook: Notebook, run: Path) -> None:
        notebook.run_well(HELPER)
        cell = notebook.run_well('item = mph.claim("a.txt", directory="out")')
        assert "'out/a.txt' was given back" in said(cell)
        cell = notebook.run("""
            with item:
                item.path.write_text("late")
        """)
        assert errors(cell) == ["ItemGivenBack"] and names(run / "out") == [".a.txt.claim-1", ".a.txt.ended-1"]

    def test_a_loop_of_a_former_cell_cannot_go_on(self, notebook: Notebook) -> None:
        notebook.run_well(HELPER)
        notebook.run_well('loop = mph.items(["a", "b"], final="{value}.txt"); next(loop)')
        assert errors(notebook.run("next(loop)")) == ["LoopEnded"]

    def test_a_loop_that_no_cell_has_begun_can_be_run_later(self, notebook: Notebook, run: Path) -> None:
        notebook.run_well(HELPER)
        notebook.run_well('loop = mph.items(["a"], final="{value}.txt", directory="out")')
        notebook.run_well("for item in loop:\n    with item:\n        item.path.touch()")
        assert outputs(run) == {"a.txt": ""}
        assert errors(notebook.run("next(loop)")) == ["StopIteration"]

    def test_a_placeholder_of_a_former_cell_cannot_be_deleted(self, notebook: Notebook) -> None:
        notebook.run_well(HELPER + 'mph.create_directory("out")')
        notebook.run_well('mph.create_temp_file("a.txt", "a.tmp", "out")')
        assert errors(notebook.run('mph.delete_tempfile("a.tmp", "out")')) == ["BadArgument"]


class TestBuiltAgain:
    """The same cell once more, in which the helper is built."""

    def test_the_former_helper_ends(self, notebook: Notebook, run: Path) -> None:
        notebook.run_well(HELPER + "former = mph")
        notebook.run_well(HELPER)
        assert records(run) == ["test-2"]
        assert errors(notebook.run('former.claim("a.txt")')) == ["HelperClosed"]

    def test_a_helper_that_nobody_knows_any_more_ends_too(self, notebook: Notebook, run: Path) -> None:
        notebook.run_well(HELPER + "del mph; import gc; gc.collect()")
        assert records(run) == ["test-1"]
        notebook.run_well(HELPER)
        assert records(run) == ["test-2"]

    def test_what_the_former_one_holds_is_free_in_the_same_cell(self, notebook: Notebook, run: Path) -> None:
        claim = 'item = mph.claim("a.txt", directory="out")'
        notebook.run_well(f"{HELPER}{claim}{HELPER}{claim}; assert item.attempt == 2")
        assert_a_peer_gets(run, "a")

    @pytest.mark.parametrize("changed", ['"test"', "RUN,"])
    def test_another_name_or_directory_is_another_helper(self, notebook: Notebook, run: Path, changed: str) -> None:
        notebook.run_well(HELPER + "first = mph")
        notebook.run_well(HELPER.replace(changed, {'"test"': '"other"', "RUN,": 'RUN / "sub",'}[changed]))
        notebook.run_well('assert first.claim("a.txt"); first.cleanup()')

    def test_helpers_of_threads_share_a_name(self, notebook: Notebook, run: Path) -> None:
        notebook.run_well(HELPER)
        notebook.run_well("""
            import threading
            from concurrent.futures import ThreadPoolExecutor
            built, both = threading.Event(), threading.Barrier(2)
            def work(number):
                assert number == 0 or built.wait(10)
                with MultiProcessHelper("test", RUN) as own:
                    built.set()
                    both.wait(10)
                    with own.claim(f"{number}.txt", directory="out") as item:
                        item.path.write_text("whole")
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(work, range(2)))
        """)
        assert sorted(outputs(run)) == ["0.txt", "1.txt"]


MEET = """
import os, time
from pathlib import Path
read_text = Path.read_text
def meet(self):
    Path(f"{os.getpid()}.here").touch()
    while len(list(Path().glob("*.here"))) < 2:
        time.sleep(0.01)
    return read_text(self)
Path.read_text = meet
"""
"""No item is read before both kernels have one."""


def test_two_notebooks_share_the_items_of_the_readme(tmp_path: Path) -> None:
    """What the README says of two machines, with two kernels on one."""
    fill(tmp_path)
    with Notebook(tmp_path) as first, Notebook(tmp_path) as second:
        first.run_well(MEET), second.run_well(MEET)
        cells = [notebook.begin(block("two_notebooks")) for notebook in (first, second)]
        for cell in cells:
            shows = shown(cell.result(DEADLINE_SECONDS).outputs)
            assert "of 5 in all 5 are done" in shows[0] and shows[1].startswith("Snapshot(")
    assert {path.name: path.read_text() for path in (tmp_path / "shared" / "results").glob("[!.]*")} == {
        f"img{number}.csv": f"{number}\n" for number in range(5)
    }
    journals = sorted((tmp_path / "shared" / "multiprocesstools_logs").glob("*.jsonl"))
    done = [sum(event["event"] == "done" for event in read_journal(str(path))) for path in journals]
    assert len(done) == 2 and sum(done) == 5 and min(done) > 0


class TestTables:
    """What a cell that ends with it shows."""

    def test_status_shows_its_counts_and_what_is_not_simply_done(self, notebook: Notebook) -> None:
        notebook.run_well(HELPER)
        notebook.run_well("""
            for item in mph.items(["a", "b", "<i>c"], final="{value}.txt"):
                with item:
                    if item.source != "a":
                        raise ValueError("<b>&")
                    item.path.touch()
        """)
        (html,) = shown(notebook.run_well("mph.status()"), "text/html")
        assert "<th>done</th><th>failed</th></tr></thead><tbody><tr><td>1</td><td>2</td></tr>" in html
        assert "<td>&lt;i&gt;c.txt</td><td>failed</td><td>3</td>" in html
        assert "<td>ValueError: &lt;b&gt;&amp;</td>" in html
        (html,) = shown(notebook.run_well("mph.failures[-1]"), "text/html")
        assert "ValueError: &lt;b&gt;&amp;</td>" in html and "<pre>Traceback" in html
        (html,) = shown(notebook.run_well("mph.status().of('failed')[0]"), "text/html")
        assert "<td>failed</td>" in html and "<pre>Traceback" in html

    def test_a_map_shows_what_it_has_come_to(self, notebook: Notebook) -> None:
        notebook.run_well(HELPER)
        cell = notebook.run_well('mph.map(lambda source: 1 / source, [0, 1, 2], final="{value}.json")')
        assert len(shown(cell, "text/html")) == 2, "the bar, and the summary"
        html = shown(cell, "text/html")[-1]
        assert "<td>3</td><td>2</td><td>1</td><td>0</td><td>0</td><td>2</td>" in html
        assert "<td>0.json</td><td>3</td><td>ZeroDivisionError: division by zero</td>" in html

    def test_an_interrupted_map_holds_nothing(self, notebook: Notebook, run: Path) -> None:
        """With the workers of an executor, too."""
        notebook.run_well(HELPER)
        cell = notebook.begin("""
            from concurrent.futures import ThreadPoolExecutor
            def work(source, path):
                (RUN / f"in {source}").touch()
                while not (RUN / "go on").exists():
                    time.sleep(0.01)
                path.write_text("late")
            with ThreadPoolExecutor(2) as pool:
                mph.map(work, ["a", "b"], final="{value}.txt", directory="out", executor=pool)
        """)
        wait_until(lambda: (run / "in a").exists() and (run / "in b").exists(), "both are in work")
        os.kill(notebook.pid, signal.SIGINT)
        wait_until((run / "out" / ".b.txt.ended-1").exists, "b is given back")
        assert_a_peer_gets(run, "a", "b")
        (run / "go on").touch()
        assert errors(cell.result(DEADLINE_SECONDS).outputs) == ["KeyboardInterrupt"]
        assert outputs(run) == {"a.txt": "of the peer", "b.txt": "of the peer"}

    def test_of_many_rows_the_first_ones(self) -> None:
        html = table(["n"], [[number] for number in range(25)])
        assert html.count("<td>") == 20 and '<td colspan="1">… and 5 more</td>' in html
        assert "more" not in table(["n"], [[number] for number in range(20)])
