"""WorkerController: a function over a queue of tasks in processes of its own, with signals, and ways to stop.

    new --start--> running <--suspend / restart--> suspended
    running --finalized, and all is done--> finished --restart--> running
    running | suspended --stop--> stopped --restart--> running

Guarantee: every task that was added is settled once, by a result or by the error of its last attempt; no process
outlives `stop`, the end of a run, or the process that started them. Condition: slots and tasks' iterables return.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from multiprocesstools.errors import BadArgument, WrongState
from multiprocesstools.workers.emitter import Emitter, signal
from multiprocesstools.workers.pools.engine import Engine, State, Works
from multiprocesstools.workers.pools.outbox import Done, Reader
from multiprocesstools.workers.pools.shared_run import Place, SharedRun, place_of
from multiprocesstools.workers.pools.shift import Wish
from multiprocesstools.workers.pools.tally import TaskFailure


class Controller(Engine):
    """The controller without its signals: whoever gives it some by their names has one, of psygnal or of Qt."""

    def __init__(
        self, n_workers: int | None = None, function: Callable[..., Any] | None = None, func_args: Iterable[Any] = (),
        func_kwargs: Mapping[str, Any] | None = None, *, timeout: float | None = None, max_attempts: int = 3,
        start_method: str = "spawn", run_directory: str | os.PathLike[str] | None = None, name: str | None = None,
        run_options: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            n_workers, function, func_args, func_kwargs, timeout=timeout, max_attempts=max_attempts,
            start_method=start_method,
        )  # fmt: skip
        self._place: Place | None = None
        if run_directory is not None:
            self._place = place_of(run_directory, name, function, run_options or {})
        elif name is not None or run_options is not None:
            given = "name" if name is not None else "run_options"
            raise BadArgument(given, name or run_options, "it is for a pool with a run_directory")

    def _new_shift(self) -> Works:
        if self._place is None:
            return super()._new_shift()
        return SharedRun(self._desk, self._feed, self._terms, self._place)

    # -- what is to be done

    def change_function(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call `function(task, *args, **kwargs)` for the tasks that are added from now on.

        What waits since before a suspension keeps its function. BadArgument for what cannot be sent to a worker;
        WrongState while the pool is running and has had tasks: suspend it first.
        """
        with self._lock:
            if self._state is State.RUNNING and self._feed.target:
                raise WrongState("change_function()", self._state.value, "call suspend() first, and restart() after it")
            self._function = self._packed(function, args, kwargs)
            if self._state is State.NEW:
                self._feed.rebind(self._function)
            self._desk.tally.base = self._desk.tally.settled
            self._desk.finalized = False

    def add_task(self, task: Any) -> None:
        """One more task. WrongState after finalize_tasks, after the end, and after stop."""
        with self._lock:
            self._check_open("add_task()")
            self._feed.add_one(task, self._function)

    def add_tasks(self, tasks: Iterable[Any]) -> None:
        """More tasks: a collection is copied, any other iterable is drawn as the tasks are needed. WrongState."""
        with self._lock:
            self._check_open("add_tasks()")
            try:
                self._feed.add(tasks, self._function)
            except TypeError as error:
                raise BadArgument("tasks", tasks, f"it cannot be iterated ({error})") from error

    def finalize_tasks(self) -> None:
        """No more tasks will be added: the run ends when all are done. WrongState the second time."""
        with self._lock:
            self._check_open("finalize_tasks()")
            self._desk.finalized = True
        self._wake()

    # -- starting and stopping

    def start(self) -> None:
        """Start the workers. WrongState when it was started before; MainGuardMissing in a worker."""
        with self._lock:
            if self._state is not State.NEW:
                raise WrongState("start()", self._state.value, "call restart() to go on after a suspension or an end")
            self._begin("start()")

    def suspend(self, timeout: float | None = None) -> bool:
        """Begin no more tasks, and wait (at most `timeout` seconds) until those in work are done. Are they?

        Results need not have been read. In a slot it does not wait. WrongState before start, and after stop.
        """
        with self._lock:
            if self._state in (State.NEW, State.STOPPED):
                raise WrongState("suspend()", self._state.value, "call start(), or restart() after stop()")
            if self._state is State.FINISHED:
                self._desk.finalized = False
            self._state = State.SUSPENDED
            self._ask(Wish.PAUSE)
        if self._is_in_thread():
            return self._is_at_rest()
        with self._desk.outbox.changed:
            return self._desk.outbox.changed.wait_for(self._is_at_rest, timeout)

    def restart(self) -> None:
        """Go on after `suspend`, or begin anew after the end or after `stop`. WrongState before start, and running."""
        if self._thread is not None and self._is_ending():
            self._thread.join()  # without the lock: a slot that hears of the end may need it
        with self._lock:
            if self._state in (State.NEW, State.RUNNING):
                raise WrongState("restart()", self._state.value, "start() begins, suspend() interrupts")
            if self._state is State.SUSPENDED and self._runs:
                self._state = State.RUNNING
                self._ask(Wish.WORK)
                return
            self._desk.finalized &= self._state is State.SUSPENDED
            self._begin("restart()")

    def send_stop_signal(self) -> None:
        """Begin no more tasks; the run ends when those in work are done. Does not wait. WrongState before start."""
        with self._lock:
            if self._state is State.NEW:
                raise WrongState("send_stop_signal()", self._state.value, "call start() first")
            self._leaving = True
            self._ask(Wish.LEAVE)

    def stop(self) -> None:
        """End now: tasks in work are ended with their workers, those that wait are dropped. Results stay readable.

        In a slot it does not wait. Once stopped, stopping does nothing. WrongState before start.
        """
        with self._lock:
            if self._state is State.NEW:
                raise WrongState("stop()", self._state.value, "call start() first")
            if self._state is not State.FINISHED:
                self._state = State.STOPPED
            self._ask(Wish.END)
            shift, thread = self._shift, self._thread
        if shift is not None and thread is not None and not self._is_in_thread():
            self._await_end(shift, thread)
        if self._state is State.STOPPED and not self._is_in_thread():  # which drops it when it has taken what it has
            self._drop_waiting()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end of the run, at most `timeout` seconds. Has it ended?

        Raises WrongState where it would wait for ever: before start, in a slot, and without a timeout before
        finalize_tasks or while suspended. Raises what has ended the run early: WorkersUnusable, TasksBroken.
        """
        self._check_end_will_come(timeout)
        thread = self._thread
        self._lift_bounds(+1)
        try:
            if thread is not None:
                thread.join(timeout)
                if thread.is_alive():
                    return False
        finally:
            self._lift_bounds(-1)
        self._raise_error()
        return True

    # -- what is going on

    @property
    def n_workers(self) -> int:
        """The number of processes."""
        return self._terms.n_workers

    @property
    def progress(self) -> float:
        """-1 without tasks, else which part of those that are known is done or has failed, from 0 to 1.

        Of an iterable that is drawn as needed one more is known than was drawn. `change_function` begins anew.
        """
        return self._desk.tally.progress(self._feed.target)

    @property
    def failures(self) -> list[TaskFailure]:
        """The tasks that have failed for good, the latest 1,000."""
        return list(self._desk.failures)

    def isRunning(self) -> bool:
        """Is it working, or ready for tasks: started, not suspended, not over?"""
        return self._state is State.RUNNING and self.is_alive()

    # -- results

    def results(self, *, ordered: bool = False) -> Reader:
        """Iterate over (task, result), by completion or in the order in which the tasks were added.

        It ends when nothing is in work and nothing waits, and when the pool was suspended or stopped and what it has
        done was read; so tasks may be added while it is read. A task that failed is left out: see `failures` and
        `sig_failed`. While somebody reads, tasks are begun only as fast as results are read. Results are kept for
        those who read later, unless something is connected to `sig_results`.

        Raises, at the end, what has ended the run early: WorkersUnusable, TasksBroken.
        """
        self._desk.warn_of_passed_by()
        if self._place is not None and self._state is State.RUNNING and not self._desk.finalized:
            self.finalize_tasks()
        return Reader(self._desk.outbox, ordered=ordered, is_idle=self._is_idle, at_end=self._raise_error)

    def __iter__(self) -> Reader:
        return self.results()

    def __enter__(self) -> Self:
        if self._state is State.NEW:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish what was added; after an exception, and when it is suspended, stop."""
        if error is not None or self._state is not State.RUNNING:
            self.stop()
            return
        try:
            if not self._desk.finalized:
                self.finalize_tasks()
            self.join()
        finally:
            self.stop()

    def _lift_bounds(self, by: int) -> None:
        """Somebody waits for the end (+1), and so does not read, or does not any more (-1)."""
        self._desk.outbox.lift(by)

    def _ask(self, wish: Wish) -> None:
        if self._shift is not None:
            self._shift.ask(wish)


