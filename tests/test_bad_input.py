"""Bad input: each gets a clear error, nothing is lost, and nothing is created elsewhere.

Everything here happens to real files and real processes; only errors that a disk cannot be made to give (EDQUOT, an
fsync or a link without room) are handed in by a disk with faults.
"""

import errno
import json
import logging
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools import MultiProcessHelper, TooManyFailures
from multiprocesstools.claims import ended as ended_files
from multiprocesstools.claims import identity, record
from multiprocesstools.claims.ended import Ended, Outcome
from multiprocesstools.claims.record import Record
from multiprocesstools.errors import (
    BadArgument,
    BadName,
    DuplicateFinal,
    FinalOfAnotherKind,
    HelperClosed,
    ItemGivenBack,
    MarkedFailed,
    NewerFormat,
    NoSources,
    RunDirectoryUnusable,
    SettingsDiffer,
)  # fmt: skip
from tests.labs import require_lab
from tests.tools import QUICK, Child, FaultyDisk, command, mounted, names, require_root, tree, wait_until

NOBODY, SOMEBODY = 65534, 65533
LONGEST = 205
"""Bytes of the longest name: 255 without `.mpt-`, 32 digits of an id, `-folder-9999` and a dot."""

Helper = MultiProcessHelper


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory that does not exist yet, alone in a folder."""
    return tmp_path / "outside" / "run"


@pytest.fixture
def commons() -> Iterator[Path]:
    """A folder that every user may use (that of pytest belongs to one user alone)."""
    with tempfile.TemporaryDirectory(prefix="mpt-test-") as folder:
        os.chmod(folder, 0o777)
        yield Path(folder)


def helper(folder: Path, **settings: Any) -> Helper:
    return MultiProcessHelper("test", folder, **(QUICK | settings))


def work_off(
    folder: Path, sources: Any, final: str = "{value}.txt", *, wait: bool = True, **settings: Any
) -> list[Any]:
    """One instance works off a list, writing each source into its final; what it was given to do."""
    with helper(folder, **settings) as mph:
        worked = []
        for item in mph.items(sources, final=final, progress=False, wait=wait):
            with item:
                worked.append(item.source)
                item.path.write_text(f"result of {item.source!r}")
    return worked


# -- names


NAMES = {
    "empty": ("", "it is empty"),
    "NUL": ("a\0b", "NUL"),
    "newline": ("a\nb", "line break"),
    "the parent": ("..", "inside its directory"),
    "the directory itself": (".", "inside its directory"),
    "out by the parent": ("../escaped", "inside its directory"),
    "out in the middle": ("sub/../../escaped", "inside its directory"),
    "empty in the middle": ("sub//escaped", "it is empty"),
    "too long": ("n" * (LONGEST + 1), "256 of 255 bytes"),
    "too long in bytes": ("é" * 103, "256 of 255 bytes"),
    "too long a folder": ("n" * (LONGEST + 1) + "/x", "256 of 255 bytes"),
    "a claim": (".x.claim-1", "the package uses such names"),
    "a staging file": (".mpt-x", "the package uses such names"),
    "the home of a run": (".multiprocesstools", "the package uses such names"),
    "half a character": ("\ud800", "cannot be written as a file name"),
}
ABSOLUTE = {"absolute": ("/tmp/mpt-escaped", "it must be")}

NAME_DOORS: dict[str, Callable[[Helper, str], object]] = {
    "the final of items": lambda mph, name: mph.items(["x"], final=lambda source: name),
    "one of several finals": lambda mph, name: mph.items(["x"], final=[lambda source: name, "{value}"]),
    "the final of claim": lambda mph, name: mph.claim(name),
    "the final of once": lambda mph, name: mph.once(name, lambda path: path.write_text("")),
    "create_directory": lambda mph, name: mph.create_directory(name),
    "final_file_name": lambda mph, name: mph.create_temp_file(name, "x.tmp", mph.get_directory("working_directory")),
    "temp_file_name": lambda mph, name: mph.create_temp_file("x", name, mph.get_directory("working_directory")),
}
PATH_DOORS: dict[str, Callable[[Helper, str], object]] = {
    "directory of items": lambda mph, name: mph.items(["x"], final="{value}", directory=name),
    "directory of claim": lambda mph, name: mph.claim("x", directory=name),
    "path of create_temp_file": lambda mph, name: mph.create_temp_file("x", "x.tmp", name),
    "get_directory": lambda mph, name: mph.get_directory(name),
}


def table(entries: dict[str, Any]) -> Any:
    return pytest.mark.parametrize("entry", entries.values(), ids=entries.keys())


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Helper, Path]]:
    """One helper that is only asked for what it must refuse, and the folder around its run directory."""
    outside = tmp_path_factory.mktemp("outside")
    with helper(outside / "run", beat_seconds=20, patience_seconds=300) as mph:
        yield mph, outside


@pytest.mark.parametrize("door", [pytest.param(door, id=name) for name, door in (NAME_DOORS | PATH_DOORS).items()])
@table(NAMES)
def test_a_bad_name_is_refused_and_leaves_nothing(
    settled: tuple[Helper, Path], door: Callable[[Helper, str], object], entry: tuple[str, str]
) -> None:
    mph, outside = settled
    before = tree(outside)
    with pytest.raises(BadName) as caught:
        door(mph, entry[0])
    assert entry[1] in str(caught.value) or "it must be a plain name inside its directory" in str(caught.value)
    assert tree(outside) == before


@pytest.mark.parametrize("door", NAME_DOORS.values(), ids=NAME_DOORS.keys())
@table(ABSOLUTE)
def test_an_absolute_name_is_refused(
    settled: tuple[Helper, Path], door: Callable[[Helper, str], object], entry: tuple[str, str]
) -> None:
    mph, outside = settled
    before = tree(outside)
    with pytest.raises(BadName, match=entry[1]):
        door(mph, entry[0])
    assert tree(outside) == before
    assert not os.path.lexists(entry[0])


@table(NAMES | ABSOLUTE | {"a folder": ("a/b", "inside its directory"), "hidden": (".test", "begin with a dot")})
def test_a_bad_name_of_a_helper_is_refused_before_anything_is_made(run: Path, entry: tuple[str, str]) -> None:
    with pytest.raises(BadName):
        MultiProcessHelper(entry[0], run)
    assert not run.exists()


@pytest.mark.parametrize("name", ["n" * LONGEST, "é" * 102 + "n", "x" * 201 + ".txt"], ids=["n", "é", "suffix"])
def test_the_longest_names_work_through_failure_and_retry_and_in_place(run: Path, name: str) -> None:
    attempts = []
    with MultiProcessHelper(name, run, **QUICK) as mph:
        folder = mph.create_directory(name)
        for item in mph.items(["x"], final=lambda source: name, directory=name, progress=False):
            with item:
                attempts.append(item.attempt)
                (item.folder / "part").write_text("by the folder")
                assert attempts != [1], "the first attempt fails"
        final, placeholder = name[:-1] + "y", name[:-1] + "z"
        assert mph.create_temp_file(final, placeholder, folder)
        Path(folder, final).write_text("result")
        mph.delete_tempfile(temp_file_name=placeholder, path=name)
    assert attempts == [1, 2]
    assert tree(Path(folder)) == {name: b"by the folder", final: b"result"}
    assert command("status", run).returncode == 0


def test_a_directory_may_be_given_by_its_absolute_path_and_only_so_leaves_the_run(run: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    with helper(run) as mph:
        with pytest.raises(BadName):
            mph.items(["x"], final="{value}", directory="../../elsewhere")
        assert not elsewhere.exists()
        for item in mph.items(["x"], final="{value}", directory=elsewhere, progress=False):
            with item:
                item.path.write_text("result")
    assert names(elsewhere) == {"x"}
    assert names(run) == set()


@pytest.mark.parametrize("part", ["a\0b", "a\nb", "n" * 256], ids=["NUL", "newline", "too long"])
def test_an_absolute_directory_that_cannot_be_is_refused_and_not_planned(run: Path, tmp_path: Path, part: str) -> None:
    with helper(run) as mph:
        before = tree(tmp_path)
        for door in (PATH_DOORS["directory of items"], PATH_DOORS["directory of claim"]):
            with pytest.raises(BadName):
                door(mph, f"{tmp_path}/{part}")
        assert tree(tmp_path) == before


def test_names_given_as_bytes_mean_the_same_files(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with MultiProcessHelper("test", os.fsencode(run)) as mph:  # type: ignore[arg-type]
        for item in mph.items(["x"], final="{value}", directory=os.fsencode(run / "sub"), progress=False):
            with item:
                item.path.write_text("result")
    assert names(run) == {"sub"}
    assert names(tmp_path) == {"outside"}, "no directory is named like b'...'"


@pytest.mark.parametrize("directory", ["", b"", "a\0b"], ids=["empty", "empty bytes", "NUL"])
def test_a_working_directory_that_is_no_path_is_refused(
    directory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadArgument, match="working_directory"):
        MultiProcessHelper("test", directory)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("template", "words"),
    [("{nothing}.csv", "{nothing} is unknown"), ("{stem", "expected '}'"), ("{}.csv", "no field name"),
     ("{stem.real}", "no field name"), ("{value:d}", "cannot be filled"), ([], "empty list")],
    ids=["unknown", "unclosed", "unnamed", "attribute", "wrong format", "no template"],
)  # fmt: skip
def test_a_template_that_cannot_be_filled_is_refused(settled: tuple[Helper, Path], template: Any, words: str) -> None:
    mph, outside = settled
    before = tree(outside)
    with pytest.raises(BadArgument, match=re.escape(words)):
        mph.items(["x"], final=template)
    assert tree(outside) == before


# -- equal finals


def test_two_sources_with_one_final_in_one_call_are_refused_with_a_template_that_tells_them_apart(run: Path) -> None:
    sources = ["a/image.tif", "b/image.tif"]
    with helper(run) as mph:
        before = tree(run)
        with pytest.raises(DuplicateFinal) as caught:
            mph.items(sources, final="{stem}.csv")
        assert caught.value.proposal == "{parent}_{stem}.csv"
        assert all(part in str(caught.value) for part in (*sources, "image.csv", "{parent}_{stem}.csv"))
        assert tree(run) == before
    assert work_off(run, sources, caught.value.proposal) and {"a_image.csv", "b_image.csv"} == names(run)


def test_a_source_that_stands_twice_in_the_list_is_named_and_no_template_is_proposed(run: Path) -> None:
    with helper(run) as mph, pytest.raises(DuplicateFinal) as caught:
        mph.items(["a/image.tif", "a/image.tif"], final="{stem}.csv")
    assert caught.value.proposal == ""
    assert "twice" in str(caught.value)


def test_one_final_from_two_sources_in_two_calls_is_refused_and_both_are_named(run: Path) -> None:
    work_off(run, ["a/image.tif"], "{stem}.csv")
    before = (run / "image.csv").read_bytes()
    with helper(run) as mph:
        plans = tree(run / ".multiprocesstools" / "plans")
        with pytest.raises(DuplicateFinal) as caught:
            mph.items(["c/other.tif", "b/image.tif"], final="{stem}.csv")
        assert "a/image.tif" in str(caught.value) and "b/image.tif" in str(caught.value)
        assert caught.value.proposal == "{parent}_{stem}.csv"
        assert tree(run / ".multiprocesstools" / "plans") == plans
    assert names(run) == {"image.csv"} and (run / "image.csv").read_bytes() == before


def test_one_final_from_two_files_of_one_item_is_refused(run: Path) -> None:
    with helper(run) as mph, pytest.raises(DuplicateFinal):
        mph.items(["x"], final=["{value}.csv", "{value}.csv"])


def test_a_final_for_each_source_where_templates_are_expected_is_refused_at_once(run: Path) -> None:
    finals = [f"{number}.png" for number in range(50_000)]  # times as many sources, no memory would hold the names
    with helper(run) as mph, pytest.raises(BadArgument, match="all sources would be written to it") as caught:
        mph.items(range(50_000), final=finals)
    assert len(str(caught.value)) < 300
    assert names(run) == set()


# -- finals of another kind


def plant_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


KINDS: dict[str, Callable[[Path], object]] = {"pipe": os.mkfifo, "socket": plant_socket}


@pytest.mark.parametrize("plant", KINDS.values(), ids=KINDS.keys())
def test_a_final_that_is_a_pipe_or_socket_is_an_error_and_stays(
    tmp_path: Path, plant: Callable[[Path], object]
) -> None:
    run = Path(os.path.relpath(tmp_path))  # the name of a socket is short
    plant(run / "b.txt")
    kind = tree(tmp_path)["b.txt"]
    with pytest.raises(FinalOfAnotherKind, match="move it away"):
        work_off(run, ["a", "b", "c"])
    assert names(run) == {"b.txt"} and tree(tmp_path)["b.txt"] == kind
    (run / "b.txt").unlink()
    assert sorted(work_off(run, ["a", "b", "c"])) == ["a", "b", "c"]


SINGLE_DOORS: dict[str, Callable[[Helper], object]] = {
    "claim": lambda mph: mph.claim("x"),
    "once": lambda mph: mph.once("x", lambda path: path.write_text("never")),
    "create_temp_file": lambda mph: mph.create_temp_file("x", "x.tmp", "working_directory"),
}


@pytest.mark.parametrize("plant", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("door", SINGLE_DOORS.values(), ids=SINGLE_DOORS.keys())
def test_a_single_final_that_is_a_pipe_or_socket_is_an_error_and_stays(
    tmp_path: Path, door: Callable[[Helper], object], plant: Callable[[Path], object]
) -> None:
    run = Path(os.path.relpath(tmp_path))
    plant(run / "x")
    with helper(run) as mph, pytest.raises(FinalOfAnotherKind):
        door(mph)
    assert names(run) == {"x"}


def test_an_empty_directory_among_files_is_an_error_and_stays(run: Path) -> None:
    work_off(run, ["a"])
    (run / "b.txt").mkdir()
    with pytest.raises(FinalOfAnotherKind, match="a directory, while"):
        work_off(run, ["a", "b", "c"])
    assert names(run) == {"a.txt", "b.txt"}
    (run / "b.txt").rmdir()
    assert sorted(work_off(run, ["a", "b", "c"])) == ["b", "c"]


def test_an_empty_directory_in_the_place_of_the_only_final_is_not_passed_over_as_done(run: Path) -> None:
    (run / "a.txt").mkdir(parents=True)
    with pytest.raises(FinalOfAnotherKind):
        work_off(run, ["a"])


def test_a_final_that_is_a_link_to_nothing_is_not_passed_over_as_done(run: Path) -> None:
    run.mkdir(parents=True)
    (run / "b.txt").symlink_to("nowhere")
    with pytest.raises(FinalOfAnotherKind):
        work_off(run, ["a", "b"])


def test_a_folder_in_a_final_that_is_a_file_is_an_error_and_the_run_can_still_be_looked_at(run: Path) -> None:
    work_off(run, ["a"], "{value}")
    with pytest.raises(RunDirectoryUnusable, match="not a directory"):
        work_off(run, ["a"], "{value}/result")
    assert (run / "a").read_text() == "result of 'a'"
    assert command("status", run).returncode in (0, 3)
    assert command("cleanup", run).returncode == 0


# -- the working directory


def test_a_working_directory_that_is_a_file_is_an_error_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text("mine")
    for directory in (path, path / "below"):
        with pytest.raises(RunDirectoryUnusable, match="not a directory"):
            helper(directory)
    shown = command("status", path)
    assert shown.returncode == 4 and "it is not a directory" in shown.stderr
    assert tree(tmp_path) == {"run": b"mine"}


READ_ONLY = """
try:
    with MultiProcessHelper("test", sys.argv[1]) as mph:
        for item in mph.items(["x"], final="{value}", progress=False):
            say("an item was offered")
