"""File-system calls per item, counted by strace on the uncontended path: what one more call would cost everybody.

Whoever adds a call for a claim, a publication, a failure, a skip, a status or a second run has to change a number here.
See "Cost" in the claim protocol.
"""

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
with MultiProcessHelper("cost", sys.argv[1], max_attempts=1, stop_after=None, durable=DURABLE) as mph:
    for item in mph.items(range(int(sys.argv[2])), final="{value}.txt", directory="out", progress=False, OPTIONS):
        with item:
            WORK
"""
WRITE = "os.close(os.open(item.path, os.O_CREAT | os.O_WRONLY))"


def script(work: str = WRITE, options: str = "", *, durable: bool = True) -> str:
    return LOOP.replace("WORK", work).replace("DURABLE", str(durable)).replace("OPTIONS", options)


CHANGES = {"link", "linkat", "unlink", "unlinkat", "rename", "renameat", "mkdir", "mkdirat", "symlinkat"}
LOOKS = {"lstat", "stat", "newfstatat", "statx", "access", "faccessat2", "readlink", "readlinkat"}
ELSEWHERE = ("elsewhere", "getdents64")
FAMILIES = "trace=file,getdents64,fsync,fdatasync,pwrite64,write"


def calls(code: str, directory: Path, items: int, trace: Path) -> Counter[str]:
    """The calls that a loop over `items` items makes below its output directory, by kind."""
    command = ["strace", "-f", "-qq", "-e", FAMILIES, "-o", str(trace), sys.executable, "-c", code]
    subprocess.run([*command, str(directory), str(items)], check=True, timeout=120, stderr=subprocess.DEVNULL)
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


def per_item(base: Path, code: str) -> dict[str, float]:
    """Calls of 220 items less those of 20, so that what happens once does not count; in units of one item."""
    few, many = (calls(code, base / str(n), n, base / f"trace{n}") for n in (20, 220))
    counted = {what: round((many[what] - few[what]) / 200, 1) for what in many if what not in ELSEWHERE}
    return {what: number for what, number in counted.items() if number}


ENDED = {"create": 1, "change": 3, "look": 1, "fsync": 1}
COSTS: dict[str, tuple[str, dict[str, float]]] = {
    "done": (script(), {"create": 1, "change": 4, "look": 1, "open": 1, "fsync": 1}),
    "done, not durable": (script(durable=False), {"create": 1, "change": 4, "look": 2}),
    "result": (script("item.result = 1", "results=True"), {"create": 1, "change": 2, "look": 1, "fsync": 1}),
    "chunk of 20": (script(options="chunk=20"), {"create": 1, "change": 2.1, "look": 1, "open": 1, "fsync": 1}),
    "failed": (script("raise ValueError"), ENDED | {"open": 1}),
    "failed before it wrote": (script("raise ValueError(item.path)"), ENDED | {"open": 1, "look": 2}),
    "skipped": (script("item.skip('nothing to see')"), ENDED),
    "dropped": (script("item.drop()"), ENDED | {"open": 1}),
}


@pytest.mark.parametrize(("code", "cost"), COSTS.values(), ids=list(COSTS))
def test_an_item_costs(tmp_path: Path, code: str, cost: dict[str, float]) -> None:
    """done: link C, (the caller's create of P), link P F, unlink P, unlink C are the five changes; lstat F; open and
    fsync P, or lstat P. A result is written into its claim; the claim of a chunk is shared by its items. Otherwise:
    link C, lstat F; lstat P, to discard it, if the block had asked for it; create, fsync, link and unlink X, and open
    it to see what the next listing means."""
    assert per_item(tmp_path, code) == cost


def test_a_second_run_over_finished_items_makes_no_call_per_item(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", script(), str(tmp_path / "run"), "10000"], check=True, timeout=120)
    counted = calls(script(), tmp_path / "run", 10_000, tmp_path / "trace")
    assert 0 < counted["getdents64"] < 200
    below = {what: number for what, number in counted.items() if what not in ("elsewhere", "getdents64")}
    assert sum(below.values()) < 20, below


def test_status_makes_no_call_per_item(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", script(), str(tmp_path / "run"), "2000"], check=True, timeout=120)
    status = "import sys\nfrom multiprocesstools.upkeep.snapshot import take_snapshot\n"
    status += "from multiprocesstools.run.directory import Run\n"
    status += "assert take_snapshot(Run(sys.argv[1])).done == int(sys.argv[2])"
    counted = calls(status, tmp_path / "run", 2000, tmp_path / "trace")
    assert 0 < counted["getdents64"] < 100
    assert sum(number for what, number in counted.items() if what not in ELSEWHERE) < 5


CRASH = """
import os, sys
from multiprocesstools import MultiProcessHelper
mph = MultiProcessHelper("cost", sys.argv[1])
assert all([mph.claim(f"held{number}.txt", directory="out") for number in range(int(sys.argv[2]))])
os._exit(0)
"""
CLEAN_UP = """
import sys
from multiprocesstools.run.directory import Run
from multiprocesstools.upkeep.sweeper import clean_up
assert len(clean_up(Run(sys.argv[1])).ended) == int(sys.argv[2])
"""


def test_a_cleanup_after_a_crash_lists_a_directory_once_and_looks_at_nothing_that_is_done(tmp_path: Path) -> None:
    """Each item that a dead instance held costs the same, however many are done: its claim is read, and create, fsync,
    link and unlink of its end. The rest is one listing."""
    few, many, more_held = (cleanup_after_a_crash(tmp_path, *case) for case in ((50, 10), (1_050, 10), (50, 20)))
    assert few == many
    assert few["listed"] == more_held["listed"] == 1
    assert {what: (more_held[what] - few[what]) / 10 for what in more_held if what != "listed"} == {
        "open": 1, "create": 1, "fsync": 1, "change": 2,
    }  # fmt: skip


def cleanup_after_a_crash(base: Path, done: int, held: int) -> Counter[str]:
    """The calls of a cleanup when so many items are done and a killed process has held so many; `listed`: how often the
    directory of the outputs was opened."""
    run, trace = base / f"{done}-{held}", base / f"{done}-{held}.trace"
    for code, number in ((script(), done), (CRASH, held)):
        subprocess.run([sys.executable, "-c", code, str(run), str(number)], check=True, timeout=120)
    counted = calls(CLEAN_UP, run, held, trace)
    counted["listed"] = len(re.findall(f'openat.*"{run}/out", .*O_DIRECTORY', trace.read_text()))
    return Counter({what: number for what, number in counted.items() if what not in ELSEWHERE})
