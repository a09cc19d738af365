"""Items as users see them: marks, folders, several files, directories; `once`, `wait_for`, `stop`, TooManyFailures."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from multiprocesstools import Item, MultiProcessHelper, TooManyFailures
from multiprocesstools.errors import ItemFailed, MarkedFailed, NothingWritten
from tests.processes import (
    Child,
    briefly,
    command,
    ended,
    events,
    hidden,
    names,
    outputs,
    records,
    run_to_end,
    wait_until,
)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def mph(run: Path) -> Iterator[MultiProcessHelper]:
    with MultiProcessHelper("test", run, beat_seconds=0.2, patience_seconds=20, durable=False) as mph:
        yield mph


def each(mph: MultiProcessHelper, work: Callable[[Item], object], *sources: object, **options: object) -> None:
    """Do `work` in the block of every item."""
    options = {"final": "{value}.txt", "directory": "out", "order": "given", "progress": False} | options
    for item in mph.items(sources, **options):
        with item:
            work(item)


class TestAttributes:
    """What an item says of itself."""

    def test_it_knows_its_source_its_place_and_where_its_output_will_be(
        self, run: Path, mph: MultiProcessHelper
    ) -> None:
        def work(item: Item) -> None:
            assert (item.index, item.attempt, item.lost) == (sources.index(item.source), 1, False)
            assert item.final == run / "out" / f"{item.source}.txt"
            assert item.path.parent == item.final.parent
            assert item.path.name.endswith(f".{item.final.name}")
            assert item.paths == [item.path]
            assert not item.final.exists()
            item.path.write_text("whole")

        sources = ["a", "b"]
        each(mph, work, *sources)
        assert outputs(run) == {"a.txt": "whole", "b.txt": "whole"}

    def test_the_number_of_the_attempt_grows(self, mph: MultiProcessHelper) -> None:
        seen: list[int] = []

        def work(item: Item) -> None:
            seen.append(item.attempt)
            if item.attempt < 3:
                raise ValueError
            item.path.touch()

        each(mph, work, "a")
        assert seen == [1, 2, 3]

    def test_a_second_start_finds_everything_done(self, run: Path, mph: MultiProcessHelper) -> None:
        each(mph, lambda item: item.path.touch(), "a", "b")
        each(mph, lambda item: pytest.fail("done already"), "a", "b")
        assert len(events(run, "done")) in (0, 2)  # as far as the journal was written by now


class TestMarks:
    """skip, fail and drop are settled when the block ends; what was written is discarded."""

    def test_a_skipped_item_is_settled_without_an_output(self, run: Path, mph: MultiProcessHelper) -> None:
        def work(item: Item) -> None:
            item.path.write_text("half")
            item.skip("no cells in this image")
            assert hidden(run) != [".a.txt.claim-1", ".a.txt.ended-1"], "it is settled when the block ends"

        each(mph, work, "a")
        assert hidden(run) == [".a.txt.claim-1", ".a.txt.ended-1"]
        assert ended(run, "a.txt", 1)["outcome"] == "skipped"
        assert ended(run, "a.txt", 1)["exception"] == "no cells in this image"
        each(mph, lambda item: pytest.fail("skipped already"), "a")
        assert mph.claim("a.txt", directory="out") is None
        status = mph.status()
        assert (status.skipped, status.failed, status.free) == (1, 0, 0)

    def test_fail_counts_as_an_attempt_and_is_tried_again(self, run: Path, mph: MultiProcessHelper) -> None:
        each(mph, lambda item: item.fail("blurred"), "a")
        assert [ended(run, "a.txt", attempt)["outcome"] for attempt in (1, 2, 3)] == ["failed"] * 3
        assert [failure.exception for failure in mph.failures] == ["MarkedFailed: blurred"] * 3
        assert names(run / "out") == sorted(f".a.txt.{kind}-{k}" for kind in ("claim", "ended") for k in (1, 2, 3))

    def test_fail_without_retry_sets_the_item_aside_at_once(self, run: Path, mph: MultiProcessHelper) -> None:
        each(mph, lambda item: item.fail("empty file", retry=False), "a")
        assert ended(run, "a.txt", 1)["outcome"] == "fatal"
        assert hidden(run) == [".a.txt.claim-1", ".a.txt.ended-1"]
        assert mph.status().failed == 1

    def test_a_failed_item_can_be_tried_again_on_request(self, run: Path, mph: MultiProcessHelper) -> None:
        each(mph, lambda item: item.fail("empty file", retry=False), "a")
        each(mph, lambda item: pytest.fail("set aside"), "a")
        each(mph, lambda item: item.path.write_text("whole"), "a", retry_failed=True)
        assert (outputs(run), hidden(run)) == ({"a.txt": "whole"}, [])

    def test_a_dropped_item_is_left_to_others_and_does_not_count(self, run: Path, mph: MultiProcessHelper) -> None:
        tries: list[str] = []

        def work(item: Item) -> None:
            tries.append(item.source)
            item.path.write_text("half")
            if item.source == "a":
                item.drop()

        each(mph, work, "a", "b")
        assert tries == ["a", "b"]
        assert ended(run, "a.txt", 1)["outcome"] == "dropped"
        run_to_end(run, """
            for item in items(helper(), ["a", "b"]):
                with item:
                    assert (item.source, item.attempt) == ("a", 2)
                    item.path.write_text("whole")
        """)  # fmt: skip
        assert (outputs(run), hidden(run)) == ({"a.txt": "whole", "b.txt": "half"}, [])

    def test_marks_of_a_single_claim(self, run: Path, mph: MultiProcessHelper) -> None:
        with pytest.raises(MarkedFailed, match="blurred"), mph.claim("a.txt", directory="out") as item:
            item.fail("blurred")
        with mph.claim("b.txt", directory="out") as item:
            item.skip("nothing")
        with mph.claim("c.txt", directory="out") as item:
            item.drop()
        outcomes = {name: ended(run, f"{name}.txt", 1)["outcome"] for name in "abc"}
        assert outcomes == {"a": "failed", "b": "skipped", "c": "dropped"}

    def test_a_single_claim_that_writes_nothing_says_so(self, run: Path, mph: MultiProcessHelper) -> None:
        with pytest.raises(NothingWritten, match="nothing was written"), mph.claim("a.txt", directory="out"):
            pass
        assert ended(run, "a.txt", 1)["outcome"] == "failed"

    def test_a_single_claim_raises_the_exception_of_its_block(self, run: Path, mph: MultiProcessHelper) -> None:
        with pytest.raises(ValueError, match="broken"), mph.claim("a.txt", directory="out"):
            raise ValueError("broken image")
        assert ended(run, "a.txt", 1)["exception"] == "ValueError: broken image"
        assert [failure.item for failure in mph.failures] == ["out/a.txt"]


class TestKindsOfOutput:
    """A file, a folder's only entry, several files, a directory."""

    def test_the_only_entry_of_the_folder_is_the_output(self, run: Path, mph: MultiProcessHelper) -> None:
        def work(item: Item) -> None:
            assert item.folder == item.folder
            assert list(item.folder.iterdir()) == []
            (item.folder / "name-of-the-program.txt").write_text("whole")

        each(mph, work, "a")
        assert names(run / "out") == ["a.txt"]
        assert outputs(run) == {"a.txt": "whole"}

    def test_the_path_wins_over_the_folder(self, run: Path, mph: MultiProcessHelper) -> None:
        def work(item: Item) -> None:
            (item.folder / "intermediate").write_text("not this")
            item.path.write_text("whole")

        each(mph, work, "a")
        assert names(run / "out") == ["a.txt"]
        assert outputs(run) == {"a.txt": "whole"}

    def test_a_folder_with_two_entries_is_no_output(self, run: Path, mph: MultiProcessHelper) -> None:
        def work(item: Item) -> None:
            if item.attempt == 1:
                (item.folder / "one").write_text("1")
                (item.folder / "two").write_text("2")
            else:
                item.path.write_text("whole")

        each(mph, work, "a")
        assert len(mph.failures) == 1
        assert "nothing was written" in mph.failures[0].exception
        assert names(run / "out") == ["a.txt"]

    def test_several_files_are_published_together(self, run: Path, mph: MultiProcessHelper) -> None:
        def work(item: Item) -> None:
            mask, table = item.paths
            assert table == item.path
            mask.write_text("mask")
            assert not list((run / "out").glob("*.png"))
            table.write_text("table")

        each(mph, work, "a", "b", final=["masks/{value}.png", "{value}.txt"])
        assert {path.name for path in (run / "out" / "masks").iterdir()} == {"a.png", "b.png"}
        assert names(run / "out") == ["a.txt", "b.txt", "masks"]

    @pytest.mark.parametrize("missing", [0, 1])
    def test_several_files_of_which_one_is_missing_are_a_failure(
        self, run: Path, mph: MultiProcessHelper, missing: int
    ) -> None:
        def work(item: Item) -> None:
            for number, path in enumerate(item.paths):
                if number != missing or item.attempt > 1:
                    path.write_text("whole")

        each(mph, work, "a", final=["{value}.png", "{value}.txt"])
        assert len(mph.failures) == 1
        assert outputs(run) == {"a.png": "whole", "a.txt": "whole"}
        assert hidden(run) == []

    def test_a_directory_is_published_as_a_whole(self, run: Path, mph: MultiProcessHelper) -> None:
        def work(item: Item) -> None:
            (item.path / "0" / "0").mkdir(parents=True)
            (item.path / "0" / "0" / "chunk").write_text("zarr")
            assert not item.final.exists()

        each(mph, work, "a", final="{value}.zarr")
        assert names(run / "out") == ["a.zarr"]
        assert (run / "out" / "a.zarr" / "0" / "0" / "chunk").read_text() == "zarr"
        each(mph, lambda item: pytest.fail("done already"), "a", final="{value}.zarr")

    def test_an_empty_directory_is_never_published(self, run: Path, mph: MultiProcessHelper) -> None:
        def work(item: Item) -> None:
            item.path.mkdir()
            if item.attempt > 1:
                (item.path / "chunk").write_text("zarr")

        each(mph, work, "a", final="{value}.zarr")
        assert ["empty directory" in failure.exception for failure in mph.failures] == [True]
        assert names(run / "out") == ["a.zarr"]
        assert names(run / "out" / "a.zarr") == ["chunk"]

    def test_a_directory_that_another_instance_published_first_stays(self, run: Path, mph: MultiProcessHelper) -> None:
        def work(item: Item) -> None:
            item.path.mkdir()
            (item.path / "chunk").write_text("second")
            item.final.mkdir()
            (item.final / "chunk").write_text("first")

        each(mph, work, "a", final="{value}.zarr")
        assert names(run / "out") == ["a.zarr"]
        assert (run / "out" / "a.zarr" / "chunk").read_text() == "first"

    def test_a_file_that_another_instance_published_first_stays(self, run: Path, mph: MultiProcessHelper) -> None:
        def work(item: Item) -> None:
            item.path.write_text("second")
            item.final.write_text("first")

        each(mph, work, "a")
        mph.cleanup()
        assert names(run / "out") == ["a.txt"]
        assert outputs(run) == {"a.txt": "first"}
        assert briefly(events(run, "done", "lost")) == [("lost", "a.txt", 1)]

    @pytest.mark.parametrize("kind", ["link", "pipe"])
    @pytest.mark.parametrize("durable", [True, False], ids=["durable", "not durable"])
    def test_neither_a_link_nor_a_pipe_is_an_output(self, run: Path, kind: str, durable: bool) -> None:
        def work(item: Item) -> None:
            if item.attempt > 1:
                item.path.write_text("whole")
            elif kind == "link":
                item.path.symlink_to("/etc/hostname")
            else:
                os.mkfifo(item.path)

        with MultiProcessHelper("test", run, durable=durable) as mph:
            each(mph, work, "a")
            assert len(mph.failures) == 1
        assert outputs(run) == {"a.txt": "whole"}
        assert hidden(run) == []