except multiprocesstools.MultiProcessError as error:
    say(f"{type(error).__name__}: {error}")
"""


@pytest.mark.parametrize("existing", [False, True], ids=["new run", "existing run"])
def test_a_directory_where_this_user_may_not_write_is_one_clear_error(commons: Path, existing: bool) -> None:
    require_root()
    run = commons / "run"
    run.mkdir()
    if existing:
        work_off(run, ["a"])
    before = tree(commons)
    with Child(READ_ONLY, run, user=(NOBODY, NOBODY)) as child:
        assert child.hear() == f"RunDirectoryUnusable: the directory {str(run)!r} cannot be used: Permission denied"
        assert child.finish() == 0 and child.errors == ""
    assert tree(commons) == before


@pytest.mark.parametrize("existing", [False, True], ids=["new run", "existing run"])
def test_a_read_only_filesystem_is_one_clear_error_and_a_run_on_it_can_be_looked_at(
    tmp_path: Path, existing: bool
) -> None:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=1m", "none") as disk:
        if existing:
            work_off(disk, ["a"])
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(RunDirectoryUnusable, match="Read-only file system"):
            helper(disk)
        for word in ("status", "cleanup"):
            assert command(word, disk).returncode == (0 if existing else 4)


def test_a_directory_of_finals_where_nothing_can_be_written_is_one_clear_error(run: Path, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "ro", "none") as disk, helper(run) as mph:
        with pytest.raises(RunDirectoryUnusable, match="Read-only file system"):
            mph.items(["x"], final="{value}", directory=disk)
        with pytest.raises(RunDirectoryUnusable, match="Read-only file system"):
            mph.items(["x"], final="{value}", directory=disk / "sub")


VANISHING = """
import shutil
run, finals, lost, when = sys.argv[1:]
try:
    with MultiProcessHelper("test", run, beat_seconds=0.1, patience_seconds=0.5) as mph:
        for item in mph.items(range(5), final="{value}", directory=finals, progress=False):
            with item:
                if when == "before writing":
                    shutil.rmtree(lost)
                item.path.write_text("result")
                if when == "after writing":
                    shutil.rmtree(lost)
            if when == "between items":
                shutil.rmtree(lost)
            say("next")
