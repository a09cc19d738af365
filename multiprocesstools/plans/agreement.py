"""Whether a list may be claimed in chunks, with what others do to the same finals. It decides; `plans` records.

Guarantee: while instances live, no list over the same finals is claimed in another way: single items by one and chunks
by another, or chunks cut in two ways. Condition: an instance joins before it records its plan, and looks at the plans
of others before and after; of two that begin at the same moment, one at least sees the other.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from multiprocesstools.errors import ChunksDiffer
from multiprocesstools.plans.cut import SINGLE, Cut
from multiprocesstools.plans.plan import Plan

if TYPE_CHECKING:
    from multiprocesstools.plans.inventory import Block, Inventory


class Recorded(Protocol):
    """The plans of a run."""

    def items(self, plan: Plan) -> "Iterator[Block]": ...
    def possibly_alive(self, own: str) -> list[str]: ...
    def replace(self, plan: Plan) -> None: ...


class Agreement:
    """What keeps lists over the same finals from being claimed in two ways at the same time."""

    def __init__(self, plans: Recorded, items: "Inventory", folders: list[str], own: str) -> None:
        self._plans, self._items, self._folders, self._own = plans, items, set(folders), own

    def make_way(self, others: list[Plan]) -> None:
        """Other lists over the same finals are claimed one by one from now on, unless somebody may be at their chunks.

        Whoever begins joins first and then reads its plan, so that one who has read it before it was changed is seen
        afterwards, and it is put back.
        """
        chunked = [plan for plan in others if plan.chunk != 1 and self._shares(plan)]
        if not chunked:
            return
        if alive := self._plans.possibly_alive(self._own):
            raise self._differ(chunked[0], alive)
        for plan in chunked:
            self._plans.replace(replace(plan, chunk=1, head=0))
        if alive := self._plans.possibly_alive(self._own):
            for plan in chunked:
                self._plans.replace(plan)
            raise self._differ(chunked[0], alive)

    def allowed(self, cut: Cut, known: list[Plan]) -> Cut:
        """The cut that a new list may have: single items, if others may be claiming some of them one by one."""
        shared = cut.items != 1 and any(map(self._shares, known))
        return SINGLE if shared and self._plans.possibly_alive(self._own) else cut

    def check(self, mine: Plan, others: list[Plan]) -> None:
        """Has somebody begun at the same moment with another list? Of two, the one that comes later is refused."""
        for plan in others:
            if plan.key == mine.key or (plan.chunk == 1 and mine.chunk == 1) or not self._shares(plan):
                continue
            if plan.is_open or (plan.sequence, plan.key) < (mine.sequence, mine.key):
                raise self._differ(plan, self._plans.possibly_alive(self._own))

    def _shares(self, plan: Plan) -> bool:
        if self._folders.isdisjoint(plan.directories):
            return False
        return plan.is_open or self._items.shares(self._plans.items(plan))

    def _differ(self, plan: Plan, alive: list[str]) -> ChunksDiffer:
        return ChunksDiffer(plan.template, *self._items.difference(self._plans.items(plan)), alive)