class WorkerController(Controller):
    """A function over a queue of tasks, in `n_workers` processes (default: as many as processors that may be used).

    `function(task, *func_args, **func_kwargs)` is called for each task. Functions of consoles and notebooks will do.

    Parameters
    ----------
    timeout: seconds that one call may take; its worker is killed then, and the attempt has failed.
    max_attempts: so often a task is tried that raises, kills its worker or takes too long (3). What cannot be pickled
        is not tried again.
    start_method: of multiprocessing: "spawn", or "fork" or "forkserver".
    run_directory: share the tasks with all pools, on any machines, that are given the same tasks in the same order and
        this directory; each receives all results, also those of earlier starts. Work begins at `finalize_tasks()`, or
        when the results are iterated over, because the list must be known. Results lie in `run_directory/name/`.
    name: what this list of tasks is called; default: the name of the function.
    run_options: further arguments of MultiProcessHelper: `patience_seconds`, `durable`, `parameters`, ...

    Signals, emitted in the thread of the pool; see `multiprocesstools.workers.emitter` for the ways to connect
    ----------
    sig_progress(float): see `progress`.
    sig_results(task, result): a task is done.
    sig_failed(task, error): a task has failed for good. The traceback of the worker is a note of the error.
    sig_message_from_worker(str): what the function has said by `send_message`.
    finished, sig_finished: the run has ended: all is done, or it was stopped.
    """

    sig_progress = signal(float)
    sig_results = signal(object, object)
    sig_failed = signal(object, object)
    sig_message_from_worker = signal(str)
    sig_finished = signal()
    finished = signal()

    def _has_receivers(self) -> bool:
        return _is_heard(self.sig_results)

    def _progress_is_heard(self) -> bool:
        return _is_heard(self.sig_progress)

    def _received(self, done: Sequence[Done]) -> None:
        results = self.sig_results
        if isinstance(results, Emitter) and len(results):
            results.emit_each([(job.task, result) for job, result, _ in done])


def _is_heard(emitter: object) -> bool:
    return isinstance(emitter, Emitter) and len(emitter) > 0
