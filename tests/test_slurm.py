"""On a real Slurm cluster, whose nodes see nothing of each other's processes: the word of Slurm ends an attempt within
seconds although patience is 300, and only a word about that job does."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools.batch import slurm
from multiprocesstools.batch.command import Commands
from multiprocesstools.claims.identity import Job
from multiprocesstools.claims.record import decode
from multiprocesstools.run.journal import read_journal
from tests.labs.foreground import CHECKOUT
from tests.labs.slurm import SlurmLab
from tests.readme import SCRIPT, block, fill

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

PATIENCE_SECONDS, SECONDS = 300, 30
WORKER = """
import os, signal, sys, time
from pathlib import Path
from multiprocesstools import MultiProcessHelper

run, name, act, *sources = sys.argv[1:]
with MultiProcessHelper(name, run, beat_seconds=0.5, patience_seconds=300, durable=False) as mph:
    for item in mph.items(sources, final="{value}.txt", progress=False):
        with item:
            Path(run, f"begun-{item.source}-{name}").write_text(str(os.getpid()))
            if act == "deaf":  # like compiled code that does not come back to Python
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
                time.sleep(1000)
            elif act == "stopped":
                os.kill(os.getpid(), signal.SIGSTOP)
            elif act == "exit":
                os._exit(3)
            item.path.write_text(name)
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[SlurmLab]:
    SlurmLab.require()
    with SlurmLab() as lab:
        yield lab


class Scene:
    """A run directory and the jobs in it."""

    def __init__(self, lab: SlurmLab, run: Path) -> None:
        self.lab, self.run = lab, run
        self.script = run.with_suffix(".py")
        self.script.write_text(WORKER)

    def start(self, node: str, name: str, act: str, *sources: str, array: str = "") -> str:
        return self.lab.submit(node, self.script, self.run, name, act, *sources, array=array)

    def wait_for(self, name: str, seconds: float = SECONDS) -> None:
        end = time.monotonic() + seconds
        while not (self.run / name).exists():
            assert time.monotonic() < end, f"no {name} within {seconds} s: {os.listdir(self.run)}\n{self.lab.output()}"
            time.sleep(0.05)

    def begin(self, node: str, name: str, act: str, source: str, *, array: str = "") -> str:
        job = self.start(node, name, act, source, array=array)
        self.wait_for(f"begun-{source}-{name}")
        return job

    def ended(self, source: str) -> dict[str, Any]:
        self.wait_for(f".{source}.txt.ended-1")
        return json.loads((self.run / f".{source}.txt.ended-1").read_text())

    def wait_for_end(self, job: str) -> None:
        end = time.monotonic() + SECONDS
        while self.lab.run("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}") != "CANCELLED\n":
            assert time.monotonic() < end
            time.sleep(0.05)

    def job_of_the_claim(self, source: str) -> Job | None:
        return decode((self.run / f".{source}.txt.claim-1").read_bytes()).identity.job


@pytest.fixture
def scene(lab: SlurmLab, tmp_path: Path) -> Iterator[Scene]:
    yield Scene(lab, tmp_path / "run")
    lab.run("scancel", "--signal=KILL", "--user=root")


def test_a_job_that_is_killed_on_another_node_is_taken_over_in_seconds_and_a_silent_one_that_runs_is_not(
    lab: SlurmLab, scene: Scene
) -> None:
    array = scene.begin("n1", "killed", "deaf", "x", array="5")
    scene.begin("n1", "silent", "stopped", "y")
    scene.start("n2", "heir", "deaf", "x", "y")
    assert scene.job_of_the_claim("x") == Job("slurm", array, "lab", "5")
    lab.run("scancel", "--signal=KILL", array)
    began = time.monotonic()
    scene.wait_for("begun-x-heir")
    assert time.monotonic() - began < SECONDS < PATIENCE_SECONDS
    end = scene.ended("x")
    assert end["outcome"] == "interrupted"
    assert f"job {array} on cluster lab ended: CANCELLED" in end["exception"]
    assert not (scene.run / ".y.txt.ended-1").exists()
    events = [event for path in scene.run.glob("*_logs/heir-*.jsonl") for event in read_journal(str(path))]
    taken = [event["item"] for event in events if event["event"] == "taken over"]
    assert taken == ["x.txt"]


