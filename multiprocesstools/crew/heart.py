"""The thread that beats: once per `beat_seconds` it does the duties of an instance, and writes the journal in between.

Guarantee: a duty that raises does not stop the heart. While it waits it leaves signals to the main thread (`signals`
says why). Condition: the interpreter lock is given up now and then; a C call that holds it for longer than patience
looks like death to others, unless a process beats (`pacemaker`).
"""

import signal
import sys
import threading
import time
from collections.abc import Callable

from multiprocesstools.crew.signals import SIGNALS
from multiprocesstools.errors import BadArgument, check_choice
from multiprocesstools.run.journal import Journal


class Heart:
    """A daemon thread with one duty per beat."""

    def __init__(
        self, beat_seconds: float, duty: Callable[[], None], journal: Journal, say: Callable[[str], None]
    ) -> None:
        """`say` is told once of a duty that is broken."""
        self._beat_seconds, self._duty, self._journal, self._say = beat_seconds, duty, journal, say
        self._complained = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="multiprocesstools-heart", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """End the thread; one that hangs in a system call is left behind."""
        self._stopped.set()
        self._journal.bell.ring()
        if self._thread is not threading.current_thread() and self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        next_beat = time.monotonic() + self._beat_seconds
        while not self._stopped.is_set():
            if self._journal.bell.wait(max(0.0, next_beat - time.monotonic())):
                due = self._journal.due_in_seconds()
                self._stopped.wait(min(due, max(0.0, next_beat - time.monotonic())))
                self._journal.flush_if_due()
            if time.monotonic() >= next_beat and not self._stopped.is_set():
                next_beat = time.monotonic() + self._beat_seconds
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)  # what it starts would inherit the other one
                self._do()
                signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def _do(self) -> None:
        try:
            self._duty()
        except OSError:
            return  # a server that does not answer; the next beat tries again
        except Exception:
            import traceback

            self._complain(traceback.format_exc())

    def _complain(self, trace: str) -> None:
        """A duty is broken, most likely a progress function of the user. Said once: the beat is what matters."""
        if not self._complained:
            self._complained = True
            self._say(f"something fails at each beat:\n{trace}")


def check_heartbeat(heartbeat: str) -> None:
    """BadArgument for what nobody knows, and for a process where this Python cannot start another one."""
    check_choice("heartbeat", heartbeat, ("thread", "process"))
    if heartbeat == "process" and (not sys.executable or getattr(sys, "frozen", False)):
        raise BadArgument("heartbeat", heartbeat, "no other Python can be started from this one (sys.executable)")
