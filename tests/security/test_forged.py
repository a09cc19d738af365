"""Forged content: what a record, an end, a plan, settings or a token can make others do that nobody has meant.

What stands here as a power of a hostile writer is said in the README.
"""

import json
import logging
import os
import signal
import stat
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.claims import ended as ended_files
from multiprocesstools.claims import identity
from multiprocesstools.claims.ended import Ended, Outcome
from multiprocesstools.claims.identity import _process
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.claims.publish import clear
from multiprocesstools.claims.slots import MOST_ATTEMPTS
from multiprocesstools.errors import ItemFailed, NewerFormat, SettingsDiffer
from multiprocesstools.plans.inventory import Block, encode
from multiprocesstools.plans.plans import Plans
from multiprocesstools.run.directory import Run
from multiprocesstools.run.journal import Journal
from multiprocesstools.run.logs import LogFile
from tests.claims.conftest import World
from tests.security.plants import DEAD, ID, RAPID, SECRET, all_commands, command, forged, make_outside, work
from tests.tools import names, tree, wait_until

pytestmark = pytest.mark.timeout(60)

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202e\x7f"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "out").mkdir(parents=True)
    return folder


def instances(run: Path) -> Path:
    return run / ".multiprocesstools" / "instances"


# -- whose process it is


def test_a_forged_claim_of_a_process_that_lives_holds_an_item_until_patience_has_passed(run: Path) -> None:
    """And whose own records say so lives on this machine: --force does not touch it while the process is there."""
    living = os.getppid()
    (run / "out" / ".x.claim-1").write_bytes(forged(pid=living, start=_process(living)[0]))
    assert work(run, ["x"], patience_seconds=1000, leave_out="once")["loop"] == []
    assert command("cleanup", "--force", run) == 0 and names(run / "out") >= {".x.claim-1"}
    assert ".x.ended-1" not in names(run / "out")
    (run / ".multiprocesstools" / "run-1.json").unlink()
    found = work(run, ["x"], patience_seconds=0.5)
    assert found["loop"] == [] and found["once"] == "result"
    assert names(run / "out") & {"x", ".x.claim-1"} == {"x"}


def test_a_forged_claim_of_a_dead_process_is_taken_over_and_costs_one_attempt(run: Path) -> None:
    (run / "out" / ".x.claim-1").write_bytes(forged())
    assert work(run, ["x"])["loop"] == ["x"] and names(run / "out") & {"x", ".x.claim-1"} == {"x"}


def test_a_claim_that_copies_the_record_of_the_observer_itself_is_told_apart(run: Path) -> None:
    with MultiProcessHelper("test", run, **RAPID) as mph:
        own = instances(run) / f"test-{mph.instance_number}"
        (run / "out" / ".x.claim-1").write_bytes(own.read_bytes())
        (run / "out" / ".y.claim-1").hardlink_to(own)
        for final in ("x", "y"):  # the link is as an own claim that nobody has in hand: it is dropped
            item = mph.claim(final, directory="out")
            assert item is not None and item.attempt == 2
            with item:
                item.path.write_text("result")
    assert names(run / "out") == {"x", "y"}


@contextmanager
def at_work(run: Path) -> Iterator[tuple[MultiProcessHelper, Any]]:
    """An instance that lives, with an item in hand of which a part is written."""
    with MultiProcessHelper("victim", run, beat_seconds=100, patience_seconds=5000, durable=False) as mph:
        item = mph.claim("x", directory="out")
        assert item is not None
        with item:
            item.path.write_text("half")
            yield mph, item
            item.path.write_text("whole")


def forged_for(mph: MultiProcessHelper, run: Path, **changes: Any) -> bytes:
    """The record of an instance that lives, changed."""
    path = instances(run) / f"victim-{mph.instance_number}"
    return json.dumps(json.loads(path.read_bytes()) | changes).encode()


def test_a_second_record_with_the_id_of_an_instance_that_lives_harms_it_not(run: Path) -> None:
    with at_work(run) as (mph, item):
        for name in ("aaa", "zzz", "000", "~~~"):
            data = forged_for(mph, run, pid=DEAD, name=name, number=1)
            (instances(run) / f"{name}-1").write_bytes(data)
        command("cleanup", "--no-wait", run)
        assert item.path.exists(), "the staging file of an instance that lives"
    assert (run / "out" / "x").read_text() == "whole"


