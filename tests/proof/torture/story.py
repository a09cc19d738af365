"""What the torture is about: shelves of items, what becomes of each, and outputs that say who wrote them.

A shelf is one call of `items`: 50 items at most, of one shape (a file, two files, a directory). What becomes of an
item is decided by its value (`temper`), so that the judge knows the outcome beforehand.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

SHELF = 50
SHAPES = ("file", "two files", "directory", "file")
LEAVES = ("a", "b", "deep/c")
NO_ROOM = 75
"""The exit code of a process that could not go on because the disk was full."""


@dataclass(frozen=True)
class Orders:
    """What all processes of a run are told."""

    items: int
    beat_seconds: float
    patience_seconds: float
    dawdle_seconds: float
    seed: int


class Temper(StrEnum):
    """What an item does to whoever works on it."""

    PLAIN = "plain"
    RAISES_ALWAYS = "raises always"
    RAISES_ONCE = "raises once"
    KILLS = "kills its process"
    SKIPPED = "is skipped"
    FATAL = "says that it failed for good"
    DROPPED_ONCE = "is given back once"
    STOPS_ONCE = "stops its process once"


_TEMPERS = [
    Temper.RAISES_ALWAYS, Temper.KILLS, Temper.RAISES_ONCE, Temper.RAISES_ONCE, Temper.SKIPPED, Temper.SKIPPED,
    Temper.FATAL, Temper.DROPPED_ONCE, Temper.STOPS_ONCE, Temper.STOPS_ONCE,
]  # fmt: skip


def temper(value: int) -> Temper:
    place = value % SHELF
    return _TEMPERS[place // 5] if place % 5 == 2 and place // 5 < len(_TEMPERS) else Temper.PLAIN


@dataclass(frozen=True)
class Shelf:
    """The items of one call of `items`."""

    name: str
    shape: str
    values: range

    @property
    def templates(self) -> list[str]:
        if self.shape == "two files":
            return ["logs/{value}.log", "{value}.csv"]
        return ["{value}.zarr" if self.shape == "directory" else "{value}.txt"]

    def finals(self, value: int) -> list[str]:
        """The finals of an item, relative to the run directory; the last one names the item."""
        return [f"{self.name}/{template.format(value=value)}" for template in self.templates]

    @property
    def folders(self) -> list[str]:
        return [self.name, f"{self.name}/logs"] if self.shape == "two files" else [self.name]


def shelves(items: int) -> list[Shelf]:
    starts = range(0, items, SHELF)
    return [
        Shelf(f"shelf{number:02}", SHAPES[number % len(SHAPES)], range(start, min(start + SHELF, items)))
        for number, start in enumerate(starts)
    ]


@dataclass(frozen=True)
class Seal:
    """Who wrote an output: the item, the attempt, and the process."""

    item: str
    attempt: int
    who: int
    pid: int


def sealed(seal: Seal, payload: bytes) -> bytes:
    body = json.dumps([seal.item, seal.attempt, seal.who, seal.pid]).encode() + b"\n" + payload
    return body + b"\n" + hashlib.sha256(body).hexdigest().encode() + b"\n"


def unseal(data: bytes) -> Seal | None:
    """The seal of a whole output; None for everything else."""
    body, _, check = data.removesuffix(b"\n").rpartition(b"\n")
    if not data.endswith(b"\n") or hashlib.sha256(body).hexdigest().encode() != check:
        return None
    return Seal(*json.loads(body.partition(b"\n")[0]))


def read_final(path: str) -> tuple[Seal | None, str]:
    """The seal of a final, None if it is not whole, and a hash of all that is in it."""
    names = [f"{path}/{leaf}" for leaf in LEAVES] if os.path.isdir(path) else [path]
    contents = [content(name) for name in names]
    seals = {None if content is None else unseal(content) for content in contents}
    whole = seals.pop() if len(seals) == 1 else None
    return whole, hashlib.sha256(b"\0".join(content or b"" for content in contents)).hexdigest()


def content(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None
