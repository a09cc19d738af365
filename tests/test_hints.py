"""Hints about directories: when they count, who removes them, and that no item is passed over because of one."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.loop import order
from multiprocesstools.loop.order import FEW_FOLDERS
from multiprocesstools.plans.hints import Heard, Hints, folders_of_hints, not_over
from multiprocesstools.plans.plans import Plans
from multiprocesstools.run.directory import Run
from multiprocesstools.upkeep.retry import retry
from multiprocesstools.upkeep.sweeper import clean_up, preview

FOLDERS = FEW_FOLDERS + 2
LOOP = """
import os, signal, sys
from multiprocesstools import MultiProcessHelper
from multiprocesstools.loop import order
order.MOST_LISTINGS_AT_START = 0
mph = MultiProcessHelper("hints", sys.argv[1], beat_seconds=1, patience_seconds=5)
for item in mph.items(range(40), final="{value}/x", progress=False, wait=False):
    with item:
        if item.source == 7 and sys.argv[2] == "fail":
            item.fail("broken", retry=False)
        else:
            item.path.touch()
print("done", flush=True)
sys.stdin.read()
if sys.argv[2] == "die":
    os.kill(os.getpid(), signal.SIGKILL)
mph.cleanup()
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(order, "MOST_LISTINGS_AT_START", 0)
    return Run(tmp_path / "run").prepare()


def stand(run: Run, *names: str) -> None:
    for name in names:
        Path(run.instances, name).touch()


def said(run: Run) -> list[str]:
    """All hints that lie in the run, of whatever plan."""
    return sorted(name for place in folders_of_hints(run) for name in os.listdir(place))


def another(run: Run, how: str) -> subprocess.Popen[bytes]:
    """Another process that has gone through all items, and stays until it is told."""
    command = [sys.executable, "-c", LOOP, run.directory, how]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"done\n"
    return process


def let_go(process: subprocess.Popen[bytes]) -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    process.wait(30)


def work(run: Run, **how: Any) -> tuple[list[int], Counter[str]]:
    """Which items were offered, and how often each directory of outputs was listed."""
    listed: Counter[str] = Counter()

    class Watched(PosixDisk):
        def scan(self, directory: str, see: Any) -> Any:
            listed[os.path.basename(directory)] += 1
            return super().scan(directory, see)

    with MultiProcessHelper("hints", run.directory) as mph:
        mph._crew.member().instance.disk.disk = Watched()
        offered = []
        for item in mph.items(range(40), final="{value}/x", progress=False, **how):
            with item:
                offered.append(item.source)
                item.path.touch()
    return offered, listed


# -- when they count


def test_a_hint_counts_while_the_record_of_its_instance_stands(run: Run) -> None:
    stand(run, "a-1", "a-2")
    hints = Hints(run, "plan")
    hints.tell_taken(3, "a-1")
    hints.tell_over(5, 2, 1, "a-1")
    hints.tell_taken(4, "a-2")
    assert hints.read() == Heard(2, {3, 4}, {5: (2, 1)})
    Path(run.instances, "a-1").unlink()
    assert Hints(run, "plan").read() == Heard(1, {4}, {})


def test_the_records_are_listed_again_for_a_hint_of_a_newcomer(run: Run) -> None:
    stand(run, "a-1")
    hints = Hints(run, "plan")
    hints.tell_taken(3, "a-1")
    assert hints.read() == Heard(1, {3})
    stand(run, "a-2")
    hints.tell_taken(4, "a-2")
    assert hints.read() == Heard(2, {3, 4})


@pytest.mark.parametrize(
    "name", ["over-1-0-0", "over--1-0-0.a-1", "over-1-0.a-1", "taken-x-0-0.a-1", ".a", "over-1-0-0.b"]
)
def test_other_names_are_no_hints(run: Run, name: str) -> None:
    stand(run, "a-1")
    hints = Hints(run, "plan")
    hints.tell_taken(0, "a-1")
    Path(hints.directory, name).touch()
    assert hints.read() == Heard(1, {0}, {})


