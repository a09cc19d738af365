"""Locks and limits, as methods of the helper."""

import threading
from typing import TYPE_CHECKING

from multiprocesstools.crew.crew import Crew

if TYPE_CHECKING:
    from multiprocesstools.locks.holds import Holds
    from multiprocesstools.locks.locks import Lock


class TakingTurns:
    """The part of `MultiProcessHelper` that lets one in at a time, or a few."""

    _crew: Crew
    _making: threading.Lock
    _holds: "Holds | None" = None

    def lock(self, name: str, *, timeout: float | None = None) -> "Lock":
        """One at a time, of all threads, processes and machines of the run: `with mph.lock("database"): ...`

        What a process held that is gone is given back: at once to those on the same machine, after patience to those on
        others. timeout: seconds to wait, None for as long as it takes. What is raised says `Lock.acquire`.
        """
        from multiprocesstools.locks.locks import lock_of

        return lock_of(self._all_holds(), name, timeout)

    def limit(self, name: str, n: int, *, timeout: float | None = None) -> "Lock":
        """The same for at most `n` at a time (1 to 1,000): `with mph.limit("downloads", 3): ...`

        LimitDiffers when the run has another `n` for this name and somebody uses it.
        """
        from multiprocesstools.locks.locks import limit_of

        return limit_of(self._all_holds(), name, n, timeout)

    def _all_holds(self) -> "Holds":
        from multiprocesstools.locks.holds import Holds

        self._crew.member()
        if self._holds is None:
            with self._making:  # two would not know of one another's tokens
                self._holds = self._holds or Holds(self._crew)
        return self._holds
