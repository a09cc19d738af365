"""The items of a loop that are in the hands of an executor: sent, and not landed.

    offered by the loop --send--> in flight --land--> settled, in the thread of the loop
                                            --give_back--> dropped, at once; what still runs is cleared away at its end

Several items are in the hands of the instance then, and all of them are settled in one thread, the one of the loop: so
signals, retries, limits and `on_error` mean the same as without an executor, and no claim is touched by two threads.

Guarantee: an item that was sent is settled once. After `give_back` no claim of them is left, and no file: what a worker
writes that cannot be interrupted is removed when it ends. Condition: the process lives until then, or dies (then the
worker does it, see `call`).
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from multiprocesstools.bell import Bell
from multiprocesstools.calls.call import Missing
from multiprocesstools.calls.executors import Executors
from multiprocesstools.claims.ended import Ended, Outcome, decode
from multiprocesstools.claims.publish import discard
from multiprocesstools.claims.slots import Slot
from multiprocesstools.crew.crew import Crew
from multiprocesstools.errors import FunctionWroteNothing, PoolBroken, WorkerDied
from multiprocesstools.items.fate import Fate
from multiprocesstools.items.item import Item

_TICK_SECONDS = 0.1
_MOST_POOLS, _MOST_LOOKS = 3, 10

Note = Callable[[Item], None]
Landed = Callable[..., None]
"""Told that an item was settled: landed(counts=...), whether it counts among failures in a row."""


@dataclass(slots=True)
class _Sent:
    item: Item
    future: "Future[Missing | None]"
    landed: Landed | None = None


class Flight:
    """`note` is told of each item that was settled. It is true while something is in flight."""

    def __init__(self, crew: Crew, executors: Executors, note: Note) -> None:
        self._crew, self._executors, self._note = crew, executors, note
        self._sent: dict[int, _Sent] = {}
        self._arrivals: deque[int] = deque()
        self._bell = Bell()
        self._held = 0
        self._uncounted: Item | None = None

    def __len__(self) -> int:
        return len(self._sent)

    # -- for the map

    def send(self, item: Item) -> None:
        """Have a worker do it, and wait until there is room for the next one.

        What was in work when a worker died is sent alone, so that only what kills its worker is charged with that
        again.
        """
        alone = self._is_suspect(item)
        if alone:
            self.land_all()
        self._submit(item)
        while len(self._sent) >= (1 if alone else self._executors.workers):
            self.land(_TICK_SECONDS)

    # -- for the loop

    def keeps(self, item: Item, landed: Landed) -> bool:
        """Is the item in flight? Then `landed` is called when it is settled; now, if that has happened in a way that
        does not count."""
        sent = self._sent.get(item.position)
        if sent is not None and sent.item is item:
            sent.landed = landed
            return True
        if self._uncounted is not item:
            return False
        landed(counts=False)
        return True

    def land(self, seconds: float) -> bool:
        """Settle what has come back, or comes back within so many seconds. Is anything worth a look then: may an item
        be tried again, or is nothing in flight any more?

        When the run was asked to stop, what no worker has begun with comes back at once.
        """
        if self._crew.stop_requested or self._crew.guard.signalled is not None:
            for sent in list(self._sent.values()):
                sent.future.cancel()
        again = False
        for position in self._arrived(seconds):
            again |= self._land(position)
        if self._held and not self._sent:
            held, self._held = self._held, 0
            self._executors.renew(held)
        return again or not self._sent

    def land_all(self) -> None:
        """Wait until nothing is in flight."""
        while self._sent:
            self.land(_TICK_SECONDS)

    def give_back(self) -> None:
        """The loop ends early: nothing more is begun, and the claims are given back at once."""
        while self._sent:
            _, sent = self._sent.popitem()
            begun = not sent.future.cancel()
            sent.item.give_back()
            if begun:
                sent.future.add_done_callback(partial(self._clear, sent.item, self._executors.see_the_end))

    # -- inside

    def _is_suspect(self, item: Item) -> bool:
        """May it have killed its worker, or (which is asked before its last attempt) its whole process?"""
        is_last = item.attempt >= self._crew.rules.max_attempts
        return any(
            end.exception.startswith(WorkerDied.__name__) or (end.outcome is Outcome.DIED and is_last)
            for end in map(partial(self._end, item), range(max(1, item.attempt - _MOST_LOOKS), item.attempt))
        )

    def _end(self, item: Item, attempt: int) -> Ended:
        slot = Slot(str(item.final.parent), item.final.name)
        try:
            return decode(self._crew.latest_member.instance.disk.read(slot.ended(attempt)) or b"")
        except OSError:
            return Ended(Outcome.UNREADABLE)

    def _submit(self, item: Item) -> None:
        for _ in range(_MOST_POOLS):
            try:
                self._try_to_submit(item)
                return
            except BrokenExecutor:
                broken = bool(self._sent)
                self.land_all()  # which makes a new one, if the broken one held anything
                if not broken:
                    self._executors.renew(0)
        raise PoolBroken(0)

    def _try_to_submit(self, item: Item) -> None:
        with self._crew.guard.critical:  # a worker must not begin with what nobody will ever settle
            future = self._executors.submit(item.source, item.paths, item.final.name)
            self._sent[item.position] = _Sent(item, future)
        future.add_done_callback(partial(self._arrive, item.position))

    def _arrived(self, seconds: float) -> Iterator[int]:
        if not self._arrivals:
            self._bell.wait(seconds)
        while self._arrivals:
            yield self._arrivals.popleft()

    def _arrive(self, position: int, future: "Future[Any]") -> None:
        self._arrivals.append(position)
        self._bell.ring()

    def _land(self, position: int) -> bool:
        sent = self._sent[position]
        counts = not (self._held and _is_broken(sent.future))  # of all that a broken pool held only one has done it
        try:
            if sent.future.cancelled():
                sent.item.give_back()
            else:
                settle(self._crew, sent.item, partial(self._result, sent.future), self._note)
        finally:
            del self._sent[position]
        if sent.landed is not None:
            sent.landed(counts=counts)
        elif not counts:
            self._uncounted = sent.item
        return sent.item.fate is Fate.FAILED

    def _result(self, future: "Future[Missing | None]") -> Missing | None:
        try:
            return future.result()
        except BrokenExecutor as error:
            if not self._held:
                self._held = len(self._sent)
                with self._crew.guard.critical:
                    self._executors.see_the_end()  # a worker that still runs could write what is about to be removed
            raise WorkerDied(self._held) from error

    def _clear(self, item: Item, see_the_end: Callable[[], None], future: "Future[Any]") -> None:
        """The attempt has ended, or its pool is broken: the thread that says so ends the workers only after that."""

        def clear() -> None:
            see_the_end()
            self._discard(item)

        if _is_broken(future):
            with suppress(RuntimeError):  # none begins any more when the interpreter ends
                threading.Thread(target=clear, name="multiprocesstools-executor").start()
                return
        self._discard(item)

    def _discard(self, item: Item) -> None:
        for path in item.paths:
            discard(self._crew.latest_member.instance, str(path))


def settle(crew: Crew, item: Item, produce: Callable[[], Missing | None], note: Note) -> None:
    """Have an item produced and settled. Whatever `produce` raises is a failed attempt, as in a block of a loop."""
    try:
        missing = None
        with item:
            missing = produce()
        if item.fate is Fate.UNDECIDED:
            with item:
                raise _nothing_written(crew, item, missing)
    finally:
        note(item)


def _nothing_written(crew: Crew, item: Item, missing: Missing | None) -> FunctionWroteNothing:
    """What was written beside the path, by a name that begins with that private name, is removed."""
    if missing is None:
        return FunctionWroteNothing("the path", item.final.name)
    token, instance = item.path.name.removesuffix(item.final.name), crew.latest_member.instance
    mine = {path for claim in instance.hands.claims() for path in claim.private}
    beside = [path for path in missing.beside if path not in mine]  # else it is that of another item
    for path in beside:
        discard(instance, path)
    names = tuple(os.path.basename(path).removeprefix(token) for path in beside)
    return FunctionWroteNothing("the path", missing.name.removeprefix(token), missing.returned, names)


def _is_broken(future: "Future[Any]") -> bool:
    return not future.cancelled() and isinstance(future.exception(), BrokenExecutor)
