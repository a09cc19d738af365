"""What a controller is made of beneath its door: its state, the thread of its run, and what it reports to.

Guarantee: one run at a time, and the workers of a run have gone when its thread has. At the end of the interpreter the
run is stopped, and those who hear of its end are waited for: a thread that is in a slot of Qt then would abort it all.
"""

import atexit
import logging
import multiprocessing
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

from multiprocesstools.calls.executors import processors
from multiprocesstools.errors import BadArgument, MainGuardMissing, TasksBroken, WrongState, check_choice
from multiprocesstools.workers.pools.desk import Desk, Reports
from multiprocesstools.workers.pools.feed import Feed
from multiprocesstools.workers.pools.outbox import Done
from multiprocesstools.workers.pools.packing import Function, pack_function
from multiprocesstools.workers.pools.shift import Shift, Terms, Wish

_log = logging.getLogger("multiprocesstools.workers")
_STOP_SECONDS = 0.8


class State(Enum):
    """Where a pool is in its life, as a message says it."""

    NEW = "was not started"
    RUNNING = "is running"
    SUSPENDED = "is suspended"
    FINISHED = "has finished"
    STOPPED = "was stopped"


class Emits(Protocol):
    """What a signal has, of psygnal or of Qt."""

    def emit(self, *args: Any) -> object: ...


class Works(Protocol):
    """One run: a `Shift`, or what takes its place."""

    @property
    def at_rest(self) -> bool: ...
    def ask(self, wish: Wish) -> None: ...
    def run(self) -> bool: ...
    def wake(self) -> None: ...
    def kill(self) -> None: ...


