"""Four machines on one list: the remote calls of an item with one node and with four, beside bare loops.

A bare loop of four nodes that share the list out beforehand is the least; one in which all walk the list in order from
its beginning is what a script without a plan does.
"""

from collections.abc import Sequence
from typing import Any

from scripts.bench_files import contestants, floors, layouts
from scripts.bench_files.job import Contestant
from scripts.bench_files.measure import Run, median, run_once, say
from scripts.bench_files.places import BenchError
from scripts.bench_files.share import NfsShare
from scripts.bench_files.table import NOTHING, Table

FEW, MANY = 100, 500
_FEW_IN_LAYOUTS, _MANY_IN_LAYOUTS = 200, 1400  # "auto" measures first, and each of 16 directories is listed
_LAYOUTS = (1, 4, 16)
_THINK_SECONDS = 0.0012  # what the package computes for an item in this lab, where four nodes share two cores
_MOST_ROUNDS = 3  # counts hardly differ between rounds


def run(rounds: int, versions: Sequence[str] = ("4.2", "3")) -> list[Table]:
    tables = []
    for version in versions:
        with NfsShare(version) as share:
            rows = [*contestants.own(), *floors.WALKERS]
            tables.append(_table(share, rows, "", (FEW, MANY), min(rounds, _MOST_ROUNDS)))
    return tables


def run_layouts(rounds: int, version: str = "4.2") -> list[Table]:
    """With the finals in one directory and in several, and in chunks."""
    rows = [*layouts.rows(_LAYOUTS, sync=True), *layouts.result_rows(_LAYOUTS, sync=True)]
    rows.append(layouts.thinking_floor(_THINK_SECONDS))
    with NfsShare(version) as share:
        items = _FEW_IN_LAYOUTS, _MANY_IN_LAYOUTS
        return [_table(share, rows, ", in several layouts", items, min(rounds, _MOST_ROUNDS))]


def _table(share: NfsShare, rows: Sequence[Contestant], what: str, items: tuple[int, int], rounds: int) -> Table:
    found: dict[tuple[str, int], list[tuple[float, Run]]] = {}
    failures: dict[str, str] = {}
    for _ in range(rounds):
        for row in rows:
            for nodes in (1, share.nodes):
                if (nodes == 1 and row in floors.WALKERS) or row.key in failures:
                    continue
                say(f"{share.name}, {nodes} nodes: {row.label}")
                try:
                    found.setdefault((row.key, nodes), []).append(_per_item(share, row, nodes, items))
                except BenchError as error:
                    failures[row.key] = str(error).strip().splitlines()[-1]
    lines = [_line(row, share.nodes, found, failures) for row in rows]
    columns = ["contestant", "1 node", "4 nodes", "4 / 1", "4 / floor's 1", "lost", "twice", "kinds, 4 nodes"]
    data = [_data(key, nodes, runs) for (key, nodes), runs in found.items()]
    explains = (
        f"Remote calls of an item, {share.describes}; the difference between lists of {items[1]} and {items[0]} items, "
        f"medians of {rounds} rounds."
    )
    return Table(f"{share.name}: one list on one node and on four{what}", explains, columns, lines, data)


def _per_item(share: NfsShare, row: Contestant, nodes: int, items: tuple[int, int]) -> tuple[float, Run]:
    short, long = (run_once(share, row, number, nodes) for number in items)
    return (sum(long.rpcs.values()) - sum(short.rpcs.values())) / (long.items - short.items), long


def _line(
    row: Contestant, nodes: int, found: dict[tuple[str, int], list[tuple[float, Run]]], failures: dict[str, str]
) -> list[str]:
    if row.key in failures:
        return [row.label, "not available", *[NOTHING] * 5, failures[row.key]]
    one, four = (found.get((row.key, number), []) for number in (1, nodes))
    single, shared = median([rpcs for rpcs, _ in one]), median([rpcs for rpcs, _ in four])
    floor = median([rpcs for rpcs, _ in found.get((row.floor, 1), [])])
    runs = [run for _, run in one + four]
    kinds = median_kinds([run for _, run in four])
    return [
        row.label, f"{single:.2f}" if one else NOTHING, f"{shared:.2f}", f"{shared / single:.2f}" if one else NOTHING,
        f"{shared / floor:.2f}", str(sum(run.lost for run in runs)), str(sum(run.twice for run in runs)), kinds,
    ]  # fmt: skip


def _data(key: str, nodes: int, runs: list[tuple[float, Run]]) -> dict[str, Any]:
    return {
        "contestant": key, "nodes": nodes, "rpcs_per_item": [rpcs for rpcs, _ in runs],
        "kinds": [run.rpcs for _, run in runs], "lost": sum(run.lost for _, run in runs),
        "twice": sum(run.twice for _, run in runs),
    }  # fmt: skip


def median_kinds(runs: Sequence[Run]) -> str:
    """The kinds of remote calls that an item costs on average at least a twentieth of."""
    names = sorted({name for run in runs for name in run.rpcs})
    counts = {name: median([run.rpcs.get(name, 0) / run.items for run in runs]) for name in names}
    return ", ".join(f"{name} {count:.1f}" for name, count in counts.items() if count >= 0.05)
