"""What a loop says while it runs: one bar for the whole run in a terminal or a notebook, or a line now and then.

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

from multiprocesstools.display.text import count, duration, printable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from multiprocesstools.display.notebook import Place

LINE_SECONDS = 60.0
_COUNT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Tally:
    """The items of one loop, on all machines, as far as this instance knows. `here` were done by this instance;
    `waiting_for` names the hosts that still work while there is nothing left to claim; `paused`: nothing new is begun
    until `multiprocesstools resume`."""

    total: int
    done: int = 0
    failed: int = 0
    skipped: int = 0
    running: int = 0
    here: int = 0
    seconds: float = 0.0
    waiting_for: tuple[str, ...] = ()
    paused: bool = False

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
    """Silence; the others build on it. `count_seconds` is how often what other machines have done is worth counting."""

    interval_seconds = count_seconds = float("inf")

    def is_due(self) -> bool:
        """Is it time for an update? Counting is not free."""
        return False

    def start(self, tally: Tally) -> None:
        """The loop begins."""

    def update(self, tally: Tally) -> None:
        """Something was counted."""

    def stop(self, tally: Tally, reason: str = "") -> None:
        """The loop has ended; `reason` if it did so before everything was done."""


class Told(Progress):
    """Every tally goes to a function of the user."""

    count_seconds = _COUNT_SECONDS

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def is_due(self) -> bool:
        return True

    def start(self, tally: Tally) -> None:
        self._listener(tally)

    update = start

    def stop(self, tally: Tally, reason: str = "") -> None:
        self._listener(tally)


class Lines(Progress):
    """A line at the start, one now and then, and a summary."""

    interval_seconds = count_seconds = LINE_SECONDS

    def __init__(self, voice: Voice, name: str, directory: str = "") -> None:
        self._voice, self._name, self._directory = voice, name, directory
        self._first: Tally | None = None
        self._latest = 0.0

    def start(self, tally: Tally) -> None:
        self._first, self._latest = tally, time.monotonic()
        self._put(tally, opening(tally, self._directory))

    def is_due(self) -> bool:
        return time.monotonic() - self._latest >= self.interval_seconds

    def update(self, tally: Tally) -> None:
        if self.is_due():
            self._latest = time.monotonic()
            self._put(tally, self._middle(tally))

    def stop(self, tally: Tally, reason: str = "") -> None:
        self._put(tally, f"{reason + ': ' if reason else ''}{closing(tally, self._directory)}")

    def _put(self, tally: Tally, text: str) -> None:
        self._voice.say(f"{self._name}: {text}")

    def _middle(self, tally: Tally) -> str:
        text = f"{tally.done:,} of {tally.total:,} done"
        text += f", {tally.failed:,} failed" if tally.failed else ""
        gained = tally.done - (self._first.done if self._first else 0)
        if gained > 0 and tally.open:
            text += f", about {duration(tally.seconds * tally.open / gained)} left"
        return "; ".join(filter(None, (text, waiting(tally))))


class Bar(Lines):
    """The same with a bar in between."""

    interval_seconds, count_seconds = 0.2, _COUNT_SECONDS

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

    def stop(self, tally: Tally, reason: str = "") -> None:
        self.update(tally)
        self._voice.close()
        super().stop(tally, reason)


class CellBar(Lines):
    """A bar and what would be the latest line, in one place of a notebook that changes; the saved notebook has it once.

    Not the bar of rich, which needs ipywidgets there and is missing in a notebook that is opened later.
    """

    interval_seconds, count_seconds = 0.2, _COUNT_SECONDS

    def __init__(self, place: "Place", voice: Voice, name: str, directory: str) -> None:
        super().__init__(voice, name, directory)
        self._place = place

    def update(self, tally: Tally) -> None:
        self._latest = time.monotonic()
        self._put(tally, self._middle(tally))

    def _put(self, tally: Tally, text: str) -> None:
        from multiprocesstools.display.table import bar

        line = printable(f"{self._name}: {text}")
        self._place.show(line, bar(tally.total - tally.open, tally.total, line))


def choose(progress: bool | Listener | None, voice: Voice, name: str, directory: str) -> Progress:
    """None or True: a bar in a terminal or a notebook, lines elsewhere. False: silence. A function gets tallies."""
    if progress is False:
        return Progress()
    if callable(progress):
        return Told(progress)
    if threading.current_thread() is not threading.main_thread():
        return Progress()
    if (place := _place()) is not None:
        return CellBar(place, voice, name, directory)
    return Bar(voice, name, directory) if not voice.has_bar and _is_in_front() else Lines(voice, name, directory)


def opening(tally: Tally, directory: str) -> str:
    """The line at the start of a loop."""
    text = f"{count(tally.total, 'item')}: {tally.done:,} done, {tally.running:,} running"
    text += f", {tally.skipped:,} skipped" if tally.skipped else ""
    if not tally.failed:
        return text + ", 0 failed"
    return text + f", {tally.failed:,} failed: `multiprocesstools retry {directory}` or items(retry_failed=True)"


def closing(tally: Tally, directory: str) -> str:
    """The line at the end of a loop."""
    text = f"{tally.here:,} done here in {duration(tally.seconds)}; of {tally.total:,} in all {tally.done:,} are done"
    text += f", {tally.skipped:,} skipped" if tally.skipped else ""
    text += f", {tally.open:,} not finished" if tally.open else ""
    return text + (
        f", {tally.failed:,} failed: `multiprocesstools status --failed {directory}`" if tally.failed else ""
    )


def waiting(tally: Tally) -> str:
    if tally.paused:
        return "paused: `multiprocesstools resume` goes on"
    return f"waiting for {', '.join(map(printable, tally.waiting_for))}" if tally.waiting_for else ""


def _note(tally: Tally) -> str:
    failed = f"{tally.failed:,} failed" if tally.failed else ""
    return "; ".join(filter(None, (failed, waiting(tally))))


def _place() -> "Place | None":
    """Where a notebook shows a bar, if this is one."""
    if "IPython" not in sys.modules:
        return None
    from multiprocesstools.display.notebook import place

    return place()


def _is_in_front() -> bool:
    """Is stderr a terminal, and this process not in its background, where several bars would overwrite each other?"""
    try:
        if not sys.stderr.isatty():
            return False
        return os.tcgetpgrp(sys.stderr.fileno()) == os.getpgrp()
    except (AttributeError, ValueError):
        return False
    except OSError:
        return True  # a terminal, but not the one that this process was started from
