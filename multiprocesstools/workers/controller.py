"""WorkerController: a function over a queue of tasks in processes of its own, with signals, and ways to stop.

    new --start--> running <--suspend / restart--> suspended
    running --all done and finalized--> finished        any --stop--> stopped
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol

from multiprocesstools.workers.emitter import signal


class Emits(Protocol):
    """What a signal has, of psygnal or of Qt."""

    def emit(self, *args: Any) -> object: ...


class Controller:
    """The controller without its signals: whoever gives it some by these names has one, of psygnal or of Qt."""

    sig_progress: Emits
    sig_results: Emits
    sig_failed: Emits
    sig_message_from_worker: Emits
    sig_finished: Emits
    finished: Emits

    def __init__(
        self, n_workers: int | None = None, function: Callable[..., Any] | None = None, func_args: Iterable[Any] = (),
        func_kwargs: Mapping[str, Any] | None = None, *, timeout: float | None = None, max_attempts: int = 3,
        start_method: str = "spawn", run_directory: str | os.PathLike[str] | None = None, name: str | None = None,
        run_options: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        raise NotImplementedError

    def change_function(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None: ...
    def add_task(self, task: Any) -> None: ...
    def add_tasks(self, tasks: Iterable[Any]) -> None: ...
    def finalize_tasks(self) -> None: ...
    def start(self) -> None: ...
    def suspend(self) -> None: ...
    def restart(self) -> None: ...
    def stop(self) -> None: ...
    def send_stop_signal(self) -> None: ...
    def join(self, timeout: float | None = None) -> bool: ...
    def is_alive(self) -> bool: ...
    def isRunning(self) -> bool: ...
    def results(self, *, ordered: bool = False) -> Iterator[tuple[Any, Any]]: ...
    def __iter__(self) -> Iterator[tuple[Any, Any]]: ...
    def __enter__(self) -> "Controller": ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    # hooks, called in the controller's thread
    def _has_receivers(self) -> bool: ...
    def _received(self, task: Any, result: Any) -> None: ...
    def _failed(self, task: Any, error: BaseException) -> None: ...
    def _ended(self) -> None: ...


class WorkerController(Controller):
    """The controller with signals of psygnal."""

    sig_progress = signal(float)
    sig_results = signal(object, object)
    sig_failed = signal(object, object)
    sig_message_from_worker = signal(str)
    sig_finished = signal()
    finished = signal()
