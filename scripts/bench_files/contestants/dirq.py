"""dirq: a queue of small files, one for each item; an element is locked by a hard link and removed when it is done."""

import os
from typing import Any

from scripts.bench_files.job import Contestant, Job

CONTESTANTS = (
    Contestant(
        "dirq", "dirq, QueueSimple", "dirq", "floor", {}, "dirq", ("dirq.QueueSimple",),
        remark="the list is filled before; outputs written in place; a dead worker's lock is freed by age, on request",
    ),
)  # fmt: skip


def fill(job: Job) -> None:
    queue = _queue(job)
    for index in range(job.items):
        queue.add(str(index))


def work(job: Job) -> None:
    queue = _queue(job)
    for element in queue:
        if queue.lock(element):
            index = int(queue.get(element))
            job.produce(job.output(index), index)
            queue.remove(element)


def _queue(job: Job) -> Any:
    from dirq.QueueSimple import QueueSimple

    return QueueSimple(os.path.join(job.directory, "queue"))