def test_on_the_same_node_a_dead_owner_is_asked_about_before_its_attempt_counts_as_a_failure(
    lab: SlurmLab, scene: Scene
) -> None:
    cancelled, own = scene.begin("n1", "killed", "deaf", "x"), scene.begin("n1", "exit", "exit", "z")
    for name in ("heir", "other"):  # each holds what it takes, so that the ends of the attempts before can be read
        scene.start("n1", name, "deaf", "x", "z")
    assert scene.ended("z")["outcome"] == "died"
    assert f"job {own} on cluster lab ended: FAILED" in scene.ended("z")["exception"]
    scene.lab.run("scancel", "--signal=KILL", cancelled)
    assert scene.ended("x")["outcome"] == "interrupted"
    assert f"job {cancelled} on cluster lab ended: CANCELLED" in scene.ended("x")["exception"]


def test_cleanup_on_a_machine_outside_the_cluster_asks_too(lab: SlurmLab, scene: Scene) -> None:
    job = scene.begin("n1", "killed", "deaf", "x")
    lab.run("scancel", "--signal=KILL", job)
    scene.wait_for_end(job)  # until then it beats
    done = subprocess.run(
        [sys.executable, "-m", "multiprocesstools", "cleanup", str(scene.run)], capture_output=True, text=True,
        env={**lab.environment, "PYTHONPATH": str(CHECKOUT)}, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "1 attempt of dead owners declared over" in done.stdout, done.stdout + done.stderr
    assert scene.ended("x")["outcome"] == "interrupted"
    assert os.listdir(scene.run / ".multiprocesstools" / "instances") == []


def test_the_array_of_the_readme_shares_the_items(lab: SlurmLab, tmp_path: Path) -> None:
    """With fewer tasks than there."""
    (fill(tmp_path) / "analysis.py").write_text(SCRIPT)
    (tmp_path / "array.sh").write_text(block("#SBATCH --array"))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sbatch", "--wait", "--array=1-4", "array.sh"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**lab.environment, "PATH": path, "PYTHONPATH": str(CHECKOUT)}, timeout=2 * SECONDS,
    )  # fmt: skip
    said = "".join(output.read_text() for output in tmp_path.glob("slurm-*.out"))
    assert done.returncode == 0, done.stderr + said
    assert said.count("of 5 in all 5 are done") == 4, said
    results = tmp_path / "output" / "results"
    assert sorted(os.listdir(results)) == [f"img{number}_words.csv" for number in range(5)]
    journals = (tmp_path / "output" / "multiprocesstools_logs").glob("*.jsonl")
    events = [event["event"] for path in journals for event in read_journal(str(path))]
    assert (events.count("started"), events.count("done")) == (4, 5)


@pytest.fixture
def short_lived_lab() -> Iterator[SlurmLab]:
    SlurmLab.require()
    with SlurmLab() as lab:
        yield lab


def test_a_node_that_failed_is_a_suspicion_and_no_proof(
    short_lived_lab: SlurmLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, scene = short_lived_lab, Scene(short_lived_lab, tmp_path / "run")
    monkeypatch.setenv("SLURM_CONF", lab.environment["SLURM_CONF"])
    job = Job("slurm", scene.begin("n1", "killed", "deaf", "x"), "lab", "")
    other = Job("slurm", str(int(job.id) + 1000), "lab", "")
    commands = Commands()

    def words() -> Any:
        return slurm.ask([job, other], lambda *command: commands.ask(slurm.VARIABLES, *command))

    assert words() == {}
    lab.crash("n1")
    lab.run("scontrol", "update", "nodename=n1", "state=down", "reason=crashed")
    end = time.monotonic() + SECONDS
    while not (told := words()):
        assert time.monotonic() < end
        time.sleep(0.2)
    assert list(told) == [job]
    assert told[job].text.endswith("ended: NODE_FAIL")
    assert told[job].interrupted and not told[job].proof
