"""python-task-queue, FileQueue: a file for each task, leased by a rename and deleted when it is done."""

from functools import partial
from typing import Any

from scripts.bench_files.job import Contestant, Job

CONTESTANTS = (
    Contestant(
        "task-queue", "python-task-queue, FileQueue", "task_queue", "floor", {}, "task-queue", ("taskqueue",),
        remark="the list is filled before; outputs written in place; a task longer than its lease is done twice; "
        "a worker that meets another sleeps up to a second",
    ),
)  # fmt: skip

_current: list[Job] = []
"""The job of this process: a task carries its arguments only, and they are text."""


def produce_one(index: int) -> None:
    job: Job = _current[-1]
    job.produce(job.output(index), index)


def fill(job: Job) -> None:
    queue = _queue(job)
    queue.insert(partial(_registered(), index=index) for index in range(job.items))


def work(job: Job) -> None:
    _current.append(job)
    _registered()
    queue, executed_before = _queue(job), [0]

    def is_over(executed: int) -> bool:
        found_nothing, executed_before[0] = executed == executed_before[0], executed
        return found_nothing and queue.is_empty()

    queue.poll(lease_seconds=600, stop_fn=is_over, tally=True)


def _registered() -> Any:
    from taskqueue import queueable

    return queueable(produce_one)


def _queue(job: Job) -> Any:
    from taskqueue import TaskQueue

    return TaskQueue(f"fq://{job.directory}/queue", progress=False)