class TestOnce:
    """One instance builds, the others wait."""

    SCRIPT = """
        def build(path):
            with open(ARGUMENTS[0], "a") as audit:
                audit.write("built\\n")
            say("building")
            wait()
            path.write_text("whole")
        mph = helper()
        say("path", mph.once("merged.txt", build, directory="out"))
    """

    def test_four_processes_build_it_once_and_all_get_it(self, run: Path) -> None:
        audit = run.parent / "audit"
        final = run / "out" / "merged.txt"
        with ExitStack() as stack:
            children = [stack.enter_context(Child(run, self.SCRIPT, audit)) for _ in range(4)]
            wait_until(lambda: audit.exists() and len(records(run)) == 4, "all have begun")
            assert not final.exists()
            for child in children:
                child.go_on()
            heard = [child.hear() for child in children]
            assert sorted(heard)[0] == "building"
            assert sorted(heard)[1:] == [f"path {final}"] * 3
            children[heard.index("building")].hear(f"path {final}")
            for child in children:
                child.succeed()
        assert audit.read_text() == "built\n"
        assert (outputs(run), hidden(run)) == ({"merged.txt": "whole"}, [])

    def test_when_the_builder_dies_another_one_builds(self, run: Path) -> None:
        audit = run.parent / "audit"
        with Child(run, self.SCRIPT, audit) as child:
            child.hear("building")
            with Child(run, self.SCRIPT, audit) as other:
                wait_until(lambda: len(records(run)) == 2, "the other one has begun")
                child.kill()
                other.hear("building")
                other.go_on()
                other.hear(f"path {run / 'out' / 'merged.txt'}")
        assert audit.read_text() == "built\n" * 2

    def test_an_exception_of_the_builder_is_raised_where_it_was_built_and_another_one_tries(self, run: Path) -> None:
        script = """
            def build(path):
                say("building")
                if wait() == b"x":
                    raise ValueError("broken table")
                path.write_text("whole")
            try:
                say("path", helper().once("merged.txt", build, directory="out").name)
            except ValueError as error:
                say(error)
        """
        with Child(run, script) as child:
            child.hear("building")
            with Child(run, script) as other:
                wait_until(lambda: len(records(run)) == 2, "the other one has begun")
                child.process.stdin.write(b"x")
                child.hear("broken table")
                other.hear("building")
                other.go_on()
                other.hear("path merged.txt")
        assert (outputs(run), hidden(run)) == ({"merged.txt": "whole"}, [])

    def test_when_all_attempts_are_used_up_everybody_is_told(self, mph: MultiProcessHelper) -> None:
        def build(path: Path) -> None:
            raise ValueError("broken table")

        for _ in range(3):
            with pytest.raises(ValueError, match="broken table"):
                mph.once("merged.txt", build)
        with pytest.raises(ItemFailed, match="broken table"):
            mph.once("merged.txt", lambda path: pytest.fail("set aside"))

    def test_what_is_there_is_not_built_again(self, mph: MultiProcessHelper) -> None:
        first = mph.once("merged.txt", lambda path: path.write_text("whole"))
        assert first.read_text() == "whole"
        assert mph.once("merged.txt", lambda path: pytest.fail("built already")) == first

    def test_after_the_loop_everything_is_there_to_be_merged(self, run: Path) -> None:
        """Scene 1: three terminals, one of them merges, and all items are done then."""
        script = """
            with helper() as mph:
                for item in items(mph, range(40), order="spread"):
                    with item:
                        time.sleep(0.005)
                        item.path.write_text("1\\n")
                def merge(path):
                    path.write_text(str(sum(int(p.read_text()) for p in Path(RUN, "out").glob("*.txt"))))
                say(mph.once("total", merge).read_text())
        """
        with ExitStack() as stack:
            children = [stack.enter_context(Child(run, script)) for _ in range(3)]
            for child in children:
                child.hear("40")
                child.succeed()
        assert len(events(run, "done")) == 41
        assert records(run) == []


