"""On a real Grid Engine: it says of exactly the job or array task that was ended that it is over.

There is one node, so that owners are provably gone, and the question is only how their jobs ended; `test_slurm` has
owners on another one.
"""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools.batch import gridengine
from multiprocesstools.batch.command import Commands
from multiprocesstools.batch.system import Words
from multiprocesstools.claims.identity import Job
from tests.labs.foreground import CHECKOUT, ForegroundLab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

SECONDS = 30
SCRIPT = """
import os, sys, time
from pathlib import Path
from multiprocesstools.claims.identity import current

job = current().job
Path(sys.argv[1], f"{job.id}.{job.index}.new").write_text(job.cluster)
os.rename(Path(sys.argv[1], f"{job.id}.{job.index}.new"), Path(sys.argv[1], f"{job.id}.{job.index}"))
time.sleep(1000)
"""


class GridEngineLab(ForegroundLab):
    """One node with the queue all.q."""

    SCRIPT = Path(__file__).parent / "labs" / "gridengine-lab"

    def variables(self) -> dict[str, str]:
        return {"SGE_ROOT": "/var/lib/gridengine", "SGE_CELL": "default"}


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[GridEngineLab]:
    GridEngineLab.require()
    with GridEngineLab() as lab:
        for name, value in lab.variables().items():
            monkeypatch.setenv(name, value)
        yield lab


def words(*jobs: Job) -> Words:
    commands = Commands()
    return gridengine.ask(jobs, lambda *command: commands.ask(gridengine.VARIABLES, *command))


def wait_until(question: Any, lab: GridEngineLab) -> None:
    end = time.monotonic() + SECONDS
    while not question():
        assert time.monotonic() < end, lab.run("qstat", "-f", "-u", "*")
        time.sleep(0.1)


def test_grid_engine_ends_the_job_and_the_task_that_were_deleted_and_nothing_else(
    lab: GridEngineLab, tmp_path: Path
) -> None:
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    submit = ["qsub", "-terse", "-o", "/dev/null", "-e", "/dev/null", "-b", "y", "-v", f"PYTHONPATH={CHECKOUT}"]
    single = lab.run(*submit, sys.executable, script, tmp_path).strip()
    array = lab.run(*submit, "-t", "1-2", sys.executable, script, tmp_path).partition(".")[0]
    records = [f"{single}.undefined", f"{array}.1", f"{array}.2"]
    wait_until(lambda: set(records) <= set(os.listdir(tmp_path)), lab)
    cluster = (tmp_path / records[0]).read_text()
    assert cluster.endswith("/default") and cluster == gridengine.grid_engine_cell(os.environ)
    alone, first, second = (Job("gridengine", number, cluster, task) for number, task in map(_parts, records))
    assert words(alone, first, second) == {}
    lab.run("qdel", single)
    lab.run("qdel", array, "-t", "2")
    wait_until(lambda: len(words(alone, first, second)) == 2, lab)
    said = words(alone, first, second)
    assert said[alone].text.startswith(f"job {single} on cluster {cluster} ended: exit status 137, failed 100")
    assert said[second].text.startswith(f"job {array}.2 on cluster {cluster} ended:")
    assert all(word.proof and not word.interrupted for word in said.values())


def _parts(name: str) -> tuple[str, str]:
    number, _, task = name.partition(".")
    return number, task
