"""jug: a script that makes a task of each item, executed by any number of `jug execute`; results are its own files.

The result of a task is the output: writing another file would only add to its cost. "fsync switched off" replaces
os.fsync by nothing, to compare what is left with those who do not use it.
"""

import builtins
import contextlib
import io
import os

from scripts.bench_files.job import Contestant, Job

_REMARK = "its own pickled result is the output; task graphs; a dead worker's lock stays until `jug cleanup`"
CONTESTANTS = (
    Contestant("jug", "jug", "jug", "floor-sync", {"sync": True}, "Jug", ("jug", "jug.jug"), remark=_REMARK),
    Contestant(
        "jug-nosync", "jug, fsync switched off", "jug", "floor", {"sync": False}, "Jug", ("jug", "jug.jug"),
        remark=_REMARK,
    ),
)  # fmt: skip
_SCRIPT = """
import builtins
from jug import TaskGenerator

@TaskGenerator
def item(index):
    builtins.bench_made.append(index)
    return index

tasks = [item(index) for index in range({items})]
"""


def fill(job: Job) -> None:
    with open(_script(job), "w") as file:
        file.write(_SCRIPT.format(items=job.items))


def work(job: Job) -> None:
    from jug import jug

    vars(builtins)["bench_made"] = job.made  # the script is run as a module of its own
    if not job.variant["sync"]:
        vars(os)["fsync"] = lambda descriptor: None
    options = [f"--jugdir={job.directory}/jugdir", "--wait-cycle-time=0.02"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        jug.main(["jug", "execute", _script(job), *options])


def outputs(job: Job) -> list[int]:
    """Each result, loaded from its own file."""
    from jug.backends.file_store import file_store

    store = file_store(f"{job.directory}/jugdir")
    return [store.load(name) for name in store.list()]


def _script(job: Job) -> str:
    return f"{job.directory}/jugfile.py"
