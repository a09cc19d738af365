"""Queues whose processes run on other hosts, over a real sshd for each."""

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from multiprocesstools.workers import Process, ProcessesLogic, ProcessState
from tests.labs.sshd import SshdLab
from tests.processes import CHECKOUT, wait_until
from tests.workers.scripts import ENV, Text, alive, write_script

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]

LIMIT_SECONDS = 120
NUMBER, CAP, CANCELLED = 20, 8, 5
SCRIPT = """
    import socket, subprocess, sys, time
    from multiprocesstools.workers.script import run
    def handler(data):
        if data["slow"]:
            subprocess.Popen(["sleep", "1000"], start_new_session=True)
            print("slow", flush=True)
            time.sleep(1000)
        return {"host": socket.gethostname(), "x": 2 * data["x"]}
    run(handler)
"""
QUEUE = """
import sys
from multiprocesstools.workers import Process, ProcessesLogic
script, checkout, config, *hosts = sys.argv[1:]
with ProcessesLogic(len(hosts)) as logic:
    logic.sig_stderr.connect(lambda process, text: print(text, end="", flush=True))
    for host in hosts:
        prefix, env = ["ssh", "-F", config, host], {"PYTHONPATH": checkout, "MARKED": script}
        logic.add_process(Process(script, {"slow": True}, prefix=prefix, env=env))
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[SshdLab]:
    SshdLab.require()
    with SshdLab() as lab:
        yield lab


def far_away(script: Path) -> list[int]:
    """What runs this script, or was started by it, in another process namespace than ours."""
    here = Path("/proc/self/ns/pid").readlink()
    found = []
    for pid in alive(str(script)):
        try:
            found += [pid] * (Path(f"/proc/{pid}/ns/pid").readlink() != here)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("keep_alive", [False, True], ids=["started-each-time", "kept-alive"])
def test_20_processes_run_on_4_hosts_and_nothing_runs_on_after_one_is_cancelled(
    tmp_path: Path, lab: SshdLab, keep_alive: bool
) -> None:
    script = write_script(tmp_path, SCRIPT)
    processes = [
        Process(
            script, {"x": x, "slow": x == CANCELLED}, prefix=lab.prefix(lab.HOSTS[x % len(lab.HOSTS)]),
            env=ENV | {"MARKED": str(script)}, keep_alive=keep_alive,
        )
        for x in range(NUMBER)
    ]  # fmt: skip
    slow, begun, most = processes[CANCELLED], threading.Event(), [0]
    with ProcessesLogic(CAP) as logic:
        logic.sig_stderr.connect(lambda process, text: begun.set() if process is slow and "slow" in text else None)
        logic.sig_state_changed.connect(
            lambda *_: most.append(sum(process.state is ProcessState.RUNNING for process in processes))
        )
        logic.add_processes(processes)
        logic.run()
        assert begun.wait(LIMIT_SECONDS), slow.stderr
        assert len(far_away(script)) >= 3, "the launcher, the script and its child are there"
        logic.cancel(slow)
        assert logic.wait_for_finished(LIMIT_SECONDS)
    wait_until(lambda: alive(str(script)) == [], "nothing is left, here or there")
    rest = [process for process in processes if process is not slow]
    assert (slow.state, slow.output) == (ProcessState.CANCELLED, None)
    assert {process.state for process in rest} == {ProcessState.COMPLETED}, [str(process.error) for process in rest]
    assert [process.output["x"] for process in rest] == [2 * x for x in range(NUMBER) if x != CANCELLED]
    assert Counter(process.output["host"] for process in rest) == {"node1": 5, "node2": 4, "node3": 5, "node4": 5}
    assert 1 < max(most) <= CAP


def test_nothing_runs_on_after_the_queue_itself_was_killed(tmp_path: Path, lab: SshdLab) -> None:
    script = write_script(tmp_path, SCRIPT)
    config = lab.directory / "ssh_config"
    command = [sys.executable, "-c", QUEUE, script, CHECKOUT, config, *lab.HOSTS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as queue:
        assert queue.stdout is not None
        try:
            assert [queue.stdout.readline() for _ in lab.HOSTS] == ["slow\n"] * len(lab.HOSTS)
            assert len(far_away(script)) >= 3 * len(lab.HOSTS), "on each the launcher, the script and its child"
        finally:
            queue.send_signal(signal.SIGKILL)
    wait_until(lambda: alive(str(script)) == [], "nothing is left, here or there")


def test_a_host_that_cannot_be_reached_is_a_failure_with_the_words_of_ssh(tmp_path: Path, lab: SshdLab) -> None:
    script = write_script(tmp_path, "#!/bin/sh\nhostname\n")
    there, nowhere = (Text(script, prefix=lab.prefix(host)) for host in ("node2", "nowhere.invalid"))
    with ProcessesLogic(2) as logic:
        logic.add_processes([nowhere, there])
        logic.run()
        assert logic.wait_for_finished(LIMIT_SECONDS)
    assert (there.state, there.output) == (ProcessState.COMPLETED, "node2\n")
    assert (nowhere.state, nowhere.exit_code) == (ProcessState.FAILED, 255)
    assert "nowhere.invalid" in nowhere.stderr


@pytest.mark.parametrize("persist", ["no", "60"])
def test_cancelling_one_takes_no_connection_from_others_with_control_master_in_the_configuration(
    tmp_path: Path, lab: SshdLab, persist: str
) -> None:
    """Otherwise the first ssh becomes the master of all that follow, and is ended with its process."""
    config = tmp_path / "ssh_config"
    shared = f"ControlMaster auto\nControlPath {tmp_path}/%n\nControlPersist {persist}\n"
    config.write_text(f"Host *\n{shared}" + (lab.directory / "ssh_config").read_text())
    script = write_script(tmp_path, '#!/bin/sh\necho on >&2\nuntil [ -e "$1" ]; do sleep 0.1; done\nhostname\n')
    first, second = (
        Text(script, prefix=["ssh", "-F", str(config), "node1"], args=[str(tmp_path / "go")]) for _ in range(2)
    )
    with ProcessesLogic(2) as logic:
        for process in (first, second):
            logic.add_process(process)
            logic.run()
            wait_until(lambda process=process: process.stderr == "on\n", "it is connected")  # type: ignore[misc]
        logic.cancel(first)
        wait_until(lambda: first.state.is_over, "it is cancelled")
        (tmp_path / "go").touch()
        assert logic.wait_for_finished(LIMIT_SECONDS)
    assert first.state is ProcessState.CANCELLED
    assert (second.state, second.output) == (ProcessState.COMPLETED, "node1\n"), str(second.error)
