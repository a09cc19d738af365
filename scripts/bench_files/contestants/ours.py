"""The package itself: `items`, with all that belongs to it (journal, log, signs of life, plan).

The variants with chunks and with results are there as soon as `items` has the arguments `chunk` and `results`.
"""

import inspect
from typing import Any

from multiprocesstools import MultiProcessHelper
from scripts.bench_files.job import Contestant, Job

CHUNK = 20
_FINAL = "{value:06d}.txt"


def contestants() -> list[Contestant]:
    known = inspect.signature(MultiProcessHelper.items).parameters
    rows = [_row("ours", "multiprocesstools", "floor", {})]
    if "chunk" in known:
        rows.append(_row("ours-chunk", f"multiprocesstools, chunk={CHUNK}", "floor", {"chunk": CHUNK}))
    if "results" in known:
        rows.append(_row("ours-results", "multiprocesstools, results=True", "result", {"results": True}))
    return rows + [_durable(row) for row in rows]


def _row(key: str, label: str, floor: str, variant: dict[str, object]) -> Contestant:
    return Contestant(
        key, f"{label}, durable=False", "ours", floor, {"durable": False, "items": variant}, "multiprocesstools",
        remark="several machines, recovery, retries, journal, plan",
    )  # fmt: skip


def _durable(row: Contestant) -> Contestant:
    label = row.label.removesuffix(", durable=False")
    return Contestant(
        f"{row.key}-sync", label, row.module, f"{row.floor}-sync", row.variant | {"durable": True}, row.distribution,
        remark=row.remark,
    )  # fmt: skip


def work(job: Job) -> None:
    arguments = job.variant["items"]
    with MultiProcessHelper("bench", job.directory, durable=job.variant["durable"]) as helper:
        sources: Any = range(job.items)
        for item in helper.items(sources, final=_FINAL, directory=job.out, progress=False, **arguments):
            with item:
                if "results" in arguments:
                    setattr(item, "result", item.index)  # noqa: B010 - there is no such attribute yet
                    job.made.append(item.index)
                else:
                    job.produce(item.path, item.index)
