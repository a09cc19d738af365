"""One list in one directory, in several, and in chunks: what a second process adds, and what other nodes cost.

A directory is changed by one process at a time, in the kernel of a machine as on a file server, and a client asks anew
about a directory that another has changed. So the same items are spread over more directories, for the bare loop and
for the package alike; a bare loop with several processes gives each of them directories of its own.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scripts.bench_files import contestants
from scripts.bench_files.job import Contestant
from scripts.bench_files.measure import Campaign, Series, median
from scripts.bench_files.table import Table, ratio_text, scaling

FOLDERS = (1, 2, 16, 256)
CHUNKS: tuple[Any, ...] = (20, "auto")
ITEMS = {False: 20_000, True: 3_000}
"""Many, by whether they are synced: what happens once at the start and at the end of a run is no matter here."""


def rows(folders: Sequence[int], *, sync: bool) -> list[Contestant]:
    """The floor and the package in each layout, and in chunks where the finals lie in one directory or in the most."""
    ending = "-sync" if sync else ""
    floor, ours = contestants.named(f"floor{ending}"), contestants.named(f"ours{ending}")
    made = []
    for number in folders:
        floor_key = f"{floor.key}-in-{number}"
        made.append(_row(floor, floor_key, floor_key, f"floor, {_where(number)}", number))
        made.append(_row(ours, f"{ours.key}-in-{number}", floor_key, f"multiprocesstools, {_where(number)}", number))
        for chunk in CHUNKS if number in (folders[0], folders[-1]) else ():
            label = f"multiprocesstools, {_where(number)}, chunk={chunk}"
            row = _row(ours, f"{ours.key}-in-{number}-chunk-{chunk}", floor_key, label, number)
            made.append(replace(row, variant=row.variant | {"items": {"chunk": chunk}}))
    return made


def result_rows(folders: Sequence[int], *, sync: bool) -> list[Contestant]:
    """The same where the package writes the result into its own claim."""
    ending = "-sync" if sync else ""
    floor, ours = contestants.named(f"result{ending}"), contestants.named(f"ours-results{ending}")
    made = []
    for number in folders:
        key = f"{floor.key}-in-{number}"
        made.append(_row(floor, key, key, f"{floor.label}, {_where(number)}", number))
        made.append(_row(ours, f"{ours.key}-in-{number}", key, f"{ours.label}, {_where(number)}", number))
    return made


def _row(one: Contestant, key: str, floor: str, label: str, folders: int) -> Contestant:
    return replace(one, key=key, floor=floor, label=label, variant=one.variant | {"folders": folders})


def _where(folders: int) -> str:
    return f"{folders} directories" if folders > 1 else "one directory"


def run(place: Any, rounds: int) -> list[Table]:
    """Items/s of one and of two processes on this machine."""
    tables = []
    with place:
        for sync in (False, True):
            wanted = rows(FOLDERS, sync=sync)
            campaign = Campaign(place, rounds, 0.0, {row.key: ITEMS[sync] for row in wanted})
            series = {number: campaign.measure(wanted, number) for number in (1, 2)}
            tables.append(_table(f"{place.name}: two processes on one list, durable={sync}", place.describes, series))
    return tables


def _table(heading: str, describes: str, series: dict[int, list[Series]]) -> Table:
    explains = (
        f"{describes[0].upper()}{describes[1:]}. Items/s of one process and of two, and the second over the first in "
        "the round of the same number; the same of the processor's time of an item."
    )
    table = scaling(heading, explains, series)
    table.columns = ["contestant", "1 process", "2 processes", "2 / 1", "spread", "CPU 2 / 1", "lost", "twice"]
    table.rows = [_line(one, two) for one, two in zip(series[1], series[2], strict=True)]
    return table


def _line(one: Series, two: Series) -> list[str]:
    growth = [many / single for single, many in zip(one.rates, two.rates, strict=False)]
    pairs = zip(one.runs, two.runs, strict=False)
    cpu = [many.cpu / many.items / (single.cpu / single.items) for single, many in pairs]
    spread = f"{min(growth):.2f}-{max(growth):.2f}" if growth else one.reason or two.reason
    return [
        one.contestant.label, f"{median(one.rates):,.0f}", f"{median(two.rates):,.0f}", ratio_text(growth), spread,
        ratio_text(cpu), str(one.lost + two.lost), str(one.twice + two.twice),
    ]  # fmt: skip