def test_a_forged_staging_file_goes_with_its_name_and_takes_nothing_along(run: Path, tmp_path: Path) -> None:
    """By the id in its name: of a dead instance it is removed, of one that lives it stays, of nobody it waits."""
    outside = make_outside(tmp_path)
    with at_work(run) as (mph, item):
        living = json.loads(forged_for(mph, run))["id"]
        (instances(run) / "forged-7").write_bytes(forged())
        planted = {ID: f".mpt-{ID}-1.y", living: f".mpt-{living}-9.y", "f" * 32: f".mpt-{'f' * 32}-1.y"}
        for name in planted.values():
            os.link(outside / "secret", run / "out" / name)
        command("cleanup", "--no-wait", run)
        assert names(run / "out") & set(planted.values()) == {planted[living], planted["f" * 32]}
        assert item.path.read_text() == "half"
    command("cleanup", "--force", run)
    assert not names(run / "out") & {planted["f" * 32]}
    assert (outside / "secret").read_bytes() == SECRET and (run / "out" / "x").read_text() == "whole"


def test_a_record_whose_name_points_elsewhere_leads_nobody_there(run: Path, tmp_path: Path) -> None:
    outside = make_outside(tmp_path)
    for number, name in enumerate(["../../../outside/record", "/etc/passwd", "..", ".", "a/b", "\0", "~root"]):
        data = forged(name=name, number=number, boot="another", beat="")
        (run / "out" / f".x{number}.claim-1").write_bytes(data)
        (run / ".multiprocesstools" / "instances").mkdir(parents=True, exist_ok=True)
        (instances(run) / f"odd-{number}").write_bytes(data)
    before = tree(outside)
    work(run, [f"x{number}" for number in range(7)])
    assert set(all_commands(run).values()) <= {0, 1, 3}
    assert tree(outside) == before and not instances(run).joinpath("odd-0").exists(), "--force was among the commands"


# -- what is shown


