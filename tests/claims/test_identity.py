"""Proof that a process is gone, and nothing less."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from multiprocesstools.claims import identity
from multiprocesstools.claims.identity import Job, current, current_job, is_gone, lives_here, rebooted


def test_the_own_process_lives() -> None:
    me = current()
    assert not is_gone(me) and lives_here(me)
    assert me.pid == os.getpid() and me.start > 0


def test_a_process_that_ended_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    other = replace(current(), pid=child.pid, start=identity._process(child.pid)[0])
    assert not is_gone(other)
    child.communicate(b"\n")
    assert is_gone(other)


def test_a_killed_process_that_nobody_waited_for_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    other = replace(current(), pid=child.pid, start=identity._process(child.pid)[0])
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays a zombie
    assert is_gone(other)
    child.communicate()


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        pytest.param({"start": 1}, True, id="the pid belongs to another process now"),
        pytest.param({"start": 0}, False, id="a start that could not be read is no difference"),
        pytest.param({"boot": "another"}, False, id="another boot proves nothing"),
        pytest.param({"boot": ""}, False, id="an unknown boot proves nothing"),
        pytest.param({"namespace": "pid:[1]"}, False, id="another namespace proves nothing"),
        pytest.param({"pid": 1, "start": 0}, False, id="the first process"),
        pytest.param({"pid": 0}, False, id="no pid"),
        pytest.param({"pid": -1}, False, id="every pid"),
    ],
)
def test_what_proves_death(change: dict[str, object], gone: bool) -> None:
    assert is_gone(replace(current(), **change)) is gone  # type: ignore[arg-type]


def test_a_reboot_is_the_same_machine_with_another_boot() -> None:
    me = replace(current(), machine=current().machine or "m")
    if current().machine:
        assert rebooted(replace(me, boot="another"))
    assert not rebooted(me)
    assert not rebooted(replace(me, machine="another", boot="another"))


def test_a_process_is_known_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    start, finished = identity._process_elsewhere(os.getpid())
    assert start > 0 and not finished
    assert identity._process_elsewhere(2**22 + 1) == (0, False)


@pytest.mark.parametrize(
    ("environment", "job"),
    [
        ({}, None),
        (
            {"SLURM_JOB_ID": "7", "SLURM_CLUSTER_NAME": "c", "SLURM_ARRAY_TASK_ID": "3", "SLURMD_NODENAME": "n"},
            Job("slurm", "7", "c", "3"),
        ),
        ({"SLURM_JOB_ID": "7", "SLURM_CLUSTER_NAME": "c"}, None),
        ({"PBS_JOBID": "7.server"}, Job("pbs", "7.server", "", "")),
        ({"LSB_JOBID": "7", "LSB_JOBINDEX": "1", "LSB_EXEC_CLUSTER": "c"}, Job("lsf", "7", "c", "1")),
        ({"JOB_ID": "7", "SGE_TASK_ID": "undefined"}, Job("gridengine", "7", "", "undefined")),
    ],
    ids=["none", "slurm", "salloc on a login node", "pbs", "lsf", "grid engine"],
)
def test_the_batch_job_is_recorded(environment: dict[str, str], job: Job | None) -> None:
    assert current_job(environment) == job


def test_a_cluster_of_grid_engine_is_its_master_and_cell(tmp_path: Path) -> None:
    (tmp_path / "cell" / "common").mkdir(parents=True)
    (tmp_path / "cell" / "common" / "act_qmaster").write_text("master\n")
    environment = {"JOB_ID": "7", "SGE_ROOT": str(tmp_path), "SGE_CELL": "cell", "SGE_TASK_ID": "2"}
    assert current_job(environment) == Job("gridengine", "7", "master/cell", "2")
    assert current_job(environment | {"SGE_CELL": "other"}) == Job("gridengine", "7", "", "2")
