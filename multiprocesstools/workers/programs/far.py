"""What runs a program on the far side of a prefix (ssh, srun), and ends it, with all it has started, when it must.

`python -c LAUNCHER SPEC` is its command: the text of this file travels in it, so that nothing but a Python need be
installed there. Only the standard library, therefore.

Guarantee: the program ends when the connection does, when its runner is told to (SIGTERM, SIGHUP, SIGINT) or is
killed, and when it has left children behind. Condition: Linux. The connection is the pipe to which stdout is written;
if a machine vanishes from the net, the far side knows when TCP does.
"""

from __future__ import annotations  # the Python on the far side may be an old one

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

MARK = "MULTIPROCESSTOOLS_PROCESS"
_GRACE_SECONDS, _LOOK_MILLISECONDS = 2.0, 500


def tie(end: int, group: int) -> None:
    """Have the kernel kill the process group when the other end of the pipe is closed (fcntl(2), F_SETSIG), also by the
    death of this process; the group must hold `end` open."""
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(end, fcntl.F_SETOWN, -group)
        fcntl.fcntl(end, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_ASYNC)


def start(
    command: Sequence[str], mark: str, env: Mapping[str, str] | None = None, cwd: str | None = None, **streams: Any
) -> tuple[subprocess.Popen[bytes], int]:
    """A process in a session of its own, and the end of a pipe: it is killed when that is closed. OSError."""
    other, life = os.pipe()
    try:
        process = subprocess.Popen(
            command, env=_environment(mark, env), cwd=cwd, start_new_session=True,
            pass_fds=(other,), bufsize=0, **streams,
        )  # fmt: skip
        try:
            tie(other, process.pid)
        except OSError:
            pass  # it has ended already
    except BaseException:
        os.close(life)
        raise
    finally:
        os.close(other)
    return process, life


def _environment(mark: str, env: Mapping[str, str] | None) -> dict[bytes, bytes]:
    """That of this process and more; as bytes, which need not be encoded for each of thousands of programs."""
    more = {MARK: mark, **(env or {})}
    here: Mapping[bytes, bytes] = getattr(os.environb, "_data", os.environb)  # the dict in it, which is fast to copy
    return {**here, **{os.fsencode(name): os.fsencode(value) for name, value in more.items()}}


def send(group: int, number: int) -> None:
    """A signal to a process group, if there is any of it."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        pass  # it has ended; or only what has become another user is left, which is not ours any more


def kill_marked(mark: str) -> None:
    """SIGKILL to what has this mark in its environment, in whatever session it is."""
    wanted = f"{MARK}={mark}".encode()
    for name in os.listdir("/proc") if os.path.isdir("/proc") and hasattr(os, "pidfd_open") else ():
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            handle = os.pidfd_open(int(name))
        except OSError:
            continue  # it has gone
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if wanted in file.read().split(b"\0"):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
        except OSError:
            continue  # it has gone, or belongs to another user
        finally:
            os.close(handle)


def main(spec: dict[str, Any]) -> int:
    """Run it. The exit code is that of the program, or 128 and the number of the signal that ended it."""
    ear, bell = os.pipe()
    os.set_blocking(bell, False)
    signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda number, frame: told.append(number))
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    mark = spec["mark"] or os.urandom(8).hex()
    try:
        process, _ = start(spec["command"], mark, spec["env"], spec["cwd"])
    except OSError as error:
        sys.stderr.write(f"{error.filename or spec['command'][0]}: {error.strerror}\n")
        return 127
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)  # the program alone reads the input
    _watch(process.pid, ear, told)
    send(process.pid, signal.SIGKILL)
    kill_marked(mark)
    code = process.wait()
    return code if code >= 0 else 128 - code


def _watch(pid: int, ear: int, told: list[int]) -> None:
    """Until the program has ended; it is told to when the connection is gone, and killed when it does not."""
    poll = select.poll()
    poll.register(ear, select.POLLIN)
    poll.register(1, 0)  # POLLERR and POLLHUP are always told
    kill_at = None
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        for descriptor, _ in poll.poll(_LOOK_MILLISECONDS):
            if descriptor == ear:
                os.read(ear, 512)
            else:
                poll.unregister(1)
                told.append(signal.SIGTERM)
        if told and kill_at is None:
            kill_at = time.monotonic() + _GRACE_SECONDS
            send(pid, signal.SIGTERM)
            send(pid, signal.SIGCONT)
        if kill_at is not None and time.monotonic() >= kill_at:
            return


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
