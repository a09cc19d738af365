"""Making failed items claimable again: R_k is created for their highest attempt, nothing is removed."""

from multiprocesstools.claims.again import try_again
from multiprocesstools.claims.slots import Slot
from multiprocesstools.plans.hints import not_over
from multiprocesstools.run.directory import Run
from multiprocesstools.upkeep.lookup import choose
from multiprocesstools.upkeep.snapshot import take_snapshot

_RETRIED = ("failed", "skipped")


def retry(run: Run, names: tuple[str, ...] = ()) -> list[str]:
    """Retry all failed items, or the named ones (failed or skipped); the items retried. UnknownItem with the nearest.

    A name is the final relative to the run directory or absolute, or its last part if no other one has it.
    """
    snapshot = take_snapshot(run)
    known = {item.item: item for item in snapshot.of(*_RETRIED)}
    chosen = [known[choose(run, name, known.keys, "was set aside")] for name in names] or snapshot.of("failed")
    slots: dict[str, list[tuple[Slot, int]]] = {}
    for item in chosen:
        directory, _, name = run.absolute(item.item).rpartition("/")
        slots.setdefault(directory, []).append((Slot(directory, name), item.attempt))
    for directory, failed in slots.items():
        with not_over(run, directory):
            for slot, attempt in failed:
                try_again(run.disk, slot, attempt)
    return [item.item for item in chosen]
