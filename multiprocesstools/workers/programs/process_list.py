"""What a window shows of a queue of processes: rows of text by state. Pure; knows no toolkit.

Guarantee: a row says what `Process` says at that moment; a list is as long as its title counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from multiprocesstools.display.text import duration, printable
from multiprocesstools.workers.process import Process, ProcessState

HEADINGS = ("process", "elapsed", "CPU", "memory", "what is known")
_MOST_CHARACTERS = 200
_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Row:
    """A process in words: its name, times, peak memory, and why it failed."""

    name: str
    elapsed: str
    cpu: str
    memory: str
    note: str

    def cells(self) -> tuple[str, ...]:
        """In the order of HEADINGS."""
        return self.name, self.elapsed, self.cpu, self.memory, self.note


def row(process: Process) -> Row:
    """What is known of it now."""
    if process.state is ProcessState.PENDING:
        return Row(printable(str(process.name)), "", "", "", "")
    usage = process.usage
    memory = "" if usage.peak_memory_bytes is None else size(usage.peak_memory_bytes)
    return Row(
        printable(str(process.name)),
        duration(usage.elapsed_seconds),
        duration(usage.cpu_seconds),
        memory,
        _note(process),
    )


def title(state: str, processes: Iterable[Process]) -> str:
    """Of a list."""
    return f"{state} ({sum(1 for _ in processes):,})"


def summary(states: Mapping[str, list[Any]]) -> str:
    """How far the queue has come, in a line."""
    over = sum(len(found) for state, found in states.items() if ProcessState(state).is_over)
    return f"{over:,} of {sum(map(len, states.values())):,} processes are over"


def size(count: int) -> str:
    """Bytes, to three digits."""
    number, unit = float(count), 0
    while number >= 999.5 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:.3g} {_UNITS[unit]}"


def _note(process: Process) -> str:
    if process.error is not None:
        return printable(str(process.error).partition("\n")[0])[:_MOST_CHARACTERS]
    if process.state is ProcessState.RUNNING:
        return ("" if process.pid is None else f"pid {process.pid}") + (
            f", attempt {process.attempt}" * (process.attempt > 1)
        )
    return ""
