"""Pools: a function over a queue of tasks, or an app, in processes that may die; with signals, and ways to stop.

from multiprocesstools.workers import WorkerController

if __name__ == "__main__":
    with WorkerController(4, function) as controller:
        controller.add_tasks(tasks)
        for task, result in controller:
            ...
"""

TYPE_CHECKING = False  # what type checkers take for true

if TYPE_CHECKING:
    from multiprocesstools.workers.app import BaseApp
    from multiprocesstools.workers.app_runner import AppRunner
    from multiprocesstools.workers.controller import WorkerController
    from multiprocesstools.workers.emitter import emit_queued
    from multiprocesstools.workers.shared_arrays import shared_array
    from multiprocesstools.workers.worker import send_message

_ROOMS = {
    "AppRunner": "multiprocesstools.workers.app_runner",
    "BaseApp": "multiprocesstools.workers.app",
    "WorkerController": "multiprocesstools.workers.controller",
    "emit_queued": "multiprocesstools.workers.emitter",
    "shared_array": "multiprocesstools.workers.shared_arrays",
    "send_message": "multiprocesstools.workers.worker",
}

__all__ = ["AppRunner", "BaseApp", "WorkerController", "emit_queued", "send_message", "shared_array"]


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_ROOMS[name]), name)
