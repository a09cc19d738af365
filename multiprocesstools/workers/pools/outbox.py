"""The results that wait for somebody who iterates over them.

Guarantee: each result is given out once, to one reader; with `ordered` in the order in which the tasks were added,
those left out that have none. While somebody reads, `room` keeps what waits within bounds.

A lock for each result would cost readers more than the result. So some at a time are set out under the lock, and
readers of one kind take them from there without it; those that are set out and not taken still wait, for all readers.
"""

import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from multiprocesstools.workers.pools.staff import Job

Done = tuple[Job, Any, int]
"""A job, its result, and how many bytes that has."""

_MOST_RESULTS, _MOST_BYTES = 1000, 128 << 20
_SET_OUT_RESULTS, _SET_OUT_BYTES = 500, 1 << 20


class Outbox:
    """`told` is called when there is room again."""

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._arrived: deque[Done] = deque()
        self._sorted: OrderedDict[int, Done] = OrderedDict()  # by number, since somebody has read in order
        self._set_out: dict[bool, deque[Done]] = {False: deque(), True: deque()}  # for readers in order: True
        self._without: set[int] = set()
        self._next, self._bytes = 0, 0
        self.readers, self._lifted, self.passed_by = 0, 0, 0
        self._is_full = False

    def room(self, begun: int = 0) -> int:
        """How many may be begun before somebody has read, when so many are in work?"""
        if not self.readers or self._lifted:
            return sys.maxsize
        with self.lock:
            waiting = self.waiting
            self._is_full = waiting > _MOST_RESULTS // 2 or self._bytes >= _MOST_BYTES
            return max(0, _MOST_RESULTS - waiting - begun) if self._bytes < _MOST_BYTES else 0

    @property
    def waiting(self) -> int:
        """How many results nobody has taken."""
        return len(self._arrived) + len(self._sorted) + len(self._set_out[False]) + len(self._set_out[True])

    @property
    def next(self) -> int:
        """The number of the first task whose result was not set out, if it will have one."""
        return self._next

    def put(self, done: Sequence[Done]) -> None:
        """Results. Readers see them at `notify`: to be woken for each would cost more than a task."""
        with self.lock:
            self._arrived.extend(done)
            self._bytes += sum([each[2] for each in done])

    def put_none(self, numbers: Iterable[int]) -> None:
        """These tasks have no result, or one that nobody will read here."""
        with self.lock:
            self._without.update(numbers)
            self._skip()
            self.changed.notify_all()

    def set_out(self, *, ordered: bool) -> deque[Done]:
        """Where readers of this kind take the next ones, without the lock. None there: there are none."""
        out, others = self._set_out[ordered], self._set_out[not ordered]
        if out:
            return out
        with self.lock:
            if others:
                self._put_back(others)
            if ordered:
                self._sorted.update([(done[0].number, done) for done in self._arrived])
                self._arrived.clear()
                self._set_out_in_order(out)
            elif not self._sorted and len(self._arrived) <= _SET_OUT_RESULTS and self._bytes <= _SET_OUT_BYTES:
                self._pass_over([done[0].number for done in self._arrived])
                out.extend(self._arrived)
                self._arrived.clear()
                self._bytes = 0
            else:
                self._set_out_first(out)
            if self._is_full and self.waiting <= _MOST_RESULTS // 2 and self._bytes < _MOST_BYTES:
                self._is_full = False
                self._told()
        return out

    def _set_out_first(self, out: deque[Done]) -> None:
        numbers, size = list[int](), 0
        while len(numbers) < _SET_OUT_RESULTS and size < _SET_OUT_BYTES and (self._sorted or self._arrived):
            done = self._sorted.popitem(last=False)[1] if self._sorted else self._arrived.popleft()
            numbers.append(done[0].number)
            out.append(done)
            size += done[2]
        self._bytes -= size
        self._pass_over(numbers)

    def _set_out_in_order(self, out: deque[Done]) -> None:
        size = 0
        while self._next in self._sorted and len(out) < _SET_OUT_RESULTS and size < _SET_OUT_BYTES:
            done = self._sorted.pop(self._next)
            self._next += 1
            self._skip()
            out.append(done)
            size += done[2]
        self._bytes -= size

    def take(self, *, ordered: bool) -> tuple[Any, Any] | None:
        """The next one, if it is there."""
        while out := self.set_out(ordered=ordered):
            with suppress(IndexError):  # another reader was faster: more may wait than was set out
                job, result, _ = out.popleft()
                return job.task, result
        return None

    def _put_back(self, out: deque[Done]) -> None:
        """What was set out for readers of one kind and not taken, as if it never had been. With the lock.

        From its end: a reader in order that takes some meanwhile, without the lock, must not pass over any.
        """
        back: dict[int, Done] = {}
        with suppress(IndexError):
            while True:
                done = out.pop()
                back[done[0].number] = done
                self._bytes += done[2]
        first = min(back, default=self._next)
        self._without.update(range(first, self._next))
        self._without -= back.keys()
        self._next = min(first, self._next)
        for number, done in back.items():
            self._sorted[number] = done
            self._sorted.move_to_end(number, last=False)
        self._skip()

    def notify(self) -> None:
        """Have the readers look again."""
        with self.changed:
            self.changed.notify_all()

    def lift(self, by: int) -> None:
        """Somebody waits who does not read (+1), or does not any more (-1)."""
        self._lifted += by
        self._told()

    def close_gaps(self, number: int) -> None:
        """Of the tasks below this number nothing more will come than is there, be it later than it was said before."""
        with self.changed:
            there = self._sorted.keys() | {done[0].number for done in self._arrived}
            self._next = min(there | {self._next})
            self._without |= set(range(self._next, number))
            self._without -= there
            self._skip()
            self.changed.notify_all()

    def _pass_over(self, numbers: Sequence[int]) -> None:
        if numbers and min(numbers) == self._next and max(numbers) == self._next + len(numbers) - 1:
            self._next += len(numbers)
        else:
            self._without.update(numbers)
        self._skip()

    def _skip(self) -> None:
        while self._next in self._without:
            self._without.discard(self._next)
            self._next += 1


class Reader(Iterator[tuple[Any, Any]]):
    """An iterator over what is in the outbox and comes into it, until `is_idle()` says that nothing will come.

    At its end it calls `at_end`, which may raise what has to be said.
    """

    def __init__(
        self, outbox: Outbox, *, ordered: bool, is_idle: Callable[[], bool], at_end: Callable[[], None]
    ) -> None:  # fmt: skip
        self._outbox, self._ordered, self._is_idle, self._at_end = outbox, ordered, is_idle, at_end
        self._out = outbox.set_out(ordered=ordered)
        self._open = True
        outbox.readers += 1

    def __next__(self) -> tuple[Any, Any]:
        try:
            job, result, _ = self._out.popleft()
        except IndexError:
            return self._wait()
        return job.task, result

    def _wait(self) -> tuple[Any, Any]:
        outbox = self._outbox
        with outbox.lock:
            while (found := outbox.take(ordered=self._ordered)) is None:
                if self._is_idle() or not self._open:
                    break
                outbox.changed.wait()
            else:
                return found
        self.close()
        self._at_end()
        raise StopIteration

    def close(self) -> None:
        """Read no more: what waits need not wait for this reader."""
        if self._open:
            self._open = False
            self._outbox.readers -= 1
            self._outbox.lift(0)

    def __del__(self) -> None:
        self.close()