class Engine:
    """A controller without its door and without its signals, which it knows by these names only."""

    sig_progress: Emits
    sig_results: Emits
    sig_failed: Emits
    sig_message_from_worker: Emits
    sig_finished: Emits
    finished: Emits

    def __init__(
        self, n_workers: int | None = None, function: Callable[..., Any] | None = None, func_args: Iterable[Any] = (),
        func_kwargs: Mapping[str, Any] | None = None, *, timeout: float | None = None, max_attempts: int = 3,
        start_method: str = "spawn",
    ) -> None:  # fmt: skip
        check_choice("start_method", start_method, tuple(multiprocessing.get_all_start_methods()))
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0):
            raise BadArgument("timeout", timeout, "it must be a number of seconds above 0, or None")
        self._terms = Terms(
            check_count("n_workers", processors() if n_workers is None else n_workers), timeout,
            check_count("max_attempts", max_attempts), start_method,
        )  # fmt: skip
        self._state, self._lock = State.NEW, threading.RLock()
        self._shift: Works | None = None
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        reports = Reports(
            self._received, self._failed, self._said, self._progressed, self._has_receivers, self._progress_is_heard
        )
        self._desk = Desk(reports, self._wake)
        self._feed = Feed(4 * self._terms.n_workers, self._wake)
        self._functions, self._leaving, self._runs = 0, False, False
        self._function: Function | None = None
        if function is not None:
            self._function = self._packed(function, tuple(func_args), func_kwargs or {})

    # -- hooks, called in the thread of the run

    def _has_receivers(self) -> bool:
        """Is somebody connected to `sig_results`?"""
        return False

    def _progress_is_heard(self) -> bool:
        """Is somebody connected to `sig_progress`?"""
        return True

    def _received(self, done: Sequence[Done]) -> None:
        """Tasks are done, with these results."""
        for job, result, _ in done:
            self.sig_results.emit(job.task, result)

    def _failed(self, task: Any, error: BaseException) -> None:
        """A task has failed for good."""
        self.sig_failed.emit(task, error)

    def _ended(self) -> None:
        """All is done, and `finished` will be emitted."""

    def _said(self, text: str) -> None:
        self.sig_message_from_worker.emit(text)

    def _progressed(self) -> None:
        self.sig_progress.emit(self._desk.tally.progress(self._feed.target))

    # -- a run

    def _begin(self, call: str) -> None:
        """Start the thread of a run. Call it with the lock held. WrongState, MainGuardMissing."""
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            raise MainGuardMissing()
        if self._function is None and self._feed.waits:
            raise WrongState(call, "has tasks and no function", "call change_function() before")
        if self._is_ending():
            raise WrongState(call, "is ending", "wait for that with join()")
        self._error, self._runs = None, True
        self._feed.forget(self._desk.tally.settled)
        shift = self._shift = self._new_shift()
        self._state, self._leaving = State.RUNNING, False
        self._thread = threading.Thread(target=self._run, args=(shift,), name="multiprocesstools-workers", daemon=True)
        atexit.register(self._stop_at_exit)
        self._thread.start()

    def _new_shift(self) -> Works:
        return Shift(self._desk, self._feed, self._terms)

    def _run(self, shift: Works) -> None:
        done = False
        try:
            done = shift.run()
        except BaseException as error:
            self._error = error
            _log.error("the pool has ended: %s", error)
        finally:
            self._end(done, shift)

    def _end(self, done: bool, shift: Works) -> None:
        broken = self._feed.broken
        if broken is not None and self._error is None:
            drawn, cause = broken
            self._error = TasksBroken(drawn, f"{type(cause).__name__}: {cause}")
            self._error.__cause__ = cause
        self._feed.broken = None
        if not done:
            self._drop_waiting()
        with self._lock:
            self._state, self._runs = State.FINISHED if done else State.STOPPED, False
        for tell in ([self._ended] if done else []) + [self.sig_finished.emit, self.finished.emit]:
            try:
                tell()
            except Exception:
                _log.exception("what hears of the end has raised")
        self._desk.outbox.notify()
        if self._is_in_thread():  # else a slot has begun anew
            atexit.unregister(self._stop_at_exit)

    def _drop_waiting(self) -> None:
        self._feed.close()
        self._desk.outbox.close_gaps(self._feed.number)

    def _stop_at_exit(self) -> None:
        shift, thread = self._shift, self._thread
        if shift is not None and thread is not None:
            shift.ask(Wish.END)
            self._await_end(shift, thread)

    def _await_end(self, shift: Works, thread: threading.Thread) -> None:
        """It ends at once, unless it is in a slot that has not returned, or in the middle of a large message."""
        thread.join(_STOP_SECONDS)
        if thread.is_alive():
            shift.kill()
            thread.join(_STOP_SECONDS)

    # -- small questions

    def is_alive(self) -> bool:
        """Is there a run, working or suspended, whose workers are there?"""
        return self._thread is not None and self._thread.is_alive()

    def _is_ending(self) -> bool:
        """Does the thread of an earlier run tell of its end, or stop? Whoever begins anew waits for that."""
        return not self._is_in_thread() and self.is_alive() and (not self._runs or self._state is State.STOPPED)

    def _is_in_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def _wake(self) -> None:
        if self._shift is not None:
            self._shift.wake()

    def _is_at_rest(self) -> bool:
        return self._shift is None or self._shift.at_rest or not self.is_alive()

    def _is_idle(self) -> bool:
        """Will no result come, for all that is known? WrongState before start."""
        if self._state is State.NEW:
            raise WrongState("iterating", self._state.value, "call start() first, or iterate inside `with`")
        if self._state is State.SUSPENDED:
            return self._is_at_rest()
        if self._state is State.STOPPED and self._is_in_thread():
            return True  # what is still to come comes when this slot has returned
        return self._state not in (State.RUNNING, State.STOPPED) or self._feed.is_over

    def _check_open(self, call: str) -> None:
        if self._state in (State.FINISHED, State.STOPPED):
            raise WrongState(call, self._state.value, "call restart() first")
        if self._desk.finalized:
            advice = "add all tasks before finalize_tasks(), or wait for the end and call restart()"
            raise WrongState(call, "knows that it gets no more tasks (finalize_tasks)", advice)

    def _check_end_will_come(self, timeout: float | None) -> None:
        if self._state is State.NEW:
            raise WrongState("join()", self._state.value, "call start() first")
        if self._is_in_thread():
            raise WrongState("join()", "calls this slot in its own thread", "wait in another thread")
        if timeout is not None or not self.is_alive():
            return
        if self._state is State.SUSPENDED:
            raise WrongState("join()", self._state.value, "call restart() or stop() first, or give a timeout")
        if self._state is State.RUNNING and not (self._desk.finalized or self._leaving):
            advice = "call finalize_tasks(), send_stop_signal() or stop() first, or give a timeout"
            raise WrongState("join()", "still takes tasks", advice)

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _packed(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Function:
        self._functions += 1
        return pack_function(self._functions, function, args, kwargs)


def check_count(argument: str, value: Any) -> int:
    """BadArgument unless it is a whole number, at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadArgument(argument, value, "it must be a whole number, at least 1")
    return value