def test_hints_of_who_leaves_go_to_one_that_stays_and_with_the_last_one_they_go(run: Run) -> None:
    stand(run, "a-1", "a-2")
    hints = Hints(run, "plan")
    hints.tell_over(5, 0, 0, "a-1")
    hints.leave("a-1")
    Path(run.instances, "a-1").unlink()
    assert said(run) == ["over-5-0-0.a-2"] and hints.read().over == {5: (0, 0)}
    hints.leave("a-2")
    assert said(run) == []


def test_a_planted_file_or_link_in_place_of_the_folder_is_no_hint(run: Run, tmp_path: Path) -> None:
    hints = Hints(run, "plan")
    Path(hints.directory).touch()
    stand(run, "a-1")
    hints.tell_taken(1, "a-1")
    assert hints.read() == Heard(1)


# -- among instances


def test_what_somebody_has_found_over_is_not_listed_by_others(run: Run) -> None:
    offered, alone = work(run)
    assert sorted(offered) == list(range(40)) and set(alone.values()) == {1}
    process = another(run, "stay")
    assert said(run) == [], "somebody who is alone tells nobody"
    other = another(run, "stay")
    offered, listed = work(run)
    assert offered == [] and not listed
    let_go(process), let_go(other)
    assert said(run) == [], "the last one takes all with it"


def test_a_failed_item_is_tried_again_although_its_directory_was_over(run: Run) -> None:
    first, second = another(run, "fail"), another(run, "stay")
    assert any(name.startswith("over-7-1-0.") for name in said(run))
    assert retry(run) == ["7/x"]
    assert not any(name.startswith("over-7-") for name in said(run))
    assert work(run)[0] == [7]
    let_go(first), let_go(second)


def test_with_retry_failed_an_item_is_tried_again_although_its_directory_was_over(run: Run) -> None:
    first, second = another(run, "fail"), another(run, "stay")
    assert any(name.startswith("over-7-1-0.") for name in said(run))
    assert work(run, retry_failed=True)[0] == [7]
    let_go(first), let_go(second)


def test_hints_are_withdrawn_before_and_after_something_is_made_claimable(run: Run) -> None:
    work(run)
    stand(run, "a-1")
    plan = Plans(run).all()[0]
    hints, number = Hints(run, plan.key), plan.directories.index("7")
    hints.tell_over(number, 1, 0, "a-1")
    hints.tell_taken(number, "a-1")
    with not_over(run, f"{run.directory}/7"):
        assert said(run) == [f"taken-{number}-0-0.a-1"]
        hints.tell_over(number, 1, 0, "a-1")
    assert said(run) == [f"taken-{number}-0-0.a-1"]


def test_hints_of_the_dead_count_until_a_sweep_and_go_with_it_so_that_a_deleted_output_is_made_again(run: Run) -> None:
    first, second = another(run, "stay"), another(run, "die")
    let_go(first), let_go(second)
    assert said(run) and all(name.endswith(".hints-2") for name in said(run))
    assert preview(run).removed
    clean_up(run)
    assert said(run) == [] and preview(run).removed == []
    Path(run.directory, "7", "x").unlink()
    assert work(run)[0] == [7]


def test_forged_hints_of_impossible_directories_do_no_harm(run: Run) -> None:
    process = another(run, "stay")
    Path(run.directory, "7", "x").unlink()
    hints = Hints(run, Plans(run).all()[0].key)
    hints.tell_taken(999_999_999, "hints-1")
    hints.tell_over(888_888_888, 999_999_999, 0, "hints-1")
    hints.tell_over(7, 999_999_999, 999_999_999, "hints-1")
    assert work(run)[0] == [7]
    let_go(process)


def test_with_few_directories_no_hints_are_written(run: Run) -> None:
    with MultiProcessHelper("few", run.directory), MultiProcessHelper("few", run.directory) as mph:
        for item in mph.items(range(FEW_FOLDERS - 1), final="{value}/x", progress=False):
            with item:
                item.path.touch()
        assert folders_of_hints(run) == []
