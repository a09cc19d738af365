"""Very many items: what a start and a look at a run hold in memory, and that names once made are not made again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ITEMS = 200_000
OPEN_ITEM = 77_007
MOST_BYTES_PER_ITEM = 200

PROGRAM = """
import sys
what, run, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
from multiprocesstools import MultiProcessHelper
from multiprocesstools.upkeep.snapshot import take_snapshot
from multiprocesstools.upkeep.sweeper import preview
from multiprocesstools.run.directory import Run
def peak():
    with open("/proc/self/status") as file:  # getrusage(2) would also count the process that started this one
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024
def names(i):
    return f"{i % 16:02x}/item{i:07d}" if what.endswith("folders") else f"item{i:07d}"
if what.startswith("start"):
    sources = [names(i) for i in range(count)]
    with MultiProcessHelper("scale", run) as mph:
        before = peak()
        loop = iter(mph.items(sources, final="{value}.txt", directory="out", progress=False))
        item = next(loop)
        print((peak() - before) / count, item.index)
        with item:
            item.drop()
        loop.close()
else:
    before = peak()
    look = preview(Run(run)) if what == "cleanup" else take_snapshot(Run(run))
    print((peak() - before) / count, getattr(look, "done", 0))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All outputs but one are there, in one directory and in sixteen."""
    base = tmp_path_factory.mktemp("scale")
    for index in range(ITEMS):
        for path in (f"start/out/item{index:07d}.txt", f"start folders/out/{index % 16:02x}/item{index:07d}.txt"):
            if index < 16:
                (base / path).parent.mkdir(parents=True, exist_ok=True)
            if index != OPEN_ITEM:
                os.close(os.open(base / path, os.O_CREAT | os.O_WRONLY))
    return {what: base / what for what in ("start", "start folders")}


def measured(what: str, run: Path) -> tuple[float, int]:
    command = [sys.executable, "-c", PROGRAM, what, str(run), str(ITEMS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    size, number = done.stdout.split()
    return float(size), int(number)


@pytest.mark.parametrize("what", ["start", "start folders"])
def test_a_start_finds_the_only_open_item_and_a_look_counts_all_others_in_little_memory(
    runs: dict[str, Path], what: str
) -> None:
    size, index = measured(what, runs[what])
    assert index == OPEN_ITEM and size < MOST_BYTES_PER_ITEM
    size, done = measured("status", runs[what])
    assert done == ITEMS - 1 and size < MOST_BYTES_PER_ITEM
    assert measured("cleanup", runs[what])[0] < MOST_BYTES_PER_ITEM


def test_the_measure_sees_what_is_held() -> None:
    code = PROGRAM.split("if what.startswith", maxsplit=1)[0] + "b = peak()\nx = [f'{i:99}' for i in range(count)]\n"
    command = [sys.executable, "-c", code + "print((peak() - b) / count)", "start", "", str(ITEMS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert float(done.stdout) > 100