except multiprocesstools.MultiProcessError as error:
    say(f"{type(error).__name__}: {error}")
"""


@pytest.mark.parametrize("when", ["before writing", "after writing", "between items"])
@pytest.mark.parametrize("lost", ["run", "finals"])
def test_a_directory_that_disappears_in_mid_run_ends_the_loop_with_one_clear_message(
    tmp_path: Path, lost: str, when: str
) -> None:
    run, finals = tmp_path / "run", tmp_path / ("run" if lost == "run" else "finals")
    with Child(VANISHING, run, finals, finals, when) as child:
        said = child.hear()
        while said == "next":
            said = child.hear()
        assert said == f"RunDirectoryUnusable: the directory {str(finals)!r} cannot be used: it is not there any more"
        assert child.finish() == 0
        assert "Traceback" not in child.errors
    assert not finals.exists()


@pytest.mark.parametrize("when", ["before writing", "after writing", "between items"])
def test_a_run_directory_that_disappears_while_the_finals_stay_ends_the_loop_and_loses_no_result(
    tmp_path: Path, when: str
) -> None:
    run, finals = tmp_path / "run", tmp_path / "finals"
    with Child(VANISHING, run, finals, run, when) as child:
        said = child.hear()
        while said == "next":
            said = child.hear()
        assert said == f"RunDirectoryUnusable: the directory {str(run)!r} cannot be used: it is not there any more"
        assert child.finish() == 0
        assert "Traceback" not in child.errors
    assert len([name for name in names(finals) if not name.startswith(".")]) == 1
    assert not run.exists()
    with helper(run) as mph:
        rest = []
        for item in mph.items(range(5), final="{value}", directory=finals, progress=False):
            with item:
                rest.append(item.source)
                item.path.write_text("result")
    assert len(rest) == 4 and names(finals) == set("01234")


@pytest.mark.parametrize("waiting", [False, True], ids=["in the block", "while waiting for another instance"])
def test_a_directory_that_disappears_with_the_last_item_ends_the_loop_with_one_clear_message(
    run: Path, waiting: bool
) -> None:
    with helper(run) as mph, helper(run) as other:
        assert not waiting or other.claim("x") is not None
        watch = {"progress": lambda tally: tally.waiting_for and _remove(run)} if waiting else {"progress": False}
        with pytest.raises(RunDirectoryUnusable, match="not there any more"):
            for item in mph.items(["x"], final="{value}", **watch):
                with item:
                    _remove(run)
                    raise ValueError("the work fails too")
    assert not run.exists()


def test_a_directory_that_disappears_while_a_final_is_written_in_place_is_said_at_the_next_claim(run: Path) -> None:
    with helper(run) as mph:
        mph.create_directory("results")
        assert mph.create_temp_file("a.csv", "a.tmp", "results")
        assert mph.create_temp_file("b.csv", "b.tmp", "results")
        _remove(run)
        for name in ("a.tmp", "b.tmp"):
            mph.delete_tempfile(temp_file_name=name, path="results")
        assert mph.tempfiles == [] and mph.finished == []
        with pytest.raises(RunDirectoryUnusable, match="not there any more"):
            mph.create_temp_file("c.csv", "c.tmp", "results")
    assert not run.exists()


def test_an_instance_whose_directory_is_gone_ends_without_an_error(run: Path) -> None:
    with helper(run) as mph:
        mph.create_directory("results")
        assert mph.create_temp_file("a.csv", "a.tmp", "results")
        item = mph.claim("x")
        assert item is not None
        item.path.write_text("half")
        _remove(run)
        assert not run.exists()


def _remove(folder: Path) -> None:
    """rm -r, again if a beat or a journal came in between."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


