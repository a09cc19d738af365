"""The results that wait for somebody who iterates over them.

Guarantee: each result is given out once, to one reader; with `ordered` in the order in which the tasks were added,
those left out that have none. While somebody reads, `room` keeps what waits within bounds.
"""

import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from multiprocesstools.workers.staff import Job

Done = tuple[Job, Any, int]
"""A job, its result, and how many bytes that has."""

_MOST_RESULTS, _MOST_BYTES = 1000, 128 << 20


class Outbox:
    """`told` is called when there is room again."""

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._results: OrderedDict[int, Done] = OrderedDict()  # whose first is found at once
        self._without: set[int] = set()
        self._next, self._bytes = 0, 0
        self.readers, self._lifted, self.passed_by = 0, 0, 0

    def room(self, begun: int = 0) -> int:
        """How many may be begun before somebody has read, when so many are in work?"""
        if not self.readers or self._lifted:
            return sys.maxsize
        return max(0, _MOST_RESULTS - len(self._results) - begun) if self._bytes < _MOST_BYTES else 0

    @property
    def next(self) -> int:
        """The number of the task whose result comes next in order."""
        return self._next

    def put(self, done: Sequence[Done]) -> None:
        """Results. Readers see them at `notify`: to be woken for each would cost more than a task."""
        with self.lock:
            for each in done:
                self._results[each[0].number] = each
                self._bytes += each[2]

    def put_none(self, numbers: Iterable[int]) -> None:
        """These tasks have no result, or one that nobody will read here."""
        with self.lock:
            self._without.update(numbers)
            self._skip()
            self.changed.notify_all()

    def take(self, *, ordered: bool) -> tuple[Any, Any] | None:
        """The next one, if it is there. Call it with `lock` held."""
        results = self._results
        if not results or (ordered and self._next not in results):
            return None
        number, (job, result, size) = (
            (self._next, results.pop(self._next)) if ordered else results.popitem(last=False)
        )  # fmt: skip
        before, self._bytes = self._bytes, self._bytes - size
        if number == self._next:
            self._next += 1
            self._skip()
        else:
            self._without.add(number)
        if len(results) == _MOST_RESULTS // 2 or self._bytes < _MOST_BYTES <= before:
            self._told()
        return job.task, result

    def notify(self) -> None:
        """Have the readers look again."""
        with self.changed:
            self.changed.notify_all()

    def lift(self, by: int) -> None:
        """Somebody waits who does not read (+1), or does not any more (-1)."""
        self._lifted += by
        self._told()

    def close_gaps(self, number: int) -> None:
        """Of the tasks below this number nothing more will come."""
        with self.changed:
            self._without |= set(range(self._next, number)) - self._results.keys()
            self._skip()
            self.changed.notify_all()

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
        self._open = True
        outbox.readers += 1

    def __next__(self) -> tuple[Any, Any]:
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
