"""The partitions that a server has in hand for its workers: each is an item of the run that the server has claimed.

    waiting --take--> in hand, leased --accept--> done
                                      --fail | its lease expires--> recorded, for another try
                                      --give_back | reschedule--> waiting

Guarantee: the claims are those of any worker by files, so both kinds may work on one run at once. A result counts if it
is whole and the first, whoever sends it and however late; else it is told so. A result that cannot be published now,
because somebody else has the partition in hand, is kept beside it, so that the next attempt finds it computed. The
leases are in the run directory: a server that was killed and started again goes on with them, and its end does not
count as a failed attempt. Nobody's lease expires because the server itself was stopped or waited for its disk.
Condition: it counts for leases that could not be written, because the disk is full, and for those whose partition a
worker by files takes over before there is another server.
"""

import logging
import secrets
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from multiprocesstools.errors import ItemGivenBack, LeaseExpired, MultiProcessError, RemoteFailure, UnknownItem
from multiprocesstools.helper import MultiProcessHelper
from multiprocesstools.items.fate import Fate
from multiprocesstools.tasks.again import hand_out_again
from multiprocesstools.tasks.leases import Lease, Leases, Steps, packed, parts_of, unpacked
from multiprocesstools.tasks.parcel import Parcel
from multiprocesstools.tasks.shelf import DIRECTORY, FINAL, Shelf
from multiprocesstools.tasks.submission import part, whole
from multiprocesstools.upkeep.retry import retry

if TYPE_CHECKING:
    from multiprocesstools.items.item import Item

NAME, MOST_BYTES = "leases.json", 1 << 26
_LOOK_SECONDS = 1.0
_LONGEST_STEP = 0.25
_MOST_REMEMBERED = 10_000

_log = logging.getLogger("multiprocesstools.tasks")

ACCEPTED, DUPLICATE, KEPT = "accepted", "duplicate", "kept"
"""What a result can be told: it counts; another one was first; somebody else has the partition, who will find it."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease, the tasks of its partition, and what earlier attempts have computed of them."""

    lease: Lease
    indices: list[int]
    kept: Parcel


