"""One process in work: what it was given, what has come of it, and, in pure code, what that means.

Guarantee: `verdict` says that it is done only if the program ended with 0 and its output is whole, or answered so.
"""

import codecs
import errno
import logging
import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from multiprocesstools.errors import NotStarted, ProcessFailed
from multiprocesstools.workers.process import Process
from multiprocesstools.workers.programs.child import Child
from multiprocesstools.workers.programs.command import Command

_log = logging.getLogger("multiprocesstools.workers")
_TAIL_BYTES = 1 << 16
_NO_NAME = re.compile(r"[^\w.-]")
_Decoder = codecs.getincrementaldecoder("utf-8")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one process. `error`: why it has failed. `again`: its program died, and another one may do it."""

    output: bytes = b""
    code: int | None = None
    error: BaseException | None = None
    again: bool = False


@dataclass(eq=False, slots=True)
class Errand:
    """A process in work. `reason`: why it is being ended."""

    process: Process
    command: Command | None = None
    input: bytes = b""
    child: Child | None = None
    deadline: float | None = None
    cancelled: bool = False
    reason: str = ""
    unheard: int = 0
    decode: Callable[[bytes], str] = field(default_factory=lambda: _Decoder("replace").decode)
    output: bytes = b""

    def keep_stderr(self, part: bytes, log_directory: str | None) -> None:
        """The end of it in memory, all of it in the log."""
        tail = self.process._ledger.stderr
        tail += part
        del tail[:-_TAIL_BYTES]
        if log_directory is not None:
            self._write_log(part, log_directory)

    def _write_log(self, part: bytes, directory: str) -> None:
        ledger = self.process._ledger
        try:
            if ledger.log is None:
                os.makedirs(directory, exist_ok=True)
                name = f"{ledger.number:04d}-{_NO_NAME.sub('_', str(self.process.name))[:60]}.log"
                ledger.log = os.path.join(directory, name)
            with open(ledger.log, "ab") as file:  # opened anew, because a program that is kept may speak late
                file.write(part)
        except OSError as error:
            _log.warning("the stderr of %r is not written to its log: %s", self.process.name, error)


def not_started(words: tuple[str, ...], error: OSError) -> NotStarted:
    """What is wrong with a program that the system does not execute."""
    what = f"{words[0]!r} cannot be started: {error.strerror or error}"
    if isinstance(error, FileNotFoundError):
        advice = "is the path right? If the file is there, its first line (#!) may name an interpreter that is not"
        if error.filename is not None and error.filename != words[0]:
            what, advice = f"the working directory {error.filename!r} does not exist", "give another cwd="
    elif os.path.isdir(words[0]):
        advice = "it is a directory"
    elif isinstance(error, PermissionError):
        advice = "make it executable (chmod +x), or give it a name that ends with .py"
    elif error.errno == errno.EMFILE:
        advice = "let fewer run at a time (maximum_running_processes), or allow more files (ulimit -n)"
    elif error.errno != errno.ENOEXEC:
        return NotStarted(what)
    else:
        advice = "a script needs a first line like #!/bin/sh, or a name that ends with .py"
    return NotStarted(f"{what}; {advice}")


def verdict(code: int | None, *, reason: str, held: bool, keeps: bool, output: bytes, stderr: str) -> Outcome:
    """What the end of a program means for its process. `held`: somebody it started still had its stdout open."""
    if reason:
        return Outcome(output, code, ProcessFailed(reason, stderr))
    if code is None:
        why = "its exit code is not known, because something in this program waits for all child processes"
        return Outcome(output, code, ProcessFailed(why, stderr))
    if keeps:
        error = ProcessFailed(f"the program that is kept alive {_words(code)} before it had answered", stderr)
        return Outcome(output, code, error, again=True)
    if code != 0:
        return Outcome(output, code, ProcessFailed(f"the program {_words(code)}", stderr))
    if held:
        why = "the program ended and left something running that held its output open, which was killed"
        return Outcome(output, code, ProcessFailed(why, stderr))
    return Outcome(output, code)


def _words(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
    return f"was killed by {name}" + " (out of memory?)" * (name == "SIGKILL")
