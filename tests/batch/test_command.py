"""One question to a program: it is found, it is asked what the caller says, and nobody waits for it for long."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from multiprocesstools.batch import command
from multiprocesstools.batch.command import Answer, Commands, NoAnswer, find

Fake = Callable[[str, str], Path]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Puts a shell script into the only directory of PATH before those of the system."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def write(name: str, script: str) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return write


def test_a_program_is_asked_without_a_shell_and_says_what_it_says(fake: Fake) -> None:
    fake("asked", 'for a; do echo "<$a>"; done; echo no >&2; pwd; read x; exit 3')
    answer = Commands().ask((), "asked", "a b", "$(id)", "*")
    assert answer == Answer(3, "<a b>\n<$(id)>\n<*>\n/\n", "no\n")
    with pytest.raises(NoAnswer, match="exit code 3: no"):
        answer.check()
    assert Answer(0, "yes").check() == "yes"


def test_what_would_change_the_question_is_kept_from_the_program(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake("asked", "env")
    for name in ("SQUEUE_FORMAT", "SLURM_CLUSTERS", "SLURM_CONF", "LANG"):
        monkeypatch.setenv(name, "x")
    seen = dict(line.partition("=")[::2] for line in Commands().ask(("SLURM_CONF",), "asked").output.splitlines())
    assert seen["SLURM_CONF"] == "x" and seen["LC_ALL"] == "C"
    assert not {"SQUEUE_FORMAT", "SLURM_CLUSTERS", "LANG"} & set(seen)


def test_a_program_that_is_missing_is_no_answer(fake: Fake) -> None:
    with pytest.raises(NoAnswer, match="there is no asked"):
        Commands().ask((), "asked")
    fake("asked", "").write_bytes(b"\x7fELF")
    with pytest.raises(NoAnswer, match="Exec format error"):
        Commands().ask((), "asked")


def test_a_program_in_the_working_directory_is_never_run(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fake("asked", "echo planted")
    monkeypatch.chdir(path.parent)
    assert find("asked") == str(path)
    monkeypatch.setenv("PATH", ".::bin")
    assert find("asked") is None


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_program_that_hangs_is_killed_with_all_that_it_has_started(fake: Fake, tmp_path: Path) -> None:
    fake("asked", f"sleep 100 & echo $! >{tmp_path}/child; echo $$ >{tmp_path}/self; wait")
    began = time.monotonic()
    with pytest.raises(NoAnswer, match=r"no answer within 0\.5 s"):
        Commands(0.5).ask((), "asked")
    assert time.monotonic() - began < 5
    pids = [int((tmp_path / name).read_text()) for name in ("child", "self")]
    end = time.monotonic() + 5
    while any(map(runs, pids)):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_program_that_closes_its_pipes_and_stays_is_killed(fake: Fake) -> None:
    fake("asked", "exec >&- 2>&-; sleep 100")
    with pytest.raises(NoAnswer, match=r"no end within 0\.3 s"):
        Commands(0.3).ask((), "asked")


def test_an_endless_answer_is_none(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "MOST_BYTES", 1 << 20)
    fake("asked", "yes")
    with pytest.raises(NoAnswer, match="more than 1,048,576 bytes"):
        Commands().ask((), "asked")


def test_whoever_ends_waits_for_no_answer(fake: Fake, tmp_path: Path) -> None:
    fake("asked", f"echo $$ >{tmp_path}/self; sleep 100")
    commands, said = Commands(), []

    def ask() -> None:
        try:
            commands.ask((), "asked")
        except NoAnswer as error:
            said.append(str(error))
        else:
            said.append("an answer")

    thread = threading.Thread(target=ask)
    thread.start()
    end = time.monotonic() + 5
    while not (tmp_path / "self").exists() or not (tmp_path / "self").read_text():
        assert time.monotonic() < end
        time.sleep(0.01)
    commands.stop()
    thread.join(5)
    assert not thread.is_alive() and len(said) == 1
    with pytest.raises(NoAnswer, match="nobody asks any more"):
        commands.ask((), "asked")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "self").read_text()), signal.SIGKILL)
