"""AppRunner: an app in processes.

Guarantee: results are stored in the app in the order of its tasks, whatever order they come in, by one thread, and
each before `sig_results` tells of it; a part that has failed is left out. Condition: nobody else changes the app
while it runs. Results that have to wait for an earlier one are kept within bounds, by beginning nothing new.
"""

import logging
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from multiprocesstools.errors import BadArgument, WrongState
from multiprocesstools.workers.app import BaseApp, perform
from multiprocesstools.workers.controller import Controller, WorkerController
from multiprocesstools.workers.emitter import signal
from multiprocesstools.workers.pools.engine import Emits, Works
from multiprocesstools.workers.pools.outbox import Done, Reader
from multiprocesstools.workers.pools.tally import TaskFailure

_log = logging.getLogger("multiprocesstools.workers")


class RunsApp(Controller):
    """What makes a controller run an app: above one that has signals."""

    sig_final_app_state: Emits

    def __init__(self, app: BaseApp, n_workers: int | None = None, **options: Any) -> None:
        if not isinstance(app, BaseApp):
            raise BadArgument("app", app, "it must be an object of a subclass of BaseApp")
        given = {"function", "func_args", "func_kwargs"} & options.keys()
        if given:
            raise BadArgument(min(given), options[min(given)], "an app brings its own function")
        if options.get("run_directory") is not None:
            options = {"name": type(app).__name__} | options
        super().__init__(n_workers, **options)
        self._app = app
        self._unstored: Reader | None = None

    @property
    def app(self) -> BaseApp:
        """The app that was given, in which the results are stored."""
        return self._app

    # -- a run

    def _begin(self, call: str) -> None:
        app = self._app
        app.multiprocessing_pre_run()
        if self._place is not None and any(getattr(value, "is_shared", False) for value in vars(app).values()):
            raise BadArgument("run_directory", str(self._place), "the app has shared arrays, which stay on one machine")
        self._function = self._packed(perform, (app,), {})
        self._desk.tally.base = self._desk.tally.settled
        self._feed.add(app.multiprocessing_get_tasks(), self._function)
        self._desk.finalized = True
        self._unstored = Controller.results(self, ordered=True)
        super()._begin(call)

    def _end(self, done: bool, shift: Works) -> None:
        if not done:
            self._drop_waiting()
            self._store()
        if self._unstored is not None:
            self._unstored.close()
        super()._end(done, shift)

    def _received(self, done: Sequence[Done]) -> None:
        self._store()

    def _failed(self, task: Any, error: BaseException) -> None:
        self._store()
        self.sig_failed.emit(task, error)

    def _ended(self) -> None:
        try:
            self._app.multiprocessing_post_run()
        except Exception as error:
            self._error = error  # for `join`
            _log.exception("multiprocessing_post_run has raised")
        else:
            self.sig_final_app_state.emit(self._app)

    def _store(self) -> None:
        while (found := self._next_in_order()) is not None:
            index, result = found
            try:
                self._app.multiprocessing_store_results(index, result)
            except Exception as error:
                self._could_not_store(index, error)
            else:
                self.sig_results.emit(index, result)

    def _lift_bounds(self, by: int) -> None:
        """Whoever waits: results are read by the thread of the pool."""

    def _next_in_order(self) -> tuple[Any, Any] | None:
        with self._desk.outbox.lock:
            return self._desk.outbox.take(ordered=True)

    def _could_not_store(self, index: Any, error: Exception) -> None:
        _log.exception("multiprocessing_store_results has raised for %r; the run goes on", index)
        self._desk.failures.append(TaskFailure(index, error, traceback.format_exc(), 1))
        self.sig_failed.emit(index, error)

    # -- what an app decides itself

    def change_function(self, *_: Any, **__: Any) -> NoReturn:
        """WrongState."""
        self._decline("change_function()")

    def add_task(self, *_: Any) -> NoReturn:
        """WrongState."""
        self._decline("add_task()")

    def add_tasks(self, *_: Any) -> NoReturn:
        """WrongState."""
        self._decline("add_tasks()")

    def finalize_tasks(self) -> NoReturn:
        """WrongState."""
        self._decline("finalize_tasks()")

    def results(self, **_: Any) -> NoReturn:
        """WrongState: they go into the app."""
        advice = "read the app after join(), or connect to sig_results or sig_final_app_state"
        raise WrongState("iterating", "stores its results in the app", advice)

    def _decline(self, call: str) -> NoReturn:
        raise WrongState(call, "runs an app", "its function and tasks are what multiprocessing_func and _get_tasks say")


class AppRunner(RunsApp, WorkerController):
    """An app in `n_workers` processes: `start()`, and then `join()` or `sig_final_app_state`; or `with AppRunner(app)`.

    `multiprocessing_pre_run` and `multiprocessing_get_tasks` are called by `start()`, in its thread; `store_results`
    and `multiprocessing_post_run` in the thread of the pool. A worker gets the app once, as it is after pre_run.
    Further arguments (`timeout`, `max_attempts`, `start_method`, ...), signals and methods: see `WorkerController`.

    sig_results(index, object): a part was stored.
    sig_failed(index, error): a part has failed for good, or could not be stored.
    sig_final_app_state(app): all is stored and finished; not after `stop()`. `failures` says which parts are missing.
    """

    sig_final_app_state = signal(object)
