"""The pipes of programs: what is written to them, what is heard from them, and whose it is.

Guarantee: nothing here waits. Of stderr no more is read than somebody has heard, and a megabyte.
"""

import os
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass

from multiprocesstools.errors import NoFrame, ProcessFailed
from multiprocesstools.workers.programs import frames
from multiprocesstools.workers.programs.child import READ_BYTES, Child
from multiprocesstools.workers.programs.command import Command
from multiprocesstools.workers.programs.consumption import cpu_of, peak_of
from multiprocesstools.workers.programs.errand import Errand, Outcome

_MOST_UNHEARD = 1 << 20
_MANY_READS = 16


@dataclass(frozen=True, slots=True)
class Reports:
    """Called in the thread of the pump; they return at once."""

    ended: Callable[[Errand, Outcome], None]
    said: Callable[[Errand, bytes], bool]
    """Has somebody yet to hear of it? Then `heard` is asked for later."""
    took: Callable[[Errand, float, int | None], None]
    tick: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds until SIGKILL, and for which a program may be stopped, or mute."""

    kill_seconds: float
    stopped_seconds: float


class Wires:
    """`most_kept`: so many programs may live, in work or waiting for more."""

    def __init__(self, reports: Reports, patience: Patience, most_kept: int) -> None:
        self._reports, self._patience, self._most_kept = reports, patience, most_kept
        self._selector = selectors.DefaultSelector()
        self._owners: dict[Child, Errand | None] = {}
        self._latest: dict[Child, Errand] = {}
        self._idle: dict[Command, list[Child]] = {}

    # -- hearing

    def _on_stdin(self, child: Child) -> None:
        descriptor = child.stdin
        if descriptor >= 0 and self._write(child):
            self._selector.unregister(descriptor)

    def _on_stdout(self, child: Child) -> bool:
        part = _read(child.stdout)
        if part is None:
            return False
        if not part:
            child.stdout = self._close(child.stdout)
            if child.command.keep_alive:  # no answer can come any more
                child.end(self._patience.kill_seconds)
            return False
        errand = self._owners[child]
        if not child.output and errand is not None and not child.command.keep_alive:
            child.peak = max(child.peak or 0, peak_of(child.pid) or 0) or None
            self._reports.took(errand, 0.0, child.peak)
        child.output += part
        if child.command.keep_alive:
            self._on_answer(child)
        return True

    def _on_answer(self, child: Child) -> None:
        errand = self._owners[child]
        try:
            frame = frames.split(child.output)
            if frame is not None and frame[0] == frames.READY:
                child.is_ready = True
                frame = frames.split(child.output)
        except frames.NotAFrame as error:
            child.output.clear()
            if errand is not None:
                self._settle(child, errand, Outcome(error=NoFrame(error.args[0])))
            return child.end(0.0)
        if frame is None or errand is None:
            return
        word, packed = frame
        self._on_stderr(child)
        stderr = packed.decode("utf-8", "replace")
        failed = None if word == frames.OUTPUT else ProcessFailed("the handler has raised", stderr)
        child.peak = max(child.peak or 0, peak_of(child.pid) or 0) or None
        self._reports.took(errand, cpu_of(child.pid) - child.cpu_before, child.peak)
        if errand.reason or errand.cancelled:
            return  # it is being ended
        self._idle.setdefault(child.command, []).append(child)  # before anybody hears of the end, and asks for `keeps`
        self._settle(child, errand, Outcome(packed if failed is None else b"", None, failed))
        self._retire(self._most_kept)

    def _on_stderr(self, child: Child) -> bool:
        part = _read(child.stderr) if child.stderr >= 0 else None
        if part is None:
            return False
        if not part:
            child.stderr = self._close(child.stderr)
            return False
        errand = self._latest[child]
        if self._reports.said(errand, part):
            errand.unheard += len(part)
            if errand.unheard > _MOST_UNHEARD and child.stderr in self._selector.get_map():
                self._selector.unregister(child.stderr)
        return True

    def _go_on_reading(self, errand: Errand, size: int) -> None:
        errand.unheard -= size
        child = errand.child
        if child not in self._owners or child.stderr < 0 or errand.unheard > _MOST_UNHEARD:
            return
        if child.stderr not in self._selector.get_map():
            self._selector.register(child.stderr, selectors.EVENT_READ, (child, "stderr"))

    def _close(self, descriptor: int) -> int:
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)
        os.close(descriptor)
        return -1

    def _settle(self, child: Child, errand: Errand, outcome: Outcome) -> None:
        """An answer has come; the program lives on."""
        self._owners[child] = None
        errand.deadline = None
        self._reports.ended(errand, outcome)

    def _write(self, child: Child) -> bool:
        written = child.write()
        if written and not child.command.keep_alive:
            child.close_input()
        return written

    def _drain(self, child: Child) -> None:
        """What is in the pipes already."""
        for hear in (self._on_stdout, self._on_stderr):
            for _ in range(_MANY_READS):
                if (child.stdout if hear == self._on_stdout else child.stderr) < 0 or not hear(child):
                    break

    # -- programs that wait for more

    @property
    def keeps(self) -> bool:
        """Is there a program that waits for more?"""
        return any(list(self._idle.values()))

    def _waiting(self, command: Command) -> Child | None:
        waiting = self._idle.get(command, [])
        while waiting:
            child = waiting.pop()
            if child.kill_at is None and child.ended_at is None:
                return child
        return None

    def _keep(self, most: int) -> None:
        self._most_kept = most
        self._retire(most)

    def _retire(self, most: int) -> None:
        """End programs that wait for more, until so many are left."""
        for child in [child for waiting in self._idle.values() for child in waiting]:
            if sum(one.kill_at is None for one in self._owners) <= most:
                return
            self._idle[child.command].remove(child)
            child.close_input()
            child.kill_at = time.monotonic() + self._patience.kill_seconds


def _read(descriptor: int) -> bytes | None:
    """None: nothing has come."""
    try:
        return os.read(descriptor, READ_BYTES)
    except BlockingIOError:
        return None
    except OSError:
        return b""
