"""What the journal of one instance says in one pass: how much it did, how fast, and what it has in work.

An attempt that was short has no line of its beginning, so that its end says when that was.
"""

from dataclasses import dataclass, field
from typing import Any

_SHORTEST_SECONDS = 0.001  # of the times in a journal
_ENDS = frozenset({"done", "failed", "dropped", "skipped", "lost"})


@dataclass(slots=True)
class Diary:
    """`open`: item -> wall clock and elapsed clock at which it was claimed. `paused`: it obeys a request to pause."""

    done: int = 0
    failed: int = 0
    first: float | None = None
    latest: float = 0.0
    paused: bool = False
    open: dict[str, tuple[float, float]] = field(default_factory=dict)

    def add(self, event: dict[str, Any]) -> None:
        kind, item = event["event"], event.get("item")
        self.latest = event["at"]
        self.paused = kind == "paused" or (self.paused and kind != "resumed")
        if not isinstance(item, str):
            return
        if kind == "claimed":
            self.open[item] = (event["time"], event["at"])
            self._begin(event["at"])
        elif kind in _ENDS:
            self.open.pop(item, None)
            self.done += kind == "done"
            self.failed += kind == "failed"
            seconds = event.get("seconds")
            self._begin(event["at"] - seconds if isinstance(seconds, float) else event["at"])

    def _begin(self, at: float) -> None:
        self.first = at if self.first is None else self.first

    @property
    def rate(self) -> float:
        spent = self.latest - self.first if self.first is not None else 0.0
        return self.done / spent if spent >= _SHORTEST_SECONDS else 0.0
