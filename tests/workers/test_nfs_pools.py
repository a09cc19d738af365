"""One script with a pool, or a queue of scripts, on two NFS clients: the work is split, both receive all results, also
when one crashes."""

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

QUEUE = """
import os, sys
from multiprocesstools.workers import Process, ProcessesLogic

class Text(Process):
    def prepare_process_input(self):
        return self.input

    def use_process_output(self, output):
        self.output = output.decode().split()
        print("got", sum(process.output is not None for process in processes), flush=True)

folder, number, script = sys.argv[1], int(sys.argv[2]), sys.argv[3]
processes = [Text(script, b"%d\\n" % x, name=str(x), args=[folder + "-met"]) for x in range(number)]
options = {"beat_seconds": 1, "patience_seconds": 6}
with ProcessesLogic(2, run_directory=folder, name="doubles", run_options=options) as logic:
    logic.add_processes(processes)
states = [process.state.value for process in processes]
assert states == ["Completed"] * number, [(p.name, p.state, p.error) for p in processes]
assert [int(process.output[0]) for process in processes] == [2 * x for x in range(number)]
hosts = [process.output[1] for process in processes]
print("all", len(hosts), *sorted(f"{host}={hosts.count(host)}" for host in set(hosts)), flush=True)
"""
DOUBLE = """#!/bin/sh
read -r number
mkdir -p "$1" && touch "$1/$(uname -n)"
while [ "$(ls "$1" | grep -cv look)" -lt 2 ]; do  # so that both nodes have a share
    : > "$1/look-$$"  # what changes a directory looks at it anew
    rm "$1/look-$$"
    sleep 0.05
done
sleep 0.1
echo $((2 * number)) "$(uname -n)"
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NfsLab]:
    require_nfs_lab()
    folder = tmp_path_factory.mktemp("script")
    (folder / "shared_pool.py").write_text(SCRIPT)
    (folder / "shared_queue.py").write_text(QUEUE)
    (folder / "double").write_text(DOUBLE)
    (folder / "double").chmod(0o755)
    with NfsLab(nodes=2, version="4.2", bind=[folder], lease_seconds=10) as lab:
        lab.folder = folder
        yield lab


def start(lab: NfsLab, what: str, run: str, tasks: int) -> list[Running]:
    command = [
        lab.python,
        lab.folder / f"shared_{what}.py",
        SHARED / f"{run}-{what}",
        str(tasks),
        lab.folder / "double",
    ]
    return [lab.start(node, command) for node in lab.nodes]


def shares_of(words: list[str]) -> dict[str, int]:
    """How many each host has done, by the last line of a script."""
    return {host: int(number) for host, _, number in (word.partition("=") for word in words)}


@pytest.mark.parametrize("what", ["pool", "queue"])
def test_two_nodes_split_the_tasks_and_both_see_all_results(lab: NfsLab, what: str) -> None:
    ends = [end.wait(120).check().output.splitlines()[-1].split() for end in start(lab, what, "split", TASKS)]
    assert [words[:2] for words in ends] == [["all", str(TASKS)]] * 2
    shares = [shares_of(words[2:]) for words in ends]
    assert shares[0] == shares[1]
    assert len(shares[0]) == 2
    assert sum(shares[0].values()) == TASKS


@pytest.mark.parametrize("what", ["pool", "queue"])
def test_when_one_node_crashes_the_other_finishes(lab: NfsLab, what: str) -> None:
    first, second = start(lab, what, "crash", CRASHED_TASKS)
    wait_until(lambda: "got 10\n" in first.output and "got 10\n" in second.output, 60, "both are at work")
    lab.kill(lab.nodes[1])
    try:
        words = first.wait(180).check().output.splitlines()[-1].split()
        assert words[:2] == ["all", str(CRASHED_TASKS)]
        assert len(words) == 4, "both hosts have done some"
    finally:
        lab.boot(lab.nodes[1])
