"""Pools: a function over a queue of tasks, or an app, in processes that may die; with signals, and ways to stop.

from multiprocesstools.workers import WorkerController

if __name__ == "__main__":
    with WorkerController(4, function) as controller:
        controller.add_tasks(tasks)
        for task, result in controller:
            ...

On top lie the doors: the controller and the app with their signals, the queue of programs with its window, what a
script imports. What they are made of lies in `pools` and in `programs`.
"""

TYPE_CHECKING = False  # what type checkers take for true

if TYPE_CHECKING:
    from multiprocesstools.workers.app import BaseApp
    from multiprocesstools.workers.app_runner import AppRunner
    from multiprocesstools.workers.controller import WorkerController
    from multiprocesstools.workers.emitter import emit_queued
    from multiprocesstools.workers.pools.worker import send_message
    from multiprocesstools.workers.process import Process, ProcessState
    from multiprocesstools.workers.processes import ProcessesLogic
    from multiprocesstools.workers.shared_arrays import shared_array

_ROOMS = {
    "AppRunner": "multiprocesstools.workers.app_runner",
    "BaseApp": "multiprocesstools.workers.app",
    "Process": "multiprocesstools.workers.process",
    "ProcessState": "multiprocesstools.workers.process",
    "ProcessesLogic": "multiprocesstools.workers.processes",
    "WorkerController": "multiprocesstools.workers.controller",
    "emit_queued": "multiprocesstools.workers.emitter",
    "shared_array": "multiprocesstools.workers.shared_arrays",
    "send_message": "multiprocesstools.workers.pools.worker",
}

__all__ = [
    "AppRunner", "BaseApp", "Process", "ProcessState", "ProcessesLogic", "WorkerController", "emit_queued",
    "send_message", "shared_array",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_ROOMS[name]), name)