# -- full disks


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB and 300 names."""
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=1m,nr_inodes=300", "none") as disk:
        yield disk


def fill(disk: Path, *, names_too: bool = False) -> list[Path]:
    """Take all room (and all inodes); the files that hold it."""
    taken = [disk / "ballast"]
    with taken[0].open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError as error:
                assert error.errno == errno.ENOSPC
    try:
        while names_too:
            path = disk / f"ballast-{len(taken)}"
            path.touch()
            taken.append(path)
    except OSError as error:
        assert error.errno == errno.ENOSPC
    return taken


def empty(ballast: list[Path]) -> None:
    for path in ballast:
        path.unlink()


def test_an_output_without_room_fails_leaves_no_staging_file_and_the_others_are_done(small: Path) -> None:
    with helper(small, max_attempts=2) as mph:
        for item in mph.items(["big", "a", "b", "c"], final="{value}", progress=False):
            with item:
                item.path.write_bytes(b"x" * (2_000_000 if item.source == "big" else 10))
        assert {failure.exception.split(":")[0] for failure in mph.failures} == {"OSError"}
        assert [failure.attempt for failure in mph.failures] == [1, 2]
        assert all("No space left on device" in failure.exception for failure in mph.failures)
    assert {"a", "b", "c"} <= names(small) and not [name for name in names(small) if name.startswith(".mpt-")]
    shown = command("status", small)
    assert shown.returncode == 1 and "No space left on device" in shown.stdout


def test_an_end_without_room_is_written_down_when_there_is_room_again(small: Path) -> None:
    with helper(small) as mph:
        item = mph.claim("x")
        assert item is not None
        with pytest.raises(ValueError, match="no good"), item:
            item.path.write_text("half")
            ballast = fill(small, names_too=True)
            raise ValueError("no good")
        assert {".x.claim-1"} == {name for name in names(small) if name.startswith(".")}
        assert mph.claim("x") is None, "its end is not known to the others yet"
        empty(ballast)
        wait_until((small / ".x.ended-1").exists, "the ended-file")
        again = mph.claim("x")
        assert again is not None and again.attempt == 2
        with again:
            again.path.write_text("whole")
    assert names(small) == {"x"}


def test_a_disk_without_room_for_claims_ends_the_loop_with_one_clear_message_and_nothing_is_lost(small: Path) -> None:
    with helper(small) as mph, pytest.raises(RunDirectoryUnusable, match="No space left on device"):
        for item in mph.items(["a", "b"], final="{value}", progress=False, order="given"):
            with item:
                item.path.write_text("result")
            ballast = fill(small, names_too=True)
    empty(ballast)
    assert names(small) == {"a"}
    assert work_off(small, ["a", "b"], "{value}") == ["b"]


def test_a_final_written_in_place_without_room_is_moved_aside_and_its_item_is_free_again(small: Path) -> None:
    with helper(small) as mph:
        assert mph.create_temp_file("a.csv", "a.tmp", "working_directory")
        try:
            ballast = fill(small)
            (small / "a.csv").write_bytes(b"x" * 10_000)
        except OSError as error:
            assert error.errno == errno.ENOSPC
            mph.delete_tempfile(temp_file_name="a.tmp", path="working_directory")
        assert {"a.csv", "a.tmp", ".a.csv.partial-1"} & names(small) == {".a.csv.partial-1"}
        empty(ballast)
        wait_until((small / ".a.csv.ended-1").exists, "the ended-file")
        assert mph.create_temp_file("a.csv", "a.tmp", "working_directory")
        (small / "a.csv").write_text("whole")
        mph.delete_tempfile(temp_file_name="a.tmp", path="working_directory")
    assert names(small) == {"a.csv", ".a.csv.partial-1"} and (small / "a.csv").read_text() == "whole"


def test_a_process_that_ends_without_room_leaves_its_item_to_the_next_one(small: Path) -> None:
    script = """
    with MultiProcessHelper("test", sys.argv[1], beat_seconds=0.1, patience_seconds=0.5) as mph:
        item = mph.claim("x")
        with item:
            say("full")
            wait()
            raise ValueError("no good")
    """
    with Child(script, small) as child:
        assert child.hear() == "full"
        ballast = fill(small, names_too=True)
        child.go_on()
        assert child.finish() == 1 and "ValueError: no good" in child.errors
        assert child.errors.count("Traceback") == 1, "the error of the work is not buried under others"
    empty(ballast)
    with helper(small) as mph:
        item = mph.claim("x")
        assert item is not None and item.attempt == 2
        with item:
            item.path.write_text("result")
    assert "x" in names(small)


def test_a_full_disk_at_the_start_is_one_clear_error_and_the_run_starts_when_there_is_room(small: Path) -> None:
    ballast = fill(small, names_too=True)
    with pytest.raises(RunDirectoryUnusable, match="No space left on device"):
        helper(small)
    empty(ballast)
    assert work_off(small, ["a"]) == ["a"]


def test_a_start_with_less_room_than_it_needs_leaves_no_instance_behind(small: Path) -> None:
    work_off(small, ["a"])
    refused, started = 0, False
    while not started:
        ballast = fill(small, names_too=True)
        empty([ballast.pop() for _ in range(refused)])
        try:
            helper(small).cleanup()
            started = True
        except RunDirectoryUnusable as error:
            assert "No space left on device" in str(error)
            refused += 1
        empty(ballast)
        assert names(small / ".multiprocesstools" / "instances") == set(), f"with room for {refused - 1} names"
    assert refused > 2


def test_a_full_disk_stops_the_journal_and_never_tears_it(small: Path) -> None:
    items = [f"item-{number}" for number in range(100)]  # their lines need more than the last page of the file holds
    with helper(small) as mph:
        journal = next((small / "multiprocesstools_logs").glob("*.jsonl"))
        assert mph.claim("before") is not None
        ballast = fill(small)
        for item in items:
            assert mph.claim(item) is not None
            mph.status()
        written = journal.stat().st_size
        empty(ballast)
    assert written <= 4096 < journal.stat().st_size, "the disk was full in between"
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [event["item"] for event in events if event["event"] == "claimed"] == ["before", *items]
    assert events[-1]["event"] == "ended"


def test_a_loop_on_a_full_device_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    require_root("mkfs.ext4", "mount")
    image, ballast = tmp_path / "image", list[Path]()
    with image.open("wb") as file:
        file.truncate(1 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", image], check=True)

    def make_room(tally: Any) -> None:
        if mph.failures:
            assert [name for name in names(disk) if name.startswith(".mpt-")] == []
            while ballast:
                empty([ballast.pop()])

    with mounted(tmp_path / "disk", "-o", "loop", str(image)) as disk, helper(disk) as mph:
        for item in mph.items(["a", "b"], final="{value}", progress=make_room):
            with item:
                if not mph.failures:
                    ballast += fill(disk)
                item.path.write_bytes(b"x" * 100_000)
        assert ["No space left on device" in failure.exception for failure in mph.failures] == [True]
        mph.cleanup()
        assert names(disk) == {"a", "b", "lost+found"} and mph.status().done == 2


FULL = [pytest.param(errno.ENOSPC, id="ENOSPC"), pytest.param(errno.EDQUOT, id="EDQUOT")]


@pytest.mark.parametrize("error", FULL)
@pytest.mark.parametrize("verb", ["sync", "link"])
@pytest.mark.parametrize("directory", [False, True], ids=["file", "directory"])
def test_an_output_that_cannot_be_synced_or_published_fails_and_leaves_no_staging_file(
    run: Path, monkeypatch: pytest.MonkeyPatch, error: int, verb: str, directory: bool
) -> None:
    refused: list[str] = []
    verb = "rename" if directory and verb == "link" else verb

    def fault(asked: str, path: str) -> int:
        hit = asked == verb and ((os.path.basename(path).endswith("bad") and ".mpt-" in path) or path.endswith("/bad"))
        if hit:
            refused.append(path)
        return error if hit else 0

    monkeypatch.setattr("multiprocesstools.run.directory.PosixDisk", lambda: FaultyDisk(fault))
    with helper(run, max_attempts=2) as mph:
        for item in mph.items(["bad", "good"], final="{value}", progress=False):
            with item:
                if directory:
                    item.path.mkdir()
                (item.path / "part" if directory else item.path).write_text("result")
        assert [failure.attempt for failure in mph.failures] == [1, 2] and len(refused) == 2
        assert all(os.strerror(error) in failure.exception for failure in mph.failures)
    assert names(run) == {"good", *(f".bad.{kind}-{number}" for kind in ("claim", "ended") for number in (1, 2))}


@pytest.mark.parametrize("error", FULL)
def test_a_claim_that_cannot_be_made_ends_the_loop_with_one_clear_message_and_nothing_is_lost(
    run: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    monkeypatch.setattr(
        "multiprocesstools.run.directory.PosixDisk",
        lambda: FaultyDisk(lambda verb, path: error * path.endswith(".b.claim-1")),
    )
    with helper(run) as mph, pytest.raises(RunDirectoryUnusable, match=os.strerror(error)):
        for item in mph.items(["a", "b"], final="{value}", progress=False, order="given"):
            with item:
                item.path.write_text("result")
    monkeypatch.undo()
    assert names(run) == {"a"}
    assert work_off(run, ["a", "b"], "{value}") == ["b"]


@pytest.mark.parametrize("error", FULL)
def test_an_ended_file_whose_close_is_refused_is_never_half_written_and_comes_when_there_is_room(
    run: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    full = threading.Event()

    def fault(verb: str, path: str) -> int:
        return error if verb == "create" and full.is_set() and "-e" in path and path.endswith(".ended") else 0

    monkeypatch.setattr("multiprocesstools.run.directory.PosixDisk", lambda: FaultyDisk(fault))
    with helper(run) as mph:
        item = mph.claim("x")
        assert item is not None
        full.set()
        with pytest.raises(MarkedFailed), item:
            item.fail("no good")
        assert names(run) == {".x.claim-1"}
        full.clear()
        wait_until((run / ".x.ended-1").exists, "the ended-file")
        assert ended_files.decode((run / ".x.ended-1").read_bytes()).outcome is Outcome.FAILED


def test_a_log_that_cannot_be_written_is_said_once(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with MultiProcessHelper("test", small, loggers=["full"], **QUICK) as mph:
        ballast = fill(small)
        for _ in range(3):
            mph.loggers["full"].error("x" * 5000)
        empty(ballast)
    assert capsys.readouterr().err.count("cannot be written") == 1


# -- files that cannot be understood


GARBAGE: dict[str, bytes] = {
    "empty": b"",
    "torn": b'{"format": 1, "id": "0123',
    "not UTF-8": b"\xff\xfe\x00",
    "nothing": b"null",
    "a number": b"5",
    "a text": b'"text"',
    "a list": b"[1, 2]",
    "an empty object": b"{}",
    "another program's": b'{"format": 1, "id": 5, "event": [], "items": {}}',
    "too deep": b"[" * 100_000,
    "newer": b'{"format": 2, "outcome": "skipped"}',
    "an infinite number": b'{"format": 1, "beat_seconds": 1e999, "time": 1e999, "at": 1e999, "event": "done"}',
}
garbage = pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())


def test_run_files_of_a_newer_format_are_refused_and_named_by_script_and_command(run: Path) -> None:
    work_off(run, ["a"])
    path = run / ".multiprocesstools" / "run-2.json"
    path.write_text(json.dumps({"format": 2, "pace": "fast"}))
    before = tree(run)
    with pytest.raises(NewerFormat, match=r"run-2\.json.*newer multiprocesstools"):
        helper(run)
    for words in (["status"], ["cleanup"], ["retry"]):
        shown = command(*words, run)
        assert shown.returncode == 2 and "run-2.json" in shown.stderr and "Traceback" not in shown.stderr
    assert tree(run) == before


@pytest.mark.parametrize("data", list(GARBAGE.values())[1:], ids=list(GARBAGE)[1:])
def test_settings_that_cannot_be_understood_are_refused_and_named(run: Path, data: bytes) -> None:
    """Only an empty file is passed over: without hard links a crash may have left it."""
    (run / ".multiprocesstools").mkdir(parents=True)
    (run / ".multiprocesstools" / "run-1.json").write_bytes(data)
    with pytest.raises(NewerFormat, match=r"run-1\.json"):
        MultiProcessHelper("test", run)


def plan_file(run: Path, suffix: str) -> Path:
    return next((run / ".multiprocesstools" / "plans").glob(f"*.{suffix}"))


PLANS: dict[str, dict[str, Any]] = {
    "directories": {"directories": 5}, "a directory": {"directories": [5]}, "no directory": {"directories": []},
    "count": {"count": "many"}, "sequence": {"sequence": None}, "template": {"template": 1},
    "NUL": {"directories": ["a\0b"]},
}  # fmt: skip


@garbage
def test_a_plan_that_cannot_be_understood_is_refused_and_named(run: Path, data: bytes) -> None:
    work_off(run, ["a"])
    path = plan_file(run, "json")
    path.write_bytes(data)
    with pytest.raises(NewerFormat, match=path.name):
        work_off(run, ["b"])
    shown = command("status", run)
    assert shown.returncode == 2 and path.name in shown.stderr and "Traceback" not in shown.stderr
    assert names(run) == {"a.txt"}


@pytest.mark.parametrize("change", PLANS.values(), ids=PLANS.keys())
def test_a_plan_with_values_of_other_types_is_refused_and_named(run: Path, change: dict[str, Any]) -> None:
    work_off(run, ["a"])
    path = plan_file(run, "json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    shown = [command(word, run) for word in ("status", "cleanup")]
    assert [(s.returncode, path.name in s.stderr, "Traceback" in s.stderr) for s in shown] == [(2, True, False)] * 2


@pytest.mark.parametrize("data", [*GARBAGE.values(), b"x\x9cnot it"], ids=[*GARBAGE, "torn compression"])
def test_the_names_of_a_plan_that_cannot_be_understood_are_refused_and_named(run: Path, data: bytes) -> None:
    import zlib

    work_off(run, ["a"])
    path = plan_file(run, "names")
    for content in (data, zlib.compress(data or b"[1, 2]")):
        path.write_bytes(content)
        shown = command("status", run)
        assert shown.returncode == 2 and path.name in shown.stderr and "Traceback" not in shown.stderr


def test_records_that_cannot_be_understood_harm_nobody_and_are_named_and_never_removed(run: Path) -> None:
    work_off(run, ["a"])
    records = run / ".multiprocesstools" / "instances"
    for number, data in enumerate(GARBAGE.values(), 1):
        (records / f"odd-{number}").write_bytes(data)
    before = tree(records)
    assert work_off(run, ["a", "b"]) == ["b"]
    assert command("status", run).returncode == 0
    swept = command("cleanup", "--no-wait", run)
    assert swept.returncode == 3 and "odd-1: an instance of an unknown owner" in swept.stdout
    assert tree(records) == before
    with pytest.raises(SettingsDiffer) as caught:
        helper(run, beat_seconds=0.05)
    assert "odd-1" in str(caught.value), "an unreadable record is nobody known to be gone"


def test_claims_that_cannot_be_understood_are_never_free_and_taken_over_after_patience(run: Path) -> None:
    sources = list(GARBAGE)
    run.mkdir(parents=True)
    for source, data in GARBAGE.items():
        (run / f".{source}.txt.claim-1").write_bytes(data)
    assert work_off(run, sources, wait=False) == []
    shown = json.loads(command("status", "--json", run).stdout)
    assert shown["running"] == len(sources) and {item["error"] for item in shown["items"]} == {"its owner is not known"}
    assert sorted(work_off(run, sources)) == sorted(sources)
    assert names(run) == {f"{source}.txt" for source in sources}


@pytest.mark.parametrize(
    ("plant", "left"),
    [(os.mkfifo, set()), (Path.mkdir, {".a.txt.claim-1", ".b.txt.ended-1"})],
    ids=["pipe", "directory"],
)
def test_pipes_and_directories_planted_as_claim_and_ended_file_block_nobody(
    run: Path, plant: Callable[[Path], object], left: set[str]
) -> None:
    """A directory is of somebody who may miss it: it stays, even an empty one, and the command names it."""
    run.mkdir(parents=True)
    plant(run / ".a.txt.claim-1")
    (run / ".b.txt.claim-1").write_bytes(b"")
    plant(run / ".b.txt.ended-1")
    assert work_off(run, ["a", "b"], wait=False) == ["b"]
    assert command("status", run).returncode == 3
    assert work_off(run, ["a", "b"]) == ["a"]
    assert names(run) == {"a.txt", "b.txt"} | left
    said = command("cleanup", run)
    assert {word for word in said.stdout.replace(":", "").split() if word.startswith(".")} == left
    assert names(run) == {"a.txt", "b.txt"} | left
    assert command("status", run).returncode == 0


def test_ended_files_that_cannot_be_understood_count_as_failures(run: Path) -> None:
    sources = list(GARBAGE)
    run.mkdir(parents=True)
    for source, data in GARBAGE.items():
        for number in (1, 2):
            (run / f".{source}.txt.claim-{number}").write_bytes(b"")
            (run / f".{source}.txt.ended-{number}").write_bytes(data)
    assert sorted(work_off(run, sources, max_attempts=3)) == sorted(sources)
    assert names(run) == {f"{source}.txt" for source in sources}


def test_an_item_with_as_many_unreadable_ended_files_as_attempts_is_set_aside_and_can_be_retried(run: Path) -> None:
    run.mkdir(parents=True)
    for number, data in enumerate(list(GARBAGE.values())[:3], 1):
        (run / f".a.txt.claim-{number}").write_bytes(b"")
        (run / f".a.txt.ended-{number}").write_bytes(data)
    assert work_off(run, ["a"]) == []
    shown = command("status", run)
    assert shown.returncode == 1 and "the ended-file cannot be read" in shown.stdout
    assert command("retry", run).returncode == 0
    assert work_off(run, ["a"]) == ["a"] and names(run) == {"a.txt"}


JOURNAL = [
    *GARBAGE.values(),
    b'{"event": "placeholder", "path": "a\\u0000b", "item": [], "time": 1, "at": 1}',
    b'{"event": "placeholder", "path": "/etc/passwd", "item": {}, "time": 1, "at": 1}',
    b'{"event": "claimed", "item": "a\\u0000.txt", "time": 1, "at": 1}',
    b'{"event": "claimed", "item": "x.txt", "time": 1%s, "at": 1%s}' % (b"0" * 400, b"0" * 400),
    b'{"event": "done", "item": "x.txt", "time": NaN, "at": NaN}',
]


def test_journal_lines_that_cannot_be_understood_are_skipped_and_the_others_count(run: Path) -> None:
    work_off(run, ["a", "b"])
    (run / "multiprocesstools_logs" / "odd-1.jsonl").write_bytes(b"\n".join(JOURNAL) + b'\n{"event": "torn')
    with helper(run) as mph:
        journal = run / "multiprocesstools_logs" / f"test-{mph.instance_number}.jsonl"
        for item in mph.items(["a", "b", "c"], final="{value}.txt", progress=False):
            with item:
                item.path.write_text("result")
        with journal.open("ab") as file:
            file.write(b"\n".join(JOURNAL) + b"\n")
        snapshot = mph.status()
        assert (snapshot.done, snapshot.total) == (3, 3)
        assert [instance.done for instance in snapshot.instances] == [1]
    for word in ("status", "cleanup"):
        shown = command(word, run)
        assert (shown.returncode, shown.stderr) == (0, ""), shown


def foreign_record(**changes: Any) -> bytes:
    """The record of a process that is gone, as another program, or a vandal, might have changed it."""
    own = Record("0" * 32, "test", 77, identity.current(), 0.0)
    line = json.loads(record.encode(own)) | {"pid": 2**22 + 1} | changes
    return json.dumps(line).encode()


def test_the_record_of_a_dead_process_as_a_claim_is_proof_that_it_is_gone(run: Path) -> None:
    run.mkdir(parents=True)
    (run / ".a.txt.claim-1").write_bytes(foreign_record())
    assert work_off(run, ["a"], wait=False) == ["a"]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"pid": -1}, id="a negative pid"),
        pytest.param({"pid": 0}, id="pid 0"),
        pytest.param({"name": "../../../escaped", "boot": "x"}, id="a path as name"),
        pytest.param({"name": "n" * 5000, "boot": "x"}, id="a long name"),
        pytest.param({"started": 10**400}, id="a huge start"),
        pytest.param({"pid": 2**80}, id="a huge pid"),
        pytest.param({"name": "a\0b", "boot": "x"}, id="NUL in the name"),
        pytest.param({"name": "\ud800", "boot": "x"}, id="half a character"),
    ],
)  # fmt: skip
def test_a_claim_with_absurd_values_is_nobody_and_is_taken_over_after_patience(
    run: Path, changes: dict[str, Any]
) -> None:
    run.mkdir(parents=True)
    (run / ".a.txt.claim-1").write_bytes(foreign_record(**changes))
    assert work_off(run, ["a"], wait=False) == []
    assert command("status", run).returncode == 3
    assert work_off(run, ["a"]) == ["a"] and names(run) == {"a.txt"}


# -- planted links


def secret(tmp_path: Path, content: bytes = b"the content of the target\n") -> Path:
    path = tmp_path / "target"
    path.write_bytes(content)
    return path


def test_links_planted_as_claim_sign_and_retry_mark_are_never_followed(run: Path, tmp_path: Path) -> None:
    target = secret(tmp_path, foreign_record())
    run.mkdir(parents=True)
    for name in (".a.txt.claim-1", ".b.txt.direct", ".c.txt.retry-1", ".d.txt.partial-1"):
        (run / name).symlink_to(target)
    assert sorted(work_off(run, list("bcd"), wait=False)) == list("bcd")
    assert work_off(run, ["a"], wait=False) == [], "what a link says is not believed: here that the owner is gone"
    assert work_off(run, ["a"]) == ["a"]
    assert target.read_bytes() == foreign_record() and target.stat().st_nlink == 1
    assert {"a.txt", "b.txt", "c.txt", "d.txt"} <= names(run)


def test_a_link_planted_as_an_ended_file_is_never_followed(run: Path, tmp_path: Path) -> None:
    skipped = ended_files.encode(Ended(Outcome.SKIPPED, exception="so says the target"))
    target = secret(tmp_path, skipped)
    run.mkdir(parents=True)
    for name, plant in (("a", (run / ".a.txt.ended-1").symlink_to), ("b", lambda t: t)):
        (run / f".{name}.txt.claim-1").write_bytes(b"")
        plant(target)
    (run / ".b.txt.ended-1").write_bytes(skipped)
    assert work_off(run, ["a", "b"]) == ["a"], "the real file of b is believed"
    assert target.read_bytes() == skipped
    assert names(run) == {"a.txt", ".b.txt.claim-1", ".b.txt.ended-1"}


OUTPUTS: dict[str, Callable[[Path, Path], object]] = {
    "a link": lambda path, target: path.symlink_to(target),
    "a link to nothing": lambda path, target: path.symlink_to("nowhere"),
    "a pipe": lambda path, target: os.mkfifo(path),
    "an empty directory": lambda path, target: path.mkdir(),
}


@pytest.mark.parametrize("write", OUTPUTS.values(), ids=OUTPUTS.keys())
@pytest.mark.parametrize("durable", [True, False], ids=["durable", "not durable"])
def test_a_staging_file_that_is_no_file_is_never_followed_or_published(
    run: Path, tmp_path: Path, write: Callable[[Path, Path], object], durable: bool
) -> None:
    target = secret(tmp_path)
    with helper(run, durable=durable, max_attempts=1) as mph:
        for item in mph.items(["a", "b"], final="{value}", progress=False):
            with item:
                write(item.path, target) if item.source == "a" else item.path.write_text("result")
        assert len(mph.failures) == 1
    assert target.read_bytes() == secret(tmp_path).read_bytes() and target.stat().st_nlink == 1
    assert names(run) == {"b", ".a.claim-1", ".a.ended-1"}


def test_links_planted_as_record_journal_and_log_are_never_followed(run: Path, tmp_path: Path) -> None:
    target = secret(tmp_path)
    records, logs = run / ".multiprocesstools" / "instances", run / "multiprocesstools_logs"
    records.mkdir(parents=True)
    logs.mkdir()
    (logs / "test-1.jsonl").symlink_to(target)
    (logs / "test-2.log").symlink_to(target)
    (records / "test-3").symlink_to(target)
    with MultiProcessHelper("test", run, loggers=["planted"], **QUICK) as mph:
        assert mph.instance_number == 4
        logging.getLogger("planted").error("a line of the work")
        for item in mph.items(["a"], final="{value}", progress=False):
            with item:
                item.path.write_text("result")
    assert target.read_bytes() == secret(tmp_path).read_bytes() and target.stat().st_nlink == 1
    assert "a line of the work" in (logs / "test-4.log").read_text()
    assert {path.name for path in (*logs.iterdir(), *records.iterdir()) if path.is_symlink()} == {
        "test-1.jsonl", "test-2.log", "test-3"
    }  # fmt: skip


@pytest.mark.parametrize("plant", [lambda path, target: path.symlink_to(target), lambda path, _: os.mkfifo(path)],
                         ids=["link", "pipe"])  # fmt: skip
def test_links_and_pipes_planted_among_run_files_are_never_read(
    run: Path, tmp_path: Path, plant: Callable[[Path, Path], object]
) -> None:
    work_off(run, ["a"])
    home = run / ".multiprocesstools"
    plant(run / "multiprocesstools_logs" / "odd-1.jsonl", secret(tmp_path, b'{"event":"done","time":1,"at":1}\n'))
    plant(home / "stop", secret(tmp_path))
    plant(home / "instances" / "odd-1", secret(tmp_path))
    assert command("status", run).returncode == 0
    assert command("cleanup", "--no-wait", run).returncode == 3
    assert command("stop", run).returncode == 0 and not (home / "stop").is_symlink()
    assert secret(tmp_path).read_bytes() == b"the content of the target\n"
    for name in ("plans/odd.json", "run-7.json"):
        plant(home / name, secret(tmp_path))
        shown = command("status", run)
        assert shown.returncode == 2 and name in shown.stderr and "Traceback" not in shown.stderr
        (home / name).unlink()
    names_file = plan_file(run, "names")
    names_file.unlink()
    plant(names_file, secret(tmp_path))
    shown = command("status", run)
    assert shown.returncode == 2 and names_file.name in shown.stderr and "Traceback" not in shown.stderr


# -- placeholders of other programs


PLACEHOLDERS: dict[str, Callable[[Path, Path], object]] = {
    "empty file": lambda path, target: path.touch(),
    "file": lambda path, target: path.write_text('{"final": "a.csv", "owner": "somebody else"}'),
    "link": lambda path, target: path.symlink_to(target),
    "link to nothing": lambda path, target: path.symlink_to("nowhere"),
    "pipe": lambda path, target: os.mkfifo(path),
    "directory": lambda path, target: path.mkdir(),
    "for another final": lambda path, target: path.write_text(
        json.dumps({"format": "multiprocesstools placeholder 1", "final": "other.csv", "owner": "0" * 32})
    ),
}


@pytest.mark.parametrize("plant", PLACEHOLDERS.values(), ids=PLACEHOLDERS.keys())
def test_a_placeholder_of_another_program_means_not_available_and_is_never_removed(
    run: Path, tmp_path: Path, plant: Callable[[Path, Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    target = secret(tmp_path)
    with helper(run) as mph:
        folder = Path(mph.create_directory("results"))
        plant(folder / "a.tmp", target)
        before = tree(folder)
        assert mph.create_temp_file(final_file_name="a.csv", temp_file_name="a.tmp", path="results") is False
        assert "belongs to another program" in capsys.readouterr().err
        assert mph.tempfiles == []
        with pytest.raises(BadArgument, match="made no such placeholder"):
            mph.delete_tempfile(temp_file_name="a.tmp", path="results")
        mph.delete_all_tempfiles()
        assert mph.create_temp_file(final_file_name="b.csv", temp_file_name="b.tmp", path="results") is True
        mph.delete_tempfile(temp_file_name="b.tmp", path="results")
    assert command("cleanup", "--force", run).returncode == 0
    after = tree(folder)
    assert after.items() >= before.items() and target.read_bytes() == secret(tmp_path).read_bytes()
    assert not os.path.lexists(folder / "a.csv")


def test_a_placeholder_that_another_program_has_put_in_the_place_of_ours_is_not_removed(run: Path) -> None:
    with helper(run) as mph:
        folder = mph.create_directory("results")
        assert mph.create_temp_file("a.csv", "a.tmp", "results")
        assert mph.create_temp_file("b.csv", "b.tmp", "results")
        Path(folder, "a.tmp").unlink()
        Path(folder, "a.tmp").write_text("mine")
        Path(folder, "a.csv").write_text("result")
        mph.delete_tempfile(temp_file_name="a.tmp", path="results")
        mph.delete_tempfile(temp_file_name="b.tmp", path="results")
    files = tree(Path(folder))
    assert files["a.tmp"] == b"mine" and files["a.csv"] == b"result" and "b.tmp" not in files


# -- exceptions that misbehave


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class NoText(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307


class NoNotes(Exception):
    __notes__ = [Unprintable()]  # noqa: RUF012


class Unpicklable(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()

    def __reduce__(self) -> Any:
        raise TypeError("cannot pickle")


def misbehaving() -> dict[str, Callable[[], BaseException]]:
    return {
        "unprintable": Unprintable, "no text": NoText, "odd notes": NoNotes, "unpicklable": Unpicklable,
        "half a character": lambda: ValueError("\ud800 \udcff"), "commands": lambda: ValueError("\x1b[2J\a\r\0 \n x"),
        "long": lambda: ValueError("x" * 5_000_000), "empty": ValueError, "many lines": lambda: ValueError("\n\n\n"),
        "group": lambda: ExceptionGroup("several", [Unprintable(), ValueError("x")]),
        "chained": _chained, "exit": lambda: ValueError(SystemExit(3)),
    }  # fmt: skip


def _chained() -> BaseException:
    error = ValueError("outer")
    error.__cause__ = Unprintable()
    return error


def test_exceptions_that_cannot_be_printed_or_pickled_fail_their_item_and_no_other(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    errors = misbehaving()
    with helper(run, max_attempts=1, stop_after=None) as mph:
        for item in mph.items([*errors, "good"], final="{value}.txt", progress=False):
            with item:
                if item.source in errors:
                    raise errors[item.source]()
                item.path.write_text("result")
        assert len(mph.failures) == len(errors)
    said = capfd.readouterr().err
    assert len(said.splitlines()) == len(errors), "one line for each failure"
    assert "unprintable.txt failed (attempt 1): Unprintable (which cannot be printed: RuntimeError)" in said
    assert "holds a lock" in said and "\x1b" not in said and r"\x1b[2J" in said
    shown = command("status", "--failed", run)
    assert shown.returncode == 1 and "Unprintable (which cannot be printed" in shown.stdout
    assert "\x1b" not in shown.stdout and r"\x1b[2J" in shown.stdout and r"\ud800" in shown.stdout
    assert json.loads(command("status", "--json", run).stdout)["failed"] == len(errors)
    log = next((run / "multiprocesstools_logs").glob("*.log")).read_text("utf-8")
    assert "Unprintable" in log and "\x1b" not in log and r"\x1b[2J" in log
    assert {name for name in names(run) if not name.startswith(".")} == {"good.txt"}


@pytest.mark.parametrize("error", misbehaving().values(), ids=misbehaving().keys())
def test_such_an_exception_passes_unchanged_when_errors_are_raised(
    run: Path, error: Callable[[], BaseException]
) -> None:
    raised = error()
    with helper(run, on_error="raise") as mph, pytest.raises(type(raised)) as caught:
        for item in mph.items(["x"], final="{value}", progress=False):
            with item:
                raise raised
    assert caught.value is raised
    assert names(run) == {".x.claim-1", ".x.ended-1"}


def test_such_an_exception_as_the_last_of_too_many_is_told_without_printing_it(run: Path) -> None:
    with helper(run, stop_after=3) as mph, pytest.raises(TooManyFailures) as caught:
        for item in mph.items(range(9), final="{value}", progress=False):
            with item:
                raise Unprintable
    assert "Unprintable (which cannot be printed: RuntimeError)" in str(caught.value)
    assert "Unprintable" in "".join(traceback.format_exception(caught.value))


# -- arguments


def test_an_empty_list_of_sources_is_an_error_that_asks_for_the_pattern(settled: tuple[Helper, Path]) -> None:
    mph, outside = settled
    before = tree(outside)
    for sources in ([], (), iter(()), {}, Path(outside).glob("nothing*")):
        with pytest.raises(NoSources, match="does the pattern match"):
            mph.items(sources, final="{value}")
    assert tree(outside) == before


@pytest.mark.parametrize("sources", ["image.tif", b"image.tif", Path("image.tif"), 5, None], ids=repr)
def test_a_single_source_in_place_of_a_list_is_an_error(settled: tuple[Helper, Path], sources: Any) -> None:
    mph, outside = settled
    before = tree(outside)
    with pytest.raises(BadArgument, match="sources"):
        mph.items(sources, final="{value}")
    assert tree(outside) == before


def test_the_error_of_a_generator_of_sources_passes_and_nothing_is_claimed(settled: tuple[Helper, Path]) -> None:
    mph, outside = settled
    before = tree(outside)
    error = LookupError("the server has no such plate")

    def sources() -> Iterator[str]:
        yield "a"
        raise error

    with pytest.raises(LookupError) as caught:
        mph.items(sources(), final="{value}")
    assert caught.value is error
    assert tree(outside) == before


def test_the_error_of_a_template_function_passes_and_nothing_is_claimed(settled: tuple[Helper, Path]) -> None:
    mph, outside = settled
    before = tree(outside)
    with pytest.raises(ZeroDivisionError):
        mph.items(["a", "b"], final=lambda source: 1 / 0)
    with pytest.raises(BadName, match="must be a string"):
        mph.items(["a", "b"], final=lambda source: None)
    assert tree(outside) == before


SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "no attempt": ({"max_attempts": 0}, "max_attempts"),
    "negative attempts": ({"max_attempts": -1}, "max_attempts"),
    "half an attempt": ({"max_attempts": 1.5}, "max_attempts"),
    "true attempts": ({"max_attempts": True}, "max_attempts"),
    "beat near patience": ({"beat_seconds": 10, "patience_seconds": 49.9}, "patience_seconds"),
    "beat near the usual patience": ({"beat_seconds": 100}, "patience_seconds"),
    "patience near the usual beat": ({"patience_seconds": 99}, "patience_seconds"),
    "no beat": ({"beat_seconds": 0}, "beat_seconds"),
    "negative beat": ({"beat_seconds": -1}, "beat_seconds"),
    "beat that is no number": ({"beat_seconds": float("nan")}, "beat_seconds"),
    "beat as text": ({"beat_seconds": "20"}, "beat_seconds"),
    "endless beat": ({"beat_seconds": float("inf"), "patience_seconds": float("inf")}, "beat_seconds"),
    "endless patience": ({"patience_seconds": float("inf")}, "patience_seconds"),
    "patience as text": ({"patience_seconds": "300"}, "patience_seconds"),
    "on_error": ({"on_error": "ignore"}, "on_error"),
    "publish": ({"publish": "copy"}, "publish"),
    "stop_after": ({"stop_after": 0}, "stop_after"),
}


@table(SETTINGS)
def test_settings_that_make_no_sense_are_refused_before_anything_is_made(
    run: Path, entry: tuple[dict[str, Any], str]
) -> None:
    with pytest.raises(BadArgument, match=entry[1]):
        MultiProcessHelper("test", run, **entry[0])
    assert not run.parent.exists()


def test_settings_are_judged_together_with_those_of_the_run(run: Path) -> None:
    MultiProcessHelper("test", run, patience_seconds=1000).cleanup()
    MultiProcessHelper("test", run, beat_seconds=100).cleanup()  # 100 s would not go with the usual 300 s
    before = tree(run)
    with pytest.raises(BadArgument, match="at least 5 beats of 300 s"):
        MultiProcessHelper("test", run, beat_seconds=300)
    assert tree(run) == before
    assert sorted(path.name for path in (run / ".multiprocesstools").glob("run-*")) == ["run-1.json", "run-2.json"]


# -- after the end


CLOSED: dict[str, Callable[[Helper], object]] = {
    "items": lambda mph: mph.items(["new"], final="{value}"),
    "claim": lambda mph: mph.claim("new"),
    "once": lambda mph: mph.once("new", lambda path: path.write_text("")),
    "create_directory": lambda mph: mph.create_directory("new"),
    "create_temp_file": lambda mph: mph.create_temp_file("new", "new.tmp", "working_directory"),
    "with": lambda mph: mph.__enter__(),
}


@pytest.mark.parametrize("used", [False, True], ids=["unused", "used before"])
@pytest.mark.parametrize("use", CLOSED.values(), ids=CLOSED.keys())
def test_a_helper_used_after_cleanup_says_so_and_makes_nothing(
    run: Path, use: Callable[[Helper], object], used: bool
) -> None:
    mph = helper(run)
    if used:
        assert next(iter(mph.items(["old"], final="{value}", progress=False))).source == "old"
        mph.create_directory("old")
    mph.cleanup()
    before = tree(run)
    with pytest.raises(HelperClosed, match="make a new MultiProcessHelper"):
        use(mph)
    assert tree(run) == before


def test_after_cleanup_the_state_can_still_be_asked_and_cleaning_up_again_is_fine(run: Path) -> None:
    mph = helper(run)
    mph.items(["x"], final="{value}", progress=False)
    mph.cleanup()
    mph.cleanup()
    mph.close_all_loggers()
    assert mph.status().total == 1 and mph.failures == [] and mph.tempfiles == [] and mph.instance_number == 1


def test_placeholders_that_cleanup_has_dropped_can_be_deleted_again_without_harm(run: Path) -> None:
    mph = helper(run)
    assert mph.create_temp_file("a.csv", "a.tmp", "working_directory")
    mph.cleanup()
    assert mph.tempfiles == []
    mph.delete_all_tempfiles()
    mph.delete_tempfile(temp_file_name="a.tmp", path="working_directory")
    with helper(run) as other:
        assert other.create_temp_file("a.csv", "a.tmp", "working_directory")
        assert (run / "a.tmp").exists(), "it is the other's now"
        mph.delete_tempfile(temp_file_name="a.tmp", path="working_directory")
        assert (run / "a.tmp").exists()


def test_an_item_used_after_cleanup_publishes_nothing(run: Path) -> None:
    mph = helper(run)
    item = mph.claim("x")
    assert item is not None
    item.path.write_text("late")
    mph.cleanup()
    assert names(run) >= {".x.claim-1", ".x.ended-1"}
    with helper(run) as other:
        again = other.claim("x")
        assert again is not None and again.attempt == 2
        with again:
            again.path.write_text("in time")
    with pytest.raises(ItemGivenBack, match="'x' was given back"), item:
        item.path.write_text("late")
    assert tree(run)["x"] == b"in time" and names(run) == {"x"}


# -- names that are not UTF-8


@pytest.mark.parametrize("as_bytes", [True, False], ids=["bytes", "str"])
def test_names_that_are_not_utf8_work_and_are_shown_escaped(run: Path, tmp_path: Path, as_bytes: bool) -> None:
    raw = os.fsencode(tmp_path) + b"/\xff\xfe.txt"
    Path(os.fsdecode(raw)).write_text("input")
    sources: list[Any] = [raw if as_bytes else os.fsdecode(raw), "plain.txt"]
    with helper(run, max_attempts=1) as mph:
        for item in mph.items(sources, final="{stem}.csv", progress=False):
            with item:
                assert item.source in sources
                if item.source != "plain.txt":
                    raise ValueError(f"cannot read {os.fsdecode(raw)}")
                item.path.write_text("result")
    assert os.listdir(os.fsencode(run)).count(b".\xff\xfe.csv.ended-1") == 1
    for shown in (command("status", "--failed", run), command("status", run, env={"LC_ALL": "C", "PYTHONUTF8": "0"})):
        assert shown.returncode == 1 and r"\udcff\udcfe.csv" in shown.stdout, shown
    log = next((run / "multiprocesstools_logs").glob("*.log")).read_text("utf-8")
    assert r"\udcff\udcfe.csv" in log
    assert command("retry", run, b"\xff\xfe.csv".decode("utf-8", "surrogateescape")).returncode == 0
    assert len(work_off(run, sources, "{stem}.csv")) == 1
    assert set(os.listdir(os.fsencode(run))) >= {b"\xff\xfe.csv", b"plain.csv"}
    assert command("cleanup", run).returncode == command("status", run).returncode == 0


def test_a_source_is_the_same_as_bytes_text_and_path(run: Path, tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/\xff.txt"
    assert len(work_off(run, [raw], "{stem}.csv")) == 1
    assert work_off(run, [os.fsdecode(raw)], "{stem}.csv") == []
    assert work_off(run, [Path(os.fsdecode(raw))], "{stem}.csv") == []
    assert len(list((run / ".multiprocesstools" / "plans").glob("*.json"))) == 1


def test_directories_and_names_in_place_that_are_not_utf8_work(tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xff")
    with helper(tmp_path / odd) as mph:
        folder = mph.create_directory(odd)
        assert mph.create_temp_file(f"{odd}.csv", f"{odd}.tmp", odd)
        Path(folder, f"{odd}.csv").write_text("result")
        mph.delete_tempfile(temp_file_name=f"{odd}.tmp", path=odd)
        assert mph.once("\udcfe", lambda path: path.write_text("x")).read_text() == "x"
    assert os.listdir(os.fsencode(folder)) == [b"\xff.csv"]
    shown = command("status", tmp_path / odd)
    assert shown.returncode == 0 and r"\udcff" in shown.stdout


# -- groups and other users


GROUP_WORK = """
import logging, threading
run, first = sys.argv[1], sys.argv[2] == "first"
with MultiProcessHelper("test", run, loggers=["group"], beat_seconds=0.1, patience_seconds=0.5) as mph:
    logging.getLogger("group").warning("hello")
    mph.create_directory("in place")
    mph.create_temp_file(f"{os.getuid()}.csv", f"{os.getuid()}.tmp", "in place")
    pathlib.Path(run, "in place", f"{os.getuid()}.csv").write_text("half")
    done = []
    for item in mph.items(["fails", "a", "b"], final="sub/{value}/x", progress=False, order="given", wait=not first):
        with item:
            (item.folder / "part").write_text("x")
            if item.source == "fails" and first:
                raise ValueError("of the first user")
            if item.source == "b" and first:
                say("in work")
                wait()
            done.append(item.source)
    mph.delete_all_tempfiles()
    say(" ".join(sorted(done)))
