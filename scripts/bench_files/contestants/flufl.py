"""flufl.lock: a lock file for each item, made by a hard link and broken when its lifetime has passed."""

import logging
import os
from datetime import timedelta

from scripts.bench_files.job import Contestant, Job

CONTESTANTS = (
    Contestant(
        "flufl", "flufl.lock", "flufl", "floor", {}, "flufl.lock", ("flufl.lock",),
        remark="outputs written in place; a lock is broken when its lifetime is over, whether its owner lives or not",
    ),
)  # fmt: skip


def work(job: Job) -> None:
    from flufl.lock import Lock, TimeOutError

    logging.getLogger("flufl.lock").disabled = True
    for index in job.rotated():
        final = job.output(index)
        if os.path.exists(final):
            continue
        lock = Lock(f"{final}.lock", lifetime=timedelta(minutes=5))
        try:
            lock.lock(timeout=timedelta(0))
        except TimeOutError:
            continue
        try:
            if not os.path.exists(final):
                job.produce(final, index)
        finally:
            lock.unlock()
