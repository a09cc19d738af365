"""A child process that beats for an instance, so that a C call that holds the interpreter lock is not taken for death.

States: running -> ended (it was killed, or `stop`). `pulse` is its program. It is executed and not forked, so that
threads, notebooks and scripts without a main guard do no harm, and has nothing of this process but two pipes: neither
its terminal and the group that gets Ctrl-C, nor its descriptors.

Guarantee: it ends within about a second after this process has ended, however that ended. Condition: it is not caught
in a call to a server that does not answer; then it ends with that call.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import time

from multiprocesstools.claims.instance import Instance
from multiprocesstools.claims.pace import NoteBeat
from multiprocesstools.crew import pulse

_END_SECONDS, _REAP_SECONDS, _LISTEN_SECONDS = 5.0, 1.0, 1.0
_READ_BYTES = 1 << 16


class Pacemaker:
    """The process that beats for `instance`; started when this is made. OSError when that is impossible."""

    def __init__(self, instance: Instance) -> None:
        self._pid, self._rest, self._listening = os.getpid(), b"", threading.Lock()
        self._words, self._reports, self.child = _start(_arguments(instance))

    @property
    def runs(self) -> bool:
        """Was it there when its reports were last read?"""
        return self._reports >= 0

    def listen(self, note: NoteBeat) -> None:
        """Hand what it has reported since the last time to `note`, unless another thread is at it.

        Not in a forked child, which would take away what its parent is told.
        """
        if self._pid != os.getpid() or not self._listening.acquire(blocking=False):
            return
        try:
            for began, arrived in map(bytes.split, self._new_lines()):
                note(float(began), float(arrived))
        finally:
            self._listening.release()

    def stop(self) -> None:
        """End the process, and wait for that. A forked child only closes what it inherited."""
        mine = self._pid == os.getpid()
        listening = mine and self._listening.acquire(timeout=_LISTEN_SECONDS)  # not if a signal came while we listened
        try:
            if mine and self.runs:
                _end(self.child, self._words, self._reports)
            self._close()
        finally:
            if listening:
                self._listening.release()

    def _new_lines(self) -> list[bytes]:
        while self.runs:
            try:
                part = os.read(self._reports, _READ_BYTES)
            except BlockingIOError:
                break
            self._rest += part
            if not part:
                _reap(self.child)
                self._close()
        *lines, self._rest = self._rest.split(b"\n")
        return lines

    def _close(self) -> None:
        words, reports, self._words, self._reports = self._words, self._reports, -1, -1
        _close(words, reports)


def _arguments(instance: Instance) -> list[str]:
    place = (instance.inode, instance.beat_offset, instance.beats.count, instance.started)
    return [instance.path, *map(str, (*place, instance.rules.beat_seconds, os.getpid()))]


def _start(arguments: list[str]) -> tuple[int, int, int]:
    """Our ends of the pipes to and from a new process, and its pid."""
    told, words = os.pipe()
    reports, said = os.pipe()
    os.set_blocking(reports, False)
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", pulse.__file__, *arguments], stdin=told, stdout=said,
            stderr=subprocess.DEVNULL, cwd="/", start_new_session=True,
        )  # fmt: skip
    except BaseException:
        _close(words, reports)
        raise
    finally:
        _close(told, said)
    process.returncode = 0  # the copy in a forked child would complain of a process that is not its own
    return words, reports, process.pid


def _end(child: int, words: int, reports: int) -> None:
    try:
        os.write(words, b".")  # a forked child may have the pipe open too, so that closing it would say nothing
    except OSError:
        pass  # it has ended already
    if not _has_ended(reports):
        os.kill(child, signal.SIGKILL)
        _has_ended(reports)
    _reap(child)


def _has_ended(reports: int) -> bool:
    """Wait for the end of its pipe, which is the end of the process, for a while."""
    poll = select.poll()
    poll.register(reports, select.POLLHUP)
    return bool(poll.poll(_END_SECONDS * 1000))


def _reap(child: int) -> None:
    """Take note of the end of the process, which comes a moment after the end of its pipe."""
    end = time.monotonic() + _REAP_SECONDS
    try:
        while os.waitpid(child, os.WNOHANG) == (0, 0) and time.monotonic() < end:
            time.sleep(0.002)
    except ChildProcessError:
        return  # somebody who waits for all children of this process has taken note


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)
