"""One script with a pool on two NFS clients: the tasks are split, both receive all results, also when one crashes."""

from collections.abc import Iterator

import pytest

from tests.labs.nfs import SHARED, NfsLab, Running, require_nfs_lab, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

TASKS, CRASHED_TASKS = 40, 70
SCRIPT = """
import os, sys, time
from multiprocesstools.workers import WorkerController

def work(task, seconds, folder):
    os.makedirs(folder, exist_ok=True)
    open(os.path.join(folder, os.uname().nodename), "a").close()
    while len(os.listdir(folder)) < 2:  # so that both nodes have a share
        time.sleep(0.05)
    time.sleep(seconds)
    return task * task, os.uname().nodename

if __name__ == "__main__":
    controller = WorkerController(
        2, work, (0.1, sys.argv[1] + "-met"), run_directory=sys.argv[1],
        run_options={"beat_seconds": 1, "patience_seconds": 6},
    )
    hosts = []
    with controller:
        controller.add_tasks(range(int(sys.argv[2])))
        for task, (result, host) in controller:
            assert result == task * task
            hosts.append(host)
            print("got", len(hosts), flush=True)
    print("all", len(hosts), *sorted(f"{host}={hosts.count(host)}" for host in set(hosts)), flush=True)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NfsLab]:
    require_nfs_lab()
    folder = tmp_path_factory.mktemp("script")
    (folder / "pool.py").write_text(SCRIPT)
    with NfsLab(nodes=2, version="4.2", bind=[folder], lease_seconds=10) as lab:
        lab.script = folder / "pool.py"
        yield lab


def start(lab: NfsLab, run: str, tasks: int) -> list[Running]:
    return [lab.start(node, [lab.python, lab.script, SHARED / run, str(tasks)]) for node in lab.nodes]


def test_two_nodes_split_the_tasks_and_both_see_all_results(lab: NfsLab) -> None:
    ends = [running.wait(120).check().output.splitlines()[-1].split() for running in start(lab, "split", TASKS)]
    assert [words[:2] for words in ends] == [["all", str(TASKS)]] * 2
    shares = [{word.partition("=")[0]: int(word.partition("=")[2]) for word in words[2:]} for words in ends]
    assert shares[0] == shares[1]
    assert len(shares[0]) == 2
    assert sum(shares[0].values()) == TASKS


def test_when_one_node_crashes_the_other_finishes(lab: NfsLab) -> None:
    first, second = start(lab, "crash", CRASHED_TASKS)
    wait_until(lambda: "got 10\n" in first.output and "got 10\n" in second.output, 60, "both are at work")
    lab.kill(lab.nodes[1])
    try:
        words = first.wait(180).check().output.splitlines()[-1].split()
        assert words[:2] == ["all", str(CRASHED_TASKS)]
        assert len(words) == 4, "both hosts have done some"
    finally:
        lab.boot(lab.nodes[1])
