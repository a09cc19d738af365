"""The script that each process of the torture runs: it works through shelves of items and writes an audit of its own.

    python -m tests.proof.torture.worker RUN LOCAL WHO ORDERS

RUN is the run directory. LOCAL is a directory on another disk, which is never full: audits, stderr, and what the
detectors need. WHO is a number that is given once, unlike a pid. ORDERS are the fields of `Orders` as JSON.
"""

import errno
import faulthandler
import fcntl
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from multiprocesstools import MultiProcessHelper
from multiprocesstools.claims import survey
from multiprocesstools.claims.ended import Ended, Outcome
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.errors import RunDirectoryUnusable
from multiprocesstools.items.item import Item
from tests.proof.torture.story import LEAVES, NO_ROOM, Orders, Seal, Shelf, Temper, sealed, shelves, temper
from tests.proof.torture.witnesses import Audit

BREAK = "MPT_TORTURE_BREAK"


@contextmanager
def occupied(folder: Path, item: str, me: list[int]) -> Iterator[list[int] | None]:
    """Hold the lock of an item, which the kernel takes back when the process dies. Who holds it already is yielded."""
    descriptor = os.open(folder / item.replace("/", ","), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        holder = None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(descriptor, json.dumps(me).ljust(40).encode(), 0)
        except BlockingIOError:
            holder = json.loads(os.pread(descriptor, 40, 0) or b"[-1, -1]")
        yield holder
    finally:
        os.close(descriptor)


# -- the work


class Work:
    """One process of the run."""

    def __init__(self, run: Path, local: Path, who: int, orders: Orders) -> None:
        self._run, self._local, self._who, self._orders = run, local, who, orders
        self._audit = Audit(local / "audit" / str(who))
        self._random = random.Random(f"{orders.seed} {who}")

    def all_shelves(self) -> None:
        orders = self._orders
        with MultiProcessHelper(
            "torture", self._run, beat_seconds=orders.beat_seconds, patience_seconds=orders.patience_seconds,
            stop_after=None,
        ) as mph:  # fmt: skip
            self._audit.note("born", number=mph.instance_number, pid=os.getpid())
            for shelf in shelves(orders.items):
                self._one_shelf(mph, shelf)
        self._audit.note("ends")

    def _one_shelf(self, mph: MultiProcessHelper, shelf: Shelf) -> None:
        asked = time.monotonic()
        for item in mph.items(shelf.values, final=shelf.templates, directory=shelf.name, progress=False):
            name = shelf.finals(item.source)[-1]
            with item:
                self._audit.note("starts", item=name, attempt=item.attempt, asked=asked)
                with occupied(self._local / "occupied", name, [self._who, item.attempt]) as holder:
                    if holder is not None:
                        self._audit.note("meets", item=name, attempt=item.attempt, holder=holder)
                    self._execute(item, shelf, name)
            asked = time.monotonic()
            self._audit.note("fate", item=name, attempt=item.attempt, fate=str(item.fate))

    def _execute(self, item: Item, shelf: Shelf, name: str) -> None:
        try:
            how, inodes = self._treat(item, shelf, name)
        except Exception as error:
            self._audit.note("leaves", item=name, attempt=item.attempt, how="raised", error=repr(error))
            raise
        self._audit.note("leaves", item=name, attempt=item.attempt, how=how, inodes=inodes)

    def _treat(self, item: Item, shelf: Shelf, name: str) -> tuple[str, dict[str, int]]:
        """Do what the item demands; how it ended, and the inodes of what was written."""
        kind = temper(item.source)
        self._dawdle()
        if kind is Temper.RAISES_ALWAYS or (kind is Temper.RAISES_ONCE and self._is_first(name)):
            raise ValueError(f"{name} raises")
        if kind is Temper.KILLS:
            self._audit.note("kills itself", item=name, attempt=item.attempt)
            os.kill(os.getpid(), signal.SIGKILL)
        if kind is Temper.STOPS_ONCE and self._is_first(name):
            os.kill(os.getpid(), signal.SIGSTOP)
        if kind is Temper.SKIPPED:
            item.skip("there is nothing to write")
            return "skipped", {}
        if kind is Temper.FATAL:
            item.fail("never again", retry=False)
            return "fatal", {}
        if kind is Temper.DROPPED_ONCE and self._is_first(name):
            item.drop()
            return "dropped", {}
        return "wrote", self._write(item, shelf, name)

    def _write(self, item: Item, shelf: Shelf, name: str) -> dict[str, int]:
        seal = Seal(name, item.attempt, self._who, os.getpid())
        targets = [item.final] if os.environ.get(BREAK) == "written in place" else item.paths
        inodes = {}
        for target, final in zip(targets, shelf.finals(item.source)[-len(targets) :], strict=True):
            for part in [target / leaf for leaf in LEAVES] if shelf.shape == "directory" else [target]:
                part.parent.mkdir(parents=True, exist_ok=True)
                payload = self._random.randbytes(self._random.randrange(8000)).hex().encode()
                self._write_slowly(part, sealed(seal, payload))
            inodes[final] = os.lstat(target).st_ino
        return inodes

    def _write_slowly(self, path: Path, data: bytes) -> None:
        """In two pieces, so that a process that dies or stops in between leaves half of it."""
        with open(path, "wb", buffering=0) as file:
            view = memoryview(data)
            for piece in (view[: len(data) // 2], view[len(data) // 2 :]):
                if file.write(piece) != len(piece):
                    raise OSError(errno.ENOSPC, "a short write", str(path))
                self._dawdle()

    def _dawdle(self) -> None:
        time.sleep(self._random.expovariate(3 / self._orders.dawdle_seconds))

    def _is_first(self, name: str) -> bool:
        try:
            (self._local / "seen" / name.replace("/", ",")).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


# -- broken on purpose: each detector must notice one of these


def _finals_are_replaced() -> None:
    def link(disk: PosixDisk, source: str, target: str) -> None:
        if os.path.basename(target).startswith("."):
            os.link(source, target, follow_symlinks=False)
        else:
            os.replace(source, target)

    PosixDisk.link = link


def _claims_are_ignored() -> None:
    def link(disk: PosixDisk, source: str, target: str) -> None:
        try:
            os.link(source, target, follow_symlinks=False)
        except FileExistsError:
            if ".claim-" not in target:
                raise

    PosixDisk.link = link


def _one_failure_is_enough() -> None:
    def is_set_aside(ended: Mapping[int, Ended], last_retry: int, max_attempts: int) -> bool:
        counted = survey.COUNTED | {Outcome.FATAL}
        return any(end.outcome in counted for attempt, end in ended.items() if attempt > last_retry)

    survey.is_set_aside = is_set_aside


BREAKS: dict[str, Callable[[], None]] = {
    "finals are replaced": _finals_are_replaced,
    "claims are ignored": _claims_are_ignored,
    "one failure is enough": _one_failure_is_enough,
    "written in place": lambda: None,
}


def work(run: str, local: str, who: str, orders: str) -> int:
    faulthandler.register(signal.SIGUSR1)
    if broken := os.environ.get(BREAK):
        BREAKS[broken]()
    try:
        Work(Path(run), Path(local), int(who), Orders(**json.loads(orders))).all_shelves()
    except (RunDirectoryUnusable, OSError) as error:
        if not _is_lack_of_room(error):
            raise
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return NO_ROOM
    return 0


def _is_lack_of_room(error: BaseException) -> bool:
    causes = [error, error.__cause__, error.__context__]
    return any(isinstance(cause, OSError) and cause.errno == errno.ENOSPC for cause in causes)


if __name__ == "__main__":
    sys.exit(work(*sys.argv[1:]))
