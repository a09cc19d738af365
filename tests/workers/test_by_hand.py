"""`multiprocesstools process dump|run`."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from multiprocesstools.errors import BadArgument
from multiprocesstools.workers.programs.byhand import find_process
from tests.workers.scripts import DOUBLE, ENV, write_script


def command(*words: object, given: bytes = b"", cwd: Path) -> "subprocess.CompletedProcess[bytes]":
    line = [sys.executable, "-m", "multiprocesstools", "process", *map(str, words)]
    return subprocess.run(
        line, input=given, capture_output=True, env=os.environ | ENV, cwd=cwd, timeout=60, check=False
    )


def test_an_input_is_dumped_and_the_script_is_run_on_it(tmp_path: Path) -> None:
    script = write_script(tmp_path, DOUBLE)
    make = f"def make():\n    return Process({str(script)!r}, {{'x': 21}})\n"
    lines = f"from multiprocesstools.workers import Process\n{make}"
    write_script(tmp_path, lines, "program.py")
    dumped = command("dump", "program.py:make", "in.pkl", cwd=tmp_path)
    assert dumped.returncode == 0 and b"in.pkl" in dumped.stdout
    assert pickle.loads((tmp_path / "in.pkl").read_bytes()) == {"x": 21}
    done = command("run", script, "in.pkl", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"{'x': 42}\n", b"")
    done = command("run", script, "in.pkl", "--output", "out.pkl", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"")
    assert pickle.loads((tmp_path / "out.pkl").read_bytes()) == {"x": 42}


def test_a_plain_script_is_run_on_stdin_and_its_failure_is_seen(tmp_path: Path) -> None:
    script = write_script(tmp_path, "#!/bin/sh\necho note >&2\ntr a-z A-Z\nexit $1\n")
    done = command("run", script, "--arg", "0", given=b"text", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"TEXT\n", b"note\n")
    done = command("run", script, "--arg", "3", given=b"text", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, b"TEXT\n")
    assert b"exit code 3" in done.stderr


@pytest.mark.parametrize(
    ("place", "words"), [("nowhere.py:x", "FILE.py"), ("program.py:x", "no x"), ("program.py:number", "no Process")]
)
def test_what_cannot_be_found_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, words: str) -> None:
    write_script(tmp_path, "number = 3\n", "program.py")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadArgument, match=words):
        find_process(place)


def test_what_cannot_be_found_is_a_usage_error_of_the_command(tmp_path: Path) -> None:
    done = command("dump", "nowhere.py:x", cwd=tmp_path)
    assert done.returncode == 2 and b"FILE.py" in done.stderr
