"""GPUs: named, split, dealt to one step of the machine at a time, and dealt again when their holder has died."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.errors import BadArgument
from multiprocesstools.steps import Protocol, Status
from multiprocesstools.steps.gpus import Device, GpuDealer, find_gpus, split
from tests.processes import Child
from tests.steps.scripts import STEPS

QUICK: dict[str, Any] = {"durable": False, "beat_seconds": 0.5}


def devices(number: int) -> list[Device]:
    return [Device(gpu, str(gpu)) for gpu in range(number)]


def test_as_many_shares_as_threads_and_the_rest_goes_to_the_first() -> None:
    def shares(gpus: int, threads: int) -> list[list[Any]]:
        return [[device.gpu for device in share] for share in split(devices(gpus), threads)]

    assert shares(2, 4) == [[0], [1]]
    assert shares(3, 3) == [[0], [1], [2]]
    assert shares(4, 2) == [[0, 1], [2, 3]]
    assert shares(8, 3) == [[0, 1, 2, 3], [4, 5], [6, 7]]
    assert shares(3, 1) == [[0, 1, 2]]


@pytest.mark.parametrize("gpus", range(1, 17))
@pytest.mark.parametrize("threads", range(1, 9))
def test_each_gpu_is_in_one_share_and_no_share_is_empty(gpus: int, threads: int) -> None:
    shares = split(devices(gpus), threads)
    assert [device for share in shares for device in share] == devices(gpus)
    assert all(shares)
    assert len(shares) == min(gpus, threads)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, []),
        ({"CUDA_VISIBLE_DEVICES": "1, 3"}, [Device(1, "1"), Device(3, "3")]),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ({"CUDA_VISIBLE_DEVICES": "2,-1,3"}, [Device(2, "2")]),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, []),
        ({"CUDA_VISIBLE_DEVICES": "MIG-GPU-1/2/0"}, [Device("MIG-GPU-1/2/0", "MIG-GPU-1_2_0")]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8932f937"}, [Device("GPU-8932f937", "GPU-8932f937")]),
        ({"SLURM_JOB_GPUS": "2,3"}, [Device(2, "2"), Device(3, "3")]),
        ({"SLURM_JOB_GPUS": "2,3", "CUDA_VISIBLE_DEVICES": "0,1"}, [Device(0, "2"), Device(1, "3")]),
    ],
)
def test_gpus_are_known_from_the_environment(environment: dict[str, str], expected: list[Device]) -> None:
    assert find_gpus(None, environment) == expected


def test_two_gpus_named_alike_in_the_environment_are_an_error_that_names_the_variable() -> None:
    with pytest.raises(BadArgument, match="CUDA_VISIBLE_DEVICES"):
        find_gpus(None, {"CUDA_VISIBLE_DEVICES": "1,0,1"})


def test_what_is_given_counts_more_than_the_environment() -> None:
    assert find_gpus([5], {"CUDA_VISIBLE_DEVICES": "0"}) == [Device(5, "5")]
    assert find_gpus([], {"CUDA_VISIBLE_DEVICES": "0"}) == []


@pytest.mark.parametrize("gpus", [[0, 1, 0], ["1", 1], "2,2", ["GPU-a", "GPU-a"]])
def test_two_gpus_named_alike_are_an_error(tmp_path: Path, gpus: Any) -> None:
    with pytest.raises(BadArgument, match="two GPUs are named"):
        Protocol(tmp_path, gpus=gpus)


@pytest.mark.parametrize("gpus", [3, [-1], [True], [1.5], ["../x"], [None], {0: 1}, b"0", [99999]])
def test_what_names_no_gpu_is_an_error(tmp_path: Path, gpus: Any) -> None:
    with pytest.raises(BadArgument, match="GPU"):
        Protocol(tmp_path, gpus=gpus)


class Computing(Protocol):
    def insert_all_steps(self) -> None:
        for number in range(3):
            self.insert_function_step("compute", number, prerequisites=[], needs_gpu=True)
        self.insert_function_step("plain", prerequisites=[])

    def compute(self, number: int, gpus: list[int]) -> list[Any]:
        return [{"gpus": gpus, "visible": os.environ["CUDA_VISIBLE_DEVICES"]}]

    def plain(self) -> str:
        return os.environ.get("CUDA_VISIBLE_DEVICES", "none")


def test_a_step_sees_its_gpus_as_an_argument_and_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    report = Computing(tmp_path, gpus=[4, 6], **QUICK).run().check()
    assert [report.outcomes[step].result for step in (1, 2, 3)] == [[{"gpus": [4, 6], "visible": "4,6"}]] * 3
    assert report.outcomes[4].result == "7"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"


@pytest.mark.parametrize(
    "environment",
    [
        {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"},
        {"SLURM_STEP_NUM_TASKS": "5", "SLURM_STEP_TASKS_PER_NODE": "2(x2),1"},
    ],
    ids=["mpirun", "srun"],
)
def test_gpus_are_split_among_the_ranks_that_were_started_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    report = Computing(tmp_path, gpus=[4, 6, 7], **QUICK).run().check()
    assert {json.dumps(report.outcomes[step].result[0]["gpus"]) for step in (1, 2, 3)} <= {"[4, 6]", "[7]"}


def test_a_program_sees_the_gpus_of_its_step_alone(tmp_path: Path) -> None:
    out = tmp_path / "seen"
    protocol = Protocol(tmp_path / "run", gpus=[2], **QUICK)
    protocol.insert_run_job_step("sh", ["-c", f'echo "$CUDA_VISIBLE_DEVICES" > "{out}"'], needs_gpu=True)
    protocol.run().check()
    assert out.read_text() == "2\n"


def test_where_no_gpu_is_known_a_step_that_needs_one_is_left_and_the_rest_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multiprocesstools.steps.runner._LATECOMERS_SECONDS", 0.1)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    report = Computing(tmp_path, gpus=[], **QUICK).run()
    assert report.counts == {Status.SCHEDULED: 3, Status.FINISHED: 1}
    assert all("where there is a GPU" in line for line in report.problems)
    assert Computing(tmp_path, gpus=[0], **QUICK).run().ok


def test_a_gpu_is_dealt_once_and_again_when_it_was_given_back(tmp_path: Path) -> None:
    now, seen = 0.0, {}
    with MultiProcessHelper("test", tmp_path, **QUICK) as helper:
        dealer = GpuDealer(devices(1), 2, "here", helper.limit, clock=lambda: now, environment=seen)
        first = dealer.deal(0)
        assert first is not None
        assert first.gpus == [0]
        with MultiProcessHelper("other", tmp_path, **QUICK) as other:
            theirs = GpuDealer(devices(1), 2, "here", other.limit, clock=lambda: now, environment={})
            assert theirs.deal(0) is None
            elsewhere = GpuDealer(devices(1), 2, "there", other.limit, clock=lambda: now, environment={})
            share = elsewhere.deal(0)
            assert share is not None
            share.give_back()
            first.give_back()
            assert theirs.deal(0) is None  # it asks again a little later
            now = 1.0
            share = theirs.deal(0)
            assert share is not None
            share.give_back()


USERS = (
    STEPS
    + """
