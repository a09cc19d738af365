"""What a worker is given ahead of its time, while tasks are short: several wait in its queue, and all that is promised
of a task holds for each of them."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multiprocesstools.errors import TaskTimeout, WorkerKilled
from multiprocesstools.workers import WorkerController
from multiprocesstools.workers.pools.line import DONE, MOST, TASK, Backlog, Line, Message, Queue, record
from multiprocesstools.workers.pools.pool import _PATIENCE_SECONDS
from tests.workers import functions

SECONDS = 60.0
MANY = 3000


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many tasks were put into a queue at once; more than one, or the test has shown nothing."""
    counts: list[int] = []
    put = Backlog.put

    def counted(backlog: Backlog, records: list[bytes]) -> None:
        counts.append(len(records))
        put(backlog, records)

    monkeypatch.setattr(Backlog, "put", counted)
    yield counts
    assert max(counts) > 1


@pytest.mark.usefixtures("ahead")
def test_a_task_that_kills_its_worker_fails_alone_and_costs_those_behind_it_no_attempt() -> None:
    with WorkerController(2, functions.die_on_each, (500,), max_attempts=1) as controller:
        controller.add_tasks(range(1, MANY + 1))
        assert sorted(controller) == [(task, task) for task in range(1, MANY + 1) if task % 500]
    assert sorted(failure.task for failure in controller.failures) == list(range(500, MANY + 1, 500))
    assert all(type(failure.error) is WorkerKilled for failure in controller.failures)


@pytest.mark.usefixtures("ahead")
def test_a_task_that_takes_too_long_costs_those_behind_it_no_attempt() -> None:
    with WorkerController(2, functions.hang_on_each, (1000,), timeout=0.4, max_attempts=1) as controller:
        controller.add_tasks(range(1, MANY + 1))
        assert sorted(controller) == [(task, task) for task in range(1, MANY + 1) if task % 1000]
    assert sorted(failure.task for failure in controller.failures) == [1000, 2000, 3000]
    assert all(type(failure.error) is TaskTimeout for failure in controller.failures)


@pytest.mark.usefixtures("ahead")
def test_a_long_task_keeps_neither_results_nor_those_that_wait_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "go"
    with WorkerController(2, functions.wait_on_one, (MANY // 2, str(path))) as controller:
        controller.add_tasks(range(MANY))
        reader = controller.results()
        before = [next(reader) for _ in range(MANY - 1)]
        assert sorted(task for task, _ in before) == [task for task in range(MANY) if task != MANY // 2]
        path.touch()
        assert list(reader) == [(MANY // 2, MANY // 2)]


def test_what_was_given_and_not_begun_is_not_begun_after_suspend(ahead: list[int]) -> None:
    with WorkerController(2, functions.double) as controller:
        controller.add_tasks(range(20 * MANY))
        reader = controller.results()
        seen = [next(reader) for _ in range(MANY)]
        for _ in range(5):
            assert controller.suspend(SECONDS)
            given = len(ahead)
            assert controller._shift._pool.busy == 0  # type: ignore[union-attr]
            time.sleep(2 * _PATIENCE_SECONDS)
            assert len(ahead) == given
            controller.restart()
            seen += [next(reader) for _ in range(MANY)]
        seen += list(reader)
    assert sorted(seen) == [(task, 2 * task) for task in range(20 * MANY)]
    assert controller.failures == []


@pytest.mark.usefixtures("ahead")
def test_large_arrays_of_short_tasks_are_there_when_they_are_unpacked() -> None:
    """They lie in memory of the worker, which is at other tasks then."""
    with WorkerController(2, functions.array_of, (10_000,)) as controller:
        controller.add_tasks(range(300))
        for task, array in controller:
            assert np.array_equal(array, np.full(10_000, task))
    assert controller.failures == []


@pytest.mark.usefixtures("ahead")
def test_small_and_large_tasks_come_in_any_order() -> None:
    tasks = [bytes([number % 256]) * (100_000 if number % 7 == 0 else 3) for number in range(MANY)]
    with WorkerController(3, functions.size_of) as controller:
        controller.add_tasks(tasks)
        assert [size for _, size in controller.results(ordered=True)] == [len(task) for task in tasks]


def test_long_tasks_are_given_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    most = []
    put = Backlog.put
    monkeypatch.setattr(Backlog, "put", lambda backlog, records: most.append(len(records)) or put(backlog, records))
    with WorkerController(2, functions.slow_double) as controller:
        controller.add_tasks(range(20))
        assert len(list(controller)) == 20
    assert most
    assert max(most) == 1


def test_the_way_of_a_large_result_is_no_part_of_the_time_of_its_task(monkeypatch: pytest.MonkeyPatch) -> None:
    more = Line._hear_more

    def slowly(line: Line, *args: Any) -> list[Message]:
        time.sleep(0.01)
        return more(line, *args)

    monkeypatch.setattr(Line, "_hear_more", slowly)
    began = time.monotonic()
    with WorkerController(1, functions.bytes_of, (30 << 20,), timeout=0.5, max_attempts=1) as controller:
        controller.add_task(1)
        assert [len(result) for _, result in controller] == [30 << 20]
    assert time.monotonic() - began > 1.0


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 7, 25, 70_000])
def test_a_line_is_heard_in_whole_messages_however_it_is_cut(size: int) -> None:
    sent = [(DONE, 5, b"", 3), (DONE, 6, b"abc", 0), (DONE, 7, bytes(range(256)) * 1000, 1 << 40), (TASK, 8, b"x", 0)]
    one, two = socket.socketpair()
    three, four = socket.socketpair()
    with one, two, three, four:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        for message in sent:
            Line(one).send(*message)
        one.close()
        data = b"".join(iter(lambda: two.recv(1 << 20), b""))
        line, heard = Line(four), []
        for part in cut(data, max(size, len(data) // 5000)):
            three.sendall(part)
            heard += hear_all(line)
        assert heard == [Message(*message) for message in sent]
        three.close()
        with pytest.raises(EOFError):
            line.hear()


def hear_all(line: Line) -> list[Message]:
    heard: list[Message] = []
    try:
        while True:
            heard += line.hear()
    except BlockingIOError:
        return heard


def test_what_is_taken_back_from_a_queue_is_what_was_not_read() -> None:
    backlog = Backlog()
    queue = Queue(socket.socket(fileno=os.dup(backlog.taking.fileno())))
    with queue.end:
        assert backlog.take_back() == 0
        backlog.put([record(TASK, number, 3, bytes([number])) for number in range(MOST)])
        assert [queue.receive() for _ in range(2)] == [(TASK, 0, 3, b"\0"), (TASK, 1, 3, b"\1")]
        assert backlog.take_back() == MOST - 2
        backlog.put([record(TASK, 99, 4)])
        assert queue.receive() == (TASK, 99, 4, b"")
        backlog.close()
        with pytest.raises(EOFError):
            queue.receive()


def test_a_full_queue_never_keeps_the_pool_waiting() -> None:
    """One by one they take most room."""
    backlog = Backlog()
    backlog._giving.setblocking(False)
    for number in range(MOST):
        backlog.put([record(TASK, number, 0)])
    assert backlog.take_back() == MOST
    backlog.close()
