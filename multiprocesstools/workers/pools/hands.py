"""The workers of a pool as an executor for `map`: it claims items, and they do them.

Guarantee: each future is resolved once; a task that kills its worker fails alone; after `end` what was in work counts
as given back and not as failed.
"""

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from multiprocesstools.calls.call import Call
from multiprocesstools.errors import StopRequested
from multiprocesstools.workers.pools.engine import Engine
from multiprocesstools.workers.pools.outbox import Done
from multiprocesstools.workers.pools.shift import Terms, Wish


@dataclass(frozen=True, slots=True)
class Order:
    """One call of a method of a `Call`."""

    number: int
    method: str
    arguments: tuple[Any, ...]


def perform(order: Order, call: Call) -> Any:
    """In a worker."""
    return getattr(call, order.method)(*order.arguments)


class _Told:
    """A signal that one knows the slot of."""

    def __init__(self, slot: Callable[..., None] = lambda *_: None) -> None:
        self.emit = slot


class Hands(Engine):
    """`task_of(final)` is the task of an item; `said` hears the messages of workers."""

    def __init__(self, terms: Terms, task_of: Callable[[str], Any], said: Callable[[str], None]) -> None:
        super().__init__(terms.n_workers, timeout=terms.timeout, start_method=terms.start_method)
        self._terms = replace(terms, max_attempts=1)  # the claims count attempts
        self._max_workers = terms.n_workers
        self._task_of, self._call = task_of, None
        self._futures: dict[int, Future[Any]] = {}
        self._numbers = itertools.count()
        self._over = False
        self.sig_message_from_worker = _Told(said)
        self.sig_progress = self.sig_results = self.sig_failed = self.sig_finished = _Told()
        self.finished = _Told(self._resolve_rest)

    def submit(self, method: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Have a worker do it; of a source only its place in the list is known, and the task itself is sent."""
        call = method.__self__  # type: ignore[attr-defined]
        if call is not self._call:
            self._call, self._function = call, self._packed(perform, (call,), {})
        if arguments:
            _, paths, final = arguments
            arguments = (self._task_of(final), paths, final)
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        order = Order(next(self._numbers), method.__name__, arguments)
        with self._lock:
            self._futures[order.number] = future
            if not self.is_alive() and not self._over:
                self._begin("submit()")
            self._feed.add_one(order, self._function)
        if self._over:
            self._resolve_rest()
        return future

    def ask(self, wish: Wish) -> None:
        """LEAVE when the last item has landed, END at once."""
        self._over = True
        if self._shift is not None:
            self._shift.ask(wish)

    def end(self) -> None:
        """End all workers, and wait for that."""
        self.ask(Wish.END)
        if self._shift is not None and self._thread is not None:
            self._await_end(self._shift, self._thread)
        self._resolve_rest()

    def kill(self) -> None:
        """SIGKILL to all workers, by any thread."""
        if self._shift is not None:
            self._shift.kill()

    @property
    def error(self) -> BaseException | None:
        """What has ended the workers."""
        return self._error

    def _received(self, done: Sequence[Done]) -> None:
        for job, result, _ in done:
            if (future := self._futures.pop(job.task.number, None)) is not None:  # else `end` has resolved it
                future.set_result(result)

    def _failed(self, task: Order, error: BaseException) -> None:
        if (future := self._futures.pop(task.number, None)) is not None:
            future.set_exception(error)

    def _has_receivers(self) -> bool:
        return True

    def _progress_is_heard(self) -> bool:
        return False

    def _resolve_rest(self) -> None:
        while self._futures:
            _, future = self._futures.popitem()
            future.set_exception(self._error or StopRequested("a task"))
