"""Whole runs where the filesystem, or the machine, is not the ordinary one."""

import json
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.errors import UnsafeFilesystem
from tests.test_progress import read_to_end

LOOP = """
import os, sys
from multiprocesstools import MultiProcessHelper
with MultiProcessHelper("loop", sys.argv[1], beat_seconds=0.2, patience_seconds=1.5) as mph:
    for item in mph.items(range(int(sys.argv[3])), final="{value}.txt", directory=sys.argv[2], progress=False):
        with item:
            if len(sys.argv) > 4 and item.source == int(sys.argv[4]):
                item.path.write_text("half")
                print("holding", flush=True)
                sys.stdin.read()
            item.path.write_text("x")
"""
WITHOUT_LINKS = "import errno, os\ndef refuse(*a, **k): raise OSError(errno.EPERM, 'no links')\nos.link = refuse\n"


def start(*arguments: object, code: str = LOOP, prefix: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    command = [*prefix, sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes], timeout: float = 30) -> int:
    process.communicate(timeout=timeout)
    return process.returncode


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL; its standard input is closed only afterwards, or it would go on."""
    process.kill()
    process.wait(30)
    process.communicate()


def command(*arguments: object) -> "subprocess.CompletedProcess[str]":
    run = [sys.executable, *map(str, arguments)]
    return subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)


def events(run: Path, kind: str) -> list[str]:
    lines = [
        line for path in (run / "multiprocesstools_logs").glob("*.jsonl") for line in path.read_text().splitlines()
    ]
    return [event["item"] for event in map(json.loads, lines) if event["event"] == kind]


def hidden(directory: Path) -> list[str]:
    return sorted(name for name in os.listdir(directory) if name.startswith("."))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A directory on another filesystem than tmp_path."""
    directory = Path(tempfile.mkdtemp(dir="/dev/shm"))
    if directory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm and the temporary directory are one filesystem")
    yield directory
    shutil.rmtree(directory)


def test_outputs_may_lie_on_another_filesystem_than_the_run(tmp_path: Path, elsewhere: Path) -> None:
    run = tmp_path / "run"
    workers = [start(run, elsewhere, 200) for _ in range(3)]
    assert [finish(worker) for worker in workers] == [0, 0, 0]
    assert sorted(events(run, "done")) == sorted(f"{elsewhere}/{n}.txt" for n in range(200))
    assert len(os.listdir(elsewhere)) == 200 and hidden(elsewhere) == []


def test_a_claim_on_another_filesystem_is_taken_over_from_a_killed_owner(tmp_path: Path, elsewhere: Path) -> None:
    run = tmp_path / "run"
    victim = start(run, elsewhere, 5, 3)
    assert victim.stdout is not None and victim.stdout.readline() == b"holding\n"
    claim = next(path for path in elsewhere.iterdir() if ".claim-" in path.name)
    assert claim.stat().st_nlink == 1  # a copy of the record: it cannot be a link
    kill(victim)
    assert finish(start(run, elsewhere, 5)) == 0
    assert len(os.listdir(elsewhere)) == 6 and hidden(elsewhere)[0].startswith(".mpt-")
    assert command("-m", "multiprocesstools", "cleanup", run).returncode == 0
    assert len(os.listdir(elsewhere)) == 5 and hidden(elsewhere) == []


def test_a_filesystem_without_links_is_refused_and_accepted_for_less(tmp_path: Path) -> None:
    run = tmp_path / "run"
    refused = command("-c", WITHOUT_LINKS + LOOP, run, "out", 20)
    assert refused.returncode == 1 and 'publish="rename"' in refused.stderr
    code = WITHOUT_LINKS + LOOP.replace("beat_seconds", 'publish="rename", beat_seconds')
    workers = [start(run, "out", 200, code=code) for _ in range(3)]
    assert [finish(worker) for worker in workers] == [0, 0, 0]
    assert sorted(events(run, "done")) == sorted(f"out/{n}.txt" for n in range(200))
    assert len(os.listdir(run / "out")) == 200 and hidden(run / "out") == []


def test_the_refusal_is_an_error_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise PermissionError(1, "no links")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(UnsafeFilesystem, match="no hard links"):
        MultiProcessHelper("refused", tmp_path)
    monkeypatch.undo()
    with MultiProcessHelper("accepted", tmp_path) as mph:
        assert mph.instance_number == 1


needs_namespaces = pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("unshare") is None, reason="another process namespace needs root"
)
NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@needs_namespaces
def test_an_owner_that_cannot_be_probed_is_taken_over_after_patience_and_not_before(tmp_path: Path) -> None:
    """A process of another process namespace is like one on another machine: only its silence counts."""
    victim = start(tmp_path, "out", 4, 2, prefix=NAMESPACE)
    assert victim.stdout is not None and victim.stdout.readline() == b"holding\n"
    peer = start(tmp_path, "out", 4)
    with pytest.raises(subprocess.TimeoutExpired):
        peer.wait(4)  # it lives and beats, for more than twice the patience
    kill(victim)
    killed = time.monotonic()
    assert finish(peer) == 0
    assert 1.0 < time.monotonic() - killed < 8
    assert events(tmp_path, "taken over") == ["out/2.txt"]


@needs_namespaces
def test_cleanup_observes_a_silent_owner_and_names_what_waits_for_force(tmp_path: Path) -> None:
    victim = start(tmp_path, "out", 4, 2, prefix=NAMESPACE)
    assert victim.stdout is not None and victim.stdout.readline() == b"holding\n"
    cleanup = ("-m", "multiprocesstools", "cleanup", tmp_path)
    alive = command(*cleanup)
    assert alive.returncode == 0 and "loop-1" in alive.stdout and "is alive" in alive.stdout
    kill(victim)
    quick = command(*cleanup, "--no-wait")
    assert quick.returncode == 3 and "it is not known whether it lives" in quick.stdout
    patient = command(*cleanup)
    assert patient.returncode == 3
    assert "1 attempt of dead owners declared over" in patient.stdout and "--force" in patient.stdout
    staging = [name for name in hidden(tmp_path / "out") if name.startswith(".mpt-")]
    assert len(staging) == 1 and staging[0] in patient.stdout
    forced = command(*cleanup, "--force")
    assert forced.returncode == 0
    assert [name for name in hidden(tmp_path / "out") if name.startswith(".mpt-")] == []
    assert finish(start(tmp_path, "out", 4)) == 0
    assert hidden(tmp_path / "out") == []


@needs_namespaces
def test_cleanup_shows_a_bar_in_a_terminal_while_it_observes(tmp_path: Path) -> None:
    victim = start(tmp_path, "out", 4, 2, prefix=NAMESPACE)
    assert victim.stdout is not None and victim.stdout.readline() == b"holding\n"
    kill(victim)
    master, slave = pty.openpty()
    cleanup = [sys.executable, "-m", "multiprocesstools", "cleanup", str(tmp_path)]
    with subprocess.Popen(
        cleanup, stdout=subprocess.DEVNULL, stderr=slave, env=os.environ | {"TERM": "xterm"}
    ) as child:
        os.close(slave)
        written = read_to_end(master)
    assert child.returncode == 3
    assert "observing silent owners" in written and "━" in written
