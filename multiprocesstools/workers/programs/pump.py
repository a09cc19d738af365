"""The thread that starts programs, moves bytes to and from them, watches them and ends them.

It runs no code of the user, so that nothing stops it from ending what is to be ended. What it learns it reports.

Guarantee: each errand that was handed over is reported once as ended, and nothing that was started is left after `run`.
Waiting takes no time of the processor. Condition: all methods but those for any thread are called by its own.
"""

import logging
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from multiprocesstools.errors import NotStarted
from multiprocesstools.workers.programs import frames
from multiprocesstools.workers.programs.child import Child, launch
from multiprocesstools.workers.programs.command import Command
from multiprocesstools.workers.programs.consumption import consumption_of, cpu_of
from multiprocesstools.workers.programs.errand import Errand, Outcome, not_started, verdict
from multiprocesstools.workers.programs.guard import Guard
from multiprocesstools.workers.programs.wires import Patience, Reports, Wires

TICK_SECONDS, FIRST_LOOK_SECONDS, _LINGER_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 0.05, 1.0, 3600.0

_STOPPED = "the program was stopped (SIGSTOP or SIGTSTP), and was ended"
_MUTE = (
    "the program, which is to be kept alive, has read its input and not called multiprocesstools.workers.script.run; "
    "it was ended. What only hands on what it reads, such as a container, belongs into prefix="
)

_log = logging.getLogger("multiprocesstools.workers")


