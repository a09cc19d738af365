"""Task stores over a grid: many similar computations, in partitions that workers share, with or without a server.

from multiprocesstools import tasks

class Scores(tasks.TaskStore):
    dimensions = {"predicting": 48, "predicted": 47}
    def update_results(self, task_index, results): ...

class Scorer(tasks.Worker):
    store = Scores
    def compute(self, index, task): return score(task["predicting"], task["predicted"])

Scorer("path/to/run").run()                               # as often as you like, on as many machines
tasks.TaskManager(Scores(), "path/to/run").collect(follow=True)

A partition is an item of the run: claims, retries, status, cleanup and takeover come from the core. The rooms:

the store       grid -> store -> description (what the run knows of it); saved (its arrays as a file, and back)
its results     parcel (the content of a file), shelf (where the files lie)
workers         worker -> source, which is one of files (a run directory) and remote (a url, asked by calls)
the manager     manager -> feeder (published results into the store), state (status), again (reschedule)
a server        serving -> listener (http) -> service (methods) -> desk (items and leases), submission; token, wire
"""

TYPE_CHECKING = False

if TYPE_CHECKING:
    from multiprocesstools.tasks.grid import ind2sub, sub2ind
    from multiprocesstools.tasks.manager import TaskManager
    from multiprocesstools.tasks.saved import resume_from
    from multiprocesstools.tasks.store import TaskStore
    from multiprocesstools.tasks.worker import Worker

_ROOMS = {
    "TaskManager": "manager",
    "TaskStore": "store",
    "Worker": "worker",
    "ind2sub": "grid",
    "resume_from": "saved",
    "sub2ind": "grid",
}

__all__ = ["TaskManager", "TaskStore", "Worker", "ind2sub", "resume_from", "sub2ind"]


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
