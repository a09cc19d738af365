"""A worker process: it takes a task, calls the function, and sends back what came of it, before it takes the next.

Guarantee: a worker, and all that it has started, ends with the process that started it, also if that is killed: the
kernel sends SIGKILL to the worker's process group when the last descriptor of the parent is closed (fcntl(2),
F_SETOWN and F_SETSIG). Condition: Linux; elsewhere a thread of the worker does it, which has to be let run. What
leaves the group (setsid) is on its own.
"""

import fcntl
import multiprocessing
import os
import select
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

from multiprocesstools.workers.pools import packing
from multiprocesstools.workers.pools.line import DONE, END, FAILED, FUNCTION, LINE, MESSAGE, READY, Line, Packed, Queue
from multiprocesstools.workers.pools.memory import Memory

_line: Line | None = None


def send_message(text: str) -> None:
    """Called in a function that a worker runs: have `sig_message_from_worker` emitted with this text.

    Elsewhere, as when the function is tried without a pool, nothing happens.
    """
    if _line is not None:
        _line.send(MESSAGE, packed=str(text).encode())


def work(line: socket.socket, queue: socket.socket) -> None:
    """What a worker does, until it is told to end or the pool has gone."""
    global _line  # noqa: PLW0603 - a process has one pool, and its functions know nothing of it
    os.setpgid(0, 0)
    _hear_ctrl_c_again()
    _end_with_the_parent()
    _line = Line(line)
    try:
        _line.send(READY)
        _serve(_line, Queue(queue))
    except (EOFError, OSError):
        return  # nobody is there any more who could be told


def _hear_ctrl_c_again() -> None:
    """The pool starts a worker with SIGINT blocked, until it is in a group of its own; what came meanwhile was not for
    it, and is thrown away by whoever ignores it."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    signal.signal(signal.SIGINT, handler)


def _serve(line: Line, queue: Queue) -> None:
    function: Packed = b""
    call: Callable[[Any], Any] | None = None
    held: deque[tuple[int, Memory]] = deque()  # of results, until the pool has unpacked them
    answers = 0
    while True:
        packed: Packed
        word, number, taken, packed = queue.receive()
        began = time.perf_counter_ns()
        while held and held[0][0] <= taken:
            held.popleft()
        if word == LINE:
            word, number, packed, _ = line.receive()
        if word == END:
            return
        if word == FUNCTION:
            function, call = packed, None
            continue
        memory = None
        try:
            call = call or packing.unpack_function(function)
            answer, (result, memory) = DONE, packing.pack_result(call(packing.unpack(packed)))
        except BaseException as error:  # SystemExit, too, is a failure of the task
            answer, result = FAILED, packing.pack_error(error)
        answers += 1
        if memory is not None:
            held.append((answers, memory))
        line.send(answer, number, result, time.perf_counter_ns() - began)
        del packed, result, memory  # or a large one would be held until the next one is there


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
