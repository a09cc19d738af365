"""The verbs of a disk, made of the operations of a simulated server.

`SimulatedDisk` hands every operation to `perform`, which answers or raises the OSError: at once (`AtOnce`), or when a
scheduler lets it (`explore`, `simulate`). It keeps the contract of every disk (tests/claims/test_disk.py).
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from multiprocesstools.claims.disk import READ_LIMIT_BYTES, Disk, Draft, Entry, HalfCreated, Kept, Stamp
from tests.proof.simulated.clients import Ways, outcomes
from tests.proof.simulated.server import Operation, Stat, State, Who

INODES_PER_PROCESS = 1_000_000

Perform = Callable[[Operation], Any]


class SimulatedDisk:
    """The shared filesystem as one process sees it. `number` tells its inodes from those of others."""

    def __init__(self, perform: Perform, number: int) -> None:
        self._perform = perform
        self._next_inode = number * INODES_PER_PROCESS

    @property
    def position(self) -> int:
        """The last inode that was used."""
        return self._next_inode

    def create(self, path: str, data: bytes, *, durable: bool = False) -> None:
        inode = self._new_inode()
        self._perform(("create", path, inode))
        if not data:
            return
        try:
            self._perform(("write", inode, 0, data))
            if durable:
                self._perform(("sync inode", inode))
        except OSError as error:
            raise HalfCreated(error.errno, error.strerror, path) from error

    def draft(self, path: str, data: bytes) -> Draft:
        self.create(path, data)
        return _SimulatedDraft(self._perform, self._next_inode, len(data))

    def link(self, source: str, target: str) -> None:
        self._perform(("link", source, target))

    def rename(self, source: str, target: str) -> None:
        self._perform(("rename", source, target))

    def unlink(self, path: str) -> bool:
        try:
            self._perform(("unlink", path))
        except FileNotFoundError:
            return False
        return True

    def look(self, path: str) -> Stamp | None:
        found = self._perform(("look", path))
        return _stamp(found) if found is not None else None

    def list(self, directory: str) -> list[Entry]:
        answer = self._perform(("list", directory))
        if answer == "begun":
            answer = self._perform(("list", directory))
        return [SimulatedEntry(*entry) for entry in answer]

    def scan(self, directory: str, see: Callable[[Iterable[Entry]], Any]) -> Any:
        return see(self.list(directory))

    def read(self, path: str, limit: int = READ_LIMIT_BYTES, *, whole: bool = True) -> bytes | None:
        data: bytes | None = self._perform(("read", path))
        return data if whole or data is None else data[:limit]

    def sync(self, path: str) -> None:
        self._perform(("sync", path))

    def keep(self, path: str) -> Kept:
        found = self.look(path)
        if found is None:
            raise FileNotFoundError(path)
        return _SimulatedKept(self, self._perform, path, found.inode)

    def make_directory(self, path: str) -> None:
        parts = path.split("/")
        for depth in range(2, len(parts) + 1):
            self._perform(("make directory", "/".join(parts[:depth]), self._new_inode()))

    def remove_tree(self, path: str) -> None:
        self._perform(("remove tree", path))

    def _new_inode(self) -> int:
        self._next_inode += 1
        return self._next_inode


@dataclass(frozen=True)
class SimulatedEntry:
    """One name of a listing."""

    name: str
    number: int
    kind: str

    def inode(self) -> int:
        return self.number

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self.kind == "directory"

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self.kind == "file"

    def is_symlink(self) -> bool:
        return False


class _SimulatedDraft:
    def __init__(self, perform: Perform, inode: int, size: int) -> None:
        self._perform, self._inode, self._size = perform, inode, size

    def append(self, data: bytes) -> None:
        self._perform(("write", self._inode, self._size, data))
        self._size += len(data)

    def sync(self) -> None:
        self._perform(("sync inode", self._inode))

    def close(self) -> None:
        pass


class _SimulatedKept:
    def __init__(self, disk: Disk, perform: Perform, path: str, inode: int) -> None:
        self._disk, self._perform, self.inode = disk, perform, inode
        self._folder, _, self._name = path.rpartition("/")

    def is_listed(self) -> bool:
        return any(entry.name == self._name for entry in self._disk.list(self._folder))

    def write(self, offset: int, data: bytes) -> None:
        self._perform(("write", self.inode, offset, data))

    def close(self) -> None:
        pass


def _stamp(found: Stat) -> Stamp:
    return Stamp(1, found.inode, found.kind, found.links, found.size)  # type: ignore[arg-type]


def refusal(number: int, operation: Operation) -> OSError:
    """The error of a system call that the server has refused."""
    return OSError(number, os.strerror(number), str(operation[1]))


class AtOnce:
    """Performs every operation at once. `ways` and `choose` (an index among the outcomes) may make things go wrong."""

    def __init__(self, state: State, ways: Ways | None = None) -> None:
        self.state, self.ways = state, ways or Ways()
        self.choose: Callable[[Operation, list[Any]], int] = lambda operation, found: 0

    def disk(self, number: int = 1, machine: str = "") -> SimulatedDisk:
        """A disk for one process, on a machine of its own unless it is named."""
        who = Who(machine or f"machine {number}", number)
        return SimulatedDisk(lambda operation: self._perform(who, operation), number)

    def _perform(self, who: Who, operation: Operation) -> Any:
        found = outcomes(self.state, who, operation, self.ways)
        outcome = found[self.choose(operation, found)]
        self.state = outcome.state
        if outcome.error:
            raise refusal(outcome.error, operation)
        return outcome.answer
