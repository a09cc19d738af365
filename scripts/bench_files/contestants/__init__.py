"""Who takes part: the floors, the package itself, and its peers, each as its own documentation recommends.

A module has CONTESTANTS and `work(job)`, what one process does; and, where they are needed, `fill(job)`, which makes
the list; `prepare(job)` and `finish(job)`, what a process does before and after the clock runs; `outputs(job)`, the
numbers of the outputs that are there; `available()`, why it cannot run here.
"""

import importlib
import importlib.metadata
import os
from types import ModuleType

from scripts.bench_files import floors
from scripts.bench_files.contestants import (
    dirq,
    filelock,
    flufl,
    joblib,
    jug,
    optuna,
    ours,
    parallel,
    task_queue,
)
from scripts.bench_files.job import CONTENT, Contestant, Job

PEERS = tuple(
    contestant
    for peer in (dirq, filelock, flufl, jug, task_queue, optuna, joblib, parallel)
    for contestant in peer.CONTESTANTS
)


def own() -> tuple[Contestant, ...]:
    """The package and its floors, each directly behind its floor."""
    rows = ours.contestants()
    return tuple(row for floor in floors.CONTESTANTS for row in (floor, *(x for x in rows if x.floor == floor.key)))


def everybody() -> tuple[Contestant, ...]:
    return own() + PEERS


def named(key: str) -> Contestant:
    """A contestant by its key. What follows the key of a layout (see `layouts`) is said by the job itself."""
    known = {contestant.key: contestant for contestant in (*everybody(), *floors.WALKERS)}
    return known[key.partition("-in-")[0]]


def module_of(contestant: Contestant) -> ModuleType:
    if contestant.module == "floors":
        return floors
    return importlib.import_module(f"{__name__}.{contestant.module}")


def missing(contestant: Contestant) -> str:
    """Why it cannot run here; nothing if it can."""
    try:
        if contestant.distribution:
            importlib.metadata.version(contestant.distribution)
    except importlib.metadata.PackageNotFoundError:
        return f"{contestant.distribution} is not installed"
    available = getattr(module_of(contestant), "available", None)
    return available() if available else ""


def fill(contestant: Contestant, job: Job) -> None:
    os.makedirs(job.out, exist_ok=True)
    if own_fill := getattr(module_of(contestant), "fill", None):
        own_fill(job)


def outputs(contestant: Contestant, job: Job) -> list[int]:
    """The numbers of the outputs that are there and complete, one by one."""
    if own_outputs := getattr(module_of(contestant), "outputs", None):
        return list(own_outputs(job))
    places = [f"{job.out}/{folder}" for folder in job.folders] or [job.out]
    return [number for place in places for number in _outputs_in(place)]


def _outputs_in(place: str) -> list[int]:
    with os.scandir(place) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(".txt") and not entry.name.startswith(".")]
    return [int(name.removesuffix(".txt")) for name in names if _is_complete(f"{place}/{name}")]


def _is_complete(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read().endswith(CONTENT)
