"""Watches the finals where no client's cache lies between: on the server's own disk, or in any local directory.

It says `seen item inode sha256 complete|partial` when a final appears, says so again whenever what it finds under that
name is another file or has another content, and `gone item` when the name has disappeared. Each pass compares the
inodes of all finals and reads a part of them again. It needs nothing but the standard library and the worker's file.
"""

import hashlib
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.proof.network.worker import is_complete

_PASS_SECONDS = 0.2
_READ_AGAIN = 25
"""How many finals are read again in each pass."""


@dataclass(frozen=True)
class Sight:
    """A final as it was found at some time."""

    item: int
    inode: int
    digest: str
    complete: bool

    def __str__(self) -> str:
        return f"seen {self.item} {self.inode} {self.digest} {'complete' if self.complete else 'partial'}"

    @classmethod
    def read(cls, line: str) -> "Sight":
        _, item, inode, digest, complete = line.split()
        return cls(int(item), int(inode), digest, complete == "complete")


class Watch:
    """What is known of the finals of one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.sights: dict[int, Sight] = {}
        self._missing: set[int] = set()
        self._read = 0

    def look(self) -> list[str]:
        """One pass; what is to be said of it."""
        inodes = self._inodes()
        changed = {item for item, inode in inodes.items() if item in self.sights and self.sights[item].inode != inode}
        fresh = inodes.keys() - self.sights.keys()
        again = inodes.keys() & self._next_to_read()
        return [*self._gone(inodes.keys()), *self._notice(sorted(fresh | changed | again))]

    def _next_to_read(self) -> set[int]:
        order = list(self.sights)
        begin = self._read % len(order) if order else 0
        self._read += _READ_AGAIN
        return set((order[begin:] + order[:begin])[:_READ_AGAIN])

    def _inodes(self) -> dict[int, int]:
        try:
            with os.scandir(self._directory) as entries:
                return {int(entry.name[:-4]): entry.inode() for entry in entries if entry.name[:-4].isdigit()}
        except FileNotFoundError:
            return {}

    def _notice(self, items: Iterable[int]) -> list[str]:
        said = []
        for item in items:
            sight = look_at(self._directory, item)
            if sight is not None and self.sights.get(item) != sight:
                self.sights[item] = sight
                said.append(str(sight))
        return said

    def _gone(self, here: Iterable[int]) -> list[str]:
        """A name that a listing does not show is looked up, because a listing is not atomic."""
        missing = {item for item in self.sights.keys() - here if look_at(self._directory, item) is None}
        fresh, self._missing = missing - self._missing, missing
        return [f"gone {item}" for item in sorted(fresh)]


def look_at(directory: Path, item: int) -> Sight | None:
    try:
        with open(directory / f"{item}.txt", "rb") as file:
            data = file.read()
            return Sight(
                item, os.fstat(file.fileno()).st_ino, hashlib.sha256(data).hexdigest(), is_complete(item, data)
            )
    except FileNotFoundError:
        return None


def main() -> None:
    """observer DIRECTORY: until it is killed. observer DIRECTORY once: every final, read once."""
    directory, once = Path(sys.argv[1]), sys.argv[2:] == ["once"]
    watch = Watch(directory)
    while True:
        for line in watch.look():
            print(line, flush=not once)
        if once:
            return
        time.sleep(_PASS_SECONDS)


if __name__ == "__main__":
    main()
