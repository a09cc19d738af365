"""The floors: bare loops of the system calls that one item costs, without any bookkeeping, collision or protection.

Each process has a share of the list to itself, so that a floor with several processes is what the filesystem allows.
The names are as long as those of the package. Variants: `kind` "link" (the caller writes a file), "result" (the package
writes the result into its own claim) or "walk" (all processes walk one list in order and meet); `sync` adds fsync, and
`look` the look without which a link or a pipe would be published (with fsync its open says that). `think_seconds`: of
"result", so long it computes between the calls of an item, as a program does that is no bare loop.
"""

import os
import time

from scripts.bench_files.job import CONTENT, Contestant, Job

LESS = "no journal, no sign of life, no recovery"
CONTESTANTS = (
    Contestant("floor", "floor", "floors", "floor", {"kind": "link"}, remark=LESS),
    Contestant(
        "floor-look", "floor, and a look at what it publishes", "floors", "floor", {"kind": "link", "look": True},
        remark=LESS,
    ),
    Contestant("floor-sync", "floor, fsync", "floors", "floor-sync", {"kind": "link", "sync": True}, remark=LESS),
    Contestant("result", "floor, result in the claim", "floors", "result", {"kind": "result"}, remark=LESS),
    Contestant(
        "result-sync", "floor, result in the claim, fsync", "floors", "result-sync", {"kind": "result", "sync": True},
        remark=LESS,
    ),
)  # fmt: skip
WALKERS = (
    Contestant("walk", "bare loop, all walk one list in order", "floors", "floor", {"kind": "walk"}, remark=LESS),
    Contestant(
        "walk-sync", "bare loop with fsync, all walk one list in order", "floors", "floor-sync",
        {"kind": "walk", "sync": True}, remark=LESS,
    ),
)  # fmt: skip
TOKEN = "0123456789abcdef0123456789abcdef-00000001"
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_BACK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_RECORD = b'{"format": 1, "id": "0123456789abcdef0123456789abcdef"}'.ljust(512) + b"\n"


def fill(job: Job) -> None:
    for place in [job.out, *(f"{job.out}/{folder}" for folder in job.folders)]:
        os.makedirs(place, exist_ok=True)


def work(job: Job) -> None:
    if job.variant["kind"] == "result":
        _results(job, bool(job.variant.get("sync")))
        return
    record = f"{job.directory}/record-{job.number}"
    os.close(os.open(record, _NEW, 0o666))
    indices = job.share() if job.variant["kind"] == "link" else iter(range(job.items))
    out = "" if job.folders else job.out
    for index in indices:
        _link_one(job, out or job.place(index), record, index)


def _link_one(job: Job, out: str, record: str, index: int) -> None:
    name, variant = job.name(index), job.variant
    claim, staging, final = f"{out}/.{name}.claim-1", f"{out}/.mpt-{TOKEN}.{name}", f"{out}/{name}"
    try:
        os.link(record, claim)
    except FileExistsError:
        return
    if not _is_there(final):
        job.produce(staging, index)
        if variant.get("sync"):
            _sync(staging)
        if variant.get("look"):
            os.lstat(staging)
        os.link(staging, final)
        os.unlink(staging)
    os.unlink(claim)


def _is_there(path: str) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    return True


def _sync(path: str) -> None:
    descriptor = os.open(path, _BACK)
    os.fsync(descriptor)
    os.close(descriptor)


def _results(job: Job, sync: bool) -> None:
    think_seconds = float(job.variant.get("think_seconds", 0))
    for index in job.share():
        name, out = job.name(index), job.place(index)
        claim, final = f"{out}/.{name}.claim-1", f"{out}/{name}"
        if think_seconds:
            _think(think_seconds / 2)
        descriptor = os.open(claim, _NEW, 0o666)
        os.write(descriptor, _RECORD)
        if not _is_there(final):
            if think_seconds:
                _think(think_seconds / 2)
            os.write(descriptor, CONTENT)
            job.made.append(index)
            if sync:
                os.fsync(descriptor)
            os.close(descriptor)
            os.link(claim, final)
        os.unlink(claim)


def _think(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
