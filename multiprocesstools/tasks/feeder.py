"""Feeding a store object with the results that are published, once per partition.

Guarantee: `update_results` is called at most once for each partition and store object, and once for all that are
published when `feed` returns. A fresh object is fed from the beginning, so that it is whole whatever happened to former
ones. Condition: what `update_results` does outside the store it does for each object again. If it raises, its partition
counts as given: what it has taken of it is not known, so it is not given twice.
"""

import threading
from typing import Any

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
        """Give the store what is published and was not given to it; how many partitions these were. NotResults."""
        with self._lock:
            fresh = sorted(self._shelf.published() - self.fed)
            for number in fresh:
                self._give(number, *self._shelf.read(number))
            return len(fresh)

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
