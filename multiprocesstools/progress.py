"""What a loop says while it runs: one bar for the whole run in a terminal, a line now and then in a batch job's log.

The only room beside `cli` that writes to the terminal (to stderr, so that a script's own output stays clean). What is
counted is the run, on all machines; what this instance did is said at the end.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multiprocesstools.text import count, duration, printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

LINE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Tally:
    """The items of one loop, on all machines, as far as this instance knows. `here` were done by this instance;
    `waiting_for` names the hosts that still work while there is nothing left to claim."""

    total: int
    done: int = 0
    failed: int = 0
    skipped: int = 0
    running: int = 0
    here: int = 0
    seconds: float = 0.0
    waiting_for: tuple[str, ...] = ()

    @property
    def open(self) -> int:
        return self.total - self.done - self.failed - self.skipped


Listener = Callable[[Tally], None]


class Voice:
    """What a helper says to the person at the terminal; lines go above the bar if there is one."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._pid = os.getpid()

    def say(self, text: str) -> None:
        line = f"multiprocesstools: {printable(text)}"
        if self._bar is not None and self._pid == os.getpid():
            self._bar.console.print(line, markup=False, highlight=False)
            return
        try:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        except (OSError, ValueError, RuntimeError):
            return  # nobody listens (a closed terminal), or a signal came while something was being written

    def show_bar(self, bar: "RichProgress") -> None:
        self._bar, self._pid = bar, os.getpid()
        bar.start()

    @property
    def has_bar(self) -> bool:
        return self._bar is not None

    def close(self) -> None:
        """Take the bar down and give the cursor back."""
        bar, self._bar = self._bar, None
        if bar is not None and self._pid == os.getpid():
            bar.stop()


class Progress:
    """Silence; the others build on it."""

    interval_seconds = float("inf")

    def is_due(self) -> bool:
        """Is it time for an update? Counting is not free."""
        return False

    def start(self, tally: Tally) -> None:
        """The loop begins."""

    def update(self, tally: Tally) -> None:
        """Something was counted."""

    def stop(self, tally: Tally) -> None:
        """The loop has ended."""


class Told(Progress):
    """Every tally goes to a function of the user."""

    interval_seconds = 0.0

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def is_due(self) -> bool:
        return True

    def start(self, tally: Tally) -> None:
        self._listener(tally)

    update = stop = start


class Lines(Progress):
    """A line at the start, one now and then, and a summary."""

    interval_seconds = LINE_SECONDS

    def __init__(self, voice: Voice, name: str) -> None:
        self._voice, self._name = voice, name
        self._first: Tally | None = None
        self._latest = 0.0

    def start(self, tally: Tally) -> None:
        self._first, self._latest = tally, time.monotonic()
        self._voice.say(f"{self._name}: {opening(tally)}")

    def is_due(self) -> bool:
        return time.monotonic() - self._latest >= self.interval_seconds

    def update(self, tally: Tally) -> None:
        if self.is_due():
            self._latest = time.monotonic()
            self._voice.say(f"{self._name}: {self._middle(tally)}")

    def stop(self, tally: Tally) -> None:
        self._voice.say(f"{self._name}: {closing(tally)}")

    def _middle(self, tally: Tally) -> str:
        text = f"{tally.done:,} of {tally.total:,} done"
        text += f", {tally.failed:,} failed" if tally.failed else ""
        gained = tally.done - (self._first.done if self._first else 0)
        if gained > 0 and tally.open:
            text += f", about {duration(tally.seconds * tally.open / gained)} left"
        return text + waiting(tally)


class Bar(Lines):
    """The same with a bar in between."""

    interval_seconds = 0.2

    def start(self, tally: Tally) -> None:
        super().start(tally)
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        bar = RichProgress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False), console=Console(stderr=True),
        )  # fmt: skip
        self._bar = bar
        self._task = bar.add_task(printable(self._name), total=tally.total, completed=tally.done, note=_note(tally))
        self._voice.show_bar(bar)

    def update(self, tally: Tally) -> None:
        self._latest = time.monotonic()
        completed = tally.total - tally.open
        self._bar.update(self._task, completed=completed, note=_note(tally))

    def stop(self, tally: Tally) -> None:
        self.update(tally)
        self._voice.close()
        super().stop(tally)


def choose(progress: bool | Listener | None, voice: Voice, name: str) -> Progress:
    """None: a bar in a terminal, lines elsewhere. True: the same. False: silence. A function is called with tallies."""
    if progress is False:
        return Progress()
    if callable(progress):
        return Told(progress)
    if threading.current_thread() is not threading.main_thread():
        return Progress()
    terminal = sys.stderr is not None and sys.stderr.isatty() and not voice.has_bar
    return Bar(voice, name) if terminal else Lines(voice, name)


def opening(tally: Tally) -> str:
    """The line at the start of a loop."""
    text = f"{count(tally.total, 'item')}: {tally.done:,} done, {tally.failed:,} failed, {tally.running:,} running"
    text += f", {tally.skipped:,} skipped" if tally.skipped else ""
    if tally.failed:
        text += f" ({tally.failed:,} failed: `multiprocesstools retry` or items(retry_failed=True))"
    return text


def closing(tally: Tally) -> str:
    """The line at the end of a loop."""
    text = f"{tally.here:,} done here in {duration(tally.seconds)}; of {tally.total:,} in all {tally.done:,} are done"
    text += f", {tally.skipped:,} skipped" if tally.skipped else ""
    text += f", {tally.failed:,} failed (see `multiprocesstools status --failed`)" if tally.failed else ""
    return text + (f", {tally.open:,} not finished" if tally.open else "")


def waiting(tally: Tally) -> str:
    return f"; waiting for {', '.join(map(printable, tally.waiting_for))}" if tally.waiting_for else ""


def _note(tally: Tally) -> str:
    failed = f"{tally.failed:,} failed" if tally.failed else ""
    return failed + waiting(tally)
