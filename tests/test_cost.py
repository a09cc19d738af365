"""File-system calls per item, counted by strace on the uncontended path. PROTOCOL: Cost."""

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

LOOP = """
import os, sys
from multiprocesstools import MultiProcessHelper
with MultiProcessHelper("cost", sys.argv[1]) as mph:
    for item in mph.items(range(int(sys.argv[2])), final="{value}.txt", directory="out", progress=False):
        with item:
            os.close(os.open(item.path, os.O_CREAT | os.O_WRONLY))
"""
CHANGES = {"link", "linkat", "unlink", "unlinkat", "rename", "renameat", "mkdir", "mkdirat", "symlinkat"}
LOOKS = {"lstat", "stat", "newfstatat", "statx", "access", "faccessat2", "readlink", "readlinkat"}
FAMILIES = "trace=file,getdents64,fsync,fdatasync,pwrite64,write"


def calls(directory: Path, items: int, trace: Path) -> Counter[str]:
    """The calls that a loop over `items` items makes below its output directory, by kind."""
    command = ["strace", "-f", "-qq", "-e", FAMILIES, "-o", str(trace), sys.executable, "-c", LOOP]
    subprocess.run([*command, str(directory), str(items)], check=True, timeout=120)
    counted: Counter[str] = Counter()
    for line in trace.read_text(errors="replace").splitlines():
        match = re.match(r"\d+ +(\w+)\((.*)", line)
        if match:
            counted[kind(match[1], match[2], str(directory / "out") + "/")] += 1
    return counted


def kind(name: str, arguments: str, below: str) -> str:
    if name in ("getdents64", "fsync", "fdatasync"):
        return name
    if below not in arguments:
        return "elsewhere"
    if name in CHANGES:
        return "change"
    if name in ("open", "openat"):
        return "create" if "O_CREAT" in arguments else "open"
    return "look" if name in LOOKS else name


@pytest.fixture(scope="module")
def per_item(tmp_path_factory: pytest.TempPathFactory) -> Counter[str]:
    """Calls of 220 items less those of 20, so that what happens once does not count; in units of one item."""
    base = tmp_path_factory.mktemp("cost")
    few, many = (calls(base / str(n), n, base / f"trace{n}") for n in (20, 220))
    return Counter({what: (many[what] - few[what]) / 200 for what in many})  # type: ignore[misc]


def test_an_item_costs_five_changes(per_item: Counter[str]) -> None:
    """link C, (the caller's create of P), link P F, unlink P, unlink C."""
    assert per_item["create"] == 1
    assert per_item["change"] + per_item["create"] == 5


def test_an_item_costs_one_look_up_and_one_open_for_fsync(per_item: Counter[str]) -> None:
    assert per_item["look"] == 1
    assert per_item["open"] == 1
    assert per_item["fsync"] == 1


def test_an_item_costs_no_listing(per_item: Counter[str]) -> None:
    assert per_item["getdents64"] < 0.05


def test_a_second_run_over_finished_items_makes_no_call_per_item(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", LOOP, str(tmp_path / "run"), "10000"], check=True, timeout=120)
    counted = calls(tmp_path / "run", 10_000, tmp_path / "trace")
    assert 0 < counted["getdents64"] < 200
    below = {what: number for what, number in counted.items() if what not in ("elsewhere", "getdents64")}
    assert sum(below.values()) < 20, below