"""


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.lstat().st_mode for path in folder.rglob("*")}


@pytest.mark.parametrize(("umask", "writable"), [(0o002, True), (0o022, False)], ids=["002", "022"])
def test_every_file_of_a_run_respects_the_umask(tmp_path: Path, umask: int, writable: bool) -> None:
    run = tmp_path / "run"
    with Child(GROUP_WORK, run, "first", umask=umask) as child:
        assert child.hear() == "in work"
        found = modes(run)
        child.go_on()
        assert child.finish() == 0, child.errors
    user = os.getuid()
    patterns = (
        r"\.multiprocesstools/run-1\.json", r"\.multiprocesstools/instances/test-1",
        r"\.multiprocesstools/plans/.*\.json", r"\.multiprocesstools/plans/.*\.names",
        r"multiprocesstools_logs/test-1\.jsonl", r"multiprocesstools_logs/test-1\.log",
        r"sub/fails/\.x\.claim-1", r"sub/fails/\.x\.ended-1", r"sub/b/\.mpt-.*-folder-1\.x", "sub/b",
        rf"in place/\.{user}\.csv\.claim-1", rf"in place/\.{user}\.csv\.direct", rf"in place/{user}\.tmp", "in place",
    )  # fmt: skip
    for pattern in patterns:
        assert any(re.fullmatch(pattern, name) for name in found), f"{pattern} is not among {sorted(found)}"
    assert {name for name, mode in found.items() if bool(mode & stat.S_IWGRP) is not writable} == set()
    assert {name for name, mode in found.items() if mode & stat.S_IWOTH} == set()


def test_two_users_of_one_group_work_on_one_run_and_one_takes_over_from_the_other(commons: Path) -> None:
    require_root()
    group, run = 54321, commons / "run"
    run.mkdir()
    os.chown(run, -1, group)
    os.chmod(run, 0o2775)
    with Child(GROUP_WORK, run, "first", user=(NOBODY, group), umask=0o002) as first:
        assert first.hear() == "in work"
        with Child(GROUP_WORK, run, "second", user=(SOMEBODY, group), umask=0o002) as second:
            wait_until((run / "sub" / "fails" / "x").exists, "the failed item done by the other user")
            first.kill()
            assert second.hear() == "b fails"
            assert second.finish() == 0 and "Traceback" not in second.errors, second.errors
    with Child("import subprocess\nsay(subprocess.os.getuid())", user=(SOMEBODY, group)) as child:
        assert child.hear() == str(SOMEBODY)
    assert command("cleanup", run).returncode == 0
    assert names(run / "sub" / "b") == {"x"} == names(run / "sub" / "fails") == names(run / "sub" / "a")


HOLDER = """
mph = MultiProcessHelper("holder", sys.argv[1], beat_seconds=1000, patience_seconds=5000)
item = mph.claim("x")
say(f"claimed {os.getpid()}")
wait()
"""
OBSERVER = """
import signal
run, holder = sys.argv[1], int(sys.argv[2])
try:
    os.kill(holder, 0)
    say("kill may")
