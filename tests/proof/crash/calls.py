"""The filesystem calls of this process below one directory: counted, and one of them struck by a kill or an error.

Guarantee: every function of `os` that takes a path or a descriptor, and every file that `open` gives, is counted when
it concerns the directory, is called by the main thread, and counting is switched on. Condition: the code under test
calls `os.name(...)` at call time; what C code does by itself (fstat and lseek of a file that `open` opens, getdents of
a listing) belongs to the counted call around it and only reads.
"""

import builtins
import errno
import io
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WITH_PATHS = (
    "access", "chmod", "chown", "link", "listdir", "lstat", "mkdir", "mkfifo", "mknod", "readlink", "remove", "rename",
    "replace", "rmdir", "stat", "symlink", "truncate", "unlink", "utime",
)  # fmt: skip
WITH_DESCRIPTORS = (
    "fchmod", "fdatasync", "fstat", "fsync", "ftruncate", "lseek", "pread", "pwrite", "read", "sendfile", "write",
)  # fmt: skip
CHANGING = frozenset(
    {"chmod", "create", "fchmod", "link", "mkdir", "pwrite", "remove", "rename", "replace", "rmdir", "unlink", "write"}
)
"""The calls after which the directory is another one, for a process that is killed. The others only look or sync."""

KILL = "kill"
INTERRUPT, TWO_INTERRUPTS = "SIGINT", "SIGINT twice"
"""Where claims change a first signal waits, and a second one does not."""
ERRORS = ("EIO", "ENOSPC", "ESTALE")
_IDENTIFIER = re.compile(r"[0-9a-f]{32}(-[0-9a-f]{32}-[0-9]+-[0-9]+)?")


@dataclass(frozen=True)
class Strike:
    """What happens to which call: `number` counts from 0, `moment` is "before" it runs or "after" it ran."""

    number: int
    moment: str
    how: str

    @property
    def words(self) -> str | None:
        """What the error says; None for a kill or an interrupt."""
        return os.strerror(getattr(errno, self.how)) if self.how in ERRORS else None


class Diverged(BaseException):
    """The call to be struck is not the one of the dry run. Nothing was struck."""


