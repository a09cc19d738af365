"""A run of a million items of which 999,000 are done: starting on it, its status, its cleanup, its journals.

In 256 folders and in one, on a journalled disk of its own or on a node of an NFS lab. The floor lists, names, checks
for duplicates and filters, in plain Python; it does not write a plan, and it knows nothing of claims.

Guarantee: what is compared runs in turn, in processes of their own. Condition: Linux, whose /proc says how much memory
a process has.
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from scripts.bench_files.hosts import Here, Host, Said
from scripts.bench_files.measure import median, say
from scripts.bench_files.places import filesystem_of, mount_image, why_no_image
from scripts.bench_files.share import NfsShare
from scripts.bench_files.starts import JOURNALS
from scripts.bench_files.table import Table, times

SMALL = 10_000
_HERE = Here()
_STARTS = "scripts.bench_files.starts"
_IMAGE_BYTES, _INODES = 8 << 30, 1_200_000
_FOLDERS = (1, 256)


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
    host: Host = _HERE

    @property
    def where(self) -> str:
        return f"{self.folders} folders" if self.folders > 1 else "one folder"


@dataclass
class Figures:
    """What each round has said, by the name of the row. `bases`: the row that each is compared with."""

    bases: dict[str, str]
    said: dict[str, list[Said]] = field(default_factory=dict)
    memory: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, said: Said, memory: str = "") -> None:
        self.said.setdefault(name, []).append(said)
        self.memory[name] = memory

    def rows(self) -> list[tuple[str, list[float], str, str]]:
        return [
            (name, [one.seconds for one in said], self.bases.get(name, ""), self._remark(name))
            for name, said in self.said.items()
        ]

    def _remark(self, name: str) -> str:
        said, base = self.said[name], self.said.get(self.bases.get(name, ""), [])
        parts = [f"processor {median([one.cpu for one in said]):.2f} s"]
        ratios = [one.cpu / other.cpu for one, other in zip(said, base, strict=False) if other.cpu]
        parts += [f"{median(ratios):.2f} x"] if ratios else []
        parts += [self.memory[name]] if self.memory[name] else []
        calls = median([one.rpcs for one in said])
        return ", ".join([*parts, f"{calls:,.0f} remote calls"] if calls else parts)


Measure = Callable[[Path, Host, int, Sizes], list[Table]]


def run(root: Path, rounds: int, measure: Measure, sizes: Sizes = LONG) -> list[Table]:
    """`large_lists` or `journals` on a local disk."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=root) as folder, ExitStack() as stack:
        reason = why_no_image(root)
        place = mount_image(Path(folder), stack, _IMAGE_BYTES, _INODES) if not reason else folder
        own = f"the working directory's {filesystem_of(root)} ({reason})"
        return _explained(measure(Path(place), Here(), rounds, sizes), own if reason else "a fresh ext4 with a journal")


def run_nfs(rounds: int, measure: Measure, sizes: Sizes = LONG, version: str = "4.2") -> list[Table]:
    """On a node of an NFS lab; the outputs are made on the server, and the node forgets what it knows every time."""
    os.environ |= {"LAB_MEM": "1500M", "LAB_DISK_MB": "24576"}  # sparse; a file system of this size has inodes enough
    with NfsShare(version, nodes=1) as share:
        return _explained(measure(share.shared, share.host(), rounds, sizes), f"NFS v{version}, one node")


def _explained(tables: list[Table], on: str) -> list[Table]:
    for table in tables:
        table.explains += f" On {on}."
    return tables


# -- a large list


def large_lists(place: Path, host: Host, rounds: int, sizes: Sizes) -> list[Table]:
    return [_large_run(place, host, folders, rounds, sizes) for folders in _FOLDERS]


