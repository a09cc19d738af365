"""Who works on which partition, and until when: the leases of a server, as a pure state machine.

    free --grant--> leased --renew--> leased --close--> free        (done, failed or given back)
                           --nothing until its time--> expired --close--> free

Guarantee: a partition has at most one lease, and each change says when it happens: nothing here reads a clock, a disk
or a network. A lease that is not renewed for `lease_seconds` is expired; with `task_seconds` also one whose worker
finishes no task for so long, although it renews: it hangs. An expired lease that is renewed before anybody has closed
it goes on, except for one that hangs. Condition: the times that are handed in never go backwards; they are those of
`Steps`.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

FORMAT = 1
_NAME = re.compile(r"([0-9]{1,12})-([0-9]{1,9})-[0-9a-f]{8,64}")


@dataclass(frozen=True, slots=True)
class Lease:
    """One attempt at a partition in the hands of a worker. `tasks` are those that it has finished of it."""

    name: str
    number: int
    attempt: int
    worker: str
    until: float
    tasks: int
    advanced: float


class Leases:
    """All leases of a server. Times are seconds of any clock that never goes backwards."""

    def __init__(self, lease_seconds: float, task_seconds: float | None = None) -> None:
        self._lease_seconds, self._task_seconds = lease_seconds, task_seconds
        self._by_number: dict[int, Lease] = {}

    def __iter__(self) -> Iterator[Lease]:
        return iter(list(self._by_number.values()))

    def __len__(self) -> int:
        return len(self._by_number)

    def grant(self, name: str, worker: str, now: float) -> Lease:
        """Lease the partition that the name speaks of. ValueError if it is leased, or the name is none."""
        number, attempt = parts_of(name)
        if number in self._by_number:
            raise ValueError(f"partition {number} is leased to {self._by_number[number].worker!r}")
        lease = Lease(name, number, attempt, worker, now + self._lease_seconds, 0, now)
        self._by_number[number] = lease
        return lease

    def renew(self, name: str, tasks: int, now: float) -> bool:
        """Its worker lives, and has finished so many tasks. False: the lease is over, somebody else may have it."""
        lease = self.find(name)
        if lease is None or self._hangs(lease, tasks, now):
            return False
        advanced = now if tasks > lease.tasks else lease.advanced
        self._by_number[lease.number] = replace(
            lease, until=now + self._lease_seconds, tasks=max(tasks, lease.tasks), advanced=advanced
        )
        return True

    def find(self, name: str) -> Lease | None:
        """The lease of this name, if it was not closed."""
        return next((lease for lease in self._by_number.values() if lease.name == name), None)

    def of(self, worker: str) -> Lease | None:
        """What a worker has; nothing for a worker without a name."""
        return next((lease for lease in self._by_number.values() if worker and lease.worker == worker), None)

    def close(self, number: int) -> Lease | None:
        """The partition is free; what its lease was."""
        return self._by_number.pop(number, None)

    def expired(self, now: float) -> list[Lease]:
        """Those whose time is over."""
        return [lease for lease in self if now >= lease.until or self._hangs(lease, lease.tasks, now)]

    def _hangs(self, lease: Lease, tasks: int, now: float) -> bool:
        """Did it finish no task for longer than a task may take?"""
        return self._task_seconds is not None and tasks <= lease.tasks and now - lease.advanced >= self._task_seconds


class Steps:
    """The time of leases, which goes on with the looks at it, by `longest` seconds at most from one to the next.

    For longer than that nobody has looked, so the server itself was stopped, or waited for its disk, and could not hear
    its workers: their leases do not run out meanwhile.
    """

    def __init__(self, longest: float, now: float) -> None:
        self._longest, self._looked, self._time = longest, now, 0.0

    def until(self, now: float) -> float:
        """The time of the leases, at the time `now` of a clock."""
        self._time += min(now - self._looked, self._longest)
        self._looked = now
        return self._time


def parts_of(name: str) -> tuple[int, int]:
    """The partition and the attempt that a lease's name speaks of. ValueError."""
    match = _NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        raise ValueError(f"{name!r} is no lease; give the one that get_task has answered")
    return int(match[1]), int(match[2])


class Recorded(NamedTuple):
    """A lease as it is written down. `attempt` is the one that the server holds: if it was restored, not the name's."""

    name: str
    worker: str
    number: int
    attempt: int


def packed(leases: Iterable[Lease], attempts: Mapping[int, int]) -> bytes:
    """The content of a file with these leases; `attempts` are those that the server holds, by partition."""
    lines = [[one.name, one.worker, one.number, attempts[one.number]] for one in leases]
    return json.dumps({"format": FORMAT, "leases": lines}).encode()


def unpacked(data: bytes) -> list[Recorded]:
    """The leases in a file; none in one that cannot be read."""
    try:
        content = json.loads(data)
        found = [Recorded(*line) for line in content["leases"]] if content["format"] == FORMAT else []
        fits = all(parts_of(one.name)[0] == one.number and type(one.attempt) is int for one in found)
        once = len({one.number for one in found}) == len(found)
        return found if fits and once and all(isinstance(one.worker, str) for one in found) else []
    except (ValueError, KeyError, TypeError):
        return []
