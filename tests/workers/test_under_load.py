"""What was promised for thousands of tasks and of cycles. MPT_FULL=1 runs the long forms."""

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import psutil
import pytest

from multiprocesstools.workers import WorkerController
from tests.workers import functions
from tests.workers.conftest import descriptors

FULL = os.environ.get("MPT_FULL") == "1"
CYCLES = 10_000 if FULL else 150
RESULTS, RESULT_BYTES = (100, 50_000_000) if FULL else (20, 10_000_000)
MANY = 1_000_000 if FULL else 2000
SECONDS = 60.0


def test_a_thousand_tasks_with_ten_that_raise_and_five_killed_workers() -> None:
    """990 results, 10 failures with tracebacks, nothing lost, the run ends, no process is left."""
    controller = WorkerController(4, functions.fail_on_each_hundredth)
    results: list[tuple[int, int]] = []
    failed: list[Any] = []
    kills = [150, 250, 450, 650, 850]  # when none of the broken tasks is in work: that would say that it was killed
    killed: list[int] = []

    def kill_sometimes(task: int, result: int) -> None:
        results.append((task, result))
        if kills and len(results) >= kills[0]:
            kills.pop(0)
            victim = next(worker.process.pid for worker in controller._shift._pool.workers if worker.job is not None)
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)

    controller.sig_results.connect(kill_sometimes)
    controller.sig_failed.connect(lambda task, error: failed.append((task, error)))
    controller.add_tasks(range(1000))
    controller.start()
    controller.finalize_tasks()
    assert controller.join(4 * SECONDS)
    assert len(set(killed)) == 5
    assert sorted(results) == [(task, 2 * task) for task in range(1000) if task % 100]
    assert sorted(task for task, _ in failed) == list(range(0, 1000, 100))
    assert all(type(error) is ValueError for _, error in failed)
    assert all("in fail_on_each_hundredth" in failure.traceback for failure in controller.failures)
    assert len(controller.failures) == 10
    assert controller.progress == 1.0
    assert not controller.is_alive()
    assert multiprocessing.active_children() == []
    assert not any(psutil.pid_exists(pid) for pid in killed)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("reading", [False, True], ids=["nobody reads", "somebody has begun to read"])
def test_suspend_with_large_results_unread_returns_and_restart_goes_on(reading: bool) -> None:
    controller = WorkerController(2, functions.bytes_of, (RESULT_BYTES,))
    controller.add_tasks(range(RESULTS + 8))
    with controller:
        reader = controller.results()
        first = [next(reader)] if reading else []
        if not reading:
            reader.close()
            _await(lambda: controller.progress >= RESULTS / (RESULTS + 8))
        assert controller.suspend(timeout=SECONDS)
        assert controller.is_alive()
        if not reading:
            assert controller._desk.outbox.waiting >= RESULTS
        controller.restart()
        seen: Counter[int] = Counter()
        for task, result in chain(first, reader if reading else controller):
            seen[task] += result == bytes([task % 256]) * RESULT_BYTES
        assert seen == Counter(range(RESULTS + 8))


def state() -> dict[str, Any]:
    """What could leak."""
    return {
        "children": len(psutil.Process().children(recursive=True)),
        "threads": threading.active_count(),
        "descriptors": len(descriptors()),
    }


def shared_memory() -> set[str]:
    """Blocks and semaphores that have a name. Other programs have some, too, and not for ever."""
    return {name for name in os.listdir("/dev/shm") if name.startswith(("psm_", "sem."))}


@pytest.mark.timeout(3600)
def test_cycles_of_suspend_change_function_and_restart_leak_nothing() -> None:
    """Also when workers are killed in between, which costs descriptors of their own."""
    controller = WorkerController(2, functions.double)
    with controller:
        controller.add_task(1)
        assert list(controller) == [(1, 2)]
        for cycle in range(10):
            _cycle(controller, cycle)
        before, blocks = state(), shared_memory()
        for cycle in range(CYCLES):
            _cycle(controller, cycle)
            if cycle % 50 == 49:
                ready = [worker.process.pid for worker in controller._shift._pool.workers if worker.ready]
                os.kill(ready[0], signal.SIGKILL)
        _cycle(controller, CYCLES)
        new = shared_memory() - blocks
        _await(lambda: state()["children"] == before["children"] and not new & shared_memory())
        assert state() == before
        assert not new & shared_memory()
        memory = psutil.Process().memory_info().rss
    after = state()
    assert after["children"] < before["children"]
    assert after["descriptors"] < before["descriptors"]
    assert memory < 1 << 30


def test_pools_that_begin_and_end_leak_nothing(tmp_path: Path) -> None:
    def once() -> None:
        controller = WorkerController(1, functions.double)
        with controller:
            controller.add_tasks(iter(range(3)))
            assert len(list(controller)) == 3
        controller.restart()
        controller.stop()

    once()
    before = state()
    for _ in range(CYCLES // 50):
        once()
    assert state() == before


def test_many_large_tasks_and_results_take_no_memory() -> None:
    """400 MB go in and come back through a pool of which a few MB are at work. MPT_FULL=1: a million small ones too."""
    process, size = psutil.Process(), 200_000
    with WorkerController(2, functions.same) as controller:
        controller.add_tasks(bytes(size) for _ in range(100))
        assert len(list(controller)) == 100
        before, most, count = process.memory_info().rss, 0, 0
        controller.add_tasks(bytes(size) for _ in range(2000))
        for _, result in controller.results(ordered=True):
            count += len(result) == size
            most = max(most, process.memory_info().rss) if count % 100 == 0 else most
        assert count == 2000
        controller.add_tasks(iter(range(MANY)))
        for number, pair in enumerate(controller.results(ordered=True)):
            assert pair == (number, number)
            most = max(most, process.memory_info().rss) if number % 5000 == 0 else most
        assert number == MANY - 1
        assert most - before < 200_000_000


def _cycle(controller: WorkerController, cycle: int) -> None:
    assert controller.suspend(timeout=SECONDS)
    controller.change_function(functions.add, cycle)
    assert controller.progress == -1
    controller.add_tasks([1, 2])
    controller.restart()
    assert sorted(controller) == [(1, 1 + cycle), (2, 2 + cycle)]
    assert controller.progress == 1


def _await(question: Any) -> None:
    end = time.monotonic() + SECONDS
    while not question() and time.monotonic() < end:
        time.sleep(0.01)
