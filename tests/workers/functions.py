"""What the workers of the tests do. Where something must be awaited, a file says that it has come."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from multiprocesstools.workers import send_message


def same(task: Any) -> Any:
    return task


def double(task: int) -> int:
    return 2 * task


def add(task: int, amount: int, factor: int = 1) -> int:
    return (task + amount) * factor


def fail_on_each_hundredth(task: int) -> int:
    if task % 100 == 0:
        raise ValueError(f"task {task} is broken")
    time.sleep(0.005)
    return 2 * task


def bytes_of(task: int, size: int) -> bytes:
    return bytes([task % 256]) * size


def size_of(task: Any) -> int:
    return len(task)


def wait_for(task: Any, path: str) -> Any:
    """Say that it has begun, and wait for the file."""
    Path(f"{path}.begun").touch()
    while not os.path.exists(path):
        time.sleep(0.01)
    return task


def ignore_everything(task: Any, path: str) -> None:
    """Begin, and do not let go of the interpreter's lock, whatever comes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    Path(f"{path}.begun").touch()
    pattern = "(a+)+b"
    import re

    re.match(pattern, "a" * 60)  # holds the lock for years


def start_a_program(task: Any, path: str) -> None:
    """Start one that would go on, and wait for it."""
    program = subprocess.Popen(["sleep", "1000"])
    Path(f"{path}.program").write_text(str(program.pid))
    program.wait()


def start_a_program_and_die(task: Any, path: str) -> None:
    """Be killed as by the system, while a program goes on."""
    program = subprocess.Popen(["sleep", "1000"])
    Path(f"{path}.program").write_text(str(program.pid))
    os.kill(os.getpid(), signal.SIGKILL)


def die(task: Any, how: str) -> Any:
    if how == "exit":
        os._exit(3)
    if how == "sys.exit":
        raise SystemExit(4)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "segfault":
        import ctypes

        ctypes.string_at(0)
    if how == "memory":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        return bytes(1 << 34)
    return task


def die_on_each(task: int, every: int) -> int:
    """Each so manieth task kills its worker."""
    if task % every == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def hang_on_each(task: int, every: int) -> int:
    """Each so manieth task does not come to its end."""
    if task % every == 0:
        time.sleep(1000)
    return task


def wait_on_one(task: int, which: int, path: str) -> int:
    """One task waits for a file."""
    while task == which and not os.path.exists(path):
        time.sleep(0.01)
    return task


def array_of(task: int, size: int) -> Any:
    import numpy

    return numpy.full(size, task)


def die_once(task: int, folder: str) -> int:
    """The first time each third task is tried, it kills its worker."""
    mark = Path(folder, str(task))
    if task % 3 == 0 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def die_while_sending(task: int, size: int) -> bytes:
    """Be killed in the middle of a large result: the pipe is full long before it is through."""
    if task == 0:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    return bytes(size)


def unpicklable(task: Any) -> Any:
    return threading.Lock()


class Stubborn(Exception):
    """Cannot be unpickled: its constructor wants more than its arguments."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raise_stubborn(task: int) -> None:
    raise Stubborn(task, task)


def speak(task: int) -> int:
    send_message(f"task {task}")
    return task


def pid(task: Any) -> int:
    return os.getpid()


def slow_double(task: int) -> tuple[int, int]:
    """With the process that the worker belongs to."""
    time.sleep(0.03)
    return 2 * task, os.getppid()


def meet(task: int, folder: str) -> tuple[int, int]:
    """Come back only when workers of two pools have come here, so that both have a share."""
    os.makedirs(folder, exist_ok=True)
    Path(folder, str(os.getppid())).touch()
    while len(os.listdir(folder)) < 2:
        time.sleep(0.02)
    return 2 * task, os.getppid()


def count_calls(task: str, path: str) -> str:
    """Each call leaves a file with its task."""
    Path(f"{path}-{os.getpid()}-{time.monotonic_ns()}").write_text(task)
    return task.upper()


def die_if(task: str) -> str:
    """As the task says."""
    if task == "sleep":
        time.sleep(1000)
    return die(task, task)