class TestWaitFor:
    """Waiting for what somebody else makes."""

    def test_it_returns_the_path_when_it_appears(self, run: Path, mph: MultiProcessHelper) -> None:
        threading.Timer(0.15, (run / "flag").touch).start()
        assert mph.wait_for("flag", timeout=10) == run / "flag"
        assert mph.wait_for(run / "flag", timeout=0) == run / "flag"

    def test_it_gives_up_after_the_timeout(self, mph: MultiProcessHelper) -> None:
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=r"flag.* did not appear within 0\.2 s"):
            mph.wait_for("flag", timeout=0.2)
        assert 0.2 <= time.monotonic() - began < 5

    def test_a_missing_folder_is_waited_for_too(self, run: Path, mph: MultiProcessHelper) -> None:
        with pytest.raises(TimeoutError):
            mph.wait_for("new/flag", timeout=0)
        (run / "new").mkdir()
        (run / "new" / "flag").touch()
        assert mph.wait_for("new/flag", timeout=0).exists()


class TestStop:
    """`multiprocesstools stop`: politely, after the item in hand."""

    SCRIPT = """
        mph = helper()
        for item in items(mph, range(1000)):
            with item:
                say("working", item.source)
                wait()
                item.path.write_text("whole")
        say("after", mph.stop_requested)
    """

    def test_it_is_obeyed_within_a_beat_after_the_item_in_hand(self, run: Path) -> None:
        with Child(run, self.SCRIPT) as child:
            child.hear("working 0")
            child.go_on()
            child.hear("working 1")
            stop = command("stop", run)
            assert (stop.returncode, "after the item in hand" in stop.stdout) == (0, True)
            heard = run / ".multiprocesstools" / "instances" / "test-1"
            beats = {heard.read_bytes()}
            wait_until(lambda: len(beats | {heard.read_bytes()}) > 1 and not beats.add(heard.read_bytes()), "a beat")
            wait_until(lambda: beats.add(heard.read_bytes()) or len(beats) > 2, "one more beat")
            child.go_on()
            child.hear("after True")
            child.succeed()
        assert outputs(run) == {"0.txt": "whole", "1.txt": "whole"}
        assert hidden(run) == []

    def test_an_instance_that_waits_for_others_obeys_too(self, run: Path) -> None:
        waiting = """
            def listen(tally):
                if tally.waiting_for:
                    say("waiting")
            for item in items(helper(), [0], progress=listen):
                raise AssertionError
        """
        with Child(run, self.SCRIPT) as child:
            child.hear("working 0")
            with Child(run, waiting) as peer:
                peer.hear("waiting")
                command("stop", run)
                peer.succeed()

    def test_an_old_request_does_not_stop_a_new_instance(self, run: Path, mph: MultiProcessHelper) -> None:
        assert command("stop", run).returncode == 0
        assert "stop" in names(run / ".multiprocesstools")
        mph.cleanup()
        with Child(run, self.SCRIPT) as child:
            child.hear("working 0")
            record = run / ".multiprocesstools" / "instances" / "test-2"
            beats = {record.read_bytes()}
            wait_until(lambda: beats.add(record.read_bytes()) or len(beats) > 3, "several beats")
            child.go_on()
            child.hear("working 1")
            assert command("stop", run).returncode == 0
            wait_until(lambda: beats.add(record.read_bytes()) or len(beats) > 6, "several more beats")
            child.go_on()
            child.hear("after True")


