"""What tests of `map` share, and functions for it in a room that a spawned worker can import."""

import os
import signal
import threading
import time
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from multiprocesstools import MultiProcessHelper, Summary
from tests.processes import hidden

QUIET = {"durable": False, "beat_seconds": 0.2, "patience_seconds": 20}


def mapped(mph: MultiProcessHelper, function: Any, sources: Any, executor: Any = None, **more: Any) -> Summary:
    options = {"final": "{value}.txt", "directory": "out", "progress": False} | more
    return mph.map(function, sources, executor=executor, **options)


def assert_all_ended(run: Path) -> None:
    """Every claim was given back or declared over, and no file of an attempt is left."""
    there = set(hidden(run))
    assert all(name.replace(".claim-", ".ended-") in there for name in there if ".claim-" in name)
    assert not any(name.startswith(".mpt-") for name in there)


class TwoFacts(Exception):
    """An exception that can be pickled and not be unpickled."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


class Reluctant(Executor):
    """One thread that claims to have several workers, or does not say how many it has."""

    def __init__(self, says: int | None) -> None:
        self._pool = ThreadPoolExecutor(1)
        if says is not None:
            self._max_workers = says

    def submit(self, function: Any, /, *arguments: Any, **named: Any) -> "Future[Any]":
        return self._pool.submit(function, *arguments, **named)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)


def write(source: object, path: Path) -> None:
    path.write_text(str(source))


def write_pid(source: object, path: Path) -> None:
    path.write_text(str(os.getpid()))


def square(number: int) -> dict[str, int]:
    return {"square": number**2}


def write_nothing(source: object, path: Path) -> int:
    return 1


def kill_at_three(source: int, path: Path) -> None:
    if source == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    path.write_text(str(source))


def kill_beside_a_writer(source: int, path: Path) -> None:
    if source == 0:
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.3)
    path.write_text(str(source))
    time.sleep(0.5)


def kill_beside_a_late_writer(source: int, path: Path) -> None:
    """Those beside the one that is killed write a second later, and say so by a file beside the run."""
    if source == 0:
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1.0)
    path.write_text(str(source))
    (path.parents[1].parent / f"finished-{source}").touch()
    time.sleep(60)


def raise_beside_one_that_is_killed(source: int, path: Path) -> None:
    if source == 0:
        raise ValueError("broken")
    kill_beside_a_late_writer(source - 1, path)


def raise_what_cannot_be_read(source: int, path: Path) -> None:
    if source == 1:
        raise TwoFacts(1, 2)
    path.write_text(str(source))


def raise_what_looks_broken(source: int, path: Path) -> None:
    if source == 1:
        raise BrokenExecutor("another pool")
    path.write_text(str(source))


def leave(source: int, path: Path) -> None:
    if source == 1:
        raise SystemExit("enough")
    path.write_text(str(source))


def write_and_hang(source: str, path: Path) -> None:
    """Begin to write, say so by a file beside the run, wait for another file, write again."""
    path.write_text("half")
    signs = path.parents[1].parent
    (signs / f"working-{source}-{os.getpid()}").touch()
    go_on = threading.Event()
    while not (signs / "go-on").exists():
        go_on.wait(0.01)
    path.write_text("whole")
    (signs / f"finished-{source}").touch()