class Desk:
    """What one server has in hand. It may be used by several threads; the clock is that of the run."""

    def __init__(
        self, helper: MultiProcessHelper, shelf: Shelf, *, lease_seconds: float, task_seconds: float | None = None
    ) -> None:
        self._helper, self._shelf = helper, shelf
        self._seconds, self._task_seconds = lease_seconds, task_seconds
        self._leases = Leases(lease_seconds, task_seconds)
        self._items: dict[int, Item] = {}
        self._lock, self._clock = threading.RLock(), shelf.run.clock
        self._steps = Steps(max(lease_seconds * _LONGEST_STEP, _LOOK_SECONDS), self._clock.elapsed())
        self._unwritten = False
        self._waiting: deque[int] = deque()
        self._listed = float("-inf")
        self._restored: set[str] = set()
        self._accepted: deque[str] = deque(maxlen=_MOST_REMEMBERED)

    def __len__(self) -> int:
        return len(self._items)

    # -- handing out

    def take(self, worker: str) -> Grant | None:
        """A partition for this worker, or again the one that it has; None if there is none to be had now."""
        with self._lock:
            if (held := self._leases.of(worker)) is not None:
                self._leases.renew(held.name, held.tasks, self._steps.until(self._clock.elapsed()))
                return self._grant(held)
            for number in self._candidates():
                if (item := self._claim(number)) is not None:
                    lease = self._lease(number, item, worker)
                    self._write()
                    return self._grant(lease)
            return None

    def renew(self, name: str, tasks: int) -> bool:
        """The worker of this lease lives, and has finished so many tasks. False: the lease is over."""
        with self._lock:
            self._restored.discard(name)
            return self._leases.renew(name, tasks, self._steps.until(self._clock.elapsed()))

    def expire(self) -> None:
        """Take back what is leased to workers that are silent or hang: a failed attempt each, but for those of a former
        server, which were not heard of since: they may have ended meanwhile."""
        with self._lock:
            now = self._steps.until(self._clock.elapsed())
            for lease in self._leases.expired(now):
                if lease.name in self._restored:
                    self._end(lease.number, None)
                    continue
                silent = now >= lease.until
                seconds = self._seconds if silent else self._task_seconds or 0.0
                sign = "sign of life" if silent else "result of a task"
                self._end(lease.number, LeaseExpired(lease.worker, seconds, sign))
            if self._unwritten:
                self._write()

    def reschedule(self) -> list[int]:
        """Hand out again all that is in work, here and elsewhere; the partitions."""
        with self._lock:
            mine = list(self._items)
            for number in mine:
                self._end(number, None)
            return sorted({*mine, *hand_out_again(self._shelf.run, self._shelf)})

    def restore(self) -> bool:
        """Go on with the leases of a former server, if there was one that did not come to its `end`. Call it before all
        else, with the right to collect: then nobody else serves this run."""
        with self._lock:
            data = self._recorded()
            found = unpacked(data)
            hand_out_again(self._shelf.run, self._shelf, {one.number: one.attempt for one in found})
            for one in found:
                if (item := self._claim(one.number)) is not None:
                    self._items[one.number] = item
                    self._leases.grant(one.name, one.worker, self._steps.until(self._clock.elapsed()))
                    self._restored.add(one.name)
            self._write()
            return data != b""

    def end(self) -> None:
        """All is over, and everybody knows: there is nothing that another server could go on with."""
        with self._lock:
            self._shelf.run.disk.unlink(self._path)

    # -- coming back

    def accept(self, name: str, results: bytes | Iterable[Any]) -> str:
        """Take the results of all tasks of a partition: ACCEPTED, DUPLICATE or KEPT.

        results: a parcel, or one value per task. ValueError for what is not the whole of this partition,
        MultiProcessError or OSError for what cannot be published now; then it is kept, if that is possible.
        """
        number, attempt = parts_of(name)
        parcel, data = whole(self._shelf.description, number, results)
        with self._lock:
            if name in self._accepted:
                return ACCEPTED
            if self._leases.find(name) is None and number in self._shelf.published():
                self._end(number, None)
                return DUPLICATE
            item = self._items.get(number) or self._claim(number) or self._claim_again(number)
            if item is None:
                self._shelf.keep(number, attempt, parcel)
                return KEPT
            self._publish(item, number, attempt, parcel, data)
            self._forget(number)
            self._accepted.append(name)
            return ACCEPTED if item.fate is Fate.DONE else DUPLICATE

    def fail(self, name: str, words: str, traceback: str, kept: bytes) -> bool:
        """The attempt of this lease has failed. False: the lease is over, so it is not recorded."""
        return self._come_back(name, kept, RemoteFailure, words, traceback)

    def give_back(self, name: str, kept: bytes) -> bool:
        """The worker of this lease ends early: another one can have the partition, and no attempt is counted."""
        return self._come_back(name, kept, None)

    def _come_back(
        self, name: str, kept: bytes, kind: type[RemoteFailure] | None, words: str = "", trace: str = ""
    ) -> bool:
        number, _ = parts_of(name)
        parcel = part(self._shelf.description, number, kept) if kept else None
        with self._lock:
            lease = self._leases.find(name)
            if lease is None:
                return False
            if parcel is not None:
                self._shelf.keep(number, self._items[number].attempt, parcel)
            error = None if kind is None else kind(lease.worker, words)
            if error is not None:
                error.add_note(f"on the worker:\n{trace}")
            self._end(number, error)
            return True

    # -- items

    def _candidates(self) -> Iterable[int]:
        """The partitions to be tried, those first that were not tried yet; looked up again now and then."""
        while self._waiting:
            yield self._waiting.popleft()
        now = self._clock.elapsed()
        if now - self._listed >= _LOOK_SECONDS:
            published, self._listed = self._shelf.published(), now
            for number in self._shelf.ended(self._attempts()) if self._items else ():
                self._end(number, None)  # a manager beside this server has handed it out again
            partitions = range(self._shelf.description.partitions)
            self._waiting.extend(number for number in partitions if number not in published)
        while self._waiting:
            yield self._waiting.popleft()

    def _claim(self, number: int) -> "Item | None":
        if number in self._items or self._helper.paused:  # to wait here would keep everybody waiting
            return None
        return self._helper.claim(FINAL.format(value=number), directory=DIRECTORY)

    def _claim_again(self, number: int) -> "Item | None":
        """A whole result of a partition that was set aside: it counts all the same."""
        try:
            retry(self._shelf.run, (f"{DIRECTORY}/{FINAL.format(value=number)}",))
        except UnknownItem:
            return None  # it is not set aside: somebody else has it
        return self._claim(number)

    def _lease(self, number: int, item: "Item", worker: str) -> Lease:
        self._items[number] = item
        name = f"{number}-{item.attempt}-{secrets.token_hex(8)}"
        return self._leases.grant(name, worker, self._steps.until(self._clock.elapsed()))

    def _grant(self, lease: Lease) -> Grant:
        kept = self._shelf.kept(lease.number, self._items[lease.number].attempt)
        return Grant(lease, self._shelf.description.indices_of(lease.number), kept)

    def _publish(self, item: "Item", number: int, attempt: int, parcel: Parcel, data: bytes) -> None:
        try:
            with item:
                item.path.write_bytes(data)
        except (MultiProcessError, OSError):
            self._forget(number)
            self._shelf.keep(number, attempt, parcel)
            raise
        if item.fate is Fate.DONE:
            self._shelf.forget(number, item.attempt)

    def _end(self, number: int, error: Exception | None) -> None:
        """Let go of a partition: with an error as a failed attempt, else given back."""
        item = self._items.get(number)
        if item is None:
            return
        self._forget(number)
        self._waiting.append(number)
        if error is None:
            item.give_back()
            return
        try:
            with item:
                raise error
        except (RemoteFailure, LeaseExpired, ItemGivenBack):
            return  # it is recorded, or was given back by a signal

    # -- state in the run directory

    def _forget(self, number: int) -> None:
        self._items.pop(number, None)
        if self._leases.close(number) is not None:
            self._write()

    def _attempts(self) -> dict[int, int]:
        return {number: item.attempt for number, item in self._items.items()}

    @property
    def _path(self) -> str:
        return f"{self._shelf.run.home}/{NAME}"

    def _write(self) -> None:
        """Write the leases down. Where that fails it is tried again: it must not keep an item from being settled."""
        try:
            self._shelf.run.replace(self._path, packed(self._leases, self._attempts()))
            self._unwritten = False
        except OSError as error:
            if not self._unwritten:
                _log.warning("the leases cannot be written: %s; started again now, this server would miss some", error)
            self._unwritten = True

    def _recorded(self) -> bytes:
        """What a former server has written; without it, what it had in work is a claim of the dead."""
        try:
            return self._shelf.run.disk.read(self._path, MOST_BYTES) or b""
        except OSError:
            return b""
