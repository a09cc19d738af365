"""`mpt tasks status | collect | work`, as a user types them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from tests.tools import CHECKOUT

STORES = """
import numpy
from multiprocesstools import tasks

class Squares(tasks.TaskStore):
    dimensions = {"row": 4, "column": 3}
    def __init__(self):
        super().__init__(6)
        self.results = numpy.full(12, numpy.nan)
    def update_results(self, task_index, results):
        self.results[task_index] = results

class Squarer(tasks.Worker):
    store = Squares
    def compute(self, index, task):
        return index * index

class Failing(Squarer):
    def compute(self, index, task):
        if index == 4:
            raise ValueError("four\\x1b[31m")
        return index * index

def make(place, **options):
    return Squarer(place, Squares(), **options)

class Other(Squares):
    pass
"""
WAITING = ["6 Jobs are still waiting for execution", "0 Jobs are being processed", "0 Jobs are done"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "squares.py").write_text(STORES)
    return tmp_path


def mpt(place: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "multiprocesstools", "tasks", *arguments],
        cwd=place, env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


def test_work_status_and_collect_from_the_first_to_the_last_partition(place: Path) -> None:
    begun = mpt(place, "collect", "squares:Squares", "run")
    assert (begun.returncode, begun.stdout.splitlines()) == (3, WAITING)
    some = mpt(place, "work", "squares:Squarer", "run", "--max-partitions", "2")
    assert (some.returncode, some.stdout) == (0, "2 partitions done, 4 tasks computed\n")
    middle = mpt(place, "status", "squares.py:Squares", "run", "--json")
    found = json.loads(middle.stdout)
    assert (middle.returncode, found["waiting"], found["done"], found["code"]) == (3, 4, 2, 3)
    assert mpt(place, "work", "squares:make", "run").returncode == 0
    done = mpt(place, "collect", "squares:Squares", "run", "--follow", "--save", "results.npz")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "6 Jobs are done")
    with numpy.load(place / "run" / "results.npz") as saved:
        assert saved["results"].tolist() == [index * index for index in range(12)]
    assert mpt(place, "status", "squares:Squares", "run").returncode == 0


def test_what_failed_is_named_and_where_its_traceback_is(place: Path) -> None:
    assert mpt(place, "work", "squares:Failing", "run").returncode == 1
    status = mpt(place, "status", "squares:Squares", "run")
    assert status.returncode == 1
    assert "1 Jobs have failed" in status.stdout and "partitions/0002.results: TaskFailed: task 4" in status.stdout
    assert "\x1b" not in status.stdout and r"four\x1b[31m" in status.stdout
    assert "multiprocesstools status --failed" in status.stdout


def test_status_changes_nothing(place: Path) -> None:
    assert mpt(place, "status", "squares:Squares", "run").returncode == 4
    assert not (place / "run").exists()
    mpt(place, "work", "squares:Squarer", "run", "--max-partitions", "1")
    before = sorted(place.glob("run/**/*"))
    assert mpt(place, "status", "squares:Squares", "run").returncode == 3
    assert sorted(place.glob("run/**/*")) == before


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with a run that no command here changes."""
    place = tmp_path_factory.mktemp("begun")
    (place / "squares.py").write_text(STORES)
    (place / "own").mkdir()
    (place / "own" / "click.py").write_text(STORES)
    mpt(place, "work", "squares:Squarer", "run", "--max-partitions", "1")
    return place


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("status", "squares", "run"), "write a module and a name"),
        (("status", "circles:Squares", "run"), "no module 'circles'"),
        (("status", "squares:Circles", "run"), "has no 'Circles'"),
        (("status", "squares:Squarer", "run"), "no TaskStore"),
        (("status", "circles.py:Squares", "run"), "there is no file"),
        (("status", "own/click.py:Squares", "run"), "another module is called 'click'; rename the file"),
        (("serve", "squares:Squares", "run", "--token-file", "none"), "'none': it cannot be read (No such file"),
        (("work", "squares:Squares", "run"), "no Worker"),
        (("work", "squares:STORES", "run"), "has no 'STORES'"),
        (("status", "squares:Other", "run"), "'Squares' -> 'Other'"),
        (("collect", "squares:Other", "run"), "'Squares' -> 'Other'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(begun: Path, arguments: tuple[str, ...], words: str) -> None:
    done = mpt(begun, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr and done.stderr.count("\n") == 1
