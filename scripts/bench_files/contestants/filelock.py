"""filelock: a lock file for each item, and a look whether the output is there before and under the lock.

The looks are the recipe's, not the library's: on NFS the one before the lock may make the one under it untrue, which
shows as items done twice.
"""

import os

from scripts.bench_files.job import Contestant, Job

_REMARKS = {
    "SoftFileLock": "outputs written in place; a lock whose owner died on another machine stays",
    "StrictSoftFileLock": "outputs written in place; a lock whose owner died stays until it is broken by hand",
    "SoftFileLease": "outputs written in place; an expired owner goes on writing",
}
CONTESTANTS = tuple(
    Contestant(kind, f"filelock, {kind}", "filelock", "floor", {"kind": kind}, "filelock", ("filelock",), remark=remark)
    for kind, remark in _REMARKS.items()
)


def work(job: Job) -> None:
    import filelock

    kind = getattr(filelock, job.variant["kind"])
    for index in job.rotated():
        final = job.output(index)
        if os.path.exists(final):
            continue
        try:
            with kind(f"{final}.lock", blocking=False):
                if not os.path.exists(final):
                    job.produce(final, index)
        except filelock.Timeout:
            pass
