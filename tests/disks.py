"""Disks for tests: PosixDisk with faults that real filesystems show.

They pass the contract of tests/claims/test_disk.py as far as the real ones would.
"""

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from multiprocesstools.claims.disk import READ_LIMIT_BYTES, Entry, Seen
from multiprocesstools.claims.posix import PosixDisk


class WithoutLinks(PosixDisk):
    """exFAT, some SMB shares: link is refused."""

    def link(self, source: str, target: str) -> None:
        raise OSError(errno.EPERM, "Operation not permitted", target)


class OnlyWithinDirectories(PosixDisk):
    """The run directory on another filesystem than the outputs: links across directories are refused with EXDEV."""

    def link(self, source: str, target: str) -> None:
        if os.path.dirname(source) != os.path.dirname(target):
            raise OSError(errno.EXDEV, "Invalid cross-device link", target)
        super().link(source, target)


class Lagging(PosixDisk):
    """sshfs for a second: a file that has replaced another one has only as many bytes as that, `known`. None: the name
    is not there, as GlusterFS says then. `reads`: how many reads of each file are so."""

    def __init__(self, known: int | None, reads: float = 2) -> None:
        self._known, self._reads, self._seen = known, reads, Counter[str]()

    def read(self, path: str, limit: int = READ_LIMIT_BYTES, *, whole: bool = True) -> bytes | None:
        data = super().read(path, limit, whole=whole)
        self._seen[path] += 1
        if data is None or self._seen[path] > self._reads:
            return data
        return None if self._known is None else data[: self._known]


class Remembering(PosixDisk):
    """sshfs for twenty seconds: a directory is as it was listed first, until this client itself changes it."""

    def __init__(self) -> None:
        self._known: dict[str, list[Entry]] = {}

    def list(self, directory: str) -> list[Entry]:
        if directory not in self._known:
            self._known[directory] = super().list(directory)
        return self._known[directory]

    def scan(self, directory: str, see: Callable[[Iterable[Entry]], Seen]) -> Seen:
        return see(self.list(directory))

    def create(self, path: str, data: bytes, *, durable: bool = False) -> None:
        super().create(path, data, durable=durable)
        self._forget(path)

    def link(self, source: str, target: str) -> None:
        super().link(source, target)
        self._forget(target)

    def rename(self, source: str, target: str) -> None:
        super().rename(source, target)
        self._forget(source)
        self._forget(target)

    def unlink(self, path: str) -> bool:
        self._forget(path)
        return super().unlink(path)

    def _forget(self, path: str) -> None:
        self._known.pop(os.path.dirname(path), None)


class OutOfCache(Remembering):
    """An NFS client that has listed between two changes of one tick of the server's clock, the second of which was the
    last: a claim of that listing can be read again, because it is the file of its owner's record."""

    def __init__(self) -> None:
        super().__init__()
        self._read: dict[str, bytes | None] = {}

    def read(self, path: str, limit: int = READ_LIMIT_BYTES, *, whole: bool = True) -> bytes | None:
        if ".claim-" not in path:
            return super().read(path, limit, whole=whole)
        if path not in self._read:
            self._read[path] = super().read(path, limit, whole=whole)
        return self._read[path]

    def _forget(self, path: str) -> None:
        super()._forget(path)
        if os.path.dirname(path) in {os.path.dirname(claim) for claim in self._read}:
            self._read.clear()


class Faulty(PosixDisk):
    """Calls a hook before and after every verb: hook(moment, verb, arguments). A hook may raise."""

    def __init__(self) -> None:
        self.hook: Callable[[str, str, tuple[Any, ...]], None] = lambda moment, verb, arguments: None
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def _do(self, verb: str, *arguments: Any, **named: Any) -> Any:
        self.calls.append((verb, arguments))
        self.hook("before", verb, arguments)
        answer = getattr(PosixDisk, verb)(self, *arguments, **named)
        self.hook("after", verb, arguments)
        return answer

    def create(self, path: str, data: bytes, *, durable: bool = False) -> None:
        self._do("create", path, data, durable=durable)

    def draft(self, path: str, data: bytes) -> Any:
        return self._do("draft", path, data)

    def link(self, source: str, target: str) -> None:
        self._do("link", source, target)

    def rename(self, source: str, target: str) -> None:
        self._do("rename", source, target)

    def unlink(self, path: str) -> bool:
        return self._do("unlink", path)

    def remove_tree(self, path: str) -> None:
        self._do("remove_tree", path)

    def look(self, path: str) -> Any:
        return self._do("look", path)

    def list(self, directory: str) -> Any:
        return self._do("list", directory)

    def scan(self, directory: str, see: Callable[[Iterable[Entry]], Any]) -> Any:
        return see(self.list(directory))

    def read(self, path: str, limit: int = 1 << 20, *, whole: bool = True) -> Any:
        return self._do("read", path, limit, whole=whole)

    def sync(self, path: str) -> Any:
        return self._do("sync", path)


def fill(disk: Faulty, when: Callable[[str], bool]) -> None:
    """From now on there is no room for a name that fits, neither for a link nor for a file."""

    def hook(at: str, name: str, arguments: tuple[Any, ...]) -> None:
        if at == "before" and (name, when(str(arguments[-1 if name == "link" else 0]))) in (
            ("link", True),
            ("create", True),
        ):
            raise OSError(errno.ENOSPC, "full")

    disk.hook = hook


def make_room(disk: Faulty) -> None:
    """Nothing goes wrong any more."""
    disk.hook = lambda moment, verb, arguments: None


def fail_once(
    disk: Faulty, verb: str, error: OSError, *, moment: str = "before", when: Callable[..., bool] = lambda *_: True
) -> None:
    """The next call of `verb` whose arguments fit raises `error`: before it runs, or "after" it ran (a lost reply)."""
    left = [error]

    def hook(at: str, name: str, arguments: tuple[Any, ...]) -> None:
        if at == moment and name == verb and left and when(*arguments):
            raise left.pop()

    disk.hook = hook
