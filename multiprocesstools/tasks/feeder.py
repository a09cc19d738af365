"""Feeding a store object with the results that are published, once per partition.

Guarantee: `update_results` is called at most once for each partition and store object, and once for all that are
published when `feed` returns. A fresh object is fed from the beginning, so that it is whole whatever happened to former
ones. Condition: what `update_results` does outside the store it does for each object again. If it raises, its partition
counts as given: what it has taken of it is not known, so it is not given twice.
"""

import threading
from typing import Any

from multiprocesstools.errors import BadArgument, NotResults
from multiprocesstools.tasks.shelf import Shelf
from multiprocesstools.tasks.store import FED, TaskStore


class Feeder:
    """The way from the published results to one store object. It may be used by several threads."""

    def __init__(self, store: TaskStore, shelf: Shelf) -> None:
        self._store, self._shelf = store, shelf
        by_directory: dict[str, set[int]] = store.__dict__.setdefault(FED, {})
        self.fed = by_directory.setdefault(shelf.run.directory, set())
        self._lock = threading.Lock()

    def feed(self) -> int:
        """Give the store what is published and was not given to it; how many partitions these were.

        NotResults for a file that holds no results of its partition, when all others were given. BadArgument for a
        store without `update_results`.
        """
        if type(self._store).update_results is TaskStore.update_results:
            raise BadArgument("store", self._store, "it needs update_results(task_index, results), which takes them")
        with self._lock:
            before, unreadable = len(self.fed), list[NotResults]()
            for number in sorted(self._shelf.published() - self.fed):
                try:
                    parcel = self._shelf.read(number)
                except NotResults as error:
                    unreadable.append(error)
                    continue
                self._give(number, *parcel)
            if unreadable:
                raise unreadable[0]
            return len(self.fed) - before

    def _give(self, number: int, indices: list[int], results: list[Any]) -> None:
        self.fed.add(number)
        try:
            self._store.update_results(indices, results)
        except Exception as error:
            error.add_note(
                f"update_results was given partition {number} and raised, so this store object may have a part of it, "
                "and is not given it again; all results are on the disk: collect them into a fresh store"
            )
            raise
