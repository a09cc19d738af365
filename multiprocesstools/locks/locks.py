"""Locks and limits: at most one, or at most n, of all threads, processes and machines of a run at the same time.

Guarantee: of one name no more are held than it has, and what a process held that is gone comes back: at once to those
on the same machine, after patience to those on others, or when its record was removed. Condition: that of
`claims.tokens`; a holder that is falsely suspected (it could not beat for patience) loses its hold while it goes on,
and `lost` says so. No order among those who wait is promised. Before a SIGTERM or SIGHUP kills the process, what it
holds is given back, and other threads may run on for some milliseconds.
"""

from types import TracebackType

from multiprocesstools.claims.slots import check_name
from multiprocesstools.claims.tokens import MOST_TOKENS
from multiprocesstools.errors import BadArgument, NotHeld
from multiprocesstools.locks.holds import Holds, Place


def lock_of(holds: Holds, name: str, timeout: float | None) -> "Lock":
    """The lock of this name. BadName, BadArgument."""
    directory = f"{holds.home}/locks/{check_name(name)}"
    return Lock(holds, Place(directory, 1, name, f"lock({name!r})"), _check_timeout(timeout))


def limit_of(holds: Holds, name: str, size: int, timeout: float | None) -> "Lock":
    """One of the `size` places of this name. BadName, BadArgument."""
    directory = f"{holds.home}/limits/{check_name(name)}"
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MOST_TOKENS:
        raise BadArgument("n", size, f"it must be a whole number from 1 to {MOST_TOKENS:,}")
    return Lock(holds, Place(directory, size, name, f"limit({name!r}, {size})"), _check_timeout(timeout))


class Lock:
    """A lock, or one of the places of a limit: `with` it, or `acquire` and `release` it. It may be used again."""

    def __init__(self, holds: Holds, place: Place, timeout: float | None) -> None:
        self._holds, self._place, self._timeout = holds, place, timeout

    def acquire(self, timeout: float | None = None) -> "Lock":
        """Wait until it is to be had; `timeout` in seconds, None for the one given at the beginning, 0 tries once.

        Raises LockTimeout (a TimeoutError), which says who holds it and since when; AlreadyHeld when this very thread
        does; LimitDiffers; StopRequested after `multiprocesstools stop` or a signal.
        """
        self._holds.acquire(self._place, self._timeout if timeout is None else _check_timeout(timeout))
        return self

    def release(self) -> None:
        """Give it back. NotHeld when this thread does not hold it."""
        if not self._holds.drop(self._place) and not self._holds.over:
            raise NotHeld(self._place.title)

    @property
    def held(self) -> bool:
        """Does this thread hold it?"""
        return self._holds.find(self._place) is not None

    @property
    def lost(self) -> bool:
        """May others have it by now, because this process gave no sign of life for too long or was swept by force?"""
        hold = self._holds.find(self._place)
        return hold is not None and (hold.lost or hold.member.instance.overdue())

    def __enter__(self) -> "Lock":
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holds.drop(self._place)  # what the end of the helper has given back already is fine

    def __repr__(self) -> str:
        return f"<{self._place.title}>"


def _check_timeout(timeout: float | None) -> float | None:
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout >= 0):
        raise BadArgument("timeout", timeout, "it must be a number of seconds, at least 0, or None")
    return timeout
