"""A run of a million items of which 999,000 are done: starting on it, its status, its cleanup, its journals.

In 256 folders and in one, on a journalled disk of its own. The floor lists, names, checks for duplicates and filters,
in plain Python; it does not write a plan, and it knows nothing of claims.

Guarantee: what is compared runs in turn, in processes of their own. Condition: Linux, whose /proc says how much memory
a process has.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from scripts.bench_files import starts
from scripts.bench_files.places import filesystem_of, mount_image, why_no_image, with_checkout
from scripts.bench_files.table import Table, times

SMALL = 10_000
_JOURNALS = 8
_IMAGE_BYTES, _INODES = 8 << 30, 1_200_000
_FOLDERS = (256, 1)
_EVENT = (
    '{{"time": {time:.3f}, "at": {at:.3f}, "event": "{event}", "item": "out/plate{folder:03d}/image{number:07d}.csv", '
    '"attempt": 1{rest}, "host": "node{host}"}}\n'
)


_COMMAND = """
import sys
from multiprocesstools.cli import main
from scripts.bench_files.starts import memory_bytes
try:
    main()
finally:
    sys.stderr.write(f"{memory_bytes('VmHWM')}\\n")
"""


@dataclass(frozen=True)
class Sizes:
    """How much there is: items, how many of them are not done, how many of those a dead process held, events."""

    items: int
    left: int
    left_over: int
    events: int


LONG = Sizes(1_000_000, 1_000, 900, 1_000_000)


@dataclass(frozen=True)
class Large:
    """A run directory with its list."""

    run: Path
    folders: int
    items: int


@dataclass
class Figures:
    """Seconds of each round by the name of the row, and the memory of a process, bytes over what it began with."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    memory: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, seconds: float, memory: float | None = None) -> None:
        self.seconds.setdefault(name, []).append(seconds)
        if memory is not None:
            self.memory.setdefault(name, []).append(memory)

    def rows(self, bases: dict[str, str], unit: str) -> list[tuple[str, list[float], str, str]]:
        return [(name, values, bases.get(name, ""), self._remark(name, unit)) for name, values in self.seconds.items()]

    def _remark(self, name: str, unit: str) -> str:
        values = sorted(self.memory.get(name, []))
        return f"{values[len(values) // 2]:,.0f} {unit}" if values else ""


def run(root: Path, rounds: int, sizes: Sizes = LONG) -> list[Table]:
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=root) as folder, ExitStack() as stack:
        reason = why_no_image(root)
        place = mount_image(Path(folder), stack, _IMAGE_BYTES, _INODES) if not reason else folder
        own = f"the working directory's {filesystem_of(root)} ({reason})"
        disk = own if reason else "a fresh ext4 with a journal"
        tables = [_large_run(Path(place), folders, rounds, sizes) for folders in _FOLDERS]
        tables.append(_journals(Path(place), rounds, sizes.events))
    for table in tables:
        table.explains += f" On {disk}."
    return tables


# -- a large list


def _large_run(place: Path, folders: int, rounds: int, sizes: Sizes) -> Table:
    large = Large(place / f"large-{folders}", folders, sizes.items)
    small = Large(place / f"small-{folders}", folders, SMALL)
    for one in (large, small):
        make_done(one, one.items - sizes.left)
    child("helper", small)
    figures = Figures()
    for _ in range(rounds):
        _start_round(figures, large)
        _status_round(figures, large, small)
        _cleanup_round(figures, large, sizes.left_over, "")
        _cleanup_round(figures, small, sizes.left_over, f" of {SMALL:,} items")
    for one in (large, small):
        shutil.rmtree(one.run)
    where = f"{folders} folders" if folders > 1 else "one folder"
    explains = (
        f"{sizes.items:,} items in {where}, {sizes.items - sizes.left:,} of them done. Remarks: memory of an item at "
        "the peak, beyond the caller's list (status: beyond that of a small run)."
    )
    return times(f"a large list in {where}", explains, figures.rows(_bases(sizes.left_over), "bytes/item"))


def _bases(left_over: int) -> dict[str, str]:
    """The row that each is compared with."""
    bases = dict.fromkeys(("first start, writes the plan", "later start", "mpt status"), "floor")
    for suffix in ("", f" of {SMALL:,} items"):
        bases[f"mpt cleanup, {left_over} left over{suffix}"] = f"mpt cleanup, nothing left over{suffix}"
    return bases


