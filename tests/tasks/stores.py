"""Stores and workers that the tests share; a module that workers in processes of their own import, too.

The audit does not rely on the package: each process appends the index of each task that it computes to a file that only
it writes, in AUDIT, so a task that was computed twice stands there twice.
"""

import os
import time
from pathlib import Path
from typing import Any

from multiprocesstools import tasks

QUICK = {"beat_seconds": 0.2, "patience_seconds": 20.0}


class Adder(tasks.TaskStore):
    """Ten tasks on a grid of 5 x 2; it sums up what it is given, and counts how often."""

    dimensions = {"row": 5, "column": 2}

    def __init__(self, num_partitions: int = 3, indices: Any = None, ident: str | None = None) -> None:
        super().__init__(num_partitions, indices, ident)
        self.given: dict[int, Any] = {}
        self.calls = 0

    def update_results(self, task_index: list[int], results: list[Any]) -> None:
        self.calls += 1
        for index, result in zip(task_index, results, strict=True):
            assert index not in self.given, f"task {index} was given twice"
            self.given[index] = result


class Squares(tasks.Worker):
    """Squares the index. It computes nothing of what stands in `broken`."""

    store = Adder
    broken: frozenset[int] = frozenset()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **({"progress": False} | options))
        self.set_up, self.computed = 0, list[int]()

    def setup(self) -> None:
        self.set_up += 1

    def compute(self, index: int, task: dict[str, Any]) -> Any:
        self.computed.append(index)
        if index in self.broken:
            raise ZeroDivisionError(f"nothing goes into {index}")
        return index * index


class Crowd(tasks.TaskStore):
    """Ten thousand tasks; `update_results` counts the calls for each partition by its first task."""

    dimensions = (100, 100)

    def __init__(self, num_partitions: int = 100) -> None:
        super().__init__(num_partitions)
        self.firsts: list[int] = []
        self.given: dict[int, int] = {}

    def get(self, index: int | None, *params: Any) -> dict[str, Any]:
        return {"x": params[0], "y": params[1]}

    def update_results(self, task_index: list[int], results: list[Any]) -> None:
        self.firsts.append(task_index[0])
        self.given.update(zip(task_index, results, strict=True))


class Audited(tasks.Worker):
    """Computes x * y and says so in AUDIT, on the disk at once if DURABLE; each task takes PAUSE seconds."""

    store = Crowd

    def setup(self) -> None:
        folder = Path(os.environ["AUDIT"])
        durable = os.O_DSYNC if os.environ.get("DURABLE") else 0
        self._audit = os.open(folder / f"{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND | durable, 0o600)
        self._pause = float(os.environ.get("PAUSE", "0"))

    def compute(self, index: int, task: dict[str, Any]) -> int:
        os.write(self._audit, f"{index}\n".encode())
        time.sleep(self._pause)
        return task["x"] * task["y"]


def audited(folder: Path) -> list[int]:
    """The tasks that were computed, as often as they were."""
    return [int(line) for file in folder.iterdir() for line in file.read_text().splitlines()]
