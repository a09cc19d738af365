"""The state of a store's partitions as data, and as the three lines of the original document."""

from dataclasses import asdict, dataclass, field
from typing import Any

from multiprocesstools.errors import RunDirectoryUnusable
from multiprocesstools.run.directory import Run
from multiprocesstools.tasks.description import describe, recorded, refuse_others
from multiprocesstools.tasks.shelf import Shelf
from multiprocesstools.tasks.store import TaskStore
from multiprocesstools.upkeep.snapshot import take_snapshot
from multiprocesstools.upkeep.statuses import ItemStatus


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """How many partitions wait, are in work, are done, are set aside; `collected` are those that this store was given.

    `failures` are those that were set aside, `in_work` those in work, each with its owner or its error.
    """

    ident: str
    directory: str
    tasks: int
    partitions: int
    waiting: int
    running: int
    done: int
    failed: int
    collected: int = 0
    failures: list[ItemStatus] = field(default_factory=list)
    in_work: list[ItemStatus] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"{self.waiting} Jobs are still waiting for execution",
            f"{self.running} Jobs are being processed",
            f"{self.done} Jobs are done",
        ]
        return "\n".join(lines + ([f"{self.failed} Jobs have failed"] if self.failed else []))


def look_at(run: Run, shelf: Shelf, collected: int = 0) -> StoreStatus:
    """The partitions now, on all machines. What the dead had in work waits: it will be done again."""
    snapshot = take_snapshot(run)
    done = {shelf.path(number) for number in shelf.published()}  # some were finished since they were seen in work
    open_items = {run.absolute(item.item): item for item in snapshot.items}
    mine = [item for path, item in open_items.items() if path not in done and path.startswith(f"{shelf.directory}/")]
    failures = [item for item in mine if item.state in ("failed", "skipped")]
    in_work = [item for item in mine if item.state == "running"]
    total = shelf.description.partitions
    waiting = total - len(done) - len(failures) - len(in_work)
    return StoreStatus(
        shelf.description.ident, run.directory, len(shelf.description.selected), total, waiting, len(in_work),
        len(done), len(failures), collected, failures, in_work,
    )  # fmt: skip


def status_of(run: Run, store: TaskStore) -> StoreStatus:
    """The same for a run directory that is only looked at. StoresDiffer; RunDirectoryUnusable without a store in it."""
    description = recorded(run)
    if description is None:
        raise RunDirectoryUnusable(run.directory, "no task store was begun here; start a worker or a manager")
    refuse_others(run, description, describe(store))
    return look_at(run, Shelf(run, description, pickles=store.pickles))