class TestTooManyFailures:
    """A broken script does not burn all attempts of all items."""

    def test_after_ten_failures_in_a_row_the_loop_ends_with_the_last_one(
        self, run: Path, mph: MultiProcessHelper
    ) -> None:
        def work(item: Item) -> None:
            raise NameError(f"typo in {item.source}")

        with pytest.raises(TooManyFailures, match="10 items failed in a row") as caught:
            each(mph, work, *range(100))
        assert isinstance(caught.value.__cause__, NameError)
        assert caught.value.count == 10
        assert len(mph.failures) == 10
        mph.cleanup()
        assert len(events(run, "failed")) == 10
        assert len([name for name in hidden(run) if ".ended-" in name]) == 10

    def test_a_success_in_between_starts_the_count_anew(self, mph: MultiProcessHelper) -> None:
        def work(item: Item) -> None:
            if item.source % 10:
                item.fail("broken", retry=False)
            item.path.touch()

        each(mph, work, *range(40))
        assert len(mph.failures) == 36

    def test_the_limit_can_be_set_and_lifted(self, run: Path) -> None:
        def work(item: Item) -> None:
            raise ValueError

        with MultiProcessHelper("test", run, stop_after=3, max_attempts=1) as mph:
            with pytest.raises(TooManyFailures):
                each(mph, work, *range(20))
            assert len(mph.failures) == 3
        with MultiProcessHelper("test", run, stop_after=None, max_attempts=1) as mph:
            each(mph, work, *range(20))
            assert len(mph.failures) == 17


