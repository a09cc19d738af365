"""ProcessesLogic: a queue of scripts, first in first out, of which so many run side by side as may.

    idle --run--> at work --all are over: callback, sig_finished--> idle

Guarantee: every process that was added is settled once; the callback comes once for each time that the queue was
emptied, also for the `run` of an empty one; nothing that was started is left when the queue is closed or this process
has ended, however that ended. Condition: hooks and slots return; see `child` for what can leave a program behind.
"""

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from multiprocesstools.calls.executors import processors
from multiprocesstools.errors import BadArgument, WrongState
from multiprocesstools.workers.emitter import signal
from multiprocesstools.workers.pools.shared_run import place_of
from multiprocesstools.workers.process import Process, ProcessState, as_json
from multiprocesstools.workers.programs.bounds import Bounds
from multiprocesstools.workers.programs.dispatch import Dispatch, Phase
from multiprocesstools.workers.programs.wires import Patience

_CLOSE_SECONDS = 5.0


class ProcessesLogic(Dispatch):
    """Runs processes. Use it with `with`, which runs what was added and waits for it; or call `close` at the end.

    Parameters
    ----------
    maximum_running_processes: how many run at a time; default: as many as processors that may be used. It can be set
        at any time; what runs beyond a smaller one is not ended.
    completed_callback: called without arguments when all are over.
    minimum_free_memory: begin no second one while less memory is available than so many bytes.
    maximum_load: begin no second one while the load average of the last minute is above that.
    kill_seconds: what is to be ended gets SIGTERM, and so many seconds later SIGKILL (2).
    stopped_seconds: a program has failed that was stopped (SIGSTOP) for so long, or that is to be kept alive, has read
        its input and did not call `run` for so long (10).
    log_directory: a file with the whole stderr of each process is written there.
    run_directory, name: share the processes with all queues, on any machines, that are given the same processes in the
        same order, this directory and this name; each gets all outputs, also those of earlier starts. `run` begins with
        what was added; more can be added when the queue is empty. A process that fails is tried again, by whomever, as
        often as the run allows (3); one that is cancelled here counts as failed, and after `cancel_all` as given back.
    run_options: further arguments of MultiProcessHelper: `max_attempts`, `patience_seconds`, `parameters`, ...

    Signals (psygnal), emitted in the thread that calls the hooks
    ----------
    sig_state_changed(process, state)   sig_stderr(process, text), live   sig_usage(process), twice a second
    sig_finished(): all are over, after the callback.
    """

    sig_state_changed = signal(object, object)
    sig_stderr = signal(object, str)
    sig_usage = signal(object)
    sig_finished = signal()

    def __init__(
        self, maximum_running_processes: int | None = None, completed_callback: Callable[[], Any] | None = None, *,
        minimum_free_memory: int | None = None, maximum_load: float | None = None, kill_seconds: float = 2.0,
        stopped_seconds: float = 10.0, log_directory: str | os.PathLike[str] | None = None,
        run_directory: str | os.PathLike[str] | None = None, name: str = "processes",
        run_options: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        if completed_callback is not None and not callable(completed_callback):
            raise BadArgument("completed_callback", completed_callback, "it must be a function without arguments")
        most = processors() if maximum_running_processes is None else maximum_running_processes
        for argument, seconds in (("kill_seconds", kill_seconds), ("stopped_seconds", stopped_seconds)):
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
                raise BadArgument(argument, seconds, "it must be a number of seconds")
        bounds = Bounds(most, minimum_free_memory, maximum_load)
        directory = None if log_directory is None else os.path.abspath(log_directory)
        place = None if run_directory is None else place_of(run_directory, name, None, run_options or {})
        super().__init__(bounds, Patience(kill_seconds, stopped_seconds), directory, place)
        self.completed_callback = completed_callback

    # -- what is to be done

    def add_process(self, process: Process) -> None:
        """At the end of the queue; while it is at work, too; cancelled at once if it is being closed.

        BadArgument for what is in a queue already.
        """
        if not isinstance(process, Process):
            raise BadArgument("process", process, "it must be a Process")
        with self._lock:
            if self._share is not None and self._phase is not Phase.IDLE:
                raise WrongState("add_process()", "shares its processes with others", "add all before run()", "queue")
            if process._ledger.number:
                raise BadArgument("process", process, "it was added to a queue before; make a new one")
            self._added += 1
            process._ledger.number = self._added
            self._processes.append(process)
            self._pending.append(process)
            if self._closing:
                self._cancel(process)
            self._begin_what_may()

    def add_processes(self, processes: Iterable[Process]) -> None:
        """Several, in their order."""
        for process in processes:
            self.add_process(process)

    def run(self) -> None:
        """Begin with what is pending, and go on until the queue is empty; does not wait."""
        with self._lock:
            if self._phase is Phase.ENDING:
                self._again = not self._closing
            elif self._phase is Phase.IDLE:
                self._phase = Phase.WORK
                self._open()
                if self._share is not None:
                    self._is_sharing = True
                    self._threads.append(self._share.begin(list(self._pending)))
                self._begin_what_may()

    def cancel(self, process: Process) -> None:
        """End it, with all that it has started, also behind a prefix; does not wait. Nothing if it is over.

        BadArgument if it is not of this queue.
        """
        with self._lock:
            if process not in self._processes:
                raise BadArgument("process", process, "it is not in this queue")
            self._cancel(process)

    def cancel_all(self) -> None:
        """Cancel all that are pending or running."""
        if self._share is not None:
            self._share.stop()
        with self._lock:
            for process in [*self._pending, *self._running]:
                self._cancel(process)

    def clear_completed(self, *, failed: bool = False) -> None:
        """Take those off the list that are completed; with `failed` also those that failed or were cancelled."""
        with self._lock:
            self._processes = [process for process in self._processes if not _is_cleared(process.state, failed)]

    def wait_for_finished(self, timeout: float | None = None) -> bool:
        """Wait until the queue is empty and the callback has come back, at most `timeout` seconds. Is it?

        WrongState where it would wait for ever: before `run`, and in a hook, a slot or the callback.
        """
        with self._lock:
            if self._is_in_hook():
                raise WrongState("wait_for_finished()", "has called this hook", "return from it first", "queue")
            if self._phase is Phase.IDLE and self._pending:
                raise WrongState("wait_for_finished()", "was not started", "call run() first", "queue")
            return self._changed.wait_for(lambda: self._phase is Phase.IDLE, timeout)

    # -- what is going on

    @property
    def maximum_running_processes(self) -> int:
        """How many run at a time."""
        return self._bounds.running

    @maximum_running_processes.setter
    def maximum_running_processes(self, most: int) -> None:
        with self._lock:
            self._bounds = Bounds(most, self._bounds.free_memory, self._bounds.load)
            if self._pump is not None:
                self._pump.keep(most)
            self._begin_what_may()

    @property
    def processes(self) -> list[Process]:
        """Those that are on the list, in the order in which they were added."""
        return list(self._processes)

    def state(self) -> dict[str, list[Process]]:
        """The processes by state, in their order: {"Pending": [...], "Running": [...], ...}."""
        with self._lock:
            found: dict[str, list[Process]] = {state.value: [] for state in ProcessState}
            for process in self._processes:
                found[process.state.value].append(process)
            return found

    def as_json(self) -> str:
        """All that is known of all processes, as a JSON list."""
        with self._lock:
            return as_json(self._processes)

    @property
    def is_running(self) -> bool:
        """Is it at work, or has the callback yet to come back?"""
        return self._phase is not Phase.IDLE

    # -- the end

    def close(self) -> None:
        """Cancel all, and wait until nothing is left; in a hook it does not wait. It can be run again."""
        if self._is_in_hook():
            return self.cancel_all()
        for thread in self._wind_up(None):
            thread.join()

    def _close_at_exit(self) -> None:
        for thread in self._wind_up(self._patience.kill_seconds + _CLOSE_SECONDS):
            thread.join(_CLOSE_SECONDS)

    def _wind_up(self, seconds: float | None) -> list[threading.Thread]:
        """Cancel all, also what hooks and the callback add meanwhile. The threads that are about to end."""
        self._closing = True
        try:
            self.cancel_all()
            with self._lock:
                self._again = False
                self._changed.wait_for(lambda: self._phase is Phase.IDLE, seconds)
                return self._let_go()
        finally:
            self._closing = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish what was added; after an exception, cancel it."""
        try:
            if error is None:
                if self._pending:
                    self.run()
                self.wait_for_finished()
        finally:
            self.close()

    def _finished(self) -> None:
        if self.completed_callback is not None:
            self.completed_callback()

    def _is_in_hook(self) -> bool:
        return self._hooks is not None and self._hooks.thread is threading.current_thread()


def _is_cleared(state: ProcessState, failed: bool) -> bool:
    return state is ProcessState.COMPLETED or (failed and state.is_over)
