"""The verbs of a disk, waiting out the errors that pass.

A server that restarts, a soft mount or a failing-over network answers EIO or ETIMEDOUT to an operation that may or may
not have run. Guarantee: such an operation is tried again until it answers or `patience_seconds` have passed since its
first error; then the error is raised. Condition: every verb may run twice. Exclusive ones then answer "exists"
although they had succeeded, which the claim protocol recognises or survives. `sync` is never repeated, because a
second fsync after a failed one says "fine" of data that are lost.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from multiprocesstools.claims.disk import PASSING, READ_LIMIT_BYTES, Disk, Draft, Entry, HalfCreated, Kept, Stamp
from multiprocesstools.claims.held import Held
from multiprocesstools.clock import Clock

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 5.0

Answer = TypeVar("Answer")


class SteadyDisk:
    """A disk whose passing errors are waited out."""

    def __init__(self, disk: Disk, clock: Clock, patience_seconds: float) -> None:
        self.disk, self._clock, self._patience_seconds = disk, clock, patience_seconds

    def create(self, path: str, data: bytes, *, durable: bool = False) -> None:
        try:
            return self.disk.create(path, data, durable=durable)
        except HalfCreated:
            raise  # the name is bound: a second try could only say that it exists
        except OSError as error:
            return self._again(error, lambda: self.disk.create(path, data, durable=durable))

    def draft(self, path: str, data: bytes) -> Draft:
        try:
            return self.disk.draft(path, data)
        except HalfCreated:
            raise
        except OSError as error:
            return self._again(error, lambda: self.disk.draft(path, data))

    def link(self, source: str, target: str) -> None:
        try:
            return self.disk.link(source, target)
        except OSError as error:
            return self._again(error, lambda: self.disk.link(source, target))

    def rename(self, source: str, target: str) -> None:
        try:
            return self.disk.rename(source, target)
        except OSError as error:
            return self._again(error, lambda: self.disk.rename(source, target))

    def unlink(self, path: str) -> bool:
        try:
            return self.disk.unlink(path)
        except OSError as error:
            return self._again(error, lambda: self.disk.unlink(path))

    def look(self, path: str) -> Stamp | None:
        try:
            return self.disk.look(path)
        except OSError as error:
            return self._again(error, lambda: self.disk.look(path))

    def list(self, directory: str) -> list[Entry]:
        try:
            return self.disk.list(directory)
        except OSError as error:
            return self._again(error, lambda: self.disk.list(directory))

    def scan(self, directory: str, see: Callable[[Iterable[Entry]], Answer]) -> Answer:
        try:
            return self.disk.scan(directory, see)
        except OSError as error:
            return self._again(error, lambda: self.disk.scan(directory, see))

    def read(self, path: str, limit: int = READ_LIMIT_BYTES, *, whole: bool = True) -> bytes | None:
        try:
            return self.disk.read(path, limit, whole=whole)
        except OSError as error:
            return self._again(error, lambda: self.disk.read(path, limit, whole=whole))

    def sync(self, path: str) -> None:
        self.disk.sync(path)

    def keep(self, path: str) -> Kept:
        return self.disk.keep(path)

    def hold(self, directory: str) -> Held:
        return self.disk.hold(directory)

    def make_directory(self, path: str) -> None:
        return self.disk.make_directory(path)

    def remove_tree(self, path: str) -> None:
        return self.disk.remove_tree(path)

    def _again(self, error: OSError, verb: Callable[[], Answer]) -> Answer:
        pause, start = _FIRST_PAUSE_SECONDS, self._clock.elapsed()
        while error.errno in PASSING and self._clock.elapsed() - start < self._patience_seconds:
            self._clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            try:
                return verb()
            except HalfCreated:
                raise
            except OSError as latest:
                error = latest
        raise error
