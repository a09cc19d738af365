"""Process: a program that reads its input from stdin and writes its result to stdout, and what is known of its course.

    Pending --> Running --> Completed | Failed | Cancelled        Pending --> Cancelled

Guarantee: a process is Completed only if its program exited with 0, after its whole output was read, and
`use_process_output` came back. Whatever else happens is a Failed one, with the reason in `error`.
"""

import json
import os
import pickle
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from multiprocesstools.calls.saving import kind
from multiprocesstools.errors import BadArgument, BadOutput, CannotBeSent

_PROTOCOL = 5


class ProcessState(StrEnum):
    """Where a process is in its life."""

    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def is_over(self) -> bool:
        """Will it not change any more?"""
        return self not in (ProcessState.PENDING, ProcessState.RUNNING)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has taken so far: seconds of the clock, seconds of processors (with the children that it has
    waited for), and the most memory that it had resident at a time, in bytes; None if it ended before anybody looked.
    """

    elapsed_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_bytes: int | None = None


@dataclass(slots=True)
class Ledger:
    """What the queue writes down of a process. Changed under the lock of the queue only."""

    number: int = 0
    state: ProcessState = ProcessState.PENDING
    error: BaseException | None = None
    exit_code: int | None = None
    pid: int | None = None
    attempt: int = 0
    began: float | None = None
    ended: float | None = None
    cpu_seconds: float = 0.0
    peak_memory_bytes: int | None = None
    stderr: bytearray = field(default_factory=bytearray)
    log: str | None = None
    output: bytes | None = None


class Process:
    """One run of a script.

    Parameters
    ----------
    script: path of the program, from the working directory of this one. One that ends with `.py` is run by `python`,
        any other must be executable.
    input: what `prepare_process_input` pickles, by default a dict.
    name: what it is called in lists; two may have the same. Default: the name of the script.
    args: further arguments of the program.
    prefix: a command that runs it elsewhere: ["ssh", "node7"], ["srun", "-N1"]. The far side needs `python` and the
        script at the same paths; what runs there ends when the process is cancelled.
    env: variables on top of those of this process. cwd: working directory. python: the interpreter for `.py`.
    keep_alive: the program calls `multiprocesstools.workers.script.run` and stays for the next process with the same
        command, so that it starts only once. If it dies, the process in hand is tried again by a new one. If it
        reads its input and does not call `run`, the process has failed after `stopped_seconds` of the queue; behind a
        prefix that is not to be seen, and a `timeout` ends it.
    timeout: seconds that it may run; then it is ended, and Failed.
    max_attempts: so often a process is tried whose `keep_alive` program dies (3).
    """

    def __init__(
        self, script: str | os.PathLike[str], input: Any = None, *, name: str | None = None, args: Iterable[str] = (),
        prefix: Iterable[str] = (), env: Mapping[str, str] | None = None, cwd: str | os.PathLike[str] | None = None,
        python: str = sys.executable, keep_alive: bool = False, timeout: float | None = None, max_attempts: int = 3,
    ) -> None:  # fmt: skip
        self.script = _text("script", script)
        for argument, given in (("args", args), ("prefix", prefix)):
            if isinstance(given, str):
                raise BadArgument(argument, given, 'it must be a list of words: ["ssh", "node7"]')
        if timeout is not None and (
            isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0
        ):
            raise BadArgument("timeout", timeout, "it must be a number of seconds above 0, or None")
        if isinstance(max_attempts, bool) or not isinstance(max_attempts, int) or max_attempts < 1:
            raise BadArgument("max_attempts", max_attempts, "it must be a whole number, at least 1")
        self.input: Any = {} if input is None else input
        self.name = str(name) if name is not None else os.path.basename(self.script)
        self.args = tuple(_text("args", word) for word in args)
        self.prefix = tuple(_text("prefix", word) for word in prefix)
        self.env = {_text("env", variable): _text("env", value) for variable, value in (env or {}).items()}
        self.cwd, self.python = None if cwd is None else _text("cwd", cwd), _text("python", python)
        self.keep_alive, self.timeout, self.max_attempts = keep_alive, timeout, max_attempts
        self.output: Any = None
        self._ledger = Ledger()

    # -- hooks, called in the thread of the queue that calls all hooks and signals

    def prepare_process_input(self) -> bytes:
        """The bytes for stdin, asked for when the process is about to begin. Default: `input`, pickled.

        What it raises makes the process Failed.
        """
        try:
            return pickle.dumps(self.input, _PROTOCOL)
        except Exception as error:
            raise CannotBeSent("input of the process", kind(self.input), f"{type(error).__name__}: {error}") from error

    def use_process_output(self, output: bytes) -> None:
        """What the program has written to stdout. Default: it is unpickled into `self.output`.

        What it raises makes the process Failed.
        """
        try:
            self.output = pickle.loads(output)
        except Exception as error:
            raise BadOutput(output[:200], len(output), f"{type(error).__name__}: {error}") from error

    def dump(self, path: str | os.PathLike[str]) -> None:
        """Write the input to a file, on which `multiprocesstools process run` runs the script by hand."""
        with open(path, "wb") as file:
            file.write(self.prepare_process_input())

    # -- what is known

    @property
    def state(self) -> ProcessState:
        return self._ledger.state

    @property
    def error(self) -> BaseException | None:
        """Why it has failed."""
        return self._ledger.error

    @property
    def exit_code(self) -> int | None:
        """That of its program, or minus the signal that ended it; None while there is none."""
        return self._ledger.exit_code

    @property
    def pid(self) -> int | None:
        """Of its program on this machine, while there is one."""
        return self._ledger.pid

    @property
    def attempt(self) -> int:
        """How often it was begun."""
        return self._ledger.attempt

    @property
    def stderr(self) -> str:
        """The last 64 kB of what the program has written to stderr."""
        return self._ledger.stderr.decode("utf-8", "replace")

    @property
    def log(self) -> str | None:
        """The file with all of its stderr, if the queue has a `log_directory`."""
        return self._ledger.log

    @property
    def failed_output(self) -> bytes | None:
        """What a program had written to stdout that failed, or whose output could not be used."""
        return self._ledger.output

    @property
    def usage(self) -> Usage:
        """Time and memory so far, looked at twice a second, and in the first half more often.

        What a program takes after the last look counts in its CPU seconds, but not always in its memory.
        """
        own = self._ledger
        end = own.ended if own.ended is not None else time.monotonic()
        elapsed = 0.0 if own.began is None else end - own.began
        return Usage(elapsed, own.cpu_seconds, own.peak_memory_bytes)

    def as_dict(self) -> dict[str, Any]:
        """All of it, as values that JSON can hold."""
        return {
            "number": self._ledger.number, "name": self.name, "script": self.script, "state": self.state.value,
            "error": None if self.error is None else str(self.error), "exit_code": self.exit_code, "pid": self.pid,
            "attempt": self.attempt, "log": self.log, **asdict(self.usage),
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self.state.value}>"


def _text(argument: str, given: Any) -> str:
    """As the system takes it. BadArgument."""
    try:
        return os.fsdecode(given)
    except TypeError:
        raise BadArgument(argument, given, "it must be text or a path") from None


def as_json(processes: Iterable[Process]) -> str:
    """A JSON list of processes."""
    return json.dumps([process.as_dict() for process in processes], indent=2)
