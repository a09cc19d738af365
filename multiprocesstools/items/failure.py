"""A failed attempt as data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt of this instance: the final relative to the run directory, and what was raised."""

    item: str
    attempt: int
    exception: str
    traceback: str

    def _repr_html_(self) -> str:
        from multiprocesstools.display.table import lines, table

        head, row = ("failed", "attempt", "exception"), (self.item, self.attempt, self.exception)
        return table(head, [row]) + lines(self.traceback)


def failure_of(item: str, attempt: int, error: BaseException) -> Failure:
    """What is kept of an exception, however badly it behaves when it is printed."""
    import traceback as tracebacks

    try:
        text = f"{type(error).__name__}: {error}"
    except Exception as second:
        text = f"{type(error).__name__} (which cannot be printed: {type(second).__name__})"
    try:
        trace = "".join(tracebacks.format_exception(error))
    except Exception as second:
        trace = f"{text}\n(its traceback cannot be printed: {type(second).__name__})\n"
    return Failure(item, attempt, text, trace)
