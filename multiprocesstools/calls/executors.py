"""The executor of a `map`: one that the caller has, or a function that makes one, and a new one when it breaks.

Guarantee: before anything is claimed a worker has shown that it gets hold of the function. What was given is not shut
down unless it is broken, which is the end of it anyway; what was made always is.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from functools import partial
from typing import Any

from multiprocesstools.calls.call import Call
from multiprocesstools.errors import BadArgument, ExecutorUnusable, PoolBroken

_ADVICE = "give an executor of concurrent.futures, or a function that makes one: lambda: ProcessPoolExecutor(4)"
_END_SECONDS = 5
_SHUT_DOWN = "if it was shut down, call map inside its `with` block, or make a new one"
_SPAWNED = 'a script whose workers are spawned needs `if __name__ == "__main__":` around what it does'


class Executors:
    """`given` is an executor or makes one. Use it with `with`. BadArgument for what is neither."""

    def __init__(self, given: Any, call: Call) -> None:
        self._call = call
        is_executor = hasattr(given, "submit") and not isinstance(given, type)
        if not is_executor and not callable(given):
            raise BadArgument("executor", given, f"it has no `submit`; {_ADVICE}")
        self._make: Callable[[], Any] | None = None if is_executor else given
        self._executor: Executor | None = given if is_executor else None

    def __enter__(self) -> "Executors":
        """Make the executor, if need be, and ask a worker. ExecutorUnusable, BadArgument."""
        self._begin()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._let_go(wait=kind is None)

    @property
    def workers(self) -> int:
        """How many items it works on at a time: what it says itself, else the number of processors."""
        number = getattr(self._executor, "_max_workers", None)  # has no public name; loky and mpi4py have it, too
        return number if isinstance(number, int) and number > 0 else processors()

    def submit(self, *arguments: Any) -> "Future[Any]":
        """Have a worker do `Call.work`. BrokenExecutor; ExecutorUnusable when it was shut down."""
        return self._submit(self._call.work, *arguments)

    @property
    def see_the_end(self) -> Callable[[], None]:
        """What waits until the workers of the present executor have ended; not for ever, because one may refuse to. For
        when it is broken: it says so before it ends them, and some may still write."""
        manager = getattr(self._executor, "_executor_manager_thread", None)  # has no public name; loky has it, too
        if isinstance(manager, threading.Thread):  # a shutdown beside the user's own would close what that closes
            return partial(manager.join, _END_SECONDS)
        return partial(_shut_down, self._executor, wait=True)

    def renew(self, held: int) -> None:
        """The executor is broken; it held so many items. Make a new one. PoolBroken if there is no way to."""
        if self._make is None:
            raise PoolBroken(held)
        self._let_go(wait=False)
        self._begin()

    def _begin(self) -> None:
        if self._make is not None:
            self._executor = self._made(self._make)
        try:
            self._ask()
        except BaseException:
            self._let_go(wait=False)
            raise

    def _submit(self, *call: Any) -> "Future[Any]":
        assert self._executor is not None
        try:
            return self._executor.submit(*call)
        except BrokenExecutor:
            raise
        except RuntimeError as error:
            raise ExecutorUnusable(f"it takes no more work ({error})", f"{_SHUT_DOWN}; {_SPAWNED}") from error

    def _ask(self) -> None:
        try:
            self._submit(self._call.is_ready).result()
        except ExecutorUnusable:
            raise
        except BrokenExecutor as error:
            reason = f"its workers ended before they had begun with anything ({error})"
            advice = f"if it was broken before, make a new one; {_SPAWNED}, and its functions must stand in a file"
            raise ExecutorUnusable(reason, advice) from error
        except Exception as error:
            reason = f"the workers of the executor cannot get hold of it ({type(error).__name__}: {error})"
            advice = "it, and save=, must be a def at the top of a file"
            raise BadArgument("function", self._call.function, f"{reason}; {advice}") from error

    def _made(self, make: Callable[[], Any]) -> Executor:
        made = make()
        if not hasattr(made, "submit"):
            raise BadArgument("executor", make, f"it has made {made!r}, which has no `submit`; {_ADVICE}")
        executor: Executor = made
        return executor

    def _let_go(self, *, wait: bool) -> None:
        if self._make is not None and self._executor is not None:
            if wait:
                self._executor.shutdown()
            else:
                _shut_down(self._executor, wait=False)
            self._executor = None


def _shut_down(executor: Any, *, wait: bool) -> None:
    """In a thread, for which somebody waits a few seconds: one that is broken holds its own lock until its workers have
    ended (Python 3.12 and newer), so that even a shutdown that does not wait would."""

    def shut_down() -> None:
        with suppress(Exception):
            executor.shutdown(wait=wait)

    end = threading.Thread(target=shut_down, daemon=True, name="multiprocesstools-executor")
    end.start()
    end.join(_END_SECONDS)


def processors() -> int:
    """Those that this process may use, where the system says so."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
