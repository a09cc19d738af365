"""Processes behind a prefix. The ssh here is a stand-in: a shell, an empty environment, another session, and pipes
that break when it is killed; what the real one does is tested in the lab of machines."""

import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from multiprocesstools.workers import Process, ProcessesLogic
from multiprocesstools.workers.programs.command import command_of
from tests.processes import wait_until
from tests.workers.scripts import DOUBLE, ENV, Text, alive, run_all, write_script

SSH = f"""\
#!{sys.executable}
import os, subprocess, sys, threading
os.closerange(3, 256)  # as ssh does
host, command = sys.argv[-2:]
assert host == "node7", sys.argv
pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
far = subprocess.Popen(["/bin/sh", "-c", command], **pipes,
                       env={{"PATH": os.environ["PATH"]}}, start_new_session=True, bufsize=0)
def relay(source, target):
    while part := os.read(source, 65536):
        try:
            os.write(target, part)
        except OSError:
            break
    os.close(target)
threads = [threading.Thread(target=relay, args=ends, daemon=True)
           for ends in ((0, far.stdin.fileno()), (far.stdout.fileno(), 1), (far.stderr.fileno(), 2))]
for thread in threads:
    thread.start()
for thread in threads[1:]:
    thread.join()
os._exit(far.wait() & 255)
"""


@pytest.fixture
def ssh(tmp_path: Path) -> list[str]:
    folder = tmp_path / "bin"
    folder.mkdir()
    return [str(write_script(folder, SSH, "ssh")), "node7"]


@pytest.mark.parametrize("keep_alive", [False, True])
def test_a_script_runs_on_the_far_side(tmp_path: Path, ssh: list[str], keep_alive: bool) -> None:
    script = write_script(tmp_path, DOUBLE)
    processes = [Process(script, {"x": x}, prefix=ssh, env=ENV, keep_alive=keep_alive) for x in range(3)]
    assert run_all(processes) == ["Completed"] * 3, processes[0].error
    assert [process.output for process in processes] == [{"x": 0}, {"x": 2}, {"x": 4}]
    wait_until(lambda: alive(str(script)) == [], "nothing is left")


def test_words_and_variables_arrive_as_they_are(tmp_path: Path, ssh: list[str]) -> None:
    script = write_script(tmp_path, '#!/bin/sh\nprintf "%s|" "$@" "$VALUE" "$PWD"\n', "it's a script")
    args = ["a b", "it's", "$HOME", "a\nb", '"']
    process = Text(script, prefix=ssh, args=args, env={"VALUE": "x y"}, cwd=tmp_path)
    assert run_all([process]) == ["Completed"], process.error
    assert process.output == "|".join([*args, "x y", str(tmp_path), ""])


def test_how_the_program_ended_is_known_here(tmp_path: Path, ssh: list[str]) -> None:
    cases = {"exit 3": 3, "kill -KILL $$": 137}
    for body, code in cases.items():
        process = Text(write_script(tmp_path, f"#!/bin/sh\n{body}\n"), prefix=ssh)
        assert run_all([process]) == ["Failed"]
        assert process.exit_code == code
    process = Text(tmp_path / "nowhere", prefix=ssh)
    assert run_all([process]) == ["Failed"]
    assert "No such file" in process.stderr


@pytest.mark.parametrize("ignores", ["", "trap '' TERM HUP\n"])
def test_cancelling_ends_the_far_side_and_all_it_has_started(tmp_path: Path, ssh: list[str], ignores: str) -> None:
    script = write_script(tmp_path, f"#!/bin/sh\n{ignores}sleep 600 & setsid sleep 601 &\necho on >&2\nwait\n")
    process, other = (Text(script, prefix=ssh, env={"MARKED": str(tmp_path)}) for _ in range(2))
    said = threading.Semaphore(0)
    with ProcessesLogic(2, kill_seconds=0.2) as logic:
        logic.sig_stderr.connect(lambda *_: said.release())
        logic.add_processes([process, other])
        logic.run()
        assert said.acquire(timeout=20) and said.acquire(timeout=20)
        logic.cancel_all()
        assert logic.wait_for_finished(20)
        assert [process.state.value, other.state.value] == ["Cancelled"] * 2
    wait_until(lambda: alive(str(tmp_path)) == [], "nothing is left")


def test_nothing_is_left_when_the_program_of_the_queue_is_killed(tmp_path: Path, ssh: list[str]) -> None:
    script = write_script(tmp_path, "#!/bin/sh\nsleep 600 & setsid sleep 601 &\necho on >&2\nwait\n")
    program = write_script(
        tmp_path,
        f"""
        from multiprocesstools.workers import Process, ProcessesLogic
        logic = ProcessesLogic(1)
        logic.sig_stderr.connect(lambda _, text: print(text, end="", flush=True))
        logic.add_process(Process({str(script)!r}, prefix={ssh!r}))
        logic.run()
        logic.wait_for_finished()
        """,
        "program.py",
    )
    env = os.environ | ENV | {"MARKED": str(tmp_path)}
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, env=env) as own:
        assert own.stdout is not None and own.stdout.readline() == b"on\n"
        assert len(alive(str(tmp_path))) >= 4
        own.kill()
    wait_until(lambda: alive(str(tmp_path)) == [], "nothing is left, here or there")


def test_srun_gets_words_and_ssh_gets_options_that_are_not_given() -> None:
    words = command_of(Process("x", prefix=["srun", "-N1"])).words
    assert words[:2] == ("srun", "-N1") and words[3] == "-c" and '"command": ["' in words[5]
    words = command_of(Process("x", prefix=["ssh", "-oConnectTimeout=3", "node7"])).words
    assert [word for word in words if "ConnectTimeout" in word] == ["-oConnectTimeout=3"]
    assert "-oBatchMode=yes" in words and words[-2] == "node7"
    words = command_of(Process("x y", prefix=["nice", "/usr/bin/ssh", "node7"])).words
    place = words.index("nice")
    assert words[place + 1 : place + 3] == ("/usr/bin/ssh", "-oConnectTimeout=15") and words[-2] == "node7"
    assert shlex.split(words[-1])[1] == "-c" and "x y" in shlex.split(words[-1])[3]
