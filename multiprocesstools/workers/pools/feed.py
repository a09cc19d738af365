"""The tasks of a pool: what was added and not yet settled, drawn as late as possible.

Lists, sets and dicts are copied when they are added, what cannot change (a range, a tuple) is walked; any other
iterable is drawn by a thread of its own, a few tasks ahead, so that one that waits for something does not keep results
from coming.

Guarantee: tasks are given out in the order in which they were added, each once, those that are tried again first; of
an iterable no more is drawn than is needed soon. An iterable that raises ends there, and its error is kept.
"""

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

from multiprocesstools.workers.pools.packing import Function
from multiprocesstools.workers.pools.staff import Job

_FIXED = (range, tuple, frozenset, str, bytes)
_COPIED = (list, set, dict, deque)


class _Source(Protocol):
    """Tasks of one function. `known`: how many there are, or were; `left`: how many can be taken now; `over`: no more
    will come."""

    function: Function | None
    known: int
    over: bool
    error: BaseException | None

    @property
    def left(self) -> int: ...
    def pop(self, most: int) -> list[Any]: ...
    def begin(self) -> None: ...
    def close(self) -> None: ...


class _Listed:
    """Tasks that are all there."""

    over = True
    error: BaseException | None = None

    def __init__(self, tasks: Collection[Any], function: Function | None) -> None:
        self.function, self.known, self._left = function, len(tasks), len(tasks)
        self._tasks = iter(tasks)

    @property
    def left(self) -> int:
        return self._left

    def pop(self, most: int) -> list[Any]:
        tasks = list(islice(self._tasks, most))
        self._left -= len(tasks)
        return tasks

    def begin(self) -> None: ...
    def close(self) -> None: ...


class _Singles:
    """Tasks that were added one by one."""

    over = True
    error: BaseException | None = None

    def __init__(self, function: Function | None) -> None:
        self.function, self.known = function, 0
        self._tasks: deque[Any] = deque()

    @property
    def left(self) -> int:
        return len(self._tasks)

    def append(self, task: Any) -> None:
        self.known += 1
        self._tasks.append(task)

    def pop(self, most: int) -> list[Any]:
        return [self._tasks.popleft() for _ in range(min(most, len(self._tasks)))]

    def begin(self) -> None: ...
    def close(self) -> None: ...


class _Drawn:
    """Tasks that an iterable gives one after the other, at most so many `ahead`; `told` hears of each first one."""

    def __init__(
        self, tasks: Iterator[Any], function: Function | None, ahead: int, told: Callable[[], None]
    ) -> None:  # fmt: skip
        self.function, self._tasks, self._ahead, self._told = function, tasks, ahead, told
        self._waiting: deque[Any] = deque()
        self.over, self._closed, self.known = False, False, 1  # one more than was drawn, until it is over
        self.error: BaseException | None = None
        self._room = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def left(self) -> int:
        return len(self._waiting)

    def pop(self, most: int) -> list[Any]:
        tasks = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        self.begin()
        return tasks

    def begin(self) -> None:
        """Have it drawn, if there is room for more."""
        if len(self._waiting) <= self._ahead // 2:
            self._room.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._draw, name="multiprocesstools-tasks", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._room.set()

    def _draw(self) -> None:
        try:
            for task in self._tasks:
                self.known += 1
                self._waiting.append(task)
                if len(self._waiting) == 1:
                    self._told()
                if len(self._waiting) >= self._ahead:
                    self._room.clear()
                    if len(self._waiting) >= self._ahead:
                        self._room.wait()
                if self._closed:
                    break
        except BaseException as error:
            self.error = error
        finally:
            self.known -= 1
            self.over = True
            self._told()


