"""Waking a thread that waits for something to do.

Unlike an Event it may be rung by handlers of signals, which run between any two steps of the thread that waits. A queue
with a timeout will not do: `SimpleQueue.get` of Python 3.11 and 3.12 waits for ever when its timeout passes before it
begins to wait, as a short one does on a busy machine.
"""

import threading
from contextlib import suppress


class Bell:
    """For one thread that waits. Several rings before it listens are one."""

    def __init__(self) -> None:
        self._silent = threading.Lock()
        self._silent.acquire()

    def ring(self) -> None:
        with suppress(RuntimeError):  # it rings already
            self._silent.release()

    def wait(self, seconds: float) -> bool:
        """Wait until it rings. False: it has not within the seconds (0 or more)."""
        return self._silent.acquire(timeout=seconds)
