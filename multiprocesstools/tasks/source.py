"""Where a worker gets its partitions from: a run directory (`files`), or a server (`remote`), by one Protocol.

source.assignments() -> an assignment, again and again, until nothing is left

assignment   offered --with--> in hand --publish, end of the block--> done (or lost: somebody else was first)
                                       --exception out of the block--> recorded with its traceback, for another try,
                                                                       for which what is in `kept` by then is kept
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from multiprocesstools.display.progress import Listener
    from multiprocesstools.tasks.parcel import Parcel


class Assignment(Protocol):
    """One partition in the hands of a worker. Use it with `with`: an exception out of the block fails the attempt."""

    number: int
    """Which partition, from 0 on."""
    indices: list[int]
    """Its tasks."""
    kept: "Parcel"
    """What earlier attempts have computed of it; the worker adds to it, and what is in it outlives an exception."""
    done: bool
    """After the block: was the whole of it accepted here?"""
    failed: bool
    """After the block: has the attempt failed? Neither is so if it was given back, or another result was first."""

    def renew(self) -> None:
        """A task is done, and the next one begins. Called often: it must cost next to nothing."""

    def publish(self, results: "Parcel") -> None:
        """Hand in the results of all tasks; they count when the block ends."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Settle it. True: the error was recorded, and the worker goes on."""


class Source(Protocol):
    """A place that hands out partitions. Entered once; what it needs (a helper, a connection) lives until its exit."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: Any) -> None: ...

    def assignments(self) -> Generator[Assignment, None, None]:
        """The partitions that this worker wins, until all are done or set aside; it stays while others may fail.

        Closed early, it gives back what is in hand.
        """


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a worker asks of its source. `options` are those of MultiProcessHelper, for a run directory alone;
    `token_file` is for a server that wants one."""

    token_file: str | None = None
    progress: "bool | Listener | None" = None
    options: dict[str, Any] = field(default_factory=dict)