@dataclass
class Calls:
    """The calls of one process. `expected`: those of the dry run, which this process must repeat up to the strike."""

    below: str
    strike: Strike | None = None
    expected: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    counting: bool = False
    struck: bool = False
    _descriptors: dict[int, str] = field(default_factory=dict)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count here, but nothing more once the strike has fallen."""
        self.counting = not self.struck
        try:
            yield
        finally:
            self.counting = False

    def install(self) -> "Calls":
        """Put the counting functions into `os`, `io` and `builtins`, for the rest of this process."""
        for name in WITH_PATHS + WITH_DESCRIPTORS:
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        self._real_open, self._real_close, self._real_scandir = os.open, os.close, os.scandir
        os.open, os.close, os.scandir = self._open, self._close, self._scandir  # type: ignore[assignment]
        real_file = io.open

        def open_file(file: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
            ours = self._label(file) is not None
            return self._file(file, mode, **named) if ours else real_file(file, mode, *arguments, **named)

        io.open = builtins.open = open_file  # type: ignore[assignment]
        return self

    # -- one call

    def do(self, what: str, call: Callable[[], Any], undo: Callable[[Any], None] = lambda answer: None) -> Any:
        """Make a call that counts. `undo`: what must be done with an answer that gets lost."""
        if not self.counting or threading.current_thread() is not threading.main_thread():
            return call()
        number = len(self.seen)
        self.seen.append(what)
        mine = self.strike is not None and self.strike.number == number
        if mine and self.strike.moment == "before":
            self._fall(what)
        if not mine or self.struck:
            return call()
        try:
            answer = call()
        except OSError:
            self._fall(what)
            raise
        undo(answer)
        self._fall(what)
        return answer

    def _fall(self, what: str) -> None:
        if self.seen != self.expected[: len(self.seen)]:
            raise Diverged(what)
        self.struck, self.counting = True, False
        how = self.strike.how
        if how == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        elif how in ERRORS:
            number = getattr(errno, how)
            raise OSError(number, os.strerror(number), what)
        for _ in range((INTERRUPT, TWO_INTERRUPTS).index(how) + 1):
            os.kill(os.getpid(), signal.SIGINT)

    # -- what is wrapped

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*arguments: Any, **named: Any) -> Any:
            label = self._concerned(arguments, named) if self.counting else None
            if label is None:
                return real(*arguments, **named)
            return self.do(f"{name} {label}", lambda: real(*arguments, **named))

        return wrapper

    def _open(self, path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        label = self._concerned((path,), named)
        if label is None:
            return self._real_open(path, flags, *arguments, **named)
        name = "create" if flags & os.O_CREAT else "open"
        descriptor = self.do(
            f"{name} {label}", lambda: self._real_open(path, flags, *arguments, **named), self._forget_lost
        )
        self._descriptors[descriptor] = label
        return descriptor

    def _forget_lost(self, descriptor: int) -> None:
        """Whoever never hears of a descriptor does not have it; but a signal only interrupts, and loses nothing."""
        if self.strike.how in ERRORS:
            self._real_close(descriptor)

    def _close(self, descriptor: int) -> None:
        label = self._descriptors.pop(descriptor, None)
        if label is None:
            return self._real_close(descriptor)
        return self.do(f"close {label}", lambda: self._real_close(descriptor))

    def _scandir(self, path: Any = ".") -> Any:
        label = self._label(path) if self.counting else None
        if label is None:
            return self._real_scandir(path)
        return _Listing(self, label, self.do(f"scandir {label}", lambda: self._real_scandir(path)))

    def _file(self, file: Any, mode: str, opener: Any = None, **named: Any) -> Any:
        raw = _CountedFile(file, mode.replace("b", ""), opener=opener or os.open)
        raw.follow(self, self._label(file) or "")
        buffered: Any = io.BufferedWriter(raw) if raw.writable() else io.BufferedReader(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, **named)

    # -- does it concern us?

    def _concerned(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> str | None:
        labels = [self._label(value) for value in arguments[:2]]
        folder = next((self._label(named[key]) for key in ("dir_fd", "src_dir_fd") if named.get(key) is not None), None)
        if folder is not None:
            return f"{folder}/{os.fsdecode(arguments[0])}"
        return " -> ".join(label for label in labels if label is not None) or None

    def _label(self, value: Any) -> str | None:
        """The path below the directory, without what is different in each process; None: no concern of ours."""
        if isinstance(value, int):
            return self._descriptors.get(value)
        if not isinstance(value, str | bytes | os.PathLike):
            return None
        path = os.fsdecode(value)
        if path != self.below and not path.startswith(self.below + "/"):
            return None
        return _IDENTIFIER.sub("ID", path[len(self.below) :]) or "/"


class _Listing:
    """What `os.scandir` gives; reading all its names is one call more."""

    def __init__(self, calls: Calls, label: str, entries: Any) -> None:
        self._calls, self._label, self._entries = calls, label, entries

    def __enter__(self) -> "_Listing":
        return self

    def __exit__(self, *error: object) -> None:
        self._entries.close()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._calls.do(f"getdents {self._label}", lambda: list(self._entries)))


class _CountedFile(io.FileIO):
    """The file beneath what `open` gives."""

    _calls: Calls | None = None

    def follow(self, calls: Calls, label: str) -> None:
        self._calls, self._name = calls, label

    def write(self, data: Any) -> Any:
        return self._calls.do(f"write {self._name}", lambda: io.FileIO.write(self, data))

    def readinto(self, buffer: Any) -> Any:
        return self._calls.do(f"read {self._name}", lambda: io.FileIO.readinto(self, buffer))

    def close(self) -> None:
        if self.closed or self._calls is None:
            return super().close()
        self._calls._descriptors.pop(self.fileno(), None)
        return self._calls.do(f"close {self._name}", lambda: io.FileIO.close(self))


def forbid_links(below: Path, across_directories_only: bool) -> None:
    """Let `os.link` be refused below a directory for the rest of this process: as on a filesystem without hard links
    (EPERM), or as between two filesystems (EXDEV)."""
    real = os.link

    def link(source: str, target: str, **named: Any) -> None:
        if not str(target).startswith(str(below)):
            return real(source, target, **named)
        if not across_directories_only:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), source, None, target)
        if os.path.dirname(source) != os.path.dirname(target):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), source, None, target)
        return real(source, target, **named)

    os.link = link  # type: ignore[assignment]
