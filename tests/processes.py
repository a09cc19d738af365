"""Scripts in processes of their own, for tests of signals, crashes, threads and forks; and what they leave behind.

Nothing here sleeps blindly: a child says what it has reached, waits until it is told to go on, and every wait of a test
has a deadline.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from multiprocesstools.run.journal import read_journal

CHECKOUT = Path(__file__).resolve().parents[1]
DEADLINE_SECONDS = 20.0
_PRELUDE = """
import json, os, signal, sys, threading, time
from pathlib import Path
from multiprocesstools import MultiProcessHelper

RUN, ARGUMENTS = sys.argv[1], sys.argv[2:]

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def wait():
    return os.read(0, 1)

def helper(**options):
    options = {"beat_seconds": 0.2, "patience_seconds": 20, "durable": False} | options
    return MultiProcessHelper("test", RUN, **options)

def items(mph, sources, **options):
    options = {"final": "{value}.txt", "directory": "out", "progress": False, "order": "given"} | options
    return mph.items(sources, **options)

"""


class Child:
    """A script in a process of its own, for one run directory: `with Child(run, script, *arguments) as child`.

    The script has `say`, `wait`, `helper`, `items`, RUN and ARGUMENTS. before: a command that starts the command.
    """

    def __init__(self, run: Path, script: str, *arguments: object, before: tuple[str, ...] = ()) -> None:
        command = [*before, sys.executable, "-c", _PRELUDE + textwrap.dedent(script), str(run), *map(str, arguments)]
        environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._heard = b""
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, bufsize=0, env=environment,
            restore_signals=True,
        )  # fmt: skip

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self._errors.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def errors(self) -> str:
        """What the child has written to stderr so far."""
        size = os.fstat(self._errors.fileno()).st_size
        return os.pread(self._errors.fileno(), size, 0).decode()

    def hear(self, expected: str | None = None) -> str:
        """The next line that the child says, which must be the expected one."""
        end = time.monotonic() + DEADLINE_SECONDS
        while b"\n" not in self._heard:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"the child said nothing for {DEADLINE_SECONDS:g} s; its stderr:\n{self.errors}"
            part = os.read(self.process.stdout.fileno(), 1 << 16)
            assert part, f"the child ended with {self.process.wait()}; its stderr:\n{self.errors}"
            self._heard += part
        line, _, self._heard = self._heard.partition(b"\n")
        assert expected is None or line.decode() == expected, f"{line!r}; stderr:\n{self.errors}"
        return line.decode()

    def go_on(self, times: int = 1) -> None:
        """Let this many `wait()` of the child return."""
        self.process.stdin.write(b"." * times)

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, and wait for the end."""
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)

    def stop(self) -> None:
        """SIGSTOP, and wait until it has stopped."""
        self.send(signal.SIGSTOP)
        wait_until(lambda: _process_state(self.pid) == "T", "the child has stopped")

    def finish(self) -> int:
        """Wait for the end; the exit code, negative for a signal."""
        return self.process.wait(DEADLINE_SECONDS)

    def succeed(self) -> None:
        """Wait for the end, which must be a good one."""
        code = self.finish()
        assert code == 0, f"the child ended with {code}; its stderr:\n{self.errors}"


def run_to_end(run: Path, script: str, *arguments: object) -> None:
    """Run a script that must succeed."""
    with Child(run, script, *arguments) as child:
        child.succeed()


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `multiprocesstools` with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "multiprocesstools", *map(str, arguments)], env=os.environ | {"COLUMNS": "200"},
        cwd=CHECKOUT, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False,
    )  # fmt: skip


def wait_until(question: Callable[[], Any], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Ask until the answer is yes; AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(0.01)


def names(folder: Path) -> list[str]:
    """All names in a folder, hidden ones too."""
    return sorted(os.listdir(folder))


def outputs(run: Path) -> dict[str, str]:
    """The visible files in `out` with their content."""
    return {path.name: path.read_text() for path in (run / "out").iterdir() if not path.name.startswith(".")}


def hidden(run: Path) -> list[str]:
    """The files of the protocol in `out`."""
    return [name for name in names(run / "out") if name.startswith(".")]


def records(run: Path) -> list[str]:
    """The instances that have a record."""
    return names(run / ".multiprocesstools" / "instances")


def ended(run: Path, final: str, attempt: int) -> dict[str, Any]:
    """What the ended-file of an attempt says."""
    return json.loads((run / "out" / f".{final}.ended-{attempt}").read_text())


def events(run: Path, *kinds: str, number: int | None = None) -> list[dict[str, Any]]:
    """The lines of all journals (or of the instance with this number), oldest first, with the instance's number."""
    found = []
    for path in (run / "multiprocesstools_logs").glob("test-*.jsonl"):
        instance = int(path.stem.rpartition("-")[2])
        found += [event | {"number": instance} for event in read_journal(str(path))]
    wanted = [event for event in found if number in (None, event["number"])]
    return sorted((e for e in wanted if not kinds or e["event"] in kinds), key=lambda event: event["time"])


def briefly(lines: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    """Journal lines without times: (event, name of the final, attempt)."""
    return [(line["event"], os.path.basename(line.get("item", "")), line.get("attempt", 0)) for line in lines]


def _process_state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
