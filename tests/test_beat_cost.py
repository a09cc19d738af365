"""What a sign of life costs, counted: calls by strace, and on NFS what the server is asked. PROTOCOL: Cost."""

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.labs.nfs import SHARED, NfsLab, require_nfs_lab

MANY_INSTANCES, DEFAULT_BEAT_SECONDS, MOST_OPERATIONS_PER_SECOND = 512, 20, 60
BEATS = """
import sys
from multiprocesstools import MultiProcessHelper
with MultiProcessHelper("cost", sys.argv[1], beat_seconds=1000, patience_seconds=5000, heartbeat="thread") as mph:
    items = [mph.claim(f"{number}.txt", directory="out") for number in range(int(sys.argv[3]))]
    for beat in range(int(sys.argv[2])):
        mph._crew.member()._tend()
    for item in items:
        item.give_back()
"""
A_BEAT = {"pwrite64": 1, "fsync": 1, "fstat": 1, "openat": 1, "getdents64": 2}
"""Write and sync the record; list `.multiprocesstools`, where a request to stop would be."""
A_LOOK_FOR_THE_RECORD = {"openat": 1, "fstat": 1, "getdents64": 2}
LOOK_EVERY_BEATS = 8
NOT_FOR_THE_SERVER = {"close", "fcntl", "lseek"}


def calls(run: Path, beats: int, items: int, trace: Path) -> Counter[str]:
    """The calls below the run directory, by descriptor or by name, of an instance that beats."""
    command = [
        "strace",
        "-f",
        "-y",
        "-qq",
        "-e",
        "trace=file,desc,fsync",
        "-o",
        str(trace),
        sys.executable,
        "-c",
        BEATS,
    ]
    subprocess.run([*command, str(run), str(beats), str(items)], check=True, timeout=120)
    matches = (re.match(r"\d+ +(\w+)\((.*)", line) for line in trace.read_text(errors="replace").splitlines())
    below = [found[1] for found in matches if found and str(run) in found[2]]
    return Counter("fstat" if name == "newfstatat" else name for name in below if name not in NOT_FOR_THE_SERVER)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("items", [0, 40])
def test_a_beat_is_one_small_write_and_one_listing_whatever_is_held(tmp_path: Path, items: int) -> None:
    few, many = (calls(tmp_path / f"run{n}", n, items, tmp_path / f"trace{n}") for n in (16, 96))
    per_beat = {what: (many[what] - few[what]) / 80 for what in many if many[what] != few[what]}
    expected = Counter(A_BEAT) + Counter({what: n / LOOK_EVERY_BEATS for what, n in A_LOOK_FOR_THE_RECORD.items()})
    assert per_beat == dict(expected)


SECONDS, BEATS_COUNTED, BEATS_BEFORE = 3, 16, 13
CACHES = "acregmin=1,acregmax=9,acdirmin=5,acdirmax=9"
"""How long a client believes what it knows: the defaults (3, 60, 30 and 60 s) divided by 6.7, as the beat is.

The beats before are as many as it takes until what the beginning has left in the client's memory was written.
"""
ASKED = """
import re, sys, time
from multiprocesstools import MultiProcessHelper

def asked():
    counts, ours = {}, False
    for line in open("/proc/self/mountstats"):
        if line.startswith("device"):
            ours = " on /mnt/shared " in line
        elif ours and (found := re.match(r"\\s+([A-Z_]+): (\\d+) ", line)):
            counts[found[1]] = int(found[2])
    return counts

run, seconds, before, counted, heartbeat = sys.argv[1], *map(int, sys.argv[2:5]), sys.argv[5]
with MultiProcessHelper("cost", run, beat_seconds=seconds, patience_seconds=10 * seconds, heartbeat=heartbeat) as mph:
    with mph.claim("a.txt", directory="out") as item:
        item.path.write_text("x")
        time.sleep((before + 0.5) * seconds)
        first = asked()
        time.sleep(counted * seconds)
        print(*(f"{name}={number - first.get(name, 0)}" for name, number in asked().items()))
"""


@pytest.fixture(scope="module", params=["4.2", "3"], ids=["v4.2", "v3"])
def lab(request: pytest.FixtureRequest) -> Iterator[NfsLab]:
    require_nfs_lab()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAB_MOUNT_OPTS", CACHES)
        with NfsLab(nodes=2, version=request.param) as lab:
            yield lab


@pytest.mark.lab
def test_many_idle_instances_do_not_burden_the_server(lab: NfsLab) -> None:
    """Each on a client of its own, which is the dearest: what one has asked for, others of the client need not ask."""
    arguments = [str(SECONDS), str(BEATS_BEFORE), str(BEATS_COUNTED)]
    running = [
        lab.start(node, [lab.python, "-c", ASKED, SHARED / heartbeat, *arguments, heartbeat])
        for node, heartbeat in zip(lab.nodes, ("thread", "process"), strict=True)
    ]
    for loop in running:
        words = dict(word.split("=") for word in loop.wait(120).check().output.split())
        asked = {name: int(number) for name, number in words.items() if int(number)}
        assert asked["WRITE"] >= BEATS_COUNTED - 1, "a beat did not reach the server"
        per_second = sum(asked.values()) / BEATS_COUNTED * MANY_INSTANCES / DEFAULT_BEAT_SECONDS
        assert per_second < MOST_OPERATIONS_PER_SECOND, asked
