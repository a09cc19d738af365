"""Ten thousand tasks, a hundred partitions, eight workers; and what a partition costs."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from multiprocesstools import tasks
from tests.tasks.stores import QUICK, Crowd, audited
from tests.tools import CHECKOUT, wait_until

TASKS, PARTITIONS, WORKERS = 10_000, 100, 8
MOST_MILLISECONDS_PER_TASK = 1.0
WORK = """
import sys
from tests.tasks.stores import QUICK, Audited
Audited(sys.argv[1], progress=False, **QUICK).run()
"""


@contextmanager
def workers(run: Path, audit: Path, number: int, pause: float = 0.0) -> Iterator[list[subprocess.Popen[bytes]]]:
    audit.mkdir(exist_ok=True)
    environment = os.environ | {"AUDIT": str(audit), "PAUSE": str(pause)}
    command = [sys.executable, "-c", WORK, str(run)]
    started = [subprocess.Popen(command, env=environment, cwd=CHECKOUT) for _ in range(number)]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def assert_whole(store: Crowd) -> None:
    """Each task has its result, and each partition was given once."""
    assert store.given == {index: (index // 100 + 1) * (index % 100 + 1) for index in range(TASKS)}
    assert Counter(store.firsts) == dict.fromkeys(range(0, TASKS, TASKS // PARTITIONS), 1)


def test_eight_workers_compute_each_task_once(tmp_path: Path) -> None:
    store = Crowd()
    manager = tasks.TaskManager(store, tmp_path / "run", **QUICK)
    with workers(tmp_path / "run", tmp_path / "audit", WORKERS) as started:
        status = manager.collect(follow=True, progress=False)
        assert [process.wait(60) for process in started] == [0] * WORKERS
    assert (status.done, status.failed, status.collected) == (PARTITIONS, 0, PARTITIONS)
    assert_whole(store)
    assert sorted(audited(tmp_path / "audit")) == list(range(TASKS))


def test_half_of_the_workers_killed_and_others_started_all_is_complete_and_given_once(tmp_path: Path) -> None:
    store = Crowd()
    manager = tasks.TaskManager(store, tmp_path / "run", **QUICK)
    run, audit, half = tmp_path / "run", tmp_path / "audit", WORKERS // 2
    with workers(run, audit, half, pause=0.01) as killed, workers(run, audit, half, pause=0.005) as others:
        wait_until(lambda: all(lines(audit / str(one.pid)) > 20 for one in (*killed, *others)), "all are at work", 60)
        for process in killed:
            process.kill()
            process.wait()
        done = len(manager.shelf.published())
        with workers(run, audit, half) as fresh:
            manager.collect(follow=True, progress=False)
            assert [process.wait(60) for process in (*others, *fresh)] == [0] * WORKERS
    assert [process.returncode for process in killed] == [-signal.SIGKILL] * len(killed)
    assert done < PARTITIONS, "they were killed in the middle"
    assert_whole(store)
    often = Counter(Counter(audited(audit)).values())
    assert often[1] >= TASKS - len(killed) * TASKS // PARTITIONS and set(often) <= {1, 2}, "one partition each at most"
    another = Crowd()
    tasks.TaskManager(another, run).collect()
    assert_whole(another)


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


# -- what it costs


class Trivial(tasks.Worker):
    store = Crowd

    def compute(self, index: int, task: dict[str, Any]) -> int:
        return task["x"] * task["y"]


def plain(store: Crowd) -> float:
    """Seconds of a plain loop over all tasks."""
    began = time.perf_counter()
    results = {index: task["x"] * task["y"] for index, task in store}
    assert len(results) == TASKS
    return time.perf_counter() - began


def by_files(run: Path) -> float:
    worker = Trivial(run, progress=False)
    began = time.perf_counter()
    assert worker.run().partitions == PARTITIONS
    return time.perf_counter() - began


def test_a_task_costs_less_than_a_millisecond_over_a_plain_loop(tmp_path: Path) -> None:
    """In partitions of 100 trivial tasks. The best of some rounds, for a machine that has other things to do."""
    rounds = ((by_files(tmp_path / str(turn)) - plain(Crowd())) / TASKS * 1000 for turn in range(3))
    assert_cheap(rounds, "by files")


def assert_cheap(rounds: Iterator[float], how: str) -> None:
    """One round is under the limit, of milliseconds a task; those after it are not tried."""
    over = list[float]()
    for milliseconds in rounds:
        over.append(milliseconds)
        if milliseconds < MOST_MILLISECONDS_PER_TASK:
            break
    print(f"milliseconds per task over a plain loop, {how}:", *(f"{one:.3f}" for one in over))
    assert over[-1] < MOST_MILLISECONDS_PER_TASK, over
