"""Whole processes and a Slurm that is a fake (scripts on PATH): what it says of a job that was killed, or fails to say.

The real one is asked in test_slurm.py, where owners are on other nodes; here they are provably gone, and the question
is only how their job ended.
"""

import os
from pathlib import Path

import pytest

from tests.processes import Child, command, ended, outputs

OWNER = """
with helper() as mph:
    for item in items(mph, ["x"]):
        with item:
            say("begun")
            wait()
"""
HEIR = (
    OWNER
    + """
            item.path.write_text("done")
"""
)
CONFIG = "echo 'ClusterName             = c'"
TIMEOUT = "echo '7|7|N/A|TIMEOUT'"


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for the fakes: beside them only what a shell needs, so that no real Slurm is asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for name, value in {"SLURM_JOB_ID": "7", "SLURM_CLUSTER_NAME": "c", "SLURMD_NODENAME": "n"}.items():
        monkeypatch.setenv(name, value)
    return folder


def fake(folder: Path, **scripts: str) -> None:
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


def kill_and_take_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The end of the attempt of a process of job 7, as a process of job 8 has written it down."""
    run = tmp_path / "run"
    with Child(run, OWNER) as owner:
        owner.hear("begun")
        monkeypatch.setenv("SLURM_JOB_ID", "8")
        with Child(run, HEIR) as heir:
            owner.kill()
            heir.hear("begun")
            end = ended(run, "x.txt", 1)
            heir.go_on()
            heir.succeed()
    assert outputs(run) == {"x.txt": "done"}
    return end


NONE = "ended without a word"
SAID = {
    "over": ({"squeue": TIMEOUT}, ("interrupted", "job 7 on cluster c ended: TIMEOUT")),
    "runs": ({"squeue": TIMEOUT.replace("TIMEOUT", "RUNNING")}, ("died", NONE)),
    "another job": ({"squeue": TIMEOUT.replace("7", "9")}, ("died", NONE)),
    "another cluster": ({"squeue": TIMEOUT, "scontrol": CONFIG.replace("c'", "d'")}, ("died", NONE)),
    "fails": ({"squeue": f"{TIMEOUT}; exit 1"}, ("died", NONE)),
    "nonsense": ({"squeue": "echo '7|7|N/A|\\033[2J'"}, ("died", NONE)),
    "missing": ({}, ("died", NONE)),
}


@pytest.mark.parametrize(("said", "end"), SAID.values(), ids=list(SAID))
def test_only_a_word_about_this_job_says_that_it_was_interrupted(
    slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, said: dict[str, str], end: tuple[str, str]
) -> None:
    fake(slurm, **{"scontrol": CONFIG} | said)
    found = kill_and_take_over(tmp_path, monkeypatch)
    assert found["outcome"] == end[0] and end[1] in str(found["exception"])


def test_a_slurm_that_hangs_delays_neither_the_end_of_a_loop_nor_that_of_the_process(
    slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The item is taken over a little later, and everything else goes on; the program is gone with the process."""
    fake(slurm, scontrol=f"echo $$ >{tmp_path}/asked; exec /bin/sleep 1000")
    run = tmp_path / "run"
    with Child(run, OWNER) as owner:
        owner.hear("begun")
        monkeypatch.setenv("SLURM_JOB_ID", "8")
        with Child(run, HEIR.replace('["x"]', '["x"], wait=False')) as heir:
            owner.kill()
            heir.succeed()
    assert not (run / "out" / "x.txt").exists()
    if (tmp_path / "asked").exists():  # else the loop was over before it was asked
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "asked").read_text()), 0)


def test_status_names_the_job_of_what_is_in_work(slurm: Path, tmp_path: Path) -> None:
    with Child(tmp_path / "run", OWNER) as owner:
        owner.hear("begun")
        assert "test-1 on" in (text := command("status", tmp_path / "run").stdout) and "(slurm 7)" in text
        assert '"job": "slurm 7"' in command("status", "--json", tmp_path / "run").stdout


def test_a_loop_in_a_batch_job_loads_nothing_of_batch_systems_until_it_asks(slurm: Path, tmp_path: Path) -> None:
    script = HEIR.replace("wait()", "pass") + 'say(*(name for name in sys.modules if "multiprocesstools." in name))'
    with Child(tmp_path / "run", script) as child:
        child.hear("begun")
        loaded = child.hear().split()
        child.succeed()
    assert "multiprocesstools.loop.loop" in loaded
    assert [name for name in loaded if name.startswith("multiprocesstools.batch")] == []
