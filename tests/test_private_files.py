"""Private files of the run itself go when their process is gone, and not before; empty files of a run block nobody."""

import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.plans.plans import Plans
from multiprocesstools.run.directory import Run, private_owner, process_token
from multiprocesstools.run.settings import Settings
from multiprocesstools.upkeep.sweeper import clean_up, preview
from tests.test_plans import inventory, items_of

ID = "0123456789abcdef" * 2
PLACES = [".multiprocesstools", ".multiprocesstools/plans", "."]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    MultiProcessHelper("test", tmp_path).cleanup()
    return Run(tmp_path)


def token_of_the_dead() -> str:
    code = f"from multiprocesstools.run.directory import process_token; print(process_token({ID!r}))"
    return subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def of_another_machine(token: str) -> str:
    own_id, _, pid, start = token.split("-")
    return f"{own_id}-{'f' * 32}-{pid}-{start}"


def leave(run: Run, place: str, token: str, what: str = "e0") -> str:
    path = os.path.normpath(f"{run.directory}/{place}/.mpt-{token}-{what}.ended")
    Path(path).touch()
    return path


@pytest.mark.parametrize("what", ["e0", "probe1"])
@pytest.mark.parametrize("place", PLACES)
def test_a_private_file_of_a_process_that_is_gone_is_removed(run: Run, place: str, what: str) -> None:
    path = leave(run, place, token_of_the_dead(), what)
    assert preview(run).removed == [path] and os.path.exists(path)
    assert clean_up(run).removed == [path]
    assert not os.path.exists(path)


@pytest.mark.parametrize("force", [False, True], ids=["not forced", "forced"])
@pytest.mark.parametrize("place", PLACES)
def test_a_private_file_of_a_living_process_stays_and_holds_nobody_up(run: Run, place: str, force: bool) -> None:
    path = leave(run, place, process_token(ID))
    report = clean_up(run, force=force, observe=lambda seconds, report: pytest.fail("there is nothing to observe"))
    assert os.path.exists(path) and not report.doubtful
    assert [waiting.path for waiting in report.waiting if waiting.alive] == [path]


@pytest.mark.parametrize("place", PLACES)
def test_a_private_file_of_another_machine_waits_for_force(run: Run, place: str) -> None:
    path = leave(run, place, of_another_machine(token_of_the_dead()))
    report = clean_up(run, observe=lambda seconds, report: pytest.fail("there is nothing to observe"))
    assert [waiting.path for waiting in report.doubtful] == [path] and os.path.exists(path)
    assert clean_up(run, force=True).removed == [path]
    assert not os.path.exists(path)


@pytest.mark.parametrize("name", ["notes", f".mpt-{ID}-e0.ended", f".mpt-{ID}-1.a", f".mpt-{ID}-{ID}-1-1-e0.a"])
def test_other_names_belong_to_no_process(name: str) -> None:
    assert private_owner(name) is None


def test_an_empty_settings_file_is_passed_over_and_its_number_is_taken(run: Run) -> None:
    Path(run.home, "run-2.json").touch()
    assert run.settings() == Settings()
    assert run.agree({"max_attempts": 7}).max_attempts == 7
    assert os.path.getsize(f"{run.home}/run-2.json") == 0 and os.path.getsize(f"{run.home}/run-3.json") > 0
    assert run.settings() == Settings(max_attempts=7)


def test_settings_that_another_process_makes_at_the_same_moment_count(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has made settings looks again: those with the highest number are the ones that everybody finds."""
    real, turns = Run.create, iter((True,))

    def create(self: Run, path: str, data: bytes) -> bool:
        made = real(self, path, data)
        return (not next(turns, False) or Run(run.directory).agree({"max_attempts": 9}).max_attempts == 9) and made

    monkeypatch.setattr(Run, "create", create)
    assert run.agree({"max_attempts": 7}).max_attempts == 7
    assert run.settings() == Settings(max_attempts=7)
    assert sorted(name for name in os.listdir(run.home) if name.startswith("run-"))[-1] == "run-4.json"


def test_an_empty_list_of_names_is_written_again(run: Run, tmp_path: Path) -> None:
    plans, items = Plans(run), {"out/a": "a"}
    (tmp_path / "out").mkdir()
    plan = plans.record("", "{value}", "out", ["out"], inventory(plans, items))
    names = Path(run.plans, f"{plan.key}.names")
    Path(run.plans, f"{plan.key}.json").unlink()  # it is written after the names
    names.write_bytes(b"")
    plans.record("", "{value}", "out", ["out"], inventory(plans, items))
    assert zlib.decompress(names.read_bytes())
    assert items_of(plans, plan) == items
