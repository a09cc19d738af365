"""The results that wait for somebody who iterates over them.

Guarantee: each result is given out once, to one reader; with `ordered` in the order in which the tasks were added,
those left out that have none. While somebody reads, `is_full` keeps what waits within bounds.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

_MOST_RESULTS, _MOST_BYTES = 1000, 128 << 20


class Outbox:
    """`told` is called when there is room again."""

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told
        self.changed = threading.Condition()
        self._results: dict[int, tuple[Any, Any, int]] = {}
        self._without: set[int] = set()
        self._next, self._bytes = 0, 0
        self.readers, self._lifted, self.passed_by = 0, 0, 0

    @property
    def is_full(self) -> bool:
        """Should nothing new be begun until somebody has read?"""
        full = len(self._results) >= _MOST_RESULTS or self._bytes >= _MOST_BYTES
        return full and self.readers > 0 and not self._lifted

    @property
    def next(self) -> int:
        """The number of the task whose result comes next in order."""
        return self._next

    def put(self, number: int, task: Any, result: Any, size: int) -> None:
        """A result of so many bytes. Readers see it at `notify`: to be woken for each would cost more than a task."""
        with self.changed:
            self._results[number] = (task, result, size)
            self._bytes += size

    def put_none(self, number: int, *, passed_by: bool = False) -> None:
        """This task has no result, or one that nobody will read here."""
        with self.changed:
            self._without.add(number)
            self._skip()
            self.passed_by += passed_by
            self.changed.notify_all()

    def take(self, *, ordered: bool) -> tuple[Any, Any] | None:
        """The next one, if it is there. Call it with `changed` held."""
        number = self._next if ordered else next(iter(self._results), -1)
        found = self._results.pop(number, None)
        if found is None:
            return None
        was_full = self.is_full or len(self._results) + 1 >= _MOST_RESULTS or self._bytes >= _MOST_BYTES
        self._bytes -= found[2]
        self._without.add(number)
        self._skip()
        if was_full:
            self._told()
        return found[0], found[1]

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
        with self._outbox.changed:
            while True:
                idle = self._is_idle()
                found = self._outbox.take(ordered=self._ordered)
                if found is not None:
                    return found
                if idle or not self._open:
                    break
                self._outbox.changed.wait()
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