def test_no_forged_text_reaches_a_terminal_unescaped(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work(run, ["done"])
    capsys.readouterr()
    odd = f"x{ESCAPES}y"
    texts = dict.fromkeys(("host", "machine", "boot", "namespace", "id"), odd)
    (run / "out" / ".held.claim-1").write_bytes(forged(**texts))
    (instances(run) / f"{odd}-1").write_bytes(forged(name=odd, **texts))
    (instances(run) / f"{odd}-2").write_bytes(b"no record")
    end = ended_files.encode(Ended(Outcome.FATAL, f"E: {odd}\n{odd}", f"T\n{odd}\n", odd, 1, 1.0, 1.0, odd))
    (run / "out" / ".failed.claim-1").touch()
    (run / "out" / ".failed.ended-1").write_bytes(end)
    for name in (f".{odd}.claim-1", f".{odd}.partial-1", f".mpt-{ID}-1.{odd}"):
        (run / "out" / name).touch()
    (run / ".multiprocesstools" / f"run-{odd}.json").touch()
    event = {"time": 1.0, "at": 1.0, "event": "claimed", "item": f"out/{odd}", "path": odd, "host": odd}
    (run / "multiprocesstools_logs" / f"{odd}-1.jsonl").write_text(json.dumps(event) + "\n")
    with pytest.raises(SettingsDiffer) as differ:
        MultiProcessHelper("test", run, max_attempts=7)
    with MultiProcessHelper("test", run) as mph, pytest.raises(ItemFailed) as failed:
        mph.once("failed", lambda path: None, directory="out")
    codes = [command(*words, run) for words in (["status", "--failed", "--running"], ["retry"], ["stop"])]
    codes += [command("cleanup", *words, run) for words in (["--dry-run"], ["--no-wait"], ["--dry-run", "--force"])]
    (run / ".multiprocesstools" / "plans" / f"{odd}.json").write_bytes(b"garbage")
    assert command("status", run) == 2
    assert set(codes) <= {0, 1, 3}, codes
    words = capsys.readouterr()
    for text in (words.out, words.err, str(differ.value), str(failed.value)):
        assert "owned" in text, "it is shown"
        assert all(char == "\n" or char.isprintable() for char in text), repr(text)


# -- settings, plans, tokens


@pytest.mark.parametrize(
    ("changes", "works"),
    [
        pytest.param({"max_attempts": 10**30}, True, id="attempts without end"),
        pytest.param({"beat_seconds": 1e-300, "patience_seconds": 1e-299}, False, id="no patience"),
        pytest.param({"beat_seconds": 1e8, "patience_seconds": 1e9}, True, id="patience for a life"),
        pytest.param({"beat_seconds": 1e10, "patience_seconds": 1e11}, False, id="patience for ages"),
        pytest.param({"beat_seconds": 1e308, "patience_seconds": 1e308}, False, id="almost infinite"),
        pytest.param({"beat_seconds": 10**400}, False, id="too large a number"),
        pytest.param({"beat_seconds": float("nan")}, False, id="not a number"),
        pytest.param({"patience_seconds": 1}, False, id="less than five beats"),
        pytest.param({"max_attempts": 0}, False, id="no attempt"),
        pytest.param({"max_attempts": True}, False, id="true"),
    ],
)
def test_forged_settings_are_followed_as_far_as_they_make_sense_and_refused_else(
    run: Path, changes: dict[str, Any], works: bool
) -> None:
    assert work(run, ["x"])["loop"] == ["x"]
    line = {"format": 1, "beat_seconds": 20, "patience_seconds": 300, "max_attempts": 3} | changes
    (run / ".multiprocesstools" / "run-999.json").write_text(json.dumps(line))
    if not works:
        with pytest.raises(NewerFormat, match=r"run-999\.json"):
            MultiProcessHelper("test", run)
        return
    began = time.monotonic()
    with MultiProcessHelper("test", run, durable=False) as mph:
        item = mph.claim("y", directory="out")
        assert item is not None
        with item:
            item.path.write_text("result")
    assert time.monotonic() - began < 10 and (run / "out" / "y").read_text() == "result"
    assert command("status", run) == 0


def test_a_planted_token_stops_those_that_take_part_and_nobody_later(run: Path) -> None:
    with MultiProcessHelper("test", run, **RAPID) as mph:
        (run / ".multiprocesstools" / "stop").write_bytes(b"\xff" * 100)
        wait_until(lambda: mph.stop_requested, "the token is obeyed")
    assert work(run, ["x"])["loop"] == ["x"]


def test_a_forged_plan_leads_commands_to_any_folder_where_they_touch_names_of_the_protocol_only(
    run: Path, tmp_path: Path
) -> None:
    outside = make_outside(tmp_path)
    folder = outside / "folder"
    for name in (f".mpt-{ID}-1.a", ".precious.claim-1", ".precious.ended-1", ".other.claim-1", ".mpt-x", ".x.swp"):
        (folder / name).write_bytes(b"")
    (folder / ".mpt-hidden").mkdir()
    before = set(tree(folder))
    work(run, ["x"])
    data = zlib.compress(b"".join(encode(Block(str(folder), ["precious"], ["source"]))))
    plan = {
        "format": 1, "key": ID, "name": "n", "template": "t", "directory": "", "directories": [str(folder), "/"],
        "count": 1, "sources": "", "sequence": 9, "numbered": False, "in_place": False, "files": 1,
        "chunk": 1, "head": 0,
    }  # fmt: skip
    plans = run / ".multiprocesstools" / "plans"
    (plans / f"{ID}.names").write_bytes(data)
    (plans / f"{ID}.json").write_text(json.dumps(plan))
    assert command("status", run) in (0, 3) and set(tree(folder)) == before
    command("cleanup", "--no-wait", run)
    assert before - set(tree(folder)) == {".precious.claim-1", ".precious.ended-1"}, "leftovers of what is there"
    command("cleanup", "--force", run)
    assert set(tree(folder)) - before == {".other.ended-1"}
    assert before - set(tree(folder)) == {".precious.claim-1", ".precious.ended-1", f".mpt-{ID}-1.a"}
    assert (folder / "precious").read_bytes() == SECRET


def test_a_plan_says_nothing_about_files_beside_it(run: Path) -> None:
    """The name of a plan is its key; another key would lead the reader out of the folder."""
    work(run, ["x"])
    path = max((run / ".multiprocesstools" / "plans").glob("*.json"), key=lambda path: len(path.read_bytes()))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"key": "../../../outside/secret"}))
    with pytest.raises(NewerFormat, match="outside/secret"):
        Plans(Run(run)).all()


# -- attempts, signs, and what was moved aside


class Counting(PosixDisk):
    """A disk that counts what is removed, and refuses to go on for ever."""

    removals = 0

    def unlink(self, path: str) -> bool:
        self.removals += 1
        assert self.removals < 50_000, "this does not end"
        return super().unlink(path)


