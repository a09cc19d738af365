"""What a queue of processes is made of beneath its door: which process begins when, and what has come of it.

    pending --> prepared (hook) --> in the hands of the pump --> used (hook) --> over

Guarantee: a state is set under the lock, and told afterwards, in the order in which it was set. A place is free for the
next process when the former one is over, its hook included.
"""

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any

from multiprocesstools.calls.saving import kind
from multiprocesstools.errors import BadInput
from multiprocesstools.workers.emitter import Emitter
from multiprocesstools.workers.pools.shared_run import Place
from multiprocesstools.workers.process import Process, ProcessState
from multiprocesstools.workers.programs.bounds import Bounds
from multiprocesstools.workers.programs.command import command_of
from multiprocesstools.workers.programs.errand import Errand, Outcome
from multiprocesstools.workers.programs.hooks import HookThread
from multiprocesstools.workers.programs.pump import Pump
from multiprocesstools.workers.programs.share import Share, Told
from multiprocesstools.workers.programs.wires import Patience, Reports

_log = logging.getLogger("multiprocesstools.workers")


class Phase(Enum):
    """Of a queue."""

    IDLE, WORK, ENDING = range(3)


class Dispatch:
    """A queue without its door."""

    sig_state_changed: Any
    sig_stderr: Any
    sig_usage: Any
    sig_finished: Any

    def __init__(self, bounds: Bounds, patience: Patience, log_directory: str | None, place: Place | None) -> None:
        self._bounds, self._patience, self._log_directory = bounds, patience, log_directory
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._phase, self._again, self._closing, self._added = Phase.IDLE, False, False, 0
        self._processes: list[Process] = []
        self._pending: deque[Process] = deque()
        self._ready = self._pending if place is None else deque()
        self._share = None if place is None else Share(place, self, lambda: self._bounds.running)
        self._is_sharing = False
        self._told: dict[Process, Told] = {}
        self._running: dict[Process, Errand] = {}
        self._pump: Pump | None = None
        self._hooks: HookThread | None = None
        self._threads: list[threading.Thread] = []
        self._usage_is_told = True

    def _call(self, work: Callable[[], object]) -> None:
        """Override to have hooks, slots and the callback called elsewhere, such as in the main thread of Qt: in order,
        one at a time; it need not wait for them."""
        assert self._hooks is not None
        self._hooks.call(work)

    def _finished(self) -> None:
        """All are over."""

    def _close_at_exit(self) -> None:
        """The interpreter ends."""

    # -- threads; call these with the lock held

    def _open(self) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if self._pump is None:
            self._pump = Pump(
                Reports(self._ended, self._said, self._took, self._tick), self._patience, self._bounds.running
            )  # fmt: skip
            self._hooks = HookThread()
            told = (self._hooks.close,)
            pump = threading.Thread(target=self._pump.run, args=told, name="multiprocesstools-pump", daemon=True)
            self._threads += [pump, self._hooks.thread]
            atexit.register(self._close_at_exit)
            pump.start()

    def _let_go(self) -> list[threading.Thread]:
        """End the threads, and the programs that wait for more. The threads that are about to end."""
        if self._pump is not None:
            self._pump.stop()
            self._pump = None
            atexit.unregister(self._close_at_exit)
        return self._threads

    # -- beginning; with the lock held

    def _begin_what_may(self) -> None:
        while self._phase is Phase.WORK and self._ready and self._bounds.allow(len(self._running)):
            process = self._ready.popleft()
            if self._share is not None:
                self._pending.remove(process)
            self._begin(process)
            if self._bounds.depend_on_the_machine:
                break  # what it takes is to be seen first
        if self._phase is Phase.WORK and not self._pending and not self._running and not self._is_sharing:
            self._phase = Phase.ENDING
            self._call(self._end)

    def _begin(self, process: Process) -> None:
        errand = self._enter(process)
        process._ledger.attempt += 1
        self._call(partial(self._prepare, errand))

    def _enter(self, process: Process) -> Errand:
        errand = self._running[process] = Errand(process)
        ledger = process._ledger
        ledger.state, ledger.began, ledger.ended = ProcessState.RUNNING, time.monotonic(), None
        return errand

    def _cancel(self, process: Process) -> None:
        errand = self._running.get(process)
        if process.state is ProcessState.PENDING:
            self._leave_pending(process, ProcessState.CANCELLED, None)
            self._begin_what_may()
        elif errand is not None and not errand.cancelled:
            errand.cancelled = True
            assert self._pump is not None
            self._pump.cancel(errand)

    def _leave_pending(self, process: Process, state: ProcessState, error: BaseException | None) -> None:
        self._pending.remove(process)
        if process in self._ready:
            self._ready.remove(process)
        process._ledger.state, process._ledger.error = state, error
        if (told := self._told.pop(process, None)) is not None:
            told(state, error, b"")
        if self._phase is Phase.IDLE:
            self._tell(process, state)
        else:
            self._call(partial(self._tell, process, state))

    # -- what is shared, in the threads of the share

    def _begin_shared(self, process: Process, told: Told) -> None:
        """It was claimed here."""
        with self._lock:
            if process not in self._pending:
                told(ProcessState.CANCELLED, None, b"")
                return
            self._told[process] = told
            self._ready.append(process)
            self._begin_what_may()

    def _deliver(self, process: Process, output: bytes, error: BaseException | None = None) -> None:
        """It was done elsewhere. Returns when it has been used."""
        used = threading.Event()
        with self._lock:
            if process not in self._pending or process in self._told:
                return
            self._pending.remove(process)
            self._call(partial(self._use, self._enter(process), Outcome(output, 0, error)))
            self._call(used.set)
        used.wait()

    def _share_over(self, rest: Callable[[Process], BaseException | None]) -> None:
        """Nobody will do what is left, for a reason, or because it was cancelled."""
        with self._lock:
            for process in list(self._pending):
                error = rest(process)
                state = ProcessState.CANCELLED if error is None else ProcessState.FAILED
                self._leave_pending(process, state, error)
            self._is_sharing = False
            self._begin_what_may()

    # -- in the thread of the hooks

    def _prepare(self, errand: Errand) -> None:
        process = errand.process
        self._tell(process, ProcessState.RUNNING)
        try:
            errand.input = _as_bytes(process.prepare_process_input())
            errand.command = command_of(process)
        except (Exception, SystemExit) as error:
            return self._settle(errand, ProcessState.FAILED, error)
        assert self._pump is not None
        self._pump.do(errand)

    def _use(self, errand: Errand, outcome: Outcome) -> None:
        errand.output = outcome.output
        if errand.cancelled:
            return self._settle(errand, ProcessState.CANCELLED, None)
        error = outcome.error
        if error is None:
            try:
                errand.process.use_process_output(outcome.output)
            except (Exception, SystemExit) as raised:
                error = raised
        if error is not None:
            errand.process._ledger.output = outcome.output
        self._settle(errand, ProcessState.COMPLETED if error is None else ProcessState.FAILED, error)

    def _settle(self, errand: Errand, state: ProcessState, error: BaseException | None) -> None:
        process, errand.input = errand.process, b""
        with self._lock:
            told, shown = self._told.pop(process, None), state
            if told is not None and state is ProcessState.FAILED:
                shown = ProcessState.PENDING  # the item may be tried again, here or elsewhere
                self._pending.append(process)
            ledger = process._ledger
            ledger.state, ledger.error, ledger.pid = shown, error, None
            ledger.ended = ledger.ended if ledger.ended is not None else time.monotonic()
            del self._running[process]
            self._begin_what_may()
        self._tell(process, shown)
        if told is not None:
            told(state, error, errand.output)

    def _end(self) -> None:
        try:
            self._finished()
        except Exception:
            _log.exception("the completed_callback has raised")
        self.sig_finished.emit()
        with self._lock:
            if self._again or self._pending:
                self._again, self._phase = False, Phase.WORK
                return self._begin_what_may()
            self._phase = Phase.IDLE
            self._changed.notify_all()
            if self._pump is not None and not self._pump.keeps:
                self._let_go()

    def _tell(self, process: Process, state: ProcessState) -> None:
        if _has_slots(self.sig_state_changed):
            self.sig_state_changed.emit(process, state)

    def _hear(self, errand: Errand, part: bytes) -> None:
        try:
            self.sig_stderr.emit(errand.process, errand.decode(part))
        finally:
            pump = self._pump  # none, if these are the last words of a program that was kept
            if pump is not None:
                pump.heard(errand, len(part))

    def _tell_usage(self) -> None:
        self._usage_is_told = True
        for process in list(self._running):
            self.sig_usage.emit(process)

    # -- in the thread of the pump

    def _ended(self, errand: Errand, outcome: Outcome) -> None:
        ledger = errand.process._ledger
        with self._lock:
            if outcome.again and not errand.cancelled and ledger.attempt < errand.process.max_attempts:
                ledger.attempt += 1
                assert self._pump is not None
                return self._pump.do(errand)
            ledger.exit_code, ledger.ended = outcome.code, time.monotonic()
        self._call(partial(self._use, errand, outcome))

    def _said(self, errand: Errand, part: bytes) -> bool:
        errand.keep_stderr(part, self._log_directory)
        if not _has_slots(self.sig_stderr):
            return False
        self._call(partial(self._hear, errand, part))
        return True

    def _took(self, errand: Errand, cpu_seconds: float, memory_bytes: int | None) -> None:
        ledger = errand.process._ledger
        ledger.cpu_seconds = max(ledger.cpu_seconds, cpu_seconds)
        ledger.peak_memory_bytes = max(ledger.peak_memory_bytes or 0, memory_bytes or 0) or None

    def _tick(self) -> None:
        with self._lock:
            self._begin_what_may()
        if self._usage_is_told and _has_slots(self.sig_usage):
            self._usage_is_told = False
            self._call(self._tell_usage)


def _as_bytes(given: Any) -> bytes:
    """Text is sent as UTF-8. BadInput."""
    if isinstance(given, str):
        return given.encode()
    if not isinstance(given, bytes | bytearray | memoryview):
        raise BadInput(kind(given))
    return given  # type: ignore[return-value]


def _has_slots(emitter: Any) -> bool:
    return not isinstance(emitter, Emitter) or len(emitter) > 0
