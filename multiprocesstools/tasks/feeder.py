"""Feeding a store object with the results that are published, once per partition.

Guarantee: `update_results` is called at most once for each partition and store object, and once for all that are
published when `feed` returns. A fresh object is fed from the beginning, so that it is whole whatever happened to former
ones; and so is any object from a run that was begun anew in the same directory. Condition: what `update_results` does
outside the store it does for each object again. If it raises or is interrupted, its partition counts as given: what it
has taken of it is not known, so it is not given twice, and each `feed` of this object says so.
"""

import threading
from dataclasses import dataclass, field
from typing import Any

from multiprocesstools.errors import BadArgument, NotResults
from multiprocesstools.tasks.shelf import Shelf
from multiprocesstools.tasks.store import FED, TaskStore

_ADVICE = "all results are on the disk: collect them into a fresh store"


@dataclass(slots=True)
class Fed:
    """The partitions of one run that a store object was given; of the `torn` ones it may have a part only."""

    given: set[int] = field(default_factory=set)
    torn: set[int] = field(default_factory=set)


class Feeder:
    """The way from the published results to one store object. It may be used by several threads."""

    def __init__(self, store: TaskStore, shelf: Shelf) -> None:
        self._store, self._shelf = store, shelf
        by_run: dict[tuple[str, str], Fed] = store.__dict__.setdefault(FED, {})
        self._fed = by_run.setdefault((shelf.run.directory, shelf.description.id), Fed())
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many partitions the store was given."""
        return len(self._fed.given)

    def feed(self) -> int:
        """Give the store what is published and was not given to it; how many partitions these were.

        When all others were given: NotResults for a file that holds no results of its partition; BadArgument for a
        store that may have a part of a partition only, and for one without `update_results`.
        """
        if type(self._store).update_results is TaskStore.update_results:
            raise BadArgument("store", self._store, "it needs update_results(task_index, results), which takes them")
        with self._lock:
            before, torn, unreadable = len(self), sorted(self._fed.torn), list[NotResults]()
            for number in sorted(self._shelf.published() - self._fed.given):
                try:
                    parcel = self._shelf.read(number)
                except NotResults as error:
                    unreadable.append(error)
                except FileNotFoundError:
                    continue  # somebody has removed it, so that it is done again
                else:
                    self._give(number, *parcel)
            if unreadable:
                raise unreadable[0]
            if torn:
                raise BadArgument("store", self._store, f"it may have a part of partition {torn[0]} only; {_ADVICE}")
            return len(self) - before

    def _give(self, number: int, indices: list[int], results: list[Any]) -> None:
        self._fed.given.add(number)
        self._fed.torn.add(number)
        try:
            self._store.update_results(indices, results)
        except BaseException as error:
            error.add_note(
                f"update_results was given partition {number} and did not end, so this store object may have a part of "
                f"it, and is not given it again; {_ADVICE}"
            )
            raise
        self._fed.torn.remove(number)
