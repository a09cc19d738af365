"""The thread that calls the user's code for a queue of processes: hooks, slots, the callback; in order, one at a time.

Guarantee: what raises is logged, and the next call comes.
"""

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

_log = logging.getLogger("multiprocesstools.workers")


class HookThread:
    """Starts when it is made, and ends after `close`, when all has been called."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._run, name="multiprocesstools-hooks", daemon=True)
        self.thread.start()

    def call(self, work: Callable[[], object]) -> None:
        """Have it called."""
        self._calls.put(work)

    def close(self) -> None:
        """Nothing more will come."""
        self._calls.put(None)

    def _run(self) -> None:
        while (work := self._calls.get()) is not None:
            try:
                work()
            except Exception:
                _log.exception("what a queue of processes has called has raised; the queue goes on")
            del work  # or a large input would be held until the next call
