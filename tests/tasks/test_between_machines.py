"""XML-RPC between machines that share no files: a server on one, workers on two others, one of which is cut off."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.labs.nfs import NfsLab, require_nfs_lab, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

SERVER, STAYS, LOST = "n1", "n2", "n3"
TOKEN = "(umask 077; echo 0123456789abcdefXYZ > /tmp/token; mkdir -p /tmp/audit)"
SERVE = """
from multiprocesstools import tasks
from tests.tasks.stores import Crowd
store = Crowd()
say = lambda url: print(url, flush=True)
manager = tasks.TaskManager(store, "/tmp/run", beat_seconds=1.0, patience_seconds=11.0)
status = manager.serve("0.0.0.0", 7080, token_file="/tmp/token", lease_seconds=4.0, ready=say, progress=False)
expected = {index: (index // 100 + 1) * (index % 100 + 1) for index in range(10_000)}
print(status.done, status.failed, len(store.firsts), len(set(store.firsts)), store.given == expected)
"""
WORK = """
import os, sys
os.environ |= {"AUDIT": "/tmp/audit", "PAUSE": "0.002"}
from tests.tasks.stores import Audited
print(Audited(sys.argv[1], token_file="/tmp/token").run(), flush=True)
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[NfsLab]:
    require_nfs_lab()
    with NfsLab(nodes=3, version="4.2") as lab:
        yield lab


def computed(lab: NfsLab, node: str) -> list[int]:
    return [int(line) for line in lab.run(node, "cat /tmp/audit/* 2>/dev/null || true").check().output.split()]


def test_a_machine_that_is_cut_off_loses_its_partition_and_comes_back(lab: NfsLab) -> None:
    for node in lab.nodes:
        lab.run(node, TOKEN).check()
    address = lab.run(SERVER, "ip -4 -o addr show vec0 | awk '{print $4}'").check().output.partition("/")[0]
    url = f"http://{address}:7080"
    server = lab.start(SERVER, [lab.python, "-c", SERVE])
    wait_until(lambda: ":7080" in server.output, 60, "it listens")
    without = lab.run(STAYS, [lab.python, "-c", WORK.replace(', token_file="/tmp/token"', ""), url])
    assert without.code == 1 and "401 the token is missing or wrong" in without.errors

    loops = {node: lab.start(node, [lab.python, "-c", WORK, url]) for node in (STAYS, LOST)}
    wait_until(lambda: all(len(computed(lab, node)) > 150 for node in loops), 120, "both are at work")
    lab.cut(LOST)
    expired = "grep -l LeaseExpired /tmp/run/partitions/.*ended-* || true"
    wait_until(lambda: lab.run(SERVER, expired).check().output != "", 60, "its lease is over")
    lab.heal(LOST)

    said = [loops[node].wait(240).check().output for node in loops]
    assert all("partitions done" in words for words in said), said
    assert server.wait(60).check().output.split()[1:] == ["100", "0", "100", "100", "True"]
    often = Counter(computed(lab, STAYS) + computed(lab, LOST))
    assert sorted(often) == list(range(10_000)) and max(often.values()) <= 2
    assert len({index // 100 for index, times in often.items() if times > 1}) <= 1, "what was in hand at the cut"
