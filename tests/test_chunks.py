"""Loops that claim in chunks, and loops whose results the package writes, with real processes."""

import json
import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from multiprocesstools import MultiProcessHelper, read_result
from multiprocesstools.errors import BadArgument, ChunksDiffer, ItemFailed, NoResult, NothingWritten
from multiprocesstools.plans.plans import Plans
from multiprocesstools.run.directory import Run
from tests.processes import Child, briefly, command, events, hidden, run_to_end, wait_until

CHUNKS = [7, "auto"]
WAITS = "say(item.source); time.sleep(60)"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


def helper(run: Path, **more: object) -> MultiProcessHelper:
    return MultiProcessHelper("test", run, **({"beat_seconds": 0.2, "patience_seconds": 20, "durable": False} | more))


def write_all(run: Path, count: int = 50, **more: object) -> list[int]:
    """The sources of the items that this instance did."""
    mine = []
    with helper(run) as mph:
        for item in mph.items(range(count), final="{value}.txt", directory="out", progress=False, **more):
            with item:
                item.path.write_text(str(item.source))
                mine.append(item.source)
    return mine


LOOP = """
import time
with MultiProcessHelper("test", RUN, beat_seconds=0.2, patience_seconds=20, durable=False) as mph:
    for item in mph.items(range(COUNT), final="{value}.txt", directory="out", progress=False, chunk=CHUNK):
        with item:
            WORK
            item.path.write_text(str(item.source))
"""


def loop(count: int, chunk: object, work: str = "pass") -> str:
    return LOOP.replace("COUNT", str(count)).replace("CHUNK", repr(chunk)).replace("WORK", work)


@pytest.mark.parametrize("chunk", CHUNKS)
def test_every_item_is_done_and_nothing_is_left(run: Path, chunk: object) -> None:
    assert sorted(write_all(run, chunk=chunk)) == list(range(50))
    assert hidden(run) == [] and len(os.listdir(run / "out")) == 50
    assert write_all(run, chunk=chunk) == []
    assert command("cleanup", run).returncode == 0


@pytest.mark.parametrize("chunk", CHUNKS)
def test_several_processes_do_each_item_once(run: Path, chunk: object) -> None:
    with ExitStack() as stack:
        for child in [stack.enter_context(Child(run, loop(400, chunk))) for _ in range(4)]:
            child.succeed()
    done = [line[1] for line in briefly(events(run, "done"))]
    assert sorted(done) == sorted(f"{number}.txt" for number in range(400))
    assert hidden(run) == []


