"""A job: one list of items in a directory, shared by some processes; and who takes part in a comparison.

Guarantee: every contestant writes its outputs through `Job.produce`, or says how its outputs are counted instead, so
that all do the same work, and a lost or repeated item is noticed by someone who is no contestant.
"""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

CONTENT = b"1\n"
"""What an output holds: small, and not nothing."""


@dataclass(frozen=True)
class Contestant:
    """One row of a table.

    module: below `contestants`, with `work(job)` and, where needed, `fill`, `outputs` and `available`. variant: what
    that module makes of it. floor: the key of the row that its time is compared with. distribution: the name of the
    installed package. imports: what is imported before the clock starts. alone: it starts its processes itself, and on
    one machine only. remark: where it does less or more than the others.
    """

    key: str
    label: str
    module: str
    floor: str
    variant: dict[str, Any] = field(default_factory=dict)
    distribution: str = ""
    imports: tuple[str, ...] = ()
    alone: bool = False
    remark: str = ""


@dataclass
class Job:
    """The part of one process: `number` of `processes`."""

    directory: str
    items: int
    processes: int
    number: int = 0
    variant: dict[str, Any] = field(default_factory=dict)
    made: list[int] = field(default_factory=list)

    @property
    def out(self) -> str:
        """Where the outputs lie."""
        return f"{self.directory}/out"

    @property
    def folders(self) -> list[str]:
        """The folders of the outputs, none if all lie in `out`; each has as many that follow each other."""
        number = int(self.variant.get("folders", 1))
        return [f"{folder:03d}" for folder in range(number)] if number > 1 else []

    def place(self, index: int) -> str:
        """The directory of an output."""
        folders = self.folders
        return f"{self.out}/{folders[index * len(folders) // self.items]}" if folders else self.out

    def name(self, index: int) -> str:
        return f"{index:06d}.txt"

    def output(self, index: int) -> str:
        return f"{self.place(index)}/{self.name(index)}"

    def produce(self, path: str | os.PathLike[str], index: int) -> None:
        """The work of one item: write one small file."""
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666)
        os.write(descriptor, CONTENT)
        os.close(descriptor)
        self.made.append(index)

    def share(self) -> Iterator[int]:
        """The items of this process alone, where nobody contends: where there are folders, some of its own."""
        if not self.folders:
            return iter(range(self.number, self.items, self.processes))
        first, end = (number * self.items // self.processes for number in (self.number, self.number + 1))
        return iter(range(first, end))

    def rotated(self) -> Iterator[int]:
        """All items, from another place in each process: the cheapest way round collisions without any listing."""
        start = self.number * self.items // self.processes
        return ((start + step) % self.items for step in range(self.items))

    def to_plain(self) -> dict[str, Any]:
        """As it can be written in JSON: `Job(**plain)` is the same job."""
        return asdict(self)
