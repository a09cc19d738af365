"""Steps on real NFS clients, each a kernel of its own: once and in order though a node crashes; handed over at once."""

import os
import statistics
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.labs.nfs import EXPORT, SHARED, NfsLab, Running, require_nfs_lab, wait_until
from tests.steps import graph_protocol
from tests.steps.detector import Stamp, attempts, faults, random_graph

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

STEPS = int(os.environ.get("MPT_NFS_STEPS", "60"))
"""The long form: MPT_NFS_STEPS=2000."""
CHAIN = int(os.environ.get("MPT_NFS_CHAIN", "14"))
"""The long form: MPT_NFS_CHAIN=200."""
HANDED_OVER_SECONDS = 1.0
_SEED, _SECONDS = 11, 800


@pytest.fixture(scope="module")
def lab() -> Iterator[NfsLab]:
    require_nfs_lab()
    with NfsLab(nodes=4, version="4.2", lease_seconds=10) as lab:
        yield lab


def start(lab: NfsLab, node: str, run: str, *arguments: object) -> Running:
    script = Path(graph_protocol.__file__)
    options = ["--files", "--beat", "1", "--patience", "8", *map(str, arguments)]
    return lab.start(node, [lab.python, script, SHARED / run, *options])


def stamps_of(lab: NfsLab, run: str) -> list[Stamp]:
    """When the server created the file of each stamp, by its one clock."""
    find = f"find {EXPORT}/{run}.stamps -type f -name '*.*' -printf '%f %C@\\n'"
    lines = [line.split() for line in lab.run("server", find).check().output.splitlines()]
    parts = [(name.split("."), float(time)) for name, time in lines]
    return sorted(Stamp(time, step, what, who) for (step, what, who, _), time in parts)


def test_four_nodes_run_a_random_graph_and_one_of_them_crashes(lab: NfsLab) -> None:
    graph = random_graph(_SEED, STEPS)
    arguments = ("graph", _SEED, STEPS, "--work", 0.2, "--together", 4)
    loops = {node: start(lab, node, *arguments) for node in lab.nodes}
    victim = lab.nodes[0]
    wait_until(lambda: _number(lab, victim) >= 5, 120, "the victim is at work")
    lab.kill(victim)
    for node, loop in loops.items():
        if node != victim:
            loop.wait(_SECONDS).check()
    stamps = stamps_of(lab, "graph")
    crashed = {stamp.who for stamp in stamps if stamp.who.startswith(f"{victim}-")}
    assert len(crashed) == 1
    assert faults(graph, stamps, crashed=crashed) == []
    assert len(attempts(stamps)) == STEPS
    assert len({stamp.who for stamp in stamps}) == 4


def test_a_step_on_another_machine_starts_within_a_second_of_what_it_waits_for(lab: NfsLab) -> None:
    arguments = ("chain", 0, CHAIN, "--chain", "--together", 2, "--lacks")
    loops = [
        start(lab, node, *arguments, lacks)
        for node, lacks in zip(lab.nodes[1:3], ("work", "work_elsewhere"), strict=True)
    ]
    finished = [loop.wait(_SECONDS) for loop in loops]
    for one in finished:
        one.check()
    stamps = stamps_of(lab, "chain")
    chain = {f"s{number}": [f"s{number - 1}"] if number else [] for number in range(CHAIN)}
    assert faults(chain, stamps) == []
    at = {(stamp.step, stamp.what): stamp for stamp in stamps}
    waits = [at[b, "begin"].time - at[a, "end"].time for a, b in pairwise(chain)]
    hosts = [at[step, "begin"].who for step in chain]
    assert all(a != b for a, b in pairwise(hosts))  # every step was handed over to the other machine
    print(f"hand-over of {len(waits)}: median {statistics.median(waits):.3f} s, longest {max(waits):.3f} s")
    assert statistics.median(waits) <= HANDED_OVER_SECONDS


def _number(lab: NfsLab, node: str) -> int:
    return sum(f".begin.{node}-" in name for name in lab.list_on_server("graph.stamps"))
