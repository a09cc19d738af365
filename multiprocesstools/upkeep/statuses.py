"""The state of a run as data: what `snapshot` finds, and how a notebook shows it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from multiprocesstools.display.text import count, duration

_STATES = ("done", "failed", "skipped", "running", "stale", "free")
_HEAD = ("item", "state", "attempt", "instance", "host", "for", "error")


@dataclass(frozen=True, slots=True)
class ItemStatus:
    """One item that is not simply done or free; how many `seconds` it is in work (None: unknown), by which `job`."""

    item: str
    state: str
    attempt: int
    instance: str = ""
    host: str = ""
    pid: int = 0
    seconds: float | None = None
    error: str = ""
    traceback: str = ""
    job: str = ""

    def _repr_html_(self) -> str:
        from multiprocesstools.display.table import lines, table

        return table(_HEAD, [_row(self)]) + (lines(self.traceback) if self.traceback else "")


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """One instance with a record: `gone` if its process is proved gone, else it lives or nothing is known."""

    name: str
    host: str
    pid: int
    gone: bool
    done: int
    failed: int
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A run at one moment. `rate` is items per second of the instances that take part now; `eta_seconds` follows."""

    directory: str
    total: int
    done: int
    failed: int
    skipped: int
    running: int
    stale: int
    free: int
    rate: float
    eta_seconds: float | None
    items: list[ItemStatus] = field(default_factory=list)
    instances: list[InstanceStatus] = field(default_factory=list)
    partials: list[str] = field(default_factory=list)

    def of(self, *states: str) -> list[ItemStatus]:
        return [item for item in self.items if item.state in states]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        parts = [f"{self.done:,} of {self.total:,} done"]
        parts += [
            f"{n:,} {what}" for what in ("failed", "skipped", "running", "stale", "free") if (n := getattr(self, what))
        ]
        return ", ".join(parts)

    def _repr_html_(self) -> str:
        from multiprocesstools.display.table import table

        states = [state for state in _STATES if state == "done" or getattr(self, state)]
        left = "" if self.eta_seconds is None else f", about {duration(self.eta_seconds)} left"
        caption = f"{self.directory}: {count(self.total, 'item')}{left}"
        counts = table(states, [[f"{getattr(self, state):,}" for state in states]], caption=caption)
        return counts + (table(_HEAD, map(_row, self.items)) if self.items else "")


def _row(item: ItemStatus) -> tuple[object, ...]:
    since = "" if item.seconds is None else duration(item.seconds)
    error = item.error.splitlines()[0] if item.error else ""
    return item.item, item.state, item.attempt, item.instance, item.host, since, error