class Users(Stamped):
    def insert_all_steps(self):
        for k in range(24):
            self.insert_function_step("use", k, prerequisites=[], needs_gpu=True)
        self.insert_function_step("plain", prerequisites=[])
    def use(self, k, gpus):
        for gpu in gpus:
            stamp(gpu, "begin")
        if ARGUMENTS[0] == "victim":
            say("in work")
            time.sleep(600)
        time.sleep(0.02)
        for gpu in gpus:
            stamp(gpu, "end")
        return gpus
    def plain(self):
        say("plain")

wait()
say("over", Users(RUN, gpus=[0, 1], threads=2, **QUICK).run())
"""
)


def users_of_gpus(run: Path, *, dead: int = 0) -> dict[int, set[int]]:
    """Which processes have used each GPU. AssertionError where two had one at once."""
    at_work: dict[int, int] = {}
    seen: dict[int, set[int]] = {}
    for line in map(json.loads, Path(f"{run}.stamps").read_text().splitlines()):
        gpu, pid = line["step"], line["pid"]
        seen.setdefault(gpu, set()).add(pid)
        if line["what"] == "begin":
            assert at_work.get(gpu, dead) == dead
            at_work[gpu] = pid
        else:
            assert at_work.pop(gpu) == pid
    return seen


def test_two_processes_never_have_one_gpu_at_the_same_time(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with Child(run, USERS, "one") as one, Child(run, USERS, "other") as other:
        for child in (one, other):
            child.go_on()
        for child in (one, other):
            while (heard := child.hear()) == "plain":
                pass
            assert heard == "over 25 steps: 25 finished"
    assert set(users_of_gpus(run)) == {0, 1}


def test_the_gpus_of_a_killed_process_come_back(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with Child(run, USERS, "victim") as victim, Child(run, USERS, "heir") as heir:
        victim.go_on()
        assert [victim.hear(), victim.hear()] == ["in work", "in work"]
        heir.go_on()
        assert heir.hear() == "plain"
        assert users_of_gpus(run) == {0: {victim.pid}, 1: {victim.pid}}
        victim.kill()
        assert heir.hear() == "over 25 steps: 25 finished"
    assert users_of_gpus(run, dead=victim.pid) == {0: {victim.pid, heir.pid}, 1: {victim.pid, heir.pid}}
