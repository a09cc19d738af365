"""Scripts behind srun, on a real Slurm cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from multiprocesstools.workers import Process, ProcessesLogic
from tests.labs.slurm import SlurmLab
from tests.processes import wait_until
from tests.workers.scripts import DOUBLE, ENV, Text, alive, run_all, write_script

pytestmark = [pytest.mark.lab, pytest.mark.timeout(200)]
SRUN = ["srun", "-N1"]


@pytest.fixture(scope="module")
def lab() -> Iterator[SlurmLab]:
    SlurmLab.require()
    with SlurmLab() as lab:
        yield lab


@pytest.fixture(autouse=True)
def cluster(lab: SlurmLab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in lab.variables().items():
        monkeypatch.setenv(name, value)


def test_a_script_runs_behind_srun_once_and_kept_alive(tmp_path: Path) -> None:
    script = write_script(tmp_path, DOUBLE)
    processes = [Process(script, {"x": x}, prefix=SRUN, env=ENV, keep_alive=x > 1) for x in range(4)]
    assert run_all(processes) == ["Completed"] * 4, [str(process.error) for process in processes]
    assert [process.output["x"] for process in processes] == [0, 2, 4, 6]


def test_cancelling_ends_what_runs_on_the_node(tmp_path: Path) -> None:
    script = write_script(tmp_path, "#!/bin/sh\nsleep 600 & setsid sleep 601 &\necho on >&2\nwait\n")
    process = Text(script, prefix=SRUN, env={"MARKED": str(tmp_path)})
    with ProcessesLogic(1, kill_seconds=10) as logic:
        logic.add_process(process)
        logic.run()
        wait_until(lambda: "on" in process.stderr, "it runs")
        assert len(alive(str(tmp_path))) >= 3
        logic.cancel(process)
        assert logic.wait_for_finished(60)
    assert process.state == "Cancelled"
    wait_until(lambda: alive(str(tmp_path)) == [], "nothing is left")
