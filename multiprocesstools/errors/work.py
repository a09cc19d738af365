"""The work on items failed."""

from multiprocesstools.errors.base import WorkError


class NothingWritten(WorkError):
    """A block ended without an exception and without having written the item's path."""

    def __init__(self, path: str, final: str) -> None:
        super().__init__(path, final)
        self.path, self.final = path, final

    def __str__(self) -> str:
        return (
            f"nothing was written to {self.path}, which becomes {self.final!r}; write it, or call item.skip(reason) "
            "when there is nothing to write"
        )


class MarkedFailed(WorkError):
    """The work called `item.fail(reason)`."""


class ItemFailed(WorkError):
    """An item that the caller needs was set aside."""

    def __init__(self, final: str, reason: str) -> None:
        super().__init__(final, reason)
        self.final, self.reason = final, reason

    def __str__(self) -> str:
        return f"{self.final!r} was set aside: {self.reason}; try it again with `multiprocesstools retry`"


class StopRequested(WorkError):
    """Somebody has asked the run to stop, so what was waited for may never come."""

    def __init__(self, waited_for: str) -> None:
        super().__init__(waited_for)
        self.waited_for = waited_for

    def __str__(self) -> str:
        return (
            "the run was asked to stop (`multiprocesstools stop`), so perhaps not all items are done, and "
            f"{self.waited_for!r} was left alone; start the script again to go on"
        )


class TooManyFailures(WorkError):
    """Many items failed in a row without a single success: most likely the script is broken, not the items."""

    def __init__(self, count: int, last: str) -> None:
        super().__init__(count, last)
        self.count, self.last = count, last

    def __str__(self) -> str:
        return (
            f"{self.count} items failed in a row without a success, the last with {self.last}; most likely the script "
            "is the cause. Correct it and start again: nothing has to be cleaned up"
        )


class LockTimeout(WorkError, TimeoutError):
    """A lock or limit was not to be had in the time that the caller gave."""

    def __init__(self, name: str, seconds: float, holders: list[str]) -> None:
        super().__init__(name, seconds, holders)
        self.name, self.seconds, self.holders = name, seconds, holders

    def __str__(self) -> str:
        who = "; ".join(self.holders) or "somebody who was quicker each time"
        return f"{self.name} was not to be had within {self.seconds:g} s: held by {who}"
