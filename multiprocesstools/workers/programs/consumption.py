"""What a running process takes: seconds of processors, memory, and whether it was stopped.

Condition: Linux, for the peak and for the children; elsewhere it is what psutil sees of the one process.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

_PEAK, _STATUS_BYTES = b"VmHWM:", 4096


@dataclass(frozen=True, slots=True)
class Consumption:
    """Of a process and its living children; `memory_bytes` is None when it is not to be known any more."""

    cpu_seconds: float
    memory_bytes: int | None
    stopped: bool = False


def consumption_of(pid: int) -> Consumption | None:
    """None: it has gone, or is about to."""
    try:
        process = psutil.Process(pid)
        stopped = process.status() == psutil.STATUS_STOPPED
        family = [process, *_children(pid)]
    except psutil.Error:
        return None
    seconds, memory = 0.0, peak_of(pid) or 0
    for one in family:
        try:
            times = one.cpu_times()
            seconds += sum(times[:4])
            if one is not process or not memory:
                memory += one.memory_info().rss
        except psutil.Error:
            continue  # it has ended meanwhile
    return Consumption(seconds, memory or None, stopped)


def is_zombie(pid: int) -> bool:
    """Has it ended, and nobody has taken note; or has it gone?"""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def peak_of(pid: int) -> int | None:
    """The most memory that one process had resident so far, in bytes (proc(5), VmHWM)."""
    try:
        file = os.open(f"/proc/{pid}/status", os.O_RDONLY | os.O_CLOEXEC)  # a file object takes twice as long
    except OSError:
        return None
    try:
        text = os.read(file, _STATUS_BYTES)
    except OSError:
        return None
    finally:
        os.close(file)
    at = text.find(_PEAK)
    return int(text[at + len(_PEAK) :].split(None, 1)[0]) * 1024 if at >= 0 else None


def cpu_of(pid: int) -> float:
    """Seconds of processors of one process, exactly and at little cost; 0.0 if it has gone.

    The number of the clock of another process is made as clock_getcpuclockid(3) of glibc and musl makes it.
    """
    try:
        return time.clock_gettime(((~pid) << 3) | 2)
    except OSError:
        return 0.0


def _children(pid: int) -> Iterator[psutil.Process]:
    """All that stem from it and are still its descendants (proc(5), task/.../children)."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            children = file.read().split()
    except OSError:
        return
    for child in map(int, children):
        try:
            yield psutil.Process(child)
        except psutil.Error:
            continue
        yield from _children(child)
