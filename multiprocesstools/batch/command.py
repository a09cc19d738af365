"""One question to a program of a batch system.

Guarantee: the program is found by an absolute directory of PATH and started without a shell, in a process group of its
own, with the arguments of the caller and those variables of this process that its batch system needs; after the time
limit, after too long an answer and by `stop`, it is killed with its group. It never asks back: its input is empty.
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass

SECONDS = 10.0
MOST_BYTES = 1 << 23
_ERROR_BYTES = 1 << 14
_READ_BYTES = 1 << 16
_KEPT = ("HOME", "USER", "LOGNAME", "TZ", "LD_LIBRARY_PATH")


class NoAnswer(Exception):
    """The program is missing, hangs, fails, or says what nobody understands."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program has said before it ended with `code`."""

    code: int
    output: str
    errors: str = ""

    def check(self) -> str:
        """The output of a program that has succeeded. NoAnswer."""
        if self.code != 0:
            raise NoAnswer(f"exit code {self.code}: {self.errors[:200]}")
        return self.output


class Commands:
    """The programs of batch systems, one at a time."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def ask(self, variables: Iterable[str], program: str, *arguments: str) -> Answer:
        """What a program says. NoAnswer."""
        if self._stopped:
            raise NoAnswer("nobody asks any more")
        path = find(program)
        if path is None:
            raise NoAnswer(f"there is no {program}")
        environment = _environment(variables)
        try:
            self._process = process = subprocess.Popen(
                [path, *arguments], env=environment, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise NoAnswer(f"{path}: {error.strerror}") from error
        try:
            return self._listen(process)  # `stop` sees the process, or we see that nobody asks any more
        finally:
            _end(process)
            self._process = None

    def stop(self) -> None:
        """Let nobody wait for an answer any more."""
        self._stopped = True
        if (process := self._process) is not None:
            _kill(process)

    def _listen(self, process: "subprocess.Popen[bytes]") -> Answer:
        end = time.monotonic() + self._seconds
        if self._stopped:
            raise NoAnswer("nobody asks any more")
        assert process.stdout is not None and process.stderr is not None
        said = _Said({process.stdout.fileno(): MOST_BYTES, process.stderr.fileno(): _ERROR_BYTES})
        while said.open:
            left = end - time.monotonic()
            if left <= 0 or not said.hear(left):
                raise NoAnswer(f"no answer within {self._seconds:g} s")
        try:
            code = process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise NoAnswer(f"no end within {self._seconds:g} s") from error
        return Answer(code, *said.texts())


class _Said:
    """What is read from the pipes of a program. Of its errors the beginning is enough."""

    def __init__(self, most: dict[int, int]) -> None:
        self._most, self._parts = most, dict.fromkeys(most, b"")
        self.open = set(most)
        self._poll = select.poll()
        for pipe in most:
            self._poll.register(pipe, select.POLLIN)

    def hear(self, seconds: float) -> bool:
        """Read what there is. False: nothing came. NoAnswer for too much."""
        ready = self._poll.poll(seconds * 1000)
        for pipe, _ in ready:
            part = os.read(pipe, _READ_BYTES)
            if not part:
                self.open.discard(pipe)
                self._poll.unregister(pipe)
            self._parts[pipe] += part
            if len(self._parts[pipe]) > self._most[pipe]:
                raise NoAnswer(f"more than {self._most[pipe]:,} bytes")
        return bool(ready)

    def texts(self) -> list[str]:
        return [part.decode("utf-8", "replace") for part in self._parts.values()]


def find(program: str) -> str | None:
    """The path of a program by PATH; entries that depend on the working directory do not count."""
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(directory, program)
        if os.path.isabs(directory) and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def _environment(variables: Iterable[str]) -> dict[str, str]:
    """Without what would change the question: SQUEUE_FORMAT, SLURM_CLUSTERS, aliases, languages."""
    kept = {name: os.environ[name] for name in (*_KEPT, *variables) if name in os.environ}
    return kept | {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Nothing of it is left, also not what it has started in its group."""
    _kill(process)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """The group has the number of its first process, which nobody else gets before it was waited for."""
    if process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended
