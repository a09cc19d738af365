"""Measures the package against floors and peers, prints the tables and saves them.

    python -m scripts.bench_files [--short] [--only PART ...] [--rounds N] [--seconds S] [--processes N ...]
        [--save FILE]

The short form needs neither root nor peers: the package against its floors, with one and two processes.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.bench_files import calls, contestants, layouts, machine, million, nodes, places, share, startup
from scripts.bench_files.job import Contestant
from scripts.bench_files.measure import Campaign, Series, say
from scripts.bench_files.table import Table, scaling, throughput

PARTS = {
    "disk": "items on a local journalled disk",
    "tmpfs": "items in memory",
    "nfs": "items on NFS v4.2",
    "nfs4": "remote calls of an item, one and four nodes on one list, NFS v4.2 and v3",
    "layouts": "one and two processes, finals in one directory and in several, and in chunks",
    "nfs4-layouts": "the same with finals in one directory and in several, and in chunks, NFS v4.2",
    "million": "a run of a million items of which 999,000 are done",
    "million-nfs": "the same on NFS v4.2",
    "journals": "the status of a run with journals of a million events",
    "journals-nfs": "the same on NFS v4.2",
    "startup": "importing the package and the command",
}
SHORT_PARTS = ("disk", "tmpfs")
_HOW = """\
Contestants run in turn, {rounds} rounds; figures are medians, ratios are those of one round. No-op items: each writes
one small file. The ratios are times of an item, by the wall and by the processor, over those of the floor named behind
them. Changes (create, link, unlink, rename ...), looks (stat ...), opens, syncs (fsync) and other calls (reads, writes,
listings, locks) of an item are counted by strace in runs of their own, as the difference between lists of {few} and
{many} items; on lists so short several processes meet more often than on long ones. Lost: outputs that are missing or
incomplete; twice: items worked on again; both of all rounds."""


def main() -> int:
    options = _parse()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # disks and labs are taken down
    began, facts = time.time(), machine.facts()
    wanted = options.only or (SHORT_PARTS if options.short else tuple(PARTS))
    processes = tuple(options.processes or ((1, 2) if options.short else (1, 2, 8)))
    rounds = options.rounds or (3 if options.short else 5)
    bench = Bench(Path.cwd(), rounds, options.short, options.seconds, processes)
    tables: list[Table] = []
    report = ""
    for part in wanted:
        print(f"{part}: {PARTS[part]} ...", file=sys.stderr, flush=True)
        part_began = time.monotonic()
        tables += bench.run(part)
        say("")
        print(f"{part}: {time.monotonic() - part_began:.0f} s", file=sys.stderr, flush=True)
        report = _heading(options, facts, bench, began) + "\n".join(table.markdown() for table in tables)
        if options.save or not options.short:  # now, because some parts take half an hour
            file = options.save or _default_file(began, options)
            _save(file, report, tables, {"command": _command(options), "machine": facts})
    print(report)
    ours = [row for table in tables for row in table.data if str(row.get("contestant", "")).startswith("ours")]
    return 1 if any(row.get("lost") or row.get("twice") or row.get("reason") for row in ours) else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--short", action="store_true", help="40 seconds, without root and without peers")
    parser.add_argument(
        "--only", action="append", choices=PARTS, metavar="PART", help=f"one of {', '.join(PARTS)}; may be repeated"
    )
    parser.add_argument("--rounds", type=int, help="how often everything is measured (5)")
    parser.add_argument("--seconds", type=float, help="how long a run of the package takes, about (1; on NFS 2)")
    parser.add_argument(
        "--processes", action="append", type=int, choices=range(1, 65), metavar="N",
        help="how many share the items on a local disk and on NFS; may be repeated (1, 2 and 8)",
    )  # fmt: skip
    parser.add_argument(
        "--save", metavar="FILE", type=Path, help="where the tables go; a .json beside it has all figures"
    )
    options = parser.parse_args()
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if options.seconds is not None and not 0.1 <= options.seconds <= 60:
        parser.error("--seconds must be from 0.1 to 60")
    return options


@dataclass
class Bench:
    """What is measured, how often, and how long. `counted`: the calls of an item, the same on every local
    filesystem."""

    root: Path
    rounds: int
    short: bool
    seconds: float | None = None
    processes: tuple[int, ...] = (1,)
    counted: dict[tuple[str, int], calls.Calls] = field(default_factory=dict)

    @property
    def contestants(self) -> tuple[Contestant, ...]:
        return contestants.own() if self.short else contestants.everybody()

    def run(self, part: str) -> list[Table]:
        match part:
            case "disk":
                return self._items(places.local_disk(self.root, own_filesystem=not self.short))
            case "tmpfs":
                place = places.memory_disk()
                return self._items(place) if place else [_unavailable("tmpfs", "there is no /dev/shm")]
            case "layouts":
                return layouts.run(places.local_disk(self.root, own_filesystem=not self.short), self.rounds)
            case "million":
                return million.run(self.root, self.rounds, million.large_lists)
            case "journals":
                return million.run(self.root, self.rounds, million.journals)
            case "startup":
                return startup.run(self.rounds)
        if reason := share.why_no_nfs():
            return [_unavailable(PARTS[part], reason)]
        match part:
            case "nfs4":
                return nodes.run(self.rounds)
            case "nfs4-layouts":
                return nodes.run_layouts(self.rounds)
            case "million-nfs":
                return million.run_nfs(self.rounds, million.large_lists)
            case "journals-nfs":
                return million.run_nfs(self.rounds, million.journals)
        return self._items(share.NfsShare("4.2"))

    def _items(self, place: Any) -> list[Table]:
        """The tables of one place, one for each number of processes."""
        long = 2.0 if place.nodes > 1 else 1.0  # what happens once is dearer on NFS
        campaign = Campaign(place, self.rounds, self.seconds or (0.25 if self.short else long))
        series: dict[int, list[Series]] = {}
        tables = []
        with place:
            for processes in self.processes:
                began = time.monotonic()
                series[processes] = campaign.measure(self.contestants, processes)
                tables.append(self._table(place, series[processes], processes))
                say("")
                print(f"  {tables[-1].heading}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        explains = "Items/s over those of one process in the round of the same number."
        if 1 not in series or len(series) == 1:
            return tables
        return [*tables, scaling(f"{place.name}: how the rate grows with the processes", explains, series)]

    def _table(self, place: Any, series: Sequence[Series], processes: int) -> Table:
        heading = f"{place.name}, {processes} process{'es' * (processes > 1)}"
        explains = f"{place.describes[0].upper()}{place.describes[1:]}."
        is_remote = place.nodes > 1
        is_counted = not is_remote and not (self.short and processes > 1)
        counted = self._count(series, processes) if is_counted else {}
        return throughput(heading, explains, series, counted, remote=is_remote)

    def _count(self, series: Sequence[Series], processes: int) -> dict[str, calls.Calls]:
        if reason := calls.why_not():
            print(f"calls are not counted: {reason}", file=sys.stderr)
            return {}
        for one in series:
            key = (one.contestant.key, processes)
            if key not in self.counted and not one.reason:
                say(f"calls of an item, {processes} processes: {one.contestant.label}")
                try:
                    self.counted[key] = calls.count_calls(one.contestant, processes, places.quick_root(self.root))
                except places.BenchError as error:
                    print(f"{one.contestant.label}: calls are not counted: {error}", file=sys.stderr)
        return {key: counted for (key, number), counted in self.counted.items() if number == processes}


def _unavailable(what: str, reason: str) -> Table:
    return Table(what, f"Not available: {reason}.", ["what", "reason"], [[what, f"not available: {reason}"]])


def _heading(options: argparse.Namespace, facts: dict[str, str], bench: Bench, began: float) -> str:
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(began))
    seconds = time.time() - began
    lines = [f"## {_command(options)}", "", f"{when}, {seconds / 60:.0f} minutes.", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    versions = machine.versions(bench.contestants)
    lines += [f"- versions: {', '.join(f'{name} {value}' for name, value in versions.items())}", ""]
    lines += [_HOW.format(rounds=bench.rounds, few=calls.FEW, many=calls.MANY), "", ""]
    return "\n".join(lines)


def _command(options: argparse.Namespace) -> str:
    """What was asked for, without the names of files."""
    words = ["--short"] * options.short + [f"--only {part}" for part in options.only or ()]
    words += [f"--{name} {value}" for name in ("rounds", "seconds") if (value := getattr(options, name))]
    words += [f"--processes {number}" for number in options.processes or ()]
    return " ".join(["scripts/bench", *words])


def _default_file(began: float, options: argparse.Namespace) -> Path:
    parts = "-".join(options.only) if options.only else "all"
    name = f"{time.strftime('%Y-%m-%d', time.gmtime(began))}-{parts}.md"
    return places.CHECKOUT / "scripts" / "bench-results" / name


def _save(file: Path, report: str, tables: list[Table], facts: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(report, encoding="utf-8")
    data = facts | {"tables": [vars(table) for table in tables]}
    file.with_suffix(".json").write_text(json.dumps(data, indent=1, default=str) + "\n", encoding="utf-8")
    print(f"saved as {os.path.relpath(file)} and {file.with_suffix('.json').name}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