class Pump(Wires):
    """`run` it in a thread."""

    def __init__(self, reports: Reports, patience: Patience, most_kept: int) -> None:
        super().__init__(reports, patience, most_kept)
        self._bell, self._ear = socket.socketpair()
        for end in (self._bell, self._ear):
            end.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ, (None, ""))
        self._asked: deque[Callable[[], None]] = deque()
        self._stopping = False
        self._guard = Guard()

    # -- for any thread

    def do(self, errand: Errand) -> None:
        """Have it done."""
        self.ask(lambda: self._begin(errand))

    def cancel(self, errand: Errand) -> None:
        """End it, if it is in work."""
        self.ask(lambda: self._end_errand(errand))

    def heard(self, errand: Errand, size: int) -> None:
        """So many bytes of its stderr have been heard."""
        self.ask(lambda: self._go_on_reading(errand, size))

    def keep(self, most: int) -> None:
        """So many programs may live, from now on."""
        self.ask(lambda: self._keep(most))

    def stop(self) -> None:
        """`run` returns when nothing is left; what waits for more work is told to end."""
        self.ask(self._stop)

    def ask(self, act: Callable[[], None]) -> None:
        """Have it done in the thread of the pump."""
        self._asked.append(act)
        try:
            self._bell.send(b"\0")
        except (BlockingIOError, OSError):
            pass  # it is awake, or has ended

    # -- the thread

    def run(self, then: Callable[[], object]) -> None:
        """Until it is told to stop, and nothing is left that could say something; then call this."""
        try:
            while not self._stopping or self._owners or self._asked:
                try:
                    self._turn()
                except Exception as error:  # nobody may wait for ever for what this thread has lost
                    _log.exception("the thread that watches programs has met an error; what it had in work has failed")
                    self._give_up(error)
        finally:
            for child in list(self._owners):
                child.kill()
                self._reap(child)
            self._guard.close()
            self._selector.close()
            self._bell.close()
            self._ear.close()
            then()

    def _give_up(self, error: Exception) -> None:
        for child, errand in list(self._owners.items()):
            child.kill()
            self._reap(child)
            if errand is not None:
                self._reports.ended(errand, Outcome(error=error))

    def _turn(self) -> None:
        for key, _ in self._selector.select(self._seconds()):
            child, stream = key.data
            if child is None:
                self._silence()
            elif not child.gone:
                _HEAR[stream](self, child)
        while self._asked:
            self._asked.popleft()()
        now = time.monotonic()
        for child in list(self._owners):
            self._come_to_an_end(child, now)
        due = [child for child, errand in self._owners.items() if _is_watched(child, errand) and now >= child.look_at]
        for child in due:
            self._look(child, self._owners[child], now)
        if due:
            self._reports.tick()

    def _seconds(self) -> float | None:
        now = time.monotonic()
        ends = []
        for child, errand in self._owners.items():
            if child.kill_at is not None and not child.killed:
                ends.append(child.kill_at)
            if child.ended_at is not None:
                ends.append(child.ended_at + _LINGER_SECONDS)
            if _is_watched(child, errand):
                ends.append(child.look_at)
            if errand is not None and errand.deadline is not None:
                ends.append(errand.deadline)
        if not ends:
            return None
        return min(max(0.0, min(ends) - now), _LONGEST_WAIT_SECONDS)

    def _silence(self) -> None:
        try:
            while self._ear.recv(4096):
                pass
        except BlockingIOError:
            pass

    # -- beginning

    def _begin(self, errand: Errand) -> None:
        command = errand.command
        assert command is not None
        if errand.cancelled:
            return self._reports.ended(errand, Outcome())
        child = self._waiting(command)
        if child is not None:
            return self._hand_over(child, errand)
        self._take(errand, self._launch(command))

    def _launch(self, command: Command) -> Child | NotStarted:
        try:
            return launch(command, self._guard.mark())
        except OSError as error:
            return not_started(command.words, error)
        except Exception as error:  # a NUL in a word, no memory
            return NotStarted(f"it cannot be started: {error}")

    def _take(self, errand: Errand, found: Child | NotStarted) -> None:
        if isinstance(found, NotStarted):
            return self._reports.ended(errand, Outcome(error=found))
        self._owners[found] = self._latest[found] = errand  # whatever goes wrong now
        self._watch(found)
        self._hand_over(found, errand)
        self._retire(self._most_kept)
        if errand.cancelled:
            self._end_errand(errand)

    def _watch(self, child: Child) -> None:
        for descriptor, stream in ((child.stdout, "stdout"), (child.stderr, "stderr"), (child.handle, "end")):
            if descriptor >= 0:
                self._selector.register(descriptor, selectors.EVENT_READ, (child, stream))

    def _hand_over(self, child: Child, errand: Errand) -> None:
        errand.child, errand.process._ledger.pid = child, child.pid
        child.cpu_before = cpu_of(child.pid) if child.command.keep_alive else 0.0
        child.look_at, child.look_pause = time.monotonic() + FIRST_LOOK_SECONDS, FIRST_LOOK_SECONDS
        self._owners[child] = self._latest[child] = errand
        if errand.process.timeout is not None:
            errand.deadline = time.monotonic() + errand.process.timeout
        parts = [errand.input]
        if child.command.keep_alive:
            parts = [frames.header(frames.INPUT, len(errand.input)), errand.input, frames.END]
        else:
            errand.input = b""
        child.to_write = [memoryview(part) for part in parts if part]
        if child.stdin >= 0 and not self._write(child):
            self._selector.register(child.stdin, selectors.EVENT_WRITE, (child, "stdin"))

    # -- ending

    def _on_end(self, child: Child) -> None:
        if child.ended_at is None and child.has_ended():
            child.ended_at = time.monotonic()
            if child.handle >= 0 and child.handle in self._selector.get_map():
                self._selector.unregister(child.handle)
            self._come_to_an_end(child, child.ended_at)

    def _come_to_an_end(self, child: Child, now: float) -> None:
        """SIGKILL if it is time for that; the end, if the program has ended and its pipes are read to theirs."""
        if child.ended_at is None:
            if child.kill_at is not None and now >= child.kill_at and not child.killed:
                child.kill()
            errand = self._owners.get(child)
            if errand is not None and errand.deadline is not None and now >= errand.deadline:
                self._end_errand(errand, f"it was not done within {errand.process.timeout:g} s, and was ended")
            return
        self._drain(child)
        open_still = child.stdout >= 0 or child.stderr >= 0
        if open_still and child.kill_at is None and now < child.ended_at + _LINGER_SECONDS:
            return
        held = child.stdout >= 0
        if open_still:
            child.kill()
            self._drain(child)
        self._bury(child, held=held)

    def _bury(self, child: Child, *, held: bool) -> None:
        errand, latest = self._owners.get(child), self._latest[child]
        output, keeps = bytes(child.output), child.command.keep_alive
        end = self._reap(child)
        if errand is None:
            return
        self._reports.took(errand, end.cpu_seconds - child.cpu_before, end.memory_bytes)
        errand.child = None
        stderr = latest.process.stderr
        found = verdict(end.code, reason=errand.reason, held=held, keeps=keeps, output=output, stderr=stderr)
        self._reports.ended(errand, found)

    def _reap(self, child: Child) -> Any:
        for descriptor in (child.stdin, child.stdout, child.stderr, child.handle):
            if descriptor >= 0 and descriptor in self._selector.get_map():
                self._selector.unregister(descriptor)
        self._owners.pop(child, None)
        self._latest.pop(child, None)
        waiting = self._idle.get(child.command, [])
        if child in waiting:
            waiting.remove(child)
        return child.reap()

    def _end_errand(self, errand: Errand, reason: str = "it was cancelled") -> None:
        child = errand.child
        if child is None or self._owners.get(child) is not errand or errand.reason:
            return
        errand.reason, errand.deadline = reason, None
        child.end(self._patience.kill_seconds)

    def _stop(self) -> None:
        self._stopping = True
        self._retire(0)

    # -- looking

    def _look(self, child: Child, errand: Errand | None, now: float) -> None:
        child.look_pause = min(TICK_SECONDS, 2 * child.look_pause)
        child.look_at = now + child.look_pause
        if child.handle < 0:
            self._on_end(child)
        found = None if child.gone or child.ended_at is not None else consumption_of(child.pid)
        if found is None or errand is None:
            return
        child.peak = max(child.peak or 0, found.memory_bytes or 0) or None
        self._reports.took(errand, found.cpu_seconds - child.cpu_before, child.peak)
        child.stopped_since = (child.stopped_since or now) if found.stopped else None
        child.mute_since = (child.mute_since or now) if _is_mute(child) else None
        for since, what in ((child.stopped_since, _STOPPED), (child.mute_since, _MUTE)):
            if since is not None and now - since >= self._patience.stopped_seconds:
                self._end_errand(errand, f"for {now - since:.1f} s {what}")


def _is_mute(child: Child) -> bool:
    """Did it read a message without a word? Behind a prefix somebody else may have read."""
    return child.command.keep_alive and not (child.is_ready or child.command.is_far) and child.has_read()


def _is_watched(child: Child, errand: Errand | None) -> bool:
    """Is it looked at from time to time? Without a handle its end is not told."""
    return errand is not None or child.handle < 0


_HEAR: dict[str, Callable[[Pump, Child], Any]] = {
    "stdin": Wires._on_stdin, "stdout": Wires._on_stdout, "stderr": Wires._on_stderr, "end": Pump._on_end,
}  # fmt: skip
