"""The outbox by itself: what waits, for whom, and how many."""

import time
from typing import Any

from multiprocesstools.workers.outbox import Outbox
from multiprocesstools.workers.packing import Function
from multiprocesstools.workers.staff import Job

FUNCTION = Function(1, b"")


def outbox_of(count: int) -> Outbox:
    outbox = Outbox(lambda: None)
    outbox.put([(Job(number, number, FUNCTION), -number, 1) for number in range(count)])
    return outbox


def all_of(outbox: Outbox, ordered: bool) -> list[Any]:
    found = []
    while (pair := outbox.take(ordered=ordered)) is not None:
        found.append(pair)
    return found


def test_what_is_taken_by_completion_is_not_awaited_by_those_who_take_in_order() -> None:
    outbox = Outbox(lambda: None)
    jobs = [Job(number, number, FUNCTION) for number in range(6)]
    outbox.put([(jobs[number], "a", 1) for number in (2, 0, 5)])
    assert outbox.take(ordered=False) == (2, "a")
    assert outbox.take(ordered=True) == (0, "a")
    assert outbox.take(ordered=True) is None
    outbox.put_none([1])
    outbox.put([(jobs[number], "b", 1) for number in (4, 3)])
    assert all_of(outbox, ordered=True) == [(3, "b"), (4, "b"), (5, "a")]
    assert outbox.next == 6


def test_there_is_room_for_what_is_in_work_too_and_more_when_half_was_read() -> None:
    told: list[int] = []
    outbox = Outbox(lambda: told.append(outbox.room()))
    assert outbox.room() > 1_000_000
    outbox.readers += 1
    assert outbox.room(10) == 990
    outbox.put([(Job(number, number, FUNCTION), None, 1) for number in range(1000)])
    assert outbox.room() == 0
    for _ in range(600):
        outbox.take(ordered=False)
    assert told == [500]


def test_large_results_leave_room_again_when_they_are_read() -> None:
    told: list[bool] = []
    outbox = Outbox(lambda: told.append(True))
    outbox.readers += 1
    outbox.put([(Job(number, number, FUNCTION), None, 70 << 20) for number in range(2)])
    assert outbox.room() == 0
    outbox.take(ordered=True)
    assert told == [True]
    assert outbox.room(3) == 996


def test_to_take_one_of_many_costs_as_much_as_to_take_one_of_few() -> None:
    """Eight times as many take about eight times as long, and not sixty-four."""

    def seconds(count: int) -> float:
        outbox = outbox_of(count)
        began = time.process_time()
        assert len(all_of(outbox, ordered=False)) == count
        return time.process_time() - began

    few, many = min(seconds(4_000) for _ in range(5)), min(seconds(32_000) for _ in range(3))
    assert many < 24 * few
