"""The package itself: `items`, with all that belongs to it (journal, log, signs of life, plan).

Claimed one by one and in chunks, written by the work and by the package.
"""

import pkgutil
from pathlib import Path
from typing import Any

import multiprocesstools
from multiprocesstools import MultiProcessHelper
from scripts.bench_files.job import CONTENT, Contestant, Job

CHUNK = 20
_FINAL = "{value:06d}.txt"
_FOLDERS = ("claims", "display", "items", "loop", "plans", "run")
_ROOMS = tuple(
    f"multiprocesstools.{folder}.{room.name}"
    for folder in _FOLDERS
    for room in pkgutil.iter_modules([str(Path(multiprocesstools.__file__).parent / folder)])
)
"""What a loop imports as late as it can, and so after the clock of every run has started."""


def contestants() -> list[Contestant]:
    rows = [
        _row("ours", "multiprocesstools", "floor", {}),
        _row("ours-chunk", f"multiprocesstools, chunk={CHUNK}", "floor", {"chunk": CHUNK}),
        _row("ours-results", "multiprocesstools, results=True", "result", {"results": True}),
    ]
    return rows + [_durable(row) for row in rows]


def _row(key: str, label: str, floor: str, variant: dict[str, object]) -> Contestant:
    return Contestant(
        key, f"{label}, durable=False", "ours", floor, {"durable": False, "items": variant}, "multiprocesstools",
        imports=_ROOMS, remark="several machines, recovery, retries, journal, plan",
    )  # fmt: skip


def _durable(row: Contestant) -> Contestant:
    label = row.label.removesuffix(", durable=False")
    return Contestant(
        f"{row.key}-sync", label, row.module, f"{row.floor}-sync", row.variant | {"durable": True}, row.distribution,
        imports=row.imports, remark=row.remark,
    )  # fmt: skip


def work(job: Job) -> None:
    arguments = job.variant["items"]
    with MultiProcessHelper("bench", job.directory, durable=job.variant["durable"]) as helper:
        sources: Any = range(job.items)
        final = _FINAL
        if job.folders:
            sources, final = [job.output(index)[len(job.out) + 1 :] for index in range(job.items)], "{value}"
        for item in helper.items(sources, final=final, directory=job.out, progress=False, **arguments):
            with item:
                if "results" in arguments:
                    item.result = int(CONTENT)
                    job.made.append(item.index)
                else:
                    job.produce(item.path, item.index)
