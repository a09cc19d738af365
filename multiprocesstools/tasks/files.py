"""A run directory as the source of partitions: each is an item of the run, and its claim is that of the core.

Guarantee: that of an item: its results are published once, whole, or the attempt is recorded and made again.
"""

from collections.abc import Generator
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, Any

from multiprocesstools.display.progress import Voice
from multiprocesstools.helper import MultiProcessHelper
from multiprocesstools.items.fate import Fate
from multiprocesstools.run.directory import Run
from multiprocesstools.tasks.description import agree, describe
from multiprocesstools.tasks.shelf import DIRECTORY, FINAL, Shelf
from multiprocesstools.tasks.source import Assignment, Wishes

if TYPE_CHECKING:
    from multiprocesstools.items.item import Item
    from multiprocesstools.tasks.parcel import Parcel
    from multiprocesstools.tasks.store import TaskStore


class FileSource:
    """The partitions of a store in a run directory. Raises what MultiProcessHelper does, and StoresDiffer."""

    def __init__(self, run_directory: Any, store: "TaskStore", wishes: Wishes) -> None:
        self._run, self._store, self._wishes = Run(run_directory), store, wishes

    def __enter__(self) -> "FileSource":
        name = describe(self._store).ident
        self._helper = MultiProcessHelper(name, self._run.directory, **self._wishes.options)
        try:
            description = agree(self._run, self._store, Voice().say, follow=True)
        except BaseException:
            self._helper.cleanup()
            raise
        self._shelf = Shelf(self._run, description, pickles=self._store.pickles)
        return self

    def __exit__(self, *error: Any) -> None:
        self._helper.cleanup()

    def assignments(self) -> Generator[Assignment, None, None]:
        numbers = range(self._shelf.description.partitions)
        items = self._helper.items(numbers, final=FINAL, directory=DIRECTORY, progress=self._wishes.progress)
        with closing(items):  # type: ignore[type-var]  # the iterator of a loop is a generator
            for item in items:
                yield FileAssignment(item, self._shelf)


class FileAssignment:
    """A partition that is an item in hand."""

    def __init__(self, item: "Item", shelf: Shelf) -> None:
        self._item, self._shelf = item, shelf
        self.number: int = item.source
        self.indices = shelf.description.indices_of(self.number)
        self.kept: Parcel = shelf.parcel()
        self.done = self.failed = False

    def renew(self) -> None:
        """A thread gives the signs of life."""

    def publish(self, results: "Parcel") -> None:
        self._item.path.write_bytes(results.encode())

    def __enter__(self) -> "FileAssignment":
        self._item.__enter__()
        self.kept = self._shelf.kept(self.number, self._item.attempt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None:
            self._keep(error)
        recorded = self._item.__exit__(kind, error, trace)
        self.done, self.failed = self._item.fate is Fate.DONE, self._item.fate is Fate.FAILED
        if self.done:
            self._shelf.forget(self.number, self._item.attempt - 1)
        return recorded

    def _keep(self, error: BaseException) -> None:
        try:
            self._shelf.keep(self.number, self._item.attempt, self.kept)
        except OSError as second:  # it must not take the place of what has happened
            error.add_note(f"what was computed of the partition before could not be kept: {second}")
