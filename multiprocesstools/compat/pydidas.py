"""What scripts of pydidas.multiprocessing import, by the names of pydidas.

    import multiprocesstools.compat.pydidas as pydidas            for    import pydidas
    from multiprocesstools.compat.pydidas import QtTest           for    from qtpy import QtTest
    from multiprocesstools.compat.pydidas import pydidas_qtcore   for    import pydidas_qtcore

Guarantee: the examples of its developers' guide run so, and print what they say. Condition: the extra `[qt]`.
"""

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Self

from qtpy import QtCore
from qtpy import QtTest as _QtTest

from multiprocesstools.workers.qt import AppRunner, BaseApp, WorkerController

__all__ = [
    "AppRunner", "BaseApp", "QSignalSpy", "QtTest", "TimerSaveRuntime", "WorkerController", "core", "multiprocessing",
    "pydidas_qtcore",
]  # fmt: skip


class TimerSaveRuntime:
    """`with TimerSaveRuntime() as runtime: ...`, and then `runtime()` is how long it took, in seconds."""

    def __init__(self) -> None:
        self._began = self._took = 0.0

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self._took = time.perf_counter() - self._began

    def __call__(self) -> float:
        return self._took


class QSignalSpy(_QtTest.QSignalSpy):
    """A QSignalSpy that can be iterated over, as with PyQt; that of PySide6 cannot."""

    def __len__(self) -> int:
        return int(self.count())

    def __getitem__(self, number: int) -> list[Any]:
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        return list(self.at(number % len(self)))

    def __iter__(self) -> Iterator[list[Any]]:
        return (self[number] for number in range(len(self)))


QtTest = SimpleNamespace(QSignalSpy=QSignalSpy)
core = SimpleNamespace(BaseApp=BaseApp, utils=SimpleNamespace(TimerSaveRuntime=TimerSaveRuntime))
multiprocessing = SimpleNamespace(WorkerController=WorkerController, AppRunner=AppRunner)
pydidas_qtcore = SimpleNamespace(PydidasQApplication=QtCore.QCoreApplication)
