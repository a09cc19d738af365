"""What a `map` has come to: counts of the whole list, the share of this call, and what failed here, with tracebacks.

Guarantee: the counts are what a listing at the end of the call has shown (with `wait`, that everything is done or set
aside). Condition: nobody removes outputs meanwhile. What is not known is None and not guessed.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from multiprocesstools.display.progress import Progress, Tally
from multiprocesstools.display.text import count, duration, printable, shown
from multiprocesstools.items.failure import Failure
from multiprocesstools.items.fate import Fate
from multiprocesstools.items.item import Item

_MOST_FAILURES = 1000
_MOST_LINES = 10
_ONCE_SECONDS = 1e9


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of `MultiProcessHelper.map`. `print(summary)` says it in words.

    Attributes
    ----------
    total, done, failed, skipped: items of the whole list when the call ended, whoever did them, now or at an earlier
        start: all of them; those whose output exists; those that are set aside after all their attempts, until
        `multiprocesstools retry`; those that were settled without an output. What is left is `unfinished`.
    here: how many of the `done` this call has done.
    before: how many were done before this call began. None in a list of so many directories that it did not look.
    seconds: how long this call took.
    failures: the last failed attempt of each item that failed in this call and was not done by it later (the latest
        1,000), with its traceback. An item of them may have been done by another instance since.
    ended: why the call ended before everything was done or set aside; empty if it did not, or with `wait=False`.
    directory: the run directory.
    """

    total: int
    done: int
    failed: int
    skipped: int
    here: int
    before: int | None
    seconds: float
    failures: tuple[Failure, ...] = ()
    ended: str = ""
    directory: str = ""

    @property
    def unfinished(self) -> int:
        """Items that are neither done nor set aside: free, given back, or in the hands of other instances."""
        return self.total - self.done - self.failed - self.skipped

    @property
    def elsewhere(self) -> int | None:
        """How many other instances (or other loops of this process) have done during this call. None: see `before`."""
        return None if self.before is None else max(0, self.done - self.here - self.before)

    def as_dict(self) -> dict[str, Any]:
        """Everything as what JSON can hold, `unfinished` and `elsewhere` too."""
        failures = [asdict(failure) for failure in self.failures]
        return asdict(self) | {"failures": failures, "unfinished": self.unfinished, "elsewhere": self.elsewhere}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        from multiprocesstools.display.table import table

        head = ("total", "done", "failed", "skipped", "not finished", "done by this call", "in")
        row = (self.total, self.done, self.failed, self.skipped, self.unfinished, self.here, duration(self.seconds))
        counts = table(head, [row], caption=self.ended and f"it ended early: {self.ended}")
        failed = [(each.item, each.attempt, each.exception.partition("\n")[0]) for each in self.failures]
        return counts + (table(("failed in this call", "attempt", "exception"), failed) if failed else "")

    def _lines(self) -> Iterator[str]:
        settled = [f"{self.done:,} done"]
        settled += [f"{n:,} {what}" for what in ("failed", "skipped") if (n := getattr(self, what))]
        settled += [f"{self.unfinished:,} not finished"] if self.unfinished else []
        yield f"{count(self.total, 'item')}: {', '.join(settled)}"
        yield f"this call did {self.here:,} in {duration(self.seconds)}{self._share_of_others()}"
        if self.ended:
            yield f"it ended early: {self.ended}"
        yield from self._failure_lines()
        if self.failed:
            where = f"`multiprocesstools status --failed {shown(self.directory)}`"
            yield f"{count(self.failed, 'item')} set aside: {where} shows why, `retry` tries again"

    def _share_of_others(self) -> str:
        if self.before is None or self.elsewhere is None:
            others = self.done - self.here
            return f"; {others:,} were done before, or by others" if others > 0 else ""
        parts = [f"{self.before:,} were done before"] if self.before else []
        parts += [f"others did {self.elsewhere:,} meanwhile"] if self.elsewhere else []
        return "".join(f"; {part}" for part in parts)

    def _failure_lines(self) -> Iterator[str]:
        if self.failures:
            yield "failed in this call:"
        for failure in self.failures[:_MOST_LINES]:
            first = failure.exception.partition("\n")[0]
            yield f"  {printable(failure.item)} (attempt {failure.attempt}): {printable(first)}"
        if len(self.failures) > _MOST_LINES:
            yield f"  ... and {len(self.failures) - _MOST_LINES:,} more"


class Account(Progress):
    """Keeps what a summary is made of, and shows what another progress shows."""

    def __init__(self) -> None:
        self._shown: Progress = Progress()
        self._first = self._last = Tally(0)
        self._reason = ""
        self._failures: dict[int, Failure] = {}

    def show(self, shown: Progress) -> "Account":
        """Pass on to that one. Where nothing is shown, what others did is counted at the end all the same."""
        self._shown = shown
        self.count_seconds = min(shown.count_seconds, _ONCE_SECONDS)
        return self

    def note(self, item: Item) -> None:
        """An item was settled by this call."""
        self._failures.pop(item.position, None)
        if item.fate is Fate.FAILED and item.failure is not None:
            self._failures[item.position] = item.failure
        if len(self._failures) > _MOST_FAILURES:
            del self._failures[next(iter(self._failures))]

    def is_due(self) -> bool:
        return self._shown.is_due()

    def start(self, tally: Tally) -> None:
        self._first = tally
        self._shown.start(tally)

    def update(self, tally: Tally) -> None:
        self._shown.update(tally)

    def stop(self, tally: Tally, reason: str = "") -> None:
        self._last, self._reason = tally, reason
        self._shown.stop(tally, reason)

    def summary(self, seconds: float, directory: str, *, all_known: bool) -> Summary:
        """`all_known`: every directory was listed before the first item."""
        last = self._last
        before = self._first.done if all_known else None
        return Summary(
            last.total, last.done, last.failed, last.skipped, last.here, before, seconds,
            tuple(self._failures.values()), self._reason, directory,
        )  # fmt: skip