def test_a_crash_loses_the_running_item_at_most(run: Path) -> None:
    work = "open(f'{RUN}/at-{item.source}', 'w').close(); time.sleep(0.05 if item.source % 10 < 5 else 60)"
    with Child(run, loop(20, 10, work)) as child:
        wait_until(lambda: any(number % 10 == 5 for number in begun(run)), "the sixth item of a chunk is in work")
        child.kill()
    before = {path.name for path in (run / "out").glob("*.txt")}
    assert len(before) == 5
    stamps = {name: (run / "out" / name).stat().st_mtime_ns for name in before}
    assert len(write_all(run, 20, chunk=10)) == 15
    assert all((run / "out" / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items())
    assert hidden(run) == []


def begun(run: Path) -> list[int]:
    return [int(path.name[3:]) for path in run.glob("at-*")]


def test_an_item_that_kills_its_process_takes_no_neighbours_with_it(run: Path) -> None:
    suicide = "item.source == 3 and os.kill(os.getpid(), 9)"
    for _ in range(4):
        with Child(run, loop(12, 12, suicide)) as child:
            assert child.finish() == -signal.SIGKILL
    run_to_end(run, loop(12, 12, "assert item.source != 3"))
    assert {path.name for path in (run / "out").glob("*.txt")} == {f"{n}.txt" for n in range(12) if n != 3}
    status = json.loads(command("status", run, "--json").stdout)
    assert (status["done"], status["failed"]) == (11, 1)


def test_a_failed_item_is_tried_again_and_set_aside_by_itself(run: Path) -> None:
    tried = []
    with helper(run) as mph:
        for item in mph.items(range(10), final="{value}.txt", directory="out", progress=False, chunk=5):
            with item:
                tried.append(item.source)
                assert item.source != 4
                item.path.write_text("x")
        assert (mph.status().done, mph.status().failed) == (9, 1)
    assert tried.count(4) == 3
    assert tried.count(5) == 1


def test_an_interrupted_chunk_is_for_everybody_at_once(run: Path) -> None:
    with Child(run, loop(6, 6, WAITS)) as child:
        child.hear()
        child.send(signal.SIGTERM)
        child.finish()
    began = time.monotonic()
    assert len(write_all(run, 6, chunk=6)) == 6
    assert time.monotonic() - began < 10
    assert hidden(run) == []


def test_a_broken_loop_gives_its_chunk_back(run: Path) -> None:
    with helper(run) as mph:
        for item in mph.items(range(6), final="{value}.txt", directory="out", progress=False, chunk=6):
            with item:
                item.path.write_text("x")
            break
        assert mph.status().running == 0
    assert len(write_all(run, 6, chunk=6)) == 5


def test_status_counts_the_items_of_a_chunk_in_work(run: Path) -> None:
    with helper(run) as mph:
        for item in mph.items(range(10), final="{value}.txt", directory="out", progress=False, chunk=5):
            with item:
                item.path.write_text("x")
                status = mph.status()
                assert status.done + status.running + status.free == 10 and 1 <= status.running <= 5
        assert mph.status().done == 10


class TestAgreement:
    """Lists over the same finals are claimed in one way."""

    def test_the_cut_that_was_recorded_first_counts(self, run: Path) -> None:
        write_all(run, chunk=5)
        (run / "out" / "3.txt").unlink()
        for chunk in (1, 10, "auto"):
            write_all(run, chunk=chunk)
        assert [plan.chunk for plan in Plans(Run(run)).all()] == [5]

    def test_another_list_is_refused_while_somebody_lives(self, run: Path) -> None:
        with Child(run, loop(20, 5, WAITS)) as child:
            child.hear()
            with pytest.raises(ChunksDiffer) as caught:
                write_all(run, 21, chunk=5)
            assert (caught.value.place, caught.value.there, caught.value.here) == (20, "", "out/20.txt")
            with pytest.raises(ChunksDiffer):
                write_all(run, 21)
            child.kill()
        assert len(write_all(run, 21, chunk=5)) == 21

    def test_an_earlier_list_is_refused_like_a_new_one(self, run: Path) -> None:
        write_all(run, 10)
        with Child(run, loop(20, 5, WAITS)) as child:
            child.hear()
            with pytest.raises(ChunksDiffer):
                write_all(run, 10)
            with pytest.raises(ChunksDiffer), helper(run) as mph:  # the same finals from another template
                mph.items(range(20), final="{value}{suffix}.txt", directory="out", progress=False)
        assert write_all(run, 10) == []
        assert {plan.chunk for plan in Plans(Run(run)).all()} == {1}

    def test_who_joined_while_chunks_were_given_up_keeps_them(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_all(run, 20, chunk=5)
        asked: list[str] = []
        monkeypatch.setattr(
            Plans, "possibly_alive", lambda plans, own: ["late-1"] if asked or asked.append(own) else []
        )
        with pytest.raises(ChunksDiffer):
            write_all(run, 21)
        assert [plan.chunk for plan in Plans(Run(run)).all()] == [5]

    def test_chunks_are_left_out_where_others_claim_the_same_items_one_by_one(self, run: Path) -> None:
        with Child(run, loop(20, 1, WAITS)) as child:
            child.hear()
            with helper(run) as mph:
                mph.items(range(21), final="{value}.txt", directory="out", progress=False, chunk=5)
        assert {plan.chunk for plan in Plans(Run(run)).all()} == {1}

    def test_a_single_claim_knows_of_chunks(self, run: Path) -> None:
        with Child(run, loop(20, 20, WAITS)) as child, helper(run) as mph:
            child.hear()
            assert mph.claim("7.txt", directory="out") is None
            child.kill()
            item = mph.claim("7.txt", directory="out")
            assert item is not None and item.attempt == 2
            with item:
                item.path.write_text("single")
        assert 7 not in write_all(run, 20, chunk=20)


class TestResults:
    """results=True: the package writes the values."""

    @pytest.mark.parametrize("chunk", [1, 4, "auto"])
    def test_values_come_back(self, run: Path, chunk: object) -> None:
        with helper(run) as mph:
            options = {"directory": "out", "progress": False, "results": True, "chunk": chunk}
            for item in mph.items(range(9), final="{value}.json", **options):
                with item:
                    item.result = {"square": item.source**2, "none": None, "text": "\u00e4\n"}
        assert [read_result(run / "out" / f"{n}.json")["square"] for n in range(9)] == [n**2 for n in range(9)]
        assert read_result(run / "out" / "3.json") == {"square": 9, "none": None, "text": "\u00e4\n"}
        assert hidden(run) == []

    def test_what_json_cannot_hold_fails_the_item(self, run: Path) -> None:
        with helper(run, on_error="raise") as mph:
            with pytest.raises(TypeError):
                for item in mph.items([1], final="{value}.json", progress=False, results=True):
                    with item:
                        item.result = object()
            assert mph.failures[-1].item == "1.json"
        assert not (run / "1.json").exists()

    def test_a_block_without_a_result_fails(self, run: Path) -> None:
        with helper(run, max_attempts=1) as mph:
            for item in mph.items([1], final="{value}.json", progress=False, results=True):
                with item:
                    pass
            assert "item.result" in mph.failures[-1].exception
            assert NothingWritten.__name__ in mph.failures[-1].exception

    def test_path_and_result_are_not_mixed_up(self, run: Path) -> None:
        with helper(run, on_error="raise") as mph:
            for results, use in ((True, lambda item: item.path), (False, lambda item: setattr(item, "result", 1))):
                with pytest.raises(BadArgument):
                    for item in mph.items([1], final=f"{{value}}-{results}", progress=False, results=results):
                        with item:
                            use(item)

    def test_other_files_are_no_results(self, run: Path) -> None:
        run.mkdir()
        for number, text in enumerate(
            ["", "{}", '{"format": 1}\n', '{"format": 1}\n{"torn', "a\n1\n", '{"format": 1}\n1\n2\n']
        ):
            (run / str(number)).write_text(text)
            with pytest.raises(NoResult):
                read_result(run / str(number))
        with pytest.raises(FileNotFoundError):
            read_result(run / "missing")

    def test_a_killed_owner_of_a_draft_is_recognised_at_once(self, run: Path) -> None:
        with Child(run, loop(1, 1, WAITS).replace("chunk=1", "results=True")) as child:
            child.hear()
            child.kill()
        with helper(run) as mph:
            for item in mph.items(range(1), final="{value}.txt", directory="out", progress=False, results=True):
                with item:
                    item.result = item.attempt
        assert read_result(run / "out" / "0.txt") == 2


@pytest.mark.parametrize(
    "options", [{"chunk": 0}, {"chunk": "all"}, {"chunk": 1.5}, {"results": 1}, {"results": True, "final": ["a", "b"]}]
)
def test_options_of_no_sense_are_refused(run: Path, options: dict[str, object]) -> None:
    with helper(run) as mph, pytest.raises(BadArgument):
        mph.items([1], **({"final": "{value}"} | options))  # type: ignore[arg-type]


def test_once_waits_for_an_item_of_a_chunk(run: Path) -> None:
    write_all(run, 5, chunk=5)
    with helper(run) as mph:
        assert mph.once("3.txt", lambda path: path.write_text("never"), directory="out").read_text() == "3"
        with pytest.raises((ItemFailed, ZeroDivisionError)):
            mph.once("new.txt", lambda path: 1 / 0, directory="out")


def test_an_item_that_is_claimed_by_itself_before_the_list_is_cut_is_in_no_chunk(run: Path) -> None:
    done, single = [], None
    with helper(run) as one, helper(run) as other:
        for item in one.items(
            range(500), final="{value}.txt", directory="out", progress=False, chunk="auto", wait=False
        ):
            with item:
                time.sleep(0.002)
                item.path.touch()
            done.append(item.source)
            single = single or other.claim("400.txt", directory="out")
        assert single is not None
        with single:
            single.path.touch()
    assert sorted([*done, 400]) == list(range(500))


def test_an_item_is_won_with_its_chunk_when_somebody_has_cut_the_list_before_it_is_claimed(run: Path) -> None:
    write_all(run, 60, chunk="auto")
    os.remove(run / "out" / "50.txt")
    with helper(run) as mph, mph.claim("50.txt", directory="out") as item:  # type: ignore[union-attr]
        item.path.touch()
    assert hidden(run) == [] and len(os.listdir(run / "out")) == 60
