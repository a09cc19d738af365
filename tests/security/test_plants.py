"""Whatever is planted at any name of the protocol: nothing outside is read, changed or removed, and nobody hangs.

Every plant is met by every door: a loop, `claim`, `once`, the documented style, and all commands with their options.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.errors import MultiProcessError, RunDirectoryUnusable
from tests.security.plants import (
    COMMANDS,
    DEAD,
    ID,
    PLANTS,
    RAPID,
    SECRET,
    Opened,
    all_commands,
    command,
    commands_run,
    forged,
    make_outside,
    plant_huge,
    remove,
    state_of,
    work,
)  # fmt: skip
from tests.tools import require_root, tree

pytestmark = pytest.mark.timeout(60)

EXIT_CODES = {0, 1, 2, 3, 4}
ITEMS = {
    "free": [],
    "claim": [".claim-1"],
    "ended": [".ended-1"],
    "claim and ended": [".claim-1", ".ended-1"],
    "second claim": [".claim-2"],
    "retry": [".retry-1"],
    "sign": [".direct"],
    "all": [".claim-1", ".ended-1", ".claim-2", ".retry-2", ".direct", ".partial-1"],
    "partial": [".partial-1"],
}
"""Finals, and which of their files are planted. (A final that is planted itself is a case of its own.)"""
STAGING = [f".mpt-{ID}-1.free", f".mpt-{ID}-folder-1.claim", f".mpt-{ID}-e1.ended", ".mpt-x", ".mpt-.ended"]
PLACEHOLDER = "in place.tmp"
QUIET = [
    *("stop", "pause", "odd", "run-.json", "plans/odd.names", "plans/.odd.json", f".mpt-{ID}-e0.ended"),
    *("instances/odd-1", f"instances/.mpt-{ID}-e1.ended", "instances/forged-7"),
    *("../multiprocesstools_logs/odd-1.jsonl", "../multiprocesstools_logs/odd-1.log"),
    *("../multiprocesstools_logs/test-5.jsonl", "../multiprocesstools_logs/test-9.log"),
    *("../multiprocesstools_logs/cleanup-3.jsonl", f"../multiprocesstools_logs/test-{'9' * 244}.log"),
]  # fmt: skip
"""Names beside the run's own files that must keep nobody from working."""
LOUD = ["run-7.json", "plans/odd.json", "a plan's json", "a plan's names"]
"""Names that are believed, so that what stands there must be refused by one clear error that names it."""

SOME_COMMANDS = (["status"], ["retry"], ["stop"], ["cleanup", "--no-wait"])

kinds = pytest.mark.parametrize("kind", PLANTS)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    return make_outside(tmp_path)


@pytest.fixture
def watched(outside: Path, tmp_path: Path) -> Iterator[Opened]:
    """After the test: everything outside is as it was, no command was run, and (but for hard links) nothing opened."""
    before, opened = state_of(outside), Opened(outside)
    around = set(os.listdir(tmp_path))
    with commands_run() as commands:
        yield opened
        assert commands == []
    opened.close()
    assert state_of(outside) == before, "something outside was changed or removed"
    assert set(os.listdir(tmp_path)) - around <= {"run"}


def plant(kind: str, path: Path, outside: Path) -> None:
    if kind == "endless device":
        require_root()
    path.parent.mkdir(parents=True, exist_ok=True)
    remove(path)
    PLANTS[kind](path, outside)


def check_opened(opened: Opened, outside: Path) -> None:
    """No door has looked into anything outside. The watcher sees it when somebody does."""
    assert opened.names() == []
    (outside / "secret").read_bytes()
    assert opened.names() == ["secret"]


