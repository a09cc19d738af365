"""Worker: takes partitions, computes their tasks, hands in the results, until nothing is left.

    set up once per process -> [partition taken -> its tasks one by one -> results handed in whole] ... -> nothing left

Guarantee: of a partition whose task raises nothing is lost: the task's error is recorded with its traceback, what was
computed of it is kept for the next try. What happens to a partition otherwise is the promise of its source.
"""

import os
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from multiprocesstools.errors import BadArgument, TaskFailed
from multiprocesstools.tasks.source import Assignment, Source, Wishes
from multiprocesstools.tasks.store import TaskStore

if TYPE_CHECKING:
    from multiprocesstools.display.progress import Listener

_LONGEST_TASK = 200


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker has done in one `run`: how many partitions were accepted, how many tasks were computed for all that
    it tried, and how many tries failed. Another worker's result that was first is no failure."""

    partitions: int = 0
    tasks: int = 0
    failures: int = 0

    def __str__(self) -> str:
        failed = f", {self.failures:,} tries failed" if self.failures else ""
        return f"{self.partitions:,} partitions done, {self.tasks:,} tasks computed{failed}"


class Worker:
    """One process that works on the tasks of a store. A subclass gives `compute`, and `setup` if it needs one.

    Parameters
    ----------
    run_directory_or_url: the run directory that all workers and the manager share, or the url of a server.
    store: the TaskStore that says what the tasks are; default the class attribute `store`.
    token_file: for a server that wants a token: a file that holds it, readable by its owner alone (mode 0600).
    progress, options: for a run directory: as of `MultiProcessHelper.items`, and as of MultiProcessHelper
        (`beat_seconds`, `max_attempts`, ...). A url takes `patience_seconds` alone: how long to wait for the server.

    Raises BadArgument here; StoresDiffer, and what MultiProcessHelper raises, from `run`.
    """

    store: ClassVar[TaskStore | type[TaskStore] | None] = None

    def __init__(
        self, run_directory_or_url: Any, store: TaskStore | type[TaskStore] | None = None, *,
        token_file: str | os.PathLike[str] | None = None, progress: "bool | Listener | None" = None, **options: Any,
    ) -> None:  # fmt: skip
        self.place = run_directory_or_url
        self.task_store = _store_of(store if store is not None else type(self).store)
        token = None if token_file is None else os.fspath(token_file)
        self._wishes = Wishes(token_file=token, progress=progress, options=options)
        self._set_up_in = 0

    def setup(self) -> None:
        """Called once in each process, before anything is taken: load here what all tasks need."""

    def compute(self, index: int, task: dict[str, Any]) -> Any:
        """The result of one task: numbers, texts, lists, dicts, None, numpy arrays."""
        raise NotImplementedError(f"{type(self).__name__} needs compute(index, task)")

    def run(self, max_partitions: int | None = None) -> Work:
        """Work until nothing is left (or until so many partitions were tried), and say what was done.

        What `setup` raises goes through. Raises TooManyFailures as a loop of `items` does.
        """
        if max_partitions is not None and (not isinstance(max_partitions, int) or max_partitions < 1):
            raise BadArgument("max_partitions", max_partitions, "it must be a whole number, at least 1, or None")
        self._set_up()
        tried = partitions = tasks = failures = 0
        with _source_of(self.place, self.task_store, self._wishes) as source, closing(source.assignments()) as hands:
            for assignment in hands:
                tasks += self._work_on(assignment)
                tried, partitions, failures = tried + 1, partitions + assignment.done, failures + assignment.failed
                if tried == max_partitions:
                    break
        return Work(partitions, tasks, failures)

    def _set_up(self) -> None:
        if self._set_up_in != os.getpid():
            self.setup()
            self._set_up_in = os.getpid()

    def _work_on(self, assignment: Assignment) -> int:
        """Do a partition; how many tasks were computed."""
        computed = 0
        with assignment:
            results = assignment.kept
            for index in assignment.indices:
                if index not in results:
                    results.add(index, self._result(index))
                    computed += 1
                    assignment.renew()
            assignment.publish(results.sorted(assignment.indices))
        return computed

    def _result(self, index: int) -> Any:
        task: Any = None
        try:
            task = self.task_store.task(index)
            return self.compute(index, task)
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            raise TaskFailed(index, "" if task is None else f"{task!r}"[:_LONGEST_TASK], words) from error


def _store_of(store: TaskStore | type[TaskStore] | None) -> TaskStore:
    made = store() if isinstance(store, type) and issubclass(store, TaskStore) else store
    if not isinstance(made, TaskStore):
        raise BadArgument("store", store, "give a TaskStore, or set the class attribute `store` of the worker")
    return made


def _source_of(place: Any, store: TaskStore, wishes: Wishes) -> Source:
    """The source of a run directory or of a url. Nothing is touched before it is entered."""
    if isinstance(place, str) and place.lower().startswith(("http://", "https://")):
        from multiprocesstools.tasks.remote import RemoteSource

        return RemoteSource(place, store, wishes)
    from multiprocesstools.tasks.files import FileSource

    return FileSource(place, store, wishes)
