"""The tasks of a pool: what was added and not yet settled, drawn as late as possible.

A collection (what has a length) is copied when it is added; any other iterable is drawn by a thread of its own, a few
tasks ahead, so that one that waits for something does not keep results from coming.

Guarantee: tasks are given out in the order in which they were added, each once, those that are tried again first; of
an iterable no more is drawn than is needed soon. An iterable that raises ends there, and its error is kept.
"""

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from multiprocesstools.workers.packing import Function
from multiprocesstools.workers.pool import Job


class _Listed:
    """Tasks that are all there."""

    def __init__(self, tasks: Iterable[Any], function: Function | None) -> None:
        self.waiting = deque(tasks)
        self.function = function
        self.over = True
        self.error: BaseException | None = None
        self.drawn = len(self.waiting)

    def begin(self) -> None: ...
    def close(self) -> None: ...


class _Drawn:
    """Tasks that an iterable gives one after the other. `over`: it gives no more."""

    def __init__(
        self, tasks: Iterator[Any], function: Function | None, ahead: int, told: Callable[[], None]
    ) -> None:  # fmt: skip
        self.waiting: deque[Any] = deque()
        self.function, self._tasks, self._ahead, self._told = function, tasks, ahead, told
        self.over, self._closed, self.drawn = False, False, 0
        self.error: BaseException | None = None
        self._room = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Have it drawn, if there is room for more."""
        if len(self.waiting) <= self._ahead // 2:
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
                self.drawn += 1
                self.waiting.append(task)
                if len(self.waiting) == 1:
                    self._told()
                if len(self.waiting) >= self._ahead:
                    self._room.clear()
                    if len(self.waiting) >= self._ahead:
                        self._room.wait()
                if self._closed:
                    return
        except BaseException as error:
            self.error = error
        finally:
            self.over = True
            self._told()


class Feed:
    """Give `told` what is to be called, in any thread, when there is something to take again."""

    def __init__(self, ahead: int, told: Callable[[], None]) -> None:
        self._ahead, self._told = ahead, told
        self._lock = threading.Lock()
        self._sources: deque[_Listed | _Drawn] = deque()
        self._again: deque[Job] = deque()
        self._passed, self._number, self._in_hand = 0, 0, 0
        self.broken: tuple[int, BaseException] | None = None

    # -- for whoever adds

    def add(self, tasks: Iterable[Any], function: Function | None) -> None:
        """More tasks, all for this function. TypeError for what cannot be iterated."""
        sized = isinstance(tasks, Collection)
        source = _Listed(tasks, function) if sized else _Drawn(iter(tasks), function, self._ahead, self._told)
        with self._lock:
            self._sources.append(source)
        self._told()

    def add_one(self, task: Any, function: Function | None) -> None:
        """One more."""
        with self._lock:
            last = self._sources[-1] if self._sources else None
            if isinstance(last, _Listed) and last.function is function:
                last.waiting.append(task)
                last.drawn += 1
            else:
                self._sources.append(_Listed((task,), function))
        self._told()

    def rebind(self, function: Function) -> None:
        """All that waits is for this function: nothing was begun yet."""
        with self._lock:
            for source in self._sources:
                source.function = function

    # -- for the thread that takes

    def take(self, *, fresh: bool = True) -> Job | None:
        """The next task, if there is one now; without `fresh` only one that is tried again."""
        with self._lock:
            if self._again:
                self._in_hand += 1
                return self._again.popleft()
            while fresh and self._sources:
                source = self._sources[0]
                over = source.over  # asked first: what is drawn last is there before it
                if source.waiting:
                    return self._job(source)
                if not over:
                    source.begin()
                    return None
                self._pass(source)
        return None

    def put_back(self, job: Job) -> None:
        """It is to be tried again, before all others."""
        with self._lock:
            self._in_hand -= 1
            self._again.append(job)

    def settle(self) -> None:
        """A task that was taken is over."""
        with self._lock:
            self._in_hand = max(0, self._in_hand - 1)  # after `close` nothing is

    # -- for all

    @property
    def target(self) -> int:
        """How many tasks are known; one more for each iterable that has not come to its end."""
        with self._lock:
            return self._passed + sum(source.drawn + (not source.over) for source in self._sources)

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
            while self._sources and self._sources[0].over and not self._sources[0].waiting:
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
                self._passed += source.drawn - len(source.waiting)
            self._sources.clear()
            self._again.clear()
            self._in_hand = 0

    def _job(self, source: _Listed | _Drawn) -> Job:
        task = source.waiting.popleft()
        if not source.over:
            source.begin()
        assert source.function is not None
        job = Job(self._number, task, source.function)
        self._number += 1
        self._in_hand += 1
        return job

    def _pass(self, source: _Listed | _Drawn) -> None:
        self._sources.popleft()
        self._passed += source.drawn
        if source.error is not None and self.broken is None:
            self.broken = (source.drawn, source.error)
