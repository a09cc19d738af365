"""One program on this machine: its pipes, its end, and what it has started.

    runs --its end--> ended --pipes closed, or nobody waits longer--> reaped        runs --end--> ending --> ended

It runs in a session of its own, so that Ctrl-C in the terminal is not for it, and a signal reaches all of it.

Guarantee: after `reap` nothing of it is left: neither its group, nor, if it was killed or its pipes were still held,
what has left the group with its environment. When this process ends, however that ends, the kernel kills the group, and
the `guard` the rest. Condition: Linux; a process that has left the session *and* changed its environment is on its own.
What closes all that it inherits, as ssh does, is left to the guard; what a fork of this process knows outlives it.
"""

import fcntl
import os
import resource
import signal
import subprocess
import sys
import termios
import time
from dataclasses import dataclass, field

from multiprocesstools.workers.programs import far
from multiprocesstools.workers.programs.command import Command
from multiprocesstools.workers.programs.consumption import is_zombie

READ_BYTES = 1 << 16
_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


@dataclass(frozen=True, slots=True)
class End:
    """How a program ended: its code or minus the signal (None: somebody else has waited for it), and what it took."""

    code: int | None
    cpu_seconds: float
    memory_bytes: int | None


@dataclass(eq=False, slots=True)
class Child:
    """Made by `launch`. All descriptors do not block."""

    command: Command
    process: "subprocess.Popen[bytes]"
    life: int
    mark: str
    stdin: int
    stdout: int
    stderr: int
    handle: int
    to_write: list[memoryview] = field(default_factory=list)
    output: bytearray = field(default_factory=bytearray)
    kill_at: float | None = None
    stopped_since: float | None = None
    mute_since: float | None = None
    is_ready: bool = False
    ended_at: float | None = None
    cpu_before: float = 0.0
    look_at: float = 0.0
    look_pause: float = 0.0
    peak: int | None = None
    gone: bool = False
    killed: bool = False

    @property
    def pid(self) -> int:
        return self.process.pid

    # -- talking

    def write(self) -> bool:
        """Write what fits. Is all written? What nobody reads any more is thrown away."""
        try:
            while self.to_write:
                written = os.write(self.stdin, self.to_write[0])
                self.to_write[0] = self.to_write[0][written:]
                if not self.to_write[0]:
                    del self.to_write[0]
        except BlockingIOError:
            return False
        except OSError:
            self.to_write.clear()
        return True

    def close_input(self) -> None:
        """It reads to the end."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def has_read(self) -> bool:
        """Is all read that it was given?"""
        return not self.to_write and self.stdin >= 0 and unread(self.stdin) == 0

    # -- ending

    def end(self, seconds: float) -> None:
        """SIGTERM, and SIGKILL is due after so many seconds. The second time nothing happens."""
        if self.kill_at is None and not self.gone:
            self.kill_at = time.monotonic() + seconds
            if self.ended_at is None:
                far.send(self.pid, signal.SIGTERM)
                far.send(self.pid, signal.SIGCONT)  # one that is stopped would not hear of it

    def kill(self) -> None:
        """SIGKILL to all of it."""
        self.killed = True
        far.send(self.pid, signal.SIGKILL)
        far.kill_marked(self.mark)

    def has_ended(self) -> bool:
        """Has the program itself ended? Its number stays taken until `reap`."""
        if not hasattr(os, "waitid"):  # macOS, before Python 3.13
            return is_zombie(self.pid)
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True  # somebody who waits for all children of this process has taken note

    def reap(self) -> End:
        """Take note of the end, and close everything."""
        far.send(self.pid, signal.SIGKILL)
        if self.kill_at is not None and not self.killed:
            far.kill_marked(self.mark)
        try:
            _, status, used = os.wait4(self.pid, 0)
            code: int | None = os.waitstatus_to_exitcode(status)
            end = End(code, used.ru_utime + used.ru_stime, _peak(used.ru_maxrss * _UNIT))
        except ChildProcessError:
            end = End(None, 0.0, None)
        self.process.returncode = end.code if end.code is not None else 0
        self.gone = True
        _close(self.stdin, self.stdout, self.stderr, self.handle, self.life)
        self.stdin = self.stdout = self.stderr = self.handle = self.life = -1
        return end


def launch(command: Command, mark: str) -> Child:
    """`mark` is what it and all that it starts have in their environment. OSError when it cannot be started."""
    opened: list[int] = []
    try:
        for _ in range(3):
            opened += os.pipe()
        input_, stdin, stdout, output, stderr, errors = opened
        process, life = far.start(
            command.words, mark, dict(command.env), command.cwd, stdin=input_, stdout=output, stderr=errors
        )
    except BaseException:
        _close(*opened)
        raise
    _close(input_, output, errors)
    for descriptor in (stdin, stdout, stderr):
        os.set_blocking(descriptor, False)
    try:
        handle = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else -1
    except OSError:  # too many files are open
        far.send(process.pid, signal.SIGKILL)
        process.wait()
        _close(stdin, stdout, stderr, life)
        raise
    return Child(command, process, life, mark, stdin, stdout, stderr, handle)


def unread(pipe: int) -> int:
    """Bytes that lie in a pipe (pipe(7), FIONREAD)."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


def _peak(most: int) -> int | None:
    """What the system calls the most memory of a child counts in that of its parent before exec (getrusage(2) does not
    say so; Linux keeps it in exec_mmap): it says something only if it is more."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT
    return most if most > own else None
