"""BaseApp: a computation in parts, which can be run here, one part after the other, or in processes (`AppRunner`).

    pre_run -> tasks -> for each: pre_cycle, carryon?, func | store_results, in the order of the tasks -> post_run
                                  in a worker               | here                                        here

Guarantee: `run()` and an `AppRunner` leave the same state. Condition: what is to stay of a part is returned by
`multiprocessing_func` or written into a shared array; what else it changes in the app stays in the worker.
"""

from collections.abc import Iterable
from copy import deepcopy
from typing import Any, Self

from multiprocesstools.clock import SystemClock
from multiprocesstools.retrying import pauses


class BaseApp:
    """Subclass it, with at least `multiprocessing_get_tasks` and `multiprocessing_func`.

    Large arrays into which all parts write are made by `shared_array` in `multiprocessing_pre_run`.
    """

    def multiprocessing_pre_run(self) -> None:
        """Prepare the run. Called once, here, before there are workers."""

    def multiprocessing_get_tasks(self) -> Iterable[Any]:
        """The parts. Each is the `index` of the other methods; it may be anything that can be pickled."""
        raise NotImplementedError(f"{type(self).__name__} has to say its tasks: write multiprocessing_get_tasks(self)")

    def multiprocessing_pre_cycle(self, index: Any) -> None:
        """Prepare a part. Called where it will be computed."""

    def multiprocessing_carryon(self) -> bool:
        """Can the part be computed now? It is asked again, at growing intervals, until it is so.

        The way out of this wait is an exception, which fails the part; `timeout=` of the runner; or `stop()`.
        """
        return True

    def multiprocessing_func(self, index: Any) -> Any:
        """Compute a part. What it returns goes to `multiprocessing_store_results`."""
        raise NotImplementedError(f"{type(self).__name__} has to compute: write multiprocessing_func(self, index)")

    def multiprocessing_store_results(self, index: Any, *results: Any) -> None:
        """Keep what `multiprocessing_func` has returned, `results[0]`. Called here, in the order of the tasks."""

    def multiprocessing_post_run(self) -> None:
        """Finish the run. Called once, here, when all is stored."""

    def run(self) -> None:
        """Do it all in this thread. Raises what a part raises."""
        self.multiprocessing_pre_run()
        for index in self.multiprocessing_get_tasks():
            self.multiprocessing_store_results(index, perform(index, self))
        self.multiprocessing_post_run()

    def copy(self) -> Self:
        """An app of its own in the same state; its shared arrays, too, are its own."""
        return deepcopy(self)


def perform(index: Any, app: BaseApp) -> Any:
    """One part, where it is computed."""
    app.multiprocessing_pre_cycle(index)
    for _ in pauses(SystemClock()):
        if app.multiprocessing_carryon():
            break
    return app.multiprocessing_func(index)