def make_done(one: Large, done: int) -> None:
    """The outputs of the first `done` items, empty: only their names count here."""
    pattern, out = starts.template(one.folders), f"{one.run}/out"
    os.makedirs(out)
    for number in range(one.folders if one.folders > 1 else 0):
        os.mkdir(f"{out}/plate{number:03d}")
    for source in starts.sources(one.items, one.folders)[:done]:
        os.close(os.open(f"{out}/{starts.final(source, pattern)}", os.O_CREAT | os.O_WRONLY))


def _start_round(figures: Figures, large: Large) -> None:
    for private in (".multiprocesstools", "multiprocesstools_logs"):
        shutil.rmtree(large.run / private, ignore_errors=True)
    for name, what in (("floor", "floor"), ("first start, writes the plan", "helper"), ("later start", "helper")):
        said = child(what, large)
        figures.add(name, said["seconds"], said["bytes_per_item"])


def _status_round(figures: Figures, large: Large, small: Large) -> None:
    _, least = command("status", small.run)
    seconds, peak = command("status", large.run)
    figures.add("mpt status", seconds, (peak - least) / large.items)


def _cleanup_round(figures: Figures, one: Large, left_over: int, suffix: str) -> None:
    command("cleanup", one.run, "--no-wait")
    seconds, _ = command("cleanup", one.run, "--no-wait")
    figures.add(f"mpt cleanup, nothing left over{suffix}", seconds)
    child("plant", one, left_over)
    seconds, _ = command("cleanup", one.run, "--no-wait")
    figures.add(f"mpt cleanup, {left_over} left over{suffix}", seconds)


# -- journals


def _journals(place: Path, rounds: int, events: int) -> Table:
    without, full = place / "without", place / "full"
    for directory in (without, full):
        one = Large(directory, 1, SMALL)
        make_done(one, SMALL - 1)
        child("helper", one)
    paths = write_journals(full / "multiprocesstools_logs", events)
    figures = Figures()
    for _ in range(rounds):
        seconds, least = command("status", without)
        figures.add("mpt status without them", seconds)
        figures.add("floor: parse every line", _parse_lines(paths))
        seconds, peak = command("status", full)
        figures.add("mpt status", seconds, (peak - least) / 2**20)
    for directory in (without, full):
        shutil.rmtree(directory)
    explains = (
        f"Journals of {events:,} events in {_JOURNALS} files. Remarks: memory at the peak beyond that without them."
    )
    return times(
        f"journals of {events:,} events", explains, figures.rows({"mpt status": "floor: parse every line"}, "MiB")
    )


def write_journals(folder: Path, events: int) -> list[Path]:
    """As many instances as there are files have claimed and done one item after the other."""
    paths = [folder / f"earlier-{number}.jsonl" for number in range(1, _JOURNALS + 1)]
    for host, path in enumerate(paths):
        with path.open("w") as file:
            for step in range(events // _JOURNALS):
                number, is_end = host + _JOURNALS * (step // 2), step % 2
                file.write(_EVENT.format(
                    time=1.7e9 + step / 100, at=step / 100, event="done" if is_end else "claimed", folder=number % 256,
                    number=number, rest=', "seconds": 0.01, "rss": 50000000' if is_end else "", host=host,
                ))  # fmt: skip
    return paths


def _parse_lines(paths: list[Path]) -> float:
    began, done = time.monotonic(), 0
    for path in paths:
        with path.open("rb") as file:
            for line in file:
                done += json.loads(line)["event"] == "done"
    assert done
    return time.monotonic() - began


def child(what: str, one: Large, *more: int) -> dict[str, float]:
    numbers = map(str, (one.folders, one.items, *more))
    command = [sys.executable, "-m", "scripts.bench_files.starts", what, str(one.run), *numbers]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=with_checkout())
    if done.returncode:
        raise RuntimeError(f"{what}: {done.stderr[-2000:]}")
    said: dict[str, float] = json.loads(done.stdout or "{}")
    return said


def command(name: str, run: Path, *options: str) -> tuple[float, float]:
    """Seconds and the highest memory, in bytes, of a command; it may say that something is unfinished.

    The process says itself what its peak was: what the kernel tells its parent begins with the parent's own size.
    """
    words = [sys.executable, "-c", _COMMAND, name, str(run), *options]
    began = time.monotonic()
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=with_checkout())
    seconds = time.monotonic() - began
    if done.returncode not in (0, 3):
        raise RuntimeError(f"mpt {name}: {done.stderr[-2000:]}")
    return seconds, float(done.stderr.splitlines()[-1])
