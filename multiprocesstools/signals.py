"""SIGINT, SIGTERM and SIGHUP while something is held: give the claims up first, then go on as if we were not there.

Guarantee: handlers live only while the guard is entered, in the main thread; a signal that was ignored stays ignored; a
handler of the user still runs; a forked child behaves as if the handlers were not there. Inside `critical` a signal
waits until the filesystem and our tables agree again; a second one does not wait.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Guard:
    """The signal handlers of one helper."""

    def __init__(self, give_up: Callable[[], None], leave: Callable[[], None]) -> None:
        """`give_up` drops what is held; `leave` ends the membership when the signal is about to kill the process."""
        self._give_up, self._leave = give_up, leave
        self._pid = os.getpid()
        self._previous: dict[int, Any] = {}
        self._entered = self._critical = 0
        self._pending: tuple[int, FrameType | None] | None = None
        self.signalled: int | None = None

    def enter(self) -> None:
        """Install the handlers, if this is the main thread and nobody has entered yet."""
        if not _is_main():
            return
        self._entered += 1
        if self._entered == 1:
            self.signalled, self._pid = None, os.getpid()
            for number in SIGNALS:
                self._install(number)

    def leave(self) -> None:
        """Put the user's handlers back, unless somebody else has installed others meanwhile."""
        if not _is_main() or not self._entered:
            return
        self._entered -= 1
        if self._entered == 0:
            for number in list(self._previous):
                if signal.getsignal(number) == self._handle:
                    signal.signal(number, self._previous[number])
                del self._previous[number]

    @contextmanager
    def critical(self) -> Iterator[None]:
        """Let signals wait while claims change."""
        if not self._previous or not _is_main():
            yield
            return
        self._critical += 1
        try:
            yield
        finally:
            self._critical -= 1
            if self._critical == 0 and self._pending is not None:
                pending, self._pending = self._pending, None
                self._act(*pending)

    def _install(self, number: int) -> None:
        previous = signal.getsignal(number)
        if previous is not None and previous != signal.SIG_IGN:
            self._previous[number] = previous
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            self._pass_on(number, frame)
        elif self._critical and self._pending is None:
            self._pending = (number, frame)
        else:
            self._act(number, frame)

    def _act(self, number: int, frame: FrameType | None) -> None:
        self.signalled = number
        self._give_up()
        if self._previous.get(number) == signal.SIG_DFL:
            self._leave()
        self._pass_on(number, frame)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        previous = self._previous.get(number, signal.SIG_DFL)
        if callable(previous):
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()
