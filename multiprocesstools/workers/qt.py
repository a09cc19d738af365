"""WorkerController and AppRunner with signals of Qt: for slots of Qt, QSignalSpy and a running event loop.

Guarantee: as that of Qt: a slot of a QObject is called in the thread where the object lives, by its event loop; with
PySide6 a plain function in the thread where the controller lives; a QSignalSpy hears at once. Condition: the extra
`[qt]`, or another binding that qtpy knows, and an event loop in the thread of the receiver. `parent` owns the
controller, as with any QObject: before that, or the controller, is destroyed, its run has to be over.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from qtpy import QtCore

from multiprocesstools.workers.app import BaseApp
from multiprocesstools.workers.app_runner import RunsApp
from multiprocesstools.workers.controller import Controller

__all__ = ["AppRunner", "BaseApp", "WorkerController"]


class WorkerController(Controller, QtCore.QObject):
    """`multiprocesstools.workers.WorkerController` as a QObject."""

    sig_progress = QtCore.Signal(float)
    sig_results = QtCore.Signal(object, object)
    sig_failed = QtCore.Signal(object, object)
    sig_message_from_worker = QtCore.Signal(str)
    sig_finished = QtCore.Signal()
    finished = QtCore.Signal()

    def __init__(
        self, n_workers: int | None = None, function: Callable[..., Any] | None = None, func_args: Iterable[Any] = (),
        func_kwargs: Mapping[str, Any] | None = None, *, parent: Any = None, **options: Any,
    ) -> None:  # fmt: skip
        QtCore.QObject.__init__(self, parent)
        Controller.__init__(self, n_workers, function, func_args, func_kwargs, **options)

    def _has_receivers(self) -> bool:
        return bool(self.isSignalConnected(QtCore.QMetaMethod.fromSignal(self.sig_results)))

    def _progress_is_heard(self) -> bool:
        return bool(self.isSignalConnected(QtCore.QMetaMethod.fromSignal(self.sig_progress)))


class AppRunner(RunsApp, WorkerController):
    """`multiprocesstools.workers.AppRunner` as a QObject."""

    sig_final_app_state = QtCore.Signal(object)