class TestCleanup:
    """The end of an instance."""

    def test_what_is_in_hand_is_dropped_and_what_was_written_is_gone(self, run: Path) -> None:
        mph = MultiProcessHelper("test", run)
        item = mph.claim("a.txt", directory="out")
        item.path.write_text("half")
        (item.folder / "more").write_text("half")
        mph.cleanup()
        mph.cleanup()
        assert hidden(run) == [".a.txt.claim-1", ".a.txt.ended-1"]
        assert ended(run, "a.txt", 1)["outcome"] == "dropped"
        assert records(run) == []

    def test_a_script_that_forgets_it_is_cleaned_up_at_exit(self, run: Path) -> None:
        run_to_end(run, """
            mph = helper()
            item = mph.claim("a.txt", directory="out")
            item.path.write_text("half")
        """)  # fmt: skip
        assert hidden(run) == [".a.txt.claim-1", ".a.txt.ended-1"]
        assert records(run) == []
        assert [event["event"] for event in events(run)][-2:] == ["dropped", "ended"]

    def test_a_run_directory_that_is_removed_meanwhile_is_one_clear_error(self, run: Path) -> None:
        script = """
            try:
                for item in items(helper(), ["a", "b"]):
                    with item:
                        say("working")
                        wait()
                        item.path.write_text("whole")
            except Exception as error:
                say(type(error).__name__)
        """
        with Child(run, script) as child:
            child.hear("working")
            shutil.rmtree(run)
            child.go_on()
            assert child.hear() in ("RunDirectoryUnusable", "working")
            child.succeed()
            assert child.errors.count("Traceback") == 0
        assert not run.exists()