class Feed:
    """Give `told` what is to be called, in any thread, when there is something to take again."""

    def __init__(self, ahead: int, told: Callable[[], None]) -> None:
        self._ahead, self._told = ahead, told
        self._lock = threading.Lock()
        self._sources: deque[_Source] = deque()
        self._again: deque[Job] = deque()
        self._passed, self._number, self._in_hand = 0, 0, 0
        self.broken: tuple[int, BaseException] | None = None

    # -- for whoever adds

    def add(self, tasks: Iterable[Any], function: Function | None) -> None:
        """More tasks, all for this function. TypeError for what cannot be iterated."""
        source: _Source
        if isinstance(tasks, _FIXED):
            source = _Listed(tasks, function)
        elif isinstance(tasks, _COPIED):
            source = _Listed(list(tasks), function)
        else:
            source = _Drawn(iter(tasks), function, self._ahead, self._told)
        with self._lock:
            self._sources.append(source)
        self._told()

    def add_one(self, task: Any, function: Function | None) -> None:
        """One more."""
        with self._lock:
            last = self._sources[-1] if self._sources else None
            if not isinstance(last, _Singles) or last.function is not function:
                self._sources.append(last := _Singles(function))
            last.append(task)
        self._told()

    def rebind(self, function: Function) -> None:
        """All that waits is for this function: nothing was begun yet."""
        with self._lock:
            for source in self._sources:
                source.function = function

    # -- for the thread that takes

    def take(self, most: int, fresh: int) -> list[Job]:
        """The next tasks, as many as there are now, and at most so many; `fresh` of them that were not begun before."""
        with self._lock:
            jobs = [self._again.popleft() for _ in range(min(most, len(self._again)))]
            fresh = min(fresh, most - len(jobs))
            while fresh > 0 and self._sources:
                source = self._sources[0]
                over = source.over  # asked first: what is drawn last is there before it
                if source.left:
                    drawn = self._jobs(source, fresh)
                    fresh -= len(drawn)
                    jobs += drawn
                elif over:
                    self._pass(source)
                else:
                    source.begin()
                    break
            self._in_hand += len(jobs)
            return jobs

    def put_back(self, jobs: Sequence[Job]) -> None:
        """They are to be tried again, before all others."""
        with self._lock:
            self._in_hand = max(0, self._in_hand - len(jobs))
            self._again.extend(jobs)

    def settle(self, count: int = 1) -> None:
        """Tasks that were taken are over."""
        with self._lock:
            self._in_hand = max(0, self._in_hand - count)  # after `close` nothing is

    # -- for all

    @property
    def target(self) -> int:
        """How many tasks are known; one more for each iterable that has not come to its end."""
        with self._lock:
            return self._passed + sum(source.known for source in self._sources)

    @property
    def number(self) -> int:
        """How many tasks were given out, and the number of the next one."""
        return self._number

    @property
    def in_hand(self) -> int:
        """How many were taken, and are neither settled nor put back."""
        return self._in_hand

    @property
    def is_over(self) -> bool:
        """Is nothing waiting, and nothing in hand?"""
        with self._lock:
            while self._sources and self._sources[0].over and not self._sources[0].left:
                self._pass(self._sources[0])
            return not (self._sources or self._again or self._in_hand)

    @property
    def waits(self) -> bool:
        """Are there tasks that were not taken?"""
        with self._lock:
            return bool(self._sources or self._again)

    def close(self) -> None:
        """Nothing more is drawn or given out."""
        with self._lock:
            for source in self._sources:
                source.close()
                self._passed += source.known - source.left
            self._sources.clear()
            self._again.clear()
            self._in_hand = 0

    def forget(self, settled: int) -> None:
        """A run begins: what an earlier one has taken and not settled is not known any more."""
        with self._lock:
            self._passed = settled

    def _jobs(self, source: _Source, most: int) -> list[Job]:
        function, first = source.function, self._number
        assert function is not None
        jobs = [Job(number, task, function) for number, task in enumerate(source.pop(most), first)]
        self._number += len(jobs)
        return jobs

    def _pass(self, source: _Source) -> None:
        self._sources.popleft()
        self._passed += source.known
        if source.error is not None and self.broken is None:
            self.broken = (source.known, source.error)
