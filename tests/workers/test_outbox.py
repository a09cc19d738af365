"""The outbox by itself: what waits, for whom, and how many."""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from multiprocesstools.workers.pools.outbox import Outbox, Reader
from multiprocesstools.workers.pools.packing import Function
from multiprocesstools.workers.pools.staff import Job

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


def test_readers_of_both_kinds_take_turns_and_each_result_is_given_out_once() -> None:
    outbox = outbox_of(1000)
    numbers = [outbox.take(ordered=turn % 3 == 0)[0] for turn in range(1000)]  # type: ignore[index]
    assert sorted(numbers) == list(range(1000)) and numbers == sorted(numbers), "put by completion in order"
    assert outbox.next == 1000 and all_of(outbox, ordered=True) == []


def test_what_was_set_out_for_others_and_not_taken_comes_in_its_order() -> None:
    outbox = Outbox(lambda: None)
    jobs = [Job(number, number, FUNCTION) for number in range(10)]
    outbox.put([(jobs[number], None, 1) for number in (3, 0, 7, 1, 9)])
    outbox.put_none([2])
    assert outbox.take(ordered=True) == (0, None)
    assert outbox.take(ordered=False) == (1, None), "which was set out in order"
    assert outbox.take(ordered=False) == (3, None)
    outbox.put([(jobs[number], None, 1) for number in (4, 5)])
    outbox.put_none([6, 8])
    assert [number for number, _ in all_of(outbox, ordered=True)] == [4, 5, 7, 9]
    assert outbox.next == 10


class Interrupted(deque[Any]):
    """What is set out; before something is taken for the so-manieth time, other readers do what `meanwhile` says."""

    def __init__(self, out: deque[Any], number: int, meanwhile: Callable[[deque[Any]], object]) -> None:
        super().__init__(out)
        self._left, self._meanwhile = number, meanwhile

    def pop(self) -> Any:  # type: ignore[override]
        self._interrupt()
        return super().pop()

    def popleft(self) -> Any:
        self._interrupt()
        return super().popleft()

    def _interrupt(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._meanwhile(self)


def test_a_reader_in_order_that_takes_what_is_being_put_back_passes_over_none() -> None:
    outbox, taken = outbox_of(10), list[int]()
    assert outbox.take(ordered=True) == (0, 0)
    out = Interrupted(outbox.set_out(ordered=True), 3, lambda out: taken.append(deque.popleft(out)[0].task))
    outbox._set_out[True] = out
    assert outbox.set_out(ordered=False), "which puts back what was set out in order"
    assert taken + [task for task, _ in all_of(outbox, ordered=True)] == list(range(1, 10))


def test_what_others_have_taken_from_what_was_set_out_is_not_the_end() -> None:
    outbox = outbox_of(0)
    outbox.put([(Job(number, number, FUNCTION), None, 2 << 20) for number in range(3)])
    assert outbox.take(ordered=True) == (0, None)
    outbox._set_out[True] = Interrupted(outbox.set_out(ordered=True), 1, lambda out: out.clear())
    assert outbox.take(ordered=True) == (2, None), "large ones are set out one by one"


def test_what_comes_after_the_gaps_were_closed_is_given_out_when_they_are_closed_again() -> None:
    outbox = outbox_of(1)
    outbox.close_gaps(4)
    outbox.put([(Job(number, number, FUNCTION), None, 1) for number in (2, 3)])
    outbox.close_gaps(4)
    assert [task for task, _ in all_of(outbox, ordered=True)] == [0, 2, 3]
    assert (outbox.waiting, outbox.next) == (0, 4)


def test_results_set_out_still_wait() -> None:
    outbox = outbox_of(0)
    outbox.readers += 1
    outbox.put([(Job(number, number, FUNCTION), None, 1) for number in range(900)])
    assert outbox.room() == 100
    outbox.take(ordered=False)
    assert outbox.room() == 101
    large = outbox_of(0)
    large.readers += 1
    large.put([(Job(number, number, FUNCTION), None, 50 << 20) for number in range(3)])
    assert large.room() == 0
    for _ in range(2):
        large.take(ordered=False)
    assert large.room() == 999, "large ones are set out one by one, so that their bytes count until they are taken"


def test_many_readers_at_once_get_each_result_once() -> None:
    outbox, found = Outbox(lambda: None), list[int]()

    def read(ordered: bool) -> None:
        reader = Reader(outbox, ordered=ordered, is_idle=lambda: over, at_end=lambda: None)
        mine = [task for task, _ in reader]
        assert not ordered or mine == sorted(mine)
        found.extend(mine)

    over = False
    threads = [threading.Thread(target=read, args=(number % 2 == 0,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for first in range(0, 20_000, 50):
        outbox.put([(Job(number, number, FUNCTION), None, 1) for number in range(first, first + 50)])
        outbox.notify()
    over = True
    outbox.notify()
    for thread in threads:
        thread.join(20)
    assert sorted(found) == list(range(20_000))


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
