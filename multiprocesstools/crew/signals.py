"""SIGINT, SIGTERM and SIGHUP while something is held: give the claims up first, then go on as if we were not there.

Guarantee: handlers live only while the guard is entered, in the main thread; a signal that was ignored stays ignored; a
handler of the user still runs; a forked child has the handlers that were there before. Inside `critical` a signal
waits until the filesystem and our tables agree again; a second one does not wait.

Forks: CPython forgets in a new child which signals have come since the fork, if they have a handler in Python, so that
a child that is terminated at once would live on. Therefore signals are blocked during a fork, until the child has the
former handlers. The kernel gives them to another thread meanwhile, if it can: such a signal may be noted when the main
thread waits in a call already, and does not wake it. So the heart, while it waits, and the thread that sends a signal
again block them too; with threads of the user's own that can still happen.
"""

import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from threading import get_ident
from types import FrameType
from typing import Any, Protocol

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_END_THE_WORK = (signal.SIG_DFL, signal.default_int_handler)
_SOON_SECONDS = 0.01


class Holder(Protocol):
    """Whoever holds claims."""

    def interrupted(self, number: int) -> None:
        """A signal has come."""

    def give_up_all(self, *, in_place: bool = True) -> None:
        """Drop what is held; without `in_place` not what is being written in place, because the work may go on."""

    def die(self) -> None:
        """The process is about to be killed by the signal."""


class Guard:
    """The signal handlers of one helper. `with guard.critical:` lets signals wait while claims change; in other threads
    than the main one no signal ever comes."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder
        self._installed: _Handlers | None = None
        self._entered = 0
        self._masks: dict[int, set[Any]] = {}
        self._attends_forks = False
        self.critical = _Section(self._act_on_pending)
        self.signalled: int | None = None

    def enter(self) -> None:
        """Install the handlers, if this is the main thread and nobody has entered yet."""
        if self._entered == 0:
            self.signalled = None
        if not _is_main():
            return
        self._entered += 1
        if self._entered == 1:
            self._attend_forks()
            self._installed = _Handlers(self._handle)
            self._installed.install()

    def leave(self) -> None:
        """Put the user's handlers back, unless somebody else has installed others meanwhile."""
        if not _is_main() or not self._entered:
            return
        self._entered -= 1
        if self._entered == 0 and self._installed is not None:
            self._installed.remove()
            self._installed = None

    # -- forks

    def _attend_forks(self) -> None:
        if self._attends_forks:
            return
        self._attends_forks = True
        reference = weakref.ref(self)

        def tell(act: Callable[[Guard], None]) -> None:
            if (guard := reference()) is not None:
                act(guard)

        os.register_at_fork(
            before=lambda: tell(Guard._before_fork), after_in_parent=lambda: tell(Guard._after_fork),
            after_in_child=lambda: tell(Guard._begin_as_child),
        )  # fmt: skip

    def _before_fork(self) -> None:
        if self._installed is not None:
            self._masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def _after_fork(self) -> None:
        thread = threading.get_ident()
        if thread in self._masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, self._masks[thread])
            del self._masks[thread]

    def _begin_as_child(self) -> None:
        if self._installed is not None:
            self._installed.remove()
        self._installed, self._entered = None, 0
        self.critical.begin_anew()
        self._after_fork()

    # -- signals

    def _handle(self, handlers: "_Handlers", number: int, frame: FrameType | None) -> None:
        if threading.get_ident() in self._masks:  # an exception would be lost where the interpreter forks
            threading.Thread(target=_send_again, args=(number,), daemon=True).start()
        elif self.critical.depth and self.critical.pending is None:
            self.critical.pending = (handlers, number, frame)
        else:
            self._act(handlers, number, frame)

    def _act(self, handlers: "_Handlers", number: int, frame: FrameType | None) -> None:
        """Give up, then pass the signal on, whatever the giving up has met; another one waits for that."""
        self.signalled = number
        self.critical.depth += 1
        try:
            self._give_up(number, handlers.last(number))
        finally:
            self.critical.depth -= 1
            try:
                self._pass_on(handlers, number, frame)
            finally:
                self._act_on_pending()

    def _act_on_pending(self) -> None:
        section = self.critical
        if section.depth == 0 and section.pending is not None:
            pending, section.pending = section.pending, None
            self._act(*pending)

    def _give_up(self, number: int, last: Any) -> None:
        self._holder.interrupted(number)
        self._holder.give_up_all(in_place=last in _END_THE_WORK)
        if last == signal.SIG_DFL:
            self._holder.die()

    def _pass_on(self, handlers: "_Handlers", number: int, frame: FrameType | None) -> None:
        try:
            handlers.pass_on(number, frame)
        except BaseException:
            self._holder.give_up_all()
            raise


class _Section:
    """What `Guard.critical` gives: made once, because every item passes it several times. `pending` is a signal that
    came while the main thread was inside, `depth` times."""

    __slots__ = ("_act_on_pending", "_main_thread", "depth", "pending")

    def __init__(self, act_on_pending: Callable[[], None]) -> None:
        self._act_on_pending = act_on_pending
        self.begin_anew()

    def begin_anew(self) -> None:
        """In a forked child nobody is inside, and the thread that forked is the main one."""
        self._main_thread, self.depth = threading.main_thread().ident, 0
        self.pending: tuple[_Handlers, int, FrameType | None] | None = None

    def __enter__(self) -> None:
        if get_ident() == self._main_thread:
            self.depth += 1

    def __exit__(self, *error: object) -> None:
        if self.depth and get_ident() == self._main_thread:  # a child forked inside begins at 0 anew
            self.depth -= 1
            if self.pending is not None:
                self._act_on_pending()


class _Handlers:
    """Our handlers for one stay, on top of those that were there. Whoever still calls them later gets these."""

    def __init__(self, handle: Callable[["_Handlers", int, FrameType | None], None]) -> None:
        self._do, self._pid, self._on = handle, os.getpid(), True
        self._beneath: dict[int, Any] = {}

    def install(self) -> None:
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if handler is not None and handler != signal.SIG_IGN:
                self._beneath[number] = handler
                signal.signal(number, self._handle)

    def remove(self) -> None:
        self._on = False
        for number in self._beneath:
            if signal.getsignal(number) == self._handle:
                signal.signal(number, self._next(number))

    def last(self, number: int) -> Any:
        """What happens in the end, after the guards of other helpers."""
        handler = self._next(number)
        while (below := _owner(handler)) is not None:
            handler = below._next(number)
        return handler

    def pass_on(self, number: int, frame: FrameType | None) -> None:
        handler = self._next(number)
        if callable(handler):
            handler(number, frame)
        elif handler == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_on():
            self._do(self, number, frame)
        else:
            self.pass_on(number, frame)

    def _is_on(self) -> bool:
        return self._on and self._pid == os.getpid()

    def _next(self, number: int) -> Any:
        """The handler beneath, leaving out our own that were left or that a fork has inherited."""
        handler = self._beneath[number]
        while (below := _owner(handler)) is not None and not below._is_on():
            handler = below._beneath[number]
        return handler


def _owner(handler: Any) -> _Handlers | None:
    owner = getattr(handler, "__self__", None)
    return owner if isinstance(owner, _Handlers) else None


def _send_again(number: int) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    time.sleep(_SOON_SECONDS)
    os.kill(os.getpid(), number)


def _is_main() -> bool:
    return threading.get_ident() == threading.main_thread().ident
