"""Making failed items claimable again: R_k is created for their highest attempt, nothing is removed."""

import difflib

from multiprocesstools.claims.again import try_again
from multiprocesstools.claims.slots import Slot
from multiprocesstools.errors import UnknownItem
from multiprocesstools.hints import not_over
from multiprocesstools.run import Run
from multiprocesstools.snapshot import take_snapshot
from multiprocesstools.statuses import ItemStatus

_RETRIED = ("failed", "skipped")


def retry(run: Run, names: tuple[str, ...] = ()) -> list[str]:
    """Retry all failed items, or the named ones (failed or skipped); the items retried. UnknownItem with the nearest.

    A name is the final relative to the run directory, or its last part.
    """
    snapshot = take_snapshot(run)
    chosen = [_find(name, snapshot.of(*_RETRIED)) for name in names] if names else snapshot.of("failed")
    slots: dict[str, list[tuple[Slot, int]]] = {}
    for item in chosen:
        directory, _, name = run.absolute(item.item).rpartition("/")
        slots.setdefault(directory, []).append((Slot(directory, name), item.attempt))
    for directory, failed in slots.items():
        with not_over(run, directory):
            for slot, attempt in failed:
                try_again(run.disk, slot, attempt)
    return [item.item for item in chosen]


def _find(name: str, items: list[ItemStatus]) -> ItemStatus:
    for item in items:
        if name in (item.item, item.item.rpartition("/")[2]):
            return item
    known = [item.item for item in items]
    raise UnknownItem(name, difflib.get_close_matches(name, known, cutoff=0.4) or known[:3])
