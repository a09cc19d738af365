"""What an instance has in its hands: one table, shared by its threads.

Guarantee: what stands in the table is tried by no other thread of the instance, and an attempt that the instance has
left is never taken for one that it still has ("exists, but it is mine" holds for the call in flight only).
Condition: an item is entered before the first operation on it, and left after the last. A slot's hash and comparison
run no code of Python's, so that what is one call of a dict is one step, which needs no lock.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from threading import get_ident

from multiprocesstools.claims.disk import Disk, Draft
from multiprocesstools.claims.ended import Ended
from multiprocesstools.claims.slots import Slot
from multiprocesstools.clock import Clock
from multiprocesstools.errors import ItemGivenBack


class How(Enum):
    """How the output of an attempt is written: by the caller to a staging file, or to the final itself, in place; or by
    the package, into the claim, which then is the staging file."""

    STAGED = "staged"
    IN_PLACE = "in place"
    DRAFT = "draft"


class Claim:
    """Attempt `attempt` at an item, won by this instance. `started` is the wall clock and `began` the elapsed one;
    `path` is that of the claim, `name` what journals call the item.

    `lost`: another instance was seen to have taken the item over. `given_up`: the attempt was declared over while the
    work went on (a signal), so that somebody else may begin. `private`: the files and folders it may have written.
    `retract`: what must be done before the attempt may be declared over (direct mode). `thread`: which one won it.
    `within`: the claim of its chunk; `is_chunk`: it is one. `draft`: the claim itself, where the result is written
    into it. `told`: the journal says that it is in work.
    """

    name: str = ""
    told: bool = False
    within: "Claim | None" = None
    signed: bool = False
    publishing: bool = False
    placeholder: str = ""
    private: tuple[str, ...] = ()
    retract: Callable[[Disk], None] | None = None
    draft: Draft | None = None

    def __init__(self, slot: Slot, attempt: int, clock: Clock) -> None:
        self.slot, self.attempt = slot, attempt
        self.path, self.final = slot.claim(attempt), slot.final
        self.started, self.began = clock.wall(), clock.elapsed()
        self.thread = get_ident()
        self.is_chunk = self.lost = self.given_up = False

    def close(self) -> None:
        """Write no more into the claim."""
        draft, self.draft = self.draft, None
        if draft is not None:
            draft.close()


class _Reserved:
    """An item that is tried, and not won yet."""


@dataclass(slots=True)
class Hands:
    """The items that this instance is occupied with, and how it left others."""

    _entered: dict[Slot, Claim | _Reserved] = field(default_factory=dict)
    _left: dict[Slot, dict[int, Ended]] = field(default_factory=dict)
    _owed: dict[Slot, tuple[Claim, Ended]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def enter(self, slot: Slot) -> bool:
        """Reserve an item for the calling thread. False: it is in our hands already."""
        reserved = _Reserved()
        return self._entered.setdefault(slot, reserved) is reserved

    def hold(self, claim: Claim) -> Claim:
        """The reserved item was won."""
        self._entered[claim.slot] = claim
        return claim

    def leave(self, slot: Slot) -> None:
        with self._lock:
            self._owed.pop(slot, None)
            self._entered.pop(slot, None)  # last, because another thread may enter it then

    def finish(self, slot: Slot) -> None:
        """Leave an item that is done: how attempts at it were left does not matter any more."""
        if self._owed or self._left:
            with self._lock:
                self._owed.pop(slot, None)
                self._left.pop(slot, None)
        self._entered.pop(slot, None)

    def claims(self) -> list[Claim]:
        return [claim for claim in list(self._entered.values()) if isinstance(claim, Claim)]

    def in_work(self) -> list[Claim]:
        """Without attempts that have ended already, and whose ended-file still has to be written."""
        over = {claim for claim, _ in self.owed()}
        return [claim for claim in self.claims() if claim not in over]

    def remember(self, claim: Claim, ended: Ended) -> None:
        """The attempt is over for us, whether or not its ended-file can be written now."""
        with self._lock:
            self._left.setdefault(claim.slot, {})[claim.attempt] = replace(ended, traceback="")

    def has_left(self, slot: Slot, attempt: int) -> Ended | None:
        with self._lock:
            return self._left.get(slot, {}).get(attempt)

    def has_tried(self, slot: Slot) -> bool:
        """Did this instance leave an attempt at the item?"""
        return slot in self._left

    def owe(self, claim: Claim, ended: Ended) -> None:
        """The ended-file could not be written; it is tried again at each beat."""
        with self._lock:
            self._entered[claim.slot] = claim
            self._owed[claim.slot] = (claim, ended)

    def owes(self, slot: Slot) -> bool:
        with self._lock:
            return slot in self._owed

    def works_on(self, slot: Slot, attempt: int) -> bool:
        """Is this very attempt in work, in some thread?"""
        with self._lock:
            claim = self._entered.get(slot)
            return isinstance(claim, Claim) and claim.attempt == attempt and slot not in self._owed

    def check(self, claim: Claim) -> None:
        """ItemGivenBack if somebody else may have been given what is about to be worked on."""
        if not self.works_on(claim.slot, claim.attempt):
            raise ItemGivenBack(claim.name)

    def owed(self) -> list[tuple[Claim, Ended]]:
        with self._lock:
            return list(self._owed.values())