def _large_run(place: Path, host: Host, folders: int, rounds: int, sizes: Sizes) -> Table:
    large = Large(place / f"large-{folders}", folders, sizes.items, host)
    small = Large(place / f"small-{folders}", folders, SMALL, host)
    for one in (large, small):
        make_done(one, one.items - sizes.left)
    figures = Figures(_bases(sizes.left_over))
    for number in range(rounds):
        say(f"a large list in {large.where}, {on_text(host)}, round {number + 1} of {rounds}")
        for one in (large, small):
            keep("remove", one, 0)  # every round begins with nothing but the outputs
        child("helper", small)
        _start_round(figures, large)
        _status_round(figures, large, small)
        _cleanup_round(figures, large, sizes.left_over, "")
        _cleanup_round(figures, small, sizes.left_over, f" of {SMALL:,} items")
    for one in (large, small):
        keep("remove", one, 1)
    explains = (
        f"{sizes.items:,} items in {large.where}, {sizes.items - sizes.left:,} of them done. Remarks: time of the "
        "processor, and that over the row's it is compared with; memory of an item at the peak, beyond the caller's "
        "list (status: beyond that of a small run)."
    )
    return times(f"a large list in {large.where}, {on_text(host)}", explains, figures.rows())


def on_text(host: Host) -> str:
    return "NFS" if host.has_rpcs else "local disk"


def _bases(left_over: int) -> dict[str, str]:
    """The row that each is compared with."""
    bases = dict.fromkeys(("first start, writes the plan", "later start", "mpt status"), "floor")
    for suffix in ("", f" of {SMALL:,} items"):
        bases[f"mpt cleanup, {left_over} left over{suffix}"] = f"mpt cleanup, nothing left over{suffix}"
    return bases


def make_done(one: Large, done: int) -> None:
    """The outputs of the first `done` items."""
    keep("make", one, done)


def _start_round(figures: Figures, large: Large) -> None:
    for name, what in (("floor", "floor"), ("first start, writes the plan", "helper"), ("later start", "helper")):
        said = child(what, large)
        figures.add(name, said, f"{said.peak_bytes / large.items:,.0f} bytes/item")


def _status_round(figures: Figures, large: Large, small: Large) -> None:
    least, said = command("status", small), command("status", large)
    figures.add("mpt status", said, f"{(said.peak_bytes - least.peak_bytes) / large.items:,.0f} bytes/item")


def _cleanup_round(figures: Figures, one: Large, left_over: int, suffix: str) -> None:
    command("cleanup", one, "--no-wait")
    figures.add(f"mpt cleanup, nothing left over{suffix}", command("cleanup", one, "--no-wait"))
    child("plant", one, left_over)
    figures.add(f"mpt cleanup, {left_over} left over{suffix}", command("cleanup", one, "--no-wait"))


# -- journals


def journals(place: Path, host: Host, rounds: int, sizes: Sizes) -> list[Table]:
    without, full = (Large(place / name, 1, SMALL, host) for name in ("without", "full"))
    for one in (without, full):
        make_done(one, SMALL - 1)
        child("helper", one)
    keep("journals", full, sizes.events)
    figures = Figures({"mpt status": "floor: parse every line"})
    for number in range(rounds):
        say(f"journals, {on_text(host)}, round {number + 1} of {rounds}")
        least = command("status", without)
        figures.add("mpt status without them", least)
        figures.add("floor: parse every line", child("parse", full))
        said = command("status", full)
        figures.add("mpt status", said, f"{(said.peak_bytes - least.peak_bytes) / 2**20:,.0f} MiB")
    for one in (without, full):
        keep("remove", one, 1)
    many = f"journals of {sizes.events:,} events"
    explains = f"{many.capitalize()} in {JOURNALS} files. Remarks: memory at the peak beyond that without them."
    return [times(f"{many}, {on_text(host)}", explains, figures.rows())]


def child(what: str, one: Large, *more: int) -> Said:
    """A process of `starts`."""
    return one.host.ask(_STARTS, what, str(one.run), *map(str, (one.folders, one.items, *more)))


def keep(what: str, one: Large, *more: int) -> Said:
    """The same near the disk."""
    return one.host.keep(_STARTS, what, str(one.run), *map(str, (one.folders, one.items, *more)))


def command(name: str, one: Large, *options: str) -> Said:
    """A command of the package; it may say that something is unfinished.

    The process says itself what its peak was: what the kernel tells its parent begins with the parent's own size.
    """
    return one.host.ask(_STARTS, "command", name, str(one.run), *options)
