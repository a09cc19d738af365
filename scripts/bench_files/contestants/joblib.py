"""joblib: `Parallel` over the list in one controlling process, with and without a `Memory` of what was done."""

import os

from scripts.bench_files.job import Contestant, Job

CONTESTANTS = (
    Contestant(
        "joblib", "joblib, Parallel", "joblib", "floor", {"memory": False}, "joblib", ("joblib",), alone=True,
        remark="one machine; no claims, nothing is resumed; outputs written in place",
    ),
    Contestant(
        "joblib-memory", "joblib, Parallel and Memory", "joblib", "floor", {"memory": True}, "joblib", ("joblib",),
        alone=True,
        remark="one machine; resumed from its cache; no claims; outputs written in place, beside the cache",
    ),
)  # fmt: skip


def produce_one(directory: str, index: int) -> int:
    Job(directory, 0, 1).produce(f"{directory}/{index:06d}.txt", index)
    return index


def prepare(job: Job) -> None:
    """Its workers are started; the same pool serves every later call of this process."""
    from joblib import Parallel, delayed

    Parallel(n_jobs=job.processes)(delayed(abs)(number) for number in range(4 * job.processes))


def finish(job: Job) -> None:
    """Its workers end, which else wait for more."""
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)


def work(job: Job) -> None:
    from joblib import Memory, Parallel, delayed

    function = produce_one
    if job.variant["memory"]:
        function = Memory(os.path.join(job.directory, "cache"), verbose=0).cache(produce_one)
    job.made += Parallel(n_jobs=job.processes)(delayed(function)(job.out, index) for index in range(job.items))
