"""A store on four NFS nodes, one of which crashes with a partition in hand."""

from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from multiprocesstools import tasks
from tests.labs.nfs import SHARED, NfsLab, require_nfs_lab, wait_until
from tests.tasks.stores import Crowd

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

RULES = {"beat_seconds": 1.0, "patience_seconds": 11.0}
PARTITIONS = 100
WORK = f"""
import os, socket
audit = "{SHARED}/audit/" + socket.gethostname()
os.makedirs(audit)
os.environ |= {{"AUDIT": audit, "PAUSE": "0.001", "DURABLE": "yes"}}
from tests.tasks.stores import Audited
print(Audited("{SHARED}/grid", progress=False, **{RULES}).run(), flush=True)
"""
COLLECT = f"""
from multiprocesstools import tasks
from tests.tasks.stores import Crowd
store = Crowd()
status = tasks.TaskManager(store, "{SHARED}/grid").collect(follow=True, progress=False)
assert len(set(store.firsts)) == len(store.firsts) == {PARTITIONS}, sorted(store.firsts)
print(status.collected, status.failed, len(store.given), sum(store.given.values()))
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[NfsLab]:
    require_nfs_lab()
    with NfsLab(nodes=4, version="4.2", lease_seconds=10) as lab:
        yield lab


def test_a_hundred_partitions_on_four_nodes_one_of_which_crashed(lab: NfsLab, tmp_path: Path) -> None:
    loops = {node: lab.start(node, [lab.python, "-c", WORK]) for node in lab.nodes}
    lost = lab.nodes[-1]
    manager = lab.start(lab.nodes[0], [lab.python, "-c", COLLECT])
    wait_until(lambda: len(published(lab)) > 20, 120, "twenty partitions are done")
    wait_until(lambda: lab.read_on_server(f"audit/{lost}/*") != "", 60, "the node that will be lost is at work")
    lab.kill(lost)
    for node in lab.nodes[:-1]:
        assert "partitions done" in loops[node].wait(180).check().output
    expected = {index: (index // 100 + 1) * (index % 100 + 1) for index in range(10_000)}
    said = manager.wait(60).check().output.split()
    assert said == [str(PARTITIONS), "0", "10000", str(sum(expected.values()))]

    seen, store = lab.snapshot("grid", tmp_path / "grid"), Crowd()
    tasks.TaskManager(store, seen).collect()
    assert store.given == expected and len(set(store.firsts)) == len(store.firsts) == PARTITIONS
    computed = Counter(map(int, lab.read_on_server("audit/*/*").split()))
    assert sorted(computed) == list(range(10_000))
    assert max(computed.values()) <= 2
    again = {index // 100 for index, often in computed.items() if often > 1}
    assert len(again) <= 1, "all but the partition that was in hand, once"


def published(lab: NfsLab) -> list[str]:
    return [name for name in lab.list_on_server("grid/partitions") if fnmatch(name, "[0-9]*.results")]
