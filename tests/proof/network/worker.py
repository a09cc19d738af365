"""What each process of the torture on network filesystems runs: one loop, watched by an audit and by a pulse.

Neither relies on the package. The audit says what was worked on: `start|raise|end item attempt uptime`. The pulse says
when this process could reach the shared directory: each line holds its uptime and is begun a second after the line
before it was on the server's disk, so that a long silence, whatever caused it, can be read from two lines. A process
has its own files, and uptimes (CLOCK_BOOTTIME of one kernel) are only compared within a process.
"""

import argparse
import json
import os
import random
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocesstools import MultiProcessHelper

OUTPUTS = "out"
REFUSALS = "refusals"
MAX_ATTEMPTS = 3
_PULSE_SECONDS = 1.0
_LINES = 400


def content(item: int, writer: str) -> str:
    """A complete final: several pages, its writer told at the beginning, and its end can be told."""
    body = "".join(f"item {item} line {line}\n" for line in range(_LINES))
    return f"item {item} by {writer}\n{body}end of {item}\n"


def is_complete(item: int, data: bytes) -> bool:
    text = data.decode(errors="replace")
    head, _, writer = text.partition("\n")[0].partition(" by ")
    return head == f"item {item}" and text == content(item, writer)


def raises_once(item: int) -> bool:
    return item % 40 == 7


def raises_always(item: int) -> bool:
    return item % 40 == 27


def seconds_of(item: int) -> float:
    """How long an item takes: most are cheap, and some last long enough to be caught by a fault."""
    chance = random.Random(item)
    return chance.uniform(3, 8) if chance.random() < 0.05 else chance.uniform(0.02, 0.2)


class Planned(Exception):
    """What an item was meant to raise."""


def uptime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True)
class Process:
    """Which process of which boot of which machine."""

    host: str
    boot: str
    pid: int

    def __str__(self) -> str:
        return f"{self.host}_{self.boot}_{self.pid}"

    @classmethod
    def read(cls, text: str) -> "Process":
        host, boot, pid = text.split("_")
        return cls(host, boot, int(pid))


class Lines:
    """A file that only this process writes; each line is on the server's disk when `add` returns.

    A descriptor may be lost with a client's lease: the file goes on in another one.
    """

    def __init__(self, folder: Path, process: Process) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._process, self._part = folder, process, 0
        self._lock = threading.Lock()
        self._open()

    def add(self, *words: object) -> None:
        line = (" ".join(map(str, words)) + "\n").encode()
        with self._lock:
            try:
                os.write(self._descriptor, line)
            except OSError:
                self._part += 1
                self._open()
                os.write(self._descriptor, line)

    def _open(self) -> None:
        path = self._folder / f"{self._process}.{self._part}"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_SYNC, 0o666)


class Refusals:
    """The attempts that failed although nothing was planned: the filesystem has refused the work, or the publishing.

    They are over for this process when it comes to its next item, and the audit says so.
    """

    def __init__(self, audit: Lines, lines: Lines) -> None:
        self._audit, self._lines, self._noted = audit, lines, 0

    def note(self, helper: "MultiProcessHelper") -> None:
        failures = helper.failures
        for failure in failures[self._noted :]:
            if Planned.__name__ not in failure.exception:
                item = os.path.basename(failure.item).removesuffix(".txt")
                self._audit.add("raise", item, failure.attempt, f"{uptime():.3f}")
                self._lines.add(item, failure.attempt, json.dumps([failure.exception, failure.traceback]))
        self._noted = len(failures)


def keep_pulse(lines: Lines) -> None:
    while True:
        lines.add(f"{uptime():.3f}")
        time.sleep(_PULSE_SECONDS)


def main() -> None:
    options = parse()
    process = Process(socket.gethostname(), boot(), os.getpid())
    print(process, flush=True)
    audit = Lines(options.run / "audit", process)
    pulse = Lines(options.run / "pulse", process)
    threading.Thread(target=keep_pulse, args=(pulse,), daemon=True).start()
    refusals = Refusals(audit, Lines(options.run / REFUSALS, process))
    with join(options) as helper:
        for numbers in lists(options.items, options.items_per_list or options.items):
            for item in helper.items(numbers, final="{value}.txt", directory=OUTPUTS, progress=False):
                refusals.note(helper)
                with item:
                    audit.add("start", item.source, item.attempt, f"{uptime():.3f}")
                    work(item.path, item.source, item.attempt, f"{process} attempt {item.attempt}", audit)
                    audit.add("end", item.source, item.attempt, f"{uptime():.3f}")
            refusals.note(helper)
    pulse.add(f"{uptime():.3f}")  # a silence may have ended less than a second ago


def lists(items: int, most: int) -> list[range]:
    """One list after the other: at the end of each, nobody has anything else to do than to wait for the silent."""
    return [range(first, min(items, first + most)) for first in range(0, items, most)]


def join(options: argparse.Namespace) -> "MultiProcessHelper":
    from multiprocesstools import MultiProcessHelper  # here, as the judge imports the rest of this file

    return MultiProcessHelper(
        "torture", options.run, beat_seconds=options.beat, patience_seconds=options.patience,
        max_attempts=MAX_ATTEMPTS, stop_after=None,
    )  # fmt: skip


def work(path: Path, item: int, attempt: int, writer: str, audit: Lines) -> None:
    text = content(item, writer)
    with path.open("w") as file:
        file.write(text[: len(text) // 2])
        file.flush()
        time.sleep(seconds_of(item))
        if raises_always(item) or (raises_once(item) and attempt == 1):
            audit.add("raise", item, attempt, f"{uptime():.3f}")
            raise Planned(f"item {item} raises in attempt {attempt}, as planned")
        file.write(text[len(text) // 2 :])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--items-per-list", type=int, default=0, help="0: one list with all items")
    parser.add_argument("--beat", type=float, required=True)
    parser.add_argument("--patience", type=float, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