except OSError as error:
    say(type(error).__name__)
say(os.path.exists(f"/proc/{holder}"))
with MultiProcessHelper("observer", run) as mph:
    item = mph.claim("x")
    say(item)
    say(" ".join(f"{i.name} {i.gone}" for i in mph.status().instances))
    say(" ".join(i.state for i in mph.status().items))
    wait()
    item = mph.claim("x")
    say(item.attempt)
    with item:
        item.path.write_text("by the observer")
"""


@pytest.mark.parametrize("hidden", [False, True], ids=["EPERM from kill", "hidden in /proc"])
def test_the_live_process_of_another_user_is_never_taken_for_dead(commons: Path, hidden: bool) -> None:
    require_root(*(["unshare", "mount"] if hidden else []))
    with Child(HOLDER, commons, user=(NOBODY, NOBODY), umask=0o000) as holder:
        said = holder.hear()
        assert said.startswith("claimed ")
        pid = said.split()[1]
        with Child(OBSERVER, commons, pid, user=(SOMEBODY, SOMEBODY), umask=0o000, hidden=hidden) as observer:
            assert observer.hear() == "PermissionError"
            seen = observer.hear()
            if hidden and seen == "True":
                require_lab("/proc with hidepid=2 hides nothing here")
            assert seen == str(not hidden)
            assert observer.hear() == "None", "the item is in other hands"
            assert observer.hear() == "holder-1 False observer-1 False"
            assert observer.hear() == "running"
            holder.process.send_signal(signal.SIGKILL)
            holder.process.wait()
            observer.go_on()
            assert observer.hear() == "2", "the same process when it is dead is proved gone"
            assert observer.finish() == 0, observer.errors
    assert (commons / "x").read_text() == "by the observer"


@pytest.mark.parametrize("words", [["cleanup", "--no-wait"], ["cleanup", "--force"]], ids=lambda words: words[-1])
def test_cleanup_by_another_user_never_touches_the_live_process(commons: Path, words: list[str]) -> None:
    require_root()
    sweep = """
    sys.argv = ["multiprocesstools", *sys.argv[1:]]
    from multiprocesstools.cli import main
    main()
    """
    with Child(HOLDER, commons, user=(NOBODY, NOBODY), umask=0o000) as holder:
        assert holder.hear().startswith("claimed ")
        with Child(sweep, *words, commons, user=(SOMEBODY, SOMEBODY), umask=0o000) as sweeper:
            said = sweeper.process.stdout.read()
            assert sweeper.finish() == 0, sweeper.errors
        assert "alive" in said and ".x.ended-1" not in said
        assert names(commons) == {".x.claim-1"}
        holder.kill()
    with Child(sweep, *words, commons, user=(SOMEBODY, SOMEBODY), umask=0o000) as sweeper:
        assert ".x.ended-1" in sweeper.process.stdout.read()
        assert sweeper.finish() == 0, sweeper.errors