@pytest.mark.parametrize("attempt", [9_999, 999_999_999])
def test_a_planted_attempt_of_a_huge_number_keeps_nobody_busy_for_ever(world: World, attempt: int) -> None:
    disk, slot = Counting(), world.slot()
    me = world.join(disk)
    Path(slot.claim(attempt)).touch()
    highest = me.look(slot).highest
    assert highest in (0, attempt) and highest <= MOST_ATTEMPTS
    before = disk.removals
    clear(me, slot, highest)
    assert disk.removals - before == 3 * highest
    assert Path(slot.claim(attempt)).exists() == (highest == 0)


def test_an_item_with_a_planted_attempt_of_the_highest_number_is_not_lost(world: World) -> None:
    slot = world.slot()
    Path(slot.claim(999_999_999)).touch()
    Path(slot.ended(999_999_999)).write_bytes(ended_files.encode(Ended(Outcome.DROPPED)))
    highest = world.join().look(slot).highest
    Path(slot.claim(highest + 1)).touch()
    assert world.join().look(slot).highest != highest, "the next claim is seen by others"


def sign(run: Path) -> None:
    """What anybody can do who may create names beside the outputs: say that `x` is being written in place."""
    (run / "out" / ".x.direct").touch()


def test_a_planted_sign_has_an_output_made_again_and_the_first_one_is_moved_aside(run: Path) -> None:
    work(run, ["x"])
    (run / "out" / "x").write_text("first")
    sign(run)
    work(run, ["x"])
    assert (run / "out" / "x").read_text() == "result"
    assert [path.read_text() for path in (run / "out").glob(".x.partial-*")] == ["first"]


def test_what_was_moved_aside_is_never_replaced(run: Path) -> None:
    for text in ("first", "second"):
        work(run, ["x"])
        (run / "out" / "x").write_text(text)
        sign(run)
    work(run, ["x"])
    assert {path.read_text() for path in (run / "out").glob(".x.partial-*")} == {"first", "second"}


# -- journal and log that another one has put in their place


def pipe(path: Path) -> None:
    os.mkfifo(path)


def second_name(path: Path) -> None:
    (path.parent / "target").write_bytes(SECRET)
    os.link(path.parent / "target", path)


@pytest.mark.parametrize("plant", [pipe, second_name], ids=["pipe", "hard link"])
def test_a_log_file_is_never_what_somebody_has_put_there(tmp_path: Path, plant: Any) -> None:
    """Somebody who is quick can put it there between the choice of the number and the opening of the file."""
    path = tmp_path / "test-1.log"
    plant(path)
    with _at_once(), pytest.raises(OSError, match=r"not a file of its own|No such device"):
        LogFile(str(path), ("planted",))
    logging.getLogger("planted").error("never written")
    assert stat.S_ISFIFO(path.lstat().st_mode) or path.read_bytes() == SECRET


def test_a_journal_is_never_a_pipe_that_somebody_has_put_in_its_place(world: World, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "test-1.jsonl")
    with _at_once(), pytest.raises(OSError, match=r"not a regular file|No such device"):
        Journal(str(tmp_path / "test-1.jsonl"), world.join())


@contextmanager
def _at_once() -> Iterator[None]:
    """What hangs is interrupted, and fails."""

    def fail(*_: object) -> None:
        raise AssertionError("this hangs")

    old = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, 5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@pytest.mark.parametrize("name", [f"test-{'9' * 244}.log", "test-999999999.log", "test-0.jsonl", "test-007.jsonl"])
def test_no_planted_number_keeps_anybody_from_taking_part(run: Path, name: str) -> None:
    (run / "multiprocesstools_logs").mkdir()
    (run / "multiprocesstools_logs" / name).touch()
    assert work(run, ["x"])["loop"] == ["x"] and work(run, ["y"])["loop"] == ["y"]


def test_the_forged_record_is_believed_at_all(run: Path) -> None:
    """Else the tests above would try nothing: it is of this boot and of a process that is gone."""
    data = (run / "out" / ".x.claim-1").write_bytes(forged()) and (run / "out" / ".x.claim-1").read_bytes()
    from multiprocesstools.claims.record import decode

    assert identity.is_gone(decode(data).identity) and not identity.is_gone(decode(forged(pid=os.getpid())).identity)