@kinds
def test_nothing_planted_beside_outputs_leads_outside_or_holds_anybody_up(
    tmp_path: Path, outside: Path, watched: Opened, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    for final, suffix in ((final, suffix) for final, suffixes in ITEMS.items() for suffix in suffixes):
        if suffix != ".direct" or "folder" not in kind:  # that is an error, see below
            plant(kind, run / "out" / f".{final}{suffix}", outside)
    for name in (*STAGING, PLACEHOLDER):
        plant(kind, run / "out" / name, outside)
    found = work(run, list(ITEMS))
    codes = all_commands(run)
    assert set(codes.values()) <= EXIT_CODES - {2, 4}, codes
    assert "free" in found["loop"] and found["once"] == "result", found
    assert not any(isinstance(answer, MultiProcessError) for answer in found.values()), found
    assert (run / "out" / "free").read_text() == "result"
    assert "in place" not in found["direct"], "the placeholder belongs to somebody else"
    check_opened(watched, outside)
    words = capsys.readouterr()
    assert "SECRET" not in words.out + words.err and "Traceback" not in words.out + words.err


@kinds
@pytest.mark.parametrize("publish", ["link", "rename"])
def test_a_planted_final_is_never_followed_replaced_or_removed(
    tmp_path: Path, outside: Path, watched: Opened, kind: str, publish: str
) -> None:
    run = tmp_path / "run"
    for final in ("one", "other", "in place"):
        plant(kind, run / "out" / final, outside)
    before = {name: os.lstat(run / "out" / name).st_ino for name in ("one", "other", "in place")}
    found = work(run, ["one"], publish=publish)
    assert answers(work(run, ["free"], publish=publish)) >= [["free"]], "the doors do open"
    all_commands(run)
    assert {name: os.lstat(run / "out" / name).st_ino for name in before} == before
    assert not {"one", "other", "in place"} & {name for answer in answers(found) for name in answer}, found


@kinds
def test_nothing_planted_among_the_files_of_a_run_leads_outside_or_holds_anybody_up(
    tmp_path: Path, outside: Path, watched: Opened, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    home = run / ".multiprocesstools"
    assert work(run, ["first"])["loop"] == ["first"]
    for name in QUIET:
        plant(kind, Path(os.path.normpath(home / name)), outside)
    found = work(run, ["first", "second"])
    assert found["loop"] == ["second"], found
    assert not any(isinstance(answer, MultiProcessError) for answer in found.values()), found
    codes = all_commands(run)
    codes.pop("stop")  # a folder in the place of the token is an error
    assert set(codes.values()) <= EXIT_CODES - {2, 4}, codes
    check_opened(watched, outside)
    words = capsys.readouterr()
    assert "SECRET" not in words.out + words.err and "Traceback" not in words.out + words.err


@kinds
@pytest.mark.parametrize("name", LOUD)
def test_what_is_planted_where_a_run_is_described_is_one_clear_error_and_changes_nothing(
    outside: Path, watched: Opened, kind: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = outside.parent / "run"
    home = run / ".multiprocesstools"
    assert work(run, ["first"])["loop"] == ["first"]
    if name.startswith("a plan's"):
        paths = (home / "plans").glob("*.json" if name.endswith("json") else "*.names")
        path = max(paths, key=lambda path: path.stat().st_size)  # not the one of single items, which has no names
    else:
        path = home / name
    before = tree(run / "out")
    capsys.readouterr()
    plant(kind, path, outside)
    found = work(run, ["first", "second"])
    codes = {word: command(word, *options, run) for word, *options in SOME_COMMANDS}
    words = capsys.readouterr().err
    assert tree(run / "out").items() >= before.items()
    if name != "a plan's names":  # which only those read who need the names
        assert any(isinstance(answer, MultiProcessError) for answer in found.values()), found
    assert codes["status"] == 2 and path.name in words, (codes, words)
    assert set(codes.values()) <= EXIT_CODES and "SECRET" not in words and "Traceback" not in words
    check_opened(watched, outside)


@kinds
@pytest.mark.parametrize("publish", ["link", "rename"])
def test_a_final_that_is_planted_during_the_work_is_never_followed_replaced_or_removed(
    outside: Path, watched: Opened, kind: str, publish: str
) -> None:
    run = outside.parent / "run"
    with MultiProcessHelper("test", run, publish=publish, **RAPID) as mph:
        item = mph.claim("x", directory="out")
        assert item is not None
        with item:
            item.path.write_text("result")
            plant(kind, run / "out" / "x", outside)
            before = os.lstat(run / "out" / "x").st_ino
        assert item.fate == "lost"
    all_commands(run)
    assert os.lstat(run / "out" / "x").st_ino == before
    assert not list((run / "out").glob(".*")), "what was computed is discarded, and nothing is left behind"


def test_in_the_documented_style_it_is_the_script_that_opens_the_final_and_follows_a_link(
    tmp_path: Path, outside: Path
) -> None:
    """What a hostile writer can do there, and cannot where `item.path` is written."""
    with MultiProcessHelper("test", tmp_path / "run", **RAPID) as mph:
        folder = Path(mph.create_directory("out"))
        assert mph.create_temp_file("x", "x.tmp", "out")
        (folder / "x").symlink_to(outside / "secret")
        (folder / "x").write_text("written by the script")
        mph.delete_tempfile(temp_file_name="x.tmp", path="out")
    assert (outside / "secret").read_text() == "written by the script"


def answers(found: dict[str, object]) -> list[list[str]]:
    """What the doors that answer with names have answered."""
    return [answer for answer in found.values() if isinstance(answer, list)]


# -- folders that are links


@pytest.mark.parametrize("inner", ["", "/instances", "/plans", "../multiprocesstools_logs"])
def test_a_run_whose_own_folders_are_links_is_refused_and_what_they_lead_to_is_safe(
    tmp_path: Path, outside: Path, watched: Opened, inner: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    work(run, ["first"])
    path = run / "multiprocesstools_logs" if inner.startswith("..") else Path(f"{run}/.multiprocesstools{inner}")
    path.rename(run / "aside")
    path.symlink_to(outside)
    codes = all_commands(run)
    assert set(codes.values()) == {4} and "it is a symbolic link" in capsys.readouterr().err
    assert isinstance(work(run, ["second"])["helper"], RunDirectoryUnusable)
    check_opened(watched, outside)


def test_a_folder_of_outputs_that_is_a_link_is_followed_and_foreign_files_there_are_left_alone(
    tmp_path: Path, outside: Path
) -> None:
    """The user's own links work in the same way, so a planted one leads the outputs to where it points."""
    run, elsewhere = tmp_path / "run", outside / "folder"
    run.mkdir()
    (elsewhere / ".hidden").write_bytes(SECRET)
    (run / "out").symlink_to(elsewhere)
    before = tree(elsewhere)
    found = work(run, ["precious", "new"])
    assert "precious" not in found["loop"] and "new" in found["loop"], "what is there counts as done"
    assert set(all_commands(run).values()) <= EXIT_CODES - {2, 4}
    after = tree(elsewhere)
    assert after.items() >= before.items()
    assert set(after) - set(before) == {"new", "in place"}


def test_a_subfolder_of_a_template_that_is_a_link_gives_no_file_two_names(tmp_path: Path, outside: Path) -> None:
    run = tmp_path / "run"
    (run / "out").mkdir(parents=True)
    (run / "out" / "sub").symlink_to(run / "out")
    (run / "out" / "far").symlink_to(outside / "folder")
    found = work(run, ["x", "far/precious", "far/new"])
    assert sorted(found["loop"]) == ["far/new", "x"]
    assert isinstance(work(run, ["y", "sub/y"])["loop"], MultiProcessError), "one file by two names"
    all_commands(run)
    assert tree(outside / "folder") == {"precious": SECRET, "new": b"result"}


# -- folders in the place of files


@pytest.mark.parametrize("kind", ["empty folder", "folder that leads outside"])
def test_a_folder_in_the_place_of_a_sign_is_an_error_and_leads_nowhere(
    tmp_path: Path, outside: Path, watched: Opened, kind: str
) -> None:
    run = tmp_path / "run"
    plant(kind, run / "out" / ".x.direct", outside)
    assert isinstance(work(run, ["x"], leave_out="direct")["once"], RunDirectoryUnusable)
    assert set(all_commands(run).values()) <= EXIT_CODES
    remove(run / "out" / ".x.direct")
    assert work(run, ["x"], leave_out="direct")["loop"] == ["x"]
    check_opened(watched, outside)


@pytest.fixture
def of_somebody(tmp_path: Path) -> Path:
    """A folder with files that its owner wants to keep; who may rename beside it can give it any name."""
    folder = tmp_path / "run" / "out" / "results of somebody"
    folder.mkdir(parents=True)
    (folder / "precious").write_bytes(SECRET)
    return folder


@pytest.mark.parametrize("how", ["loop", "cleanup"])
def test_a_folder_that_was_renamed_to_a_claim_keeps_its_content(tmp_path: Path, of_somebody: Path, how: str) -> None:
    run = tmp_path / "run"
    if how == "cleanup":
        work(run, ["x"])
    renamed = of_somebody.rename(of_somebody.parent / ".x.claim-1")
    if how == "loop":
        assert work(run, ["x"])["once"] == "result"
    command("cleanup", "--no-wait", run)
    assert (run / "out" / "x").read_text() == "result"
    assert (renamed / "precious").exists()


def test_a_folder_that_was_moved_among_the_records_keeps_its_content(tmp_path: Path, of_somebody: Path) -> None:
    run = tmp_path / "run"
    work(run, ["x"])
    moved = of_somebody.rename(run / ".multiprocesstools" / "instances" / "somebody-1")
    assert command("cleanup", "--force", run) in EXIT_CODES
    assert (moved / "precious").exists()


# -- the watchers themselves


def test_the_watchers_see_what_they_watch_for(tmp_path: Path, outside: Path) -> None:
    before = state_of(outside)
    opened = Opened(outside)
    (outside / "folder" / "new").write_text("")
    assert "new" in opened.names() and state_of(outside) != before
    opened.close()
    with commands_run() as commands:
        os.system("true")
        assert commands == ["os.system"]
    assert not Path(f"/proc/{DEAD}").exists() and b'"pid": 4194305' in forged()
    huge = tmp_path / "huge"
    plant_huge(huge, outside)
    assert huge.stat().st_size == 1 << 40 and len(COMMANDS) == len({" ".join(words) for words in COMMANDS}) + 1
