"""ProcessesLogic: a queue of scripts, first in first out, of which so many run side by side as may.

    idle --run--> at work --all are over: callback, sig_finished--> idle

Guarantee: every process that was added is settled once; the callback comes once for each `run` that has emptied the
queue, also an empty one; nothing that was started is left when the queue is closed or this process has ended, however
that ended. Condition: hooks and slots return; what leaves its session on another machine is on its own.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from multiprocesstools.workers.emitter import signal
from multiprocesstools.workers.process import Process


class ProcessesLogic:
    """Runs processes.

    Parameters
    ----------
    maximum_running_processes: how many run at a time; default: as many as processors that may be used.
    completed_callback: called without arguments when all are over.
    minimum_free_memory: begin no second one while less memory is available than so many bytes.
    maximum_load: begin no second one while the load average of the last minute is above that.
    kill_seconds: a process that is cancelled gets SIGTERM, and so many seconds later SIGKILL (2).
    stopped_seconds: a program that was stopped (SIGSTOP) for so long has failed (10).
    log_directory: a file with the whole stderr of each process goes there.
    run_directory, name: share the processes with all queues, on any machines, that are given the same processes in the
        same order and this directory.

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
        run_directory: str | os.PathLike[str] | None = None, name: str | None = None,
        run_options: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        raise NotImplementedError

    def add_process(self, process: Process) -> None:
        """At the end of the queue; also while it is at work."""
        raise NotImplementedError

    def add_processes(self, processes: Iterable[Process]) -> None:
        raise NotImplementedError

    def run(self) -> None:
        """Begin with what is pending; does not wait."""
        raise NotImplementedError

    def cancel(self, process: Process) -> None:
        raise NotImplementedError

    def cancel_all(self) -> None:
        raise NotImplementedError

    def clear_completed(self, *, failed: bool = False) -> None:
        """Take the completed ones off the list; with `failed` also those that failed or were cancelled."""
        raise NotImplementedError

    def wait_for_finished(self, timeout: float | None = None) -> bool:
        """Until the queue is idle again, and the callback has come back. Is it?"""
        raise NotImplementedError

    maximum_running_processes: int
    processes: list[Process]

    def state(self) -> dict[str, list[Process]]:
        """The processes by state, each in the order of the queue: {"Pending": [...], "Running": [...], ...}."""
        raise NotImplementedError

    def as_json(self) -> str:
        raise NotImplementedError

    def _call(self, work: Callable[[], None]) -> None:
        """Override to have hooks, slots and the callback called elsewhere, such as in the main thread of Qt: in order,
        one at a time; it need not wait for them. Default: in a thread of the queue."""
        raise NotImplementedError
