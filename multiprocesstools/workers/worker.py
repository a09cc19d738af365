"""A worker process: it takes a task, calls the function, and sends back what came of it.

    pool -> worker    (FUNCTION, key) + function   (TASK, number) + task   (END, 0)
    worker -> pool    (READY, 0)   (DONE, number) + result   (FAILED, number) + exception   (MESSAGE, 0) + text

A worker has a connection of its own, so that it can die at any byte without harm to others.

Guarantee: a worker, and all that it has started, ends with the process that started it, also if that is killed: the
kernel sends SIGKILL to the worker's process group when the last descriptor of the parent is closed (fcntl(2),
F_SETOWN and F_SETSIG). Condition: Linux; elsewhere a thread of the worker does it, which has to be let run. What
leaves the group (setsid) is on its own.
"""

import fcntl
import multiprocessing
import os
import pickle
import select
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any

from multiprocesstools.workers import packing
from multiprocesstools.workers.memory import Memory

READY, DONE, FAILED, MESSAGE, FUNCTION, TASK, END = range(7)
_APART = 1 << 16
_line: "Line | None" = None


class Line:
    """One end of the connection between a pool and a worker. Messages are (word, number, bytes)."""

    def __init__(self, connection: "Connection[Any, Any]") -> None:
        self.connection = connection
        self._lock = threading.Lock()

    def send(self, word: int, number: int = 0, packed: bytes = b"") -> None:
        """OSError when the other side has gone. What is large follows by itself, or it would be copied."""
        apart = len(packed) > _APART
        with self._lock:
            self.connection.send_bytes(pickle.dumps((word, number, None if apart else packed)))
            if apart:
                self.connection.send_bytes(packed)

    def receive(self) -> tuple[int, int, bytes]:
        """EOFError or OSError when the other side has gone."""
        word, number, packed = pickle.loads(self.connection.recv_bytes())
        return word, number, self.connection.recv_bytes() if packed is None else packed


def send_message(text: str) -> None:
    """Called in a function that a worker runs: have `sig_message_from_worker` emitted with this text.

    Elsewhere, as when the function is tried without a pool, nothing happens.
    """
    if _line is not None:
        _line.send(MESSAGE, packed=str(text).encode())


def work(connection: "Connection[Any, Any]") -> None:
    """What a worker does, until it is told to end or the pool has gone."""
    global _line  # noqa: PLW0603 - a process has one pool, and its functions know nothing of it
    os.setpgid(0, 0)
    _hear_ctrl_c_again()
    _end_with_the_parent()
    _line = Line(connection)
    try:
        _line.send(READY)
        _serve(_line)
    except (EOFError, OSError):
        return  # nobody is there any more who could be told


def _hear_ctrl_c_again() -> None:
    """The pool starts a worker with SIGINT blocked, until it is in a group of its own; what came meanwhile was not for
    it, and is thrown away by whoever ignores it."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    signal.signal(signal.SIGINT, handler)


def _serve(line: Line) -> None:
    function: bytes = b""
    call: Callable[[Any], Any] | None = None
    memory: Memory | None = None
    while True:
        word, number, packed = line.receive()  # so the result before was unpacked
        memory = None
        if word == END:
            return
        if word == FUNCTION:
            function, call = packed, None
            continue
        try:
            call = call or packing.unpack_function(function)
            answer, (result, memory) = DONE, packing.pack_result(call(packing.unpack(packed)))  # noqa: F841 - held
        except BaseException as error:  # SystemExit, too, is a failure of the task
            answer, result = FAILED, packing.pack_error(error)
        line.send(answer, number, result)
        del packed, result  # or a large one would be held until the next one is there


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(sentinel, fcntl.F_SETOWN, -os.getpgid(0))
        fcntl.fcntl(sentinel, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(sentinel, fcntl.F_SETFL, fcntl.fcntl(sentinel, fcntl.F_GETFL) | os.O_ASYNC)
        if select.select([sentinel], [], [], 0)[0]:
            _end()
    else:
        threading.Thread(target=_end_after, args=(sentinel,), name="multiprocesstools-watch", daemon=True).start()


def _end_after(sentinel: int) -> None:
    wait([sentinel])
    _end()


def _end() -> None:
    os.killpg(os.getpgid(0), signal.SIGKILL)
