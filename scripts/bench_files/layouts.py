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
    made = []
    for number in folders:
        floor, ours = _pair("floor", "ours", number, sync)
        made += [floor, ours]
        for chunk in CHUNKS if number in (folders[0], folders[-1]) else ():
            variant = ours.variant | {"items": {"chunk": chunk}}
            label = f"{ours.label}, chunk={chunk}"
            made.append(replace(ours, key=f"{ours.key}-chunk-{chunk}", label=label, variant=variant))
    return made


def result_rows(folders: Sequence[int], *, sync: bool) -> list[Contestant]:
    """The same where the package writes the result into its own claim."""
    return [row for number in folders for row in _pair("result", "ours-results", number, sync)]


def thinking_floor(seconds: float) -> Contestant:
    """The floor of results in one directory, which computes so long for each item: the others get more turns then."""
    floor, _ = _pair("result", "ours-results", 1, sync=True)
    label = f"{floor.label}, thinking {seconds * 1000:g} ms"
    return replace(floor, key=f"{floor.key}-thinking", label=label, variant=floor.variant | {"think_seconds": seconds})


def _pair(floor: str, ours: str, folders: int, sync: bool) -> tuple[Contestant, Contestant]:
    """A floor and the package, with the finals in so many directories."""
    one, other = (contestants.named(f"{key}-sync" if sync else key) for key in (floor, ours))
    base = _row(one, f"{one.key}-in-{folders}", folders)
    return base, _row(other, base.key, folders)


def _row(one: Contestant, floor: str, folders: int) -> Contestant:
    label = f"{one.label}, {f'{folders} directories' if folders > 1 else 'one directory'}"
    variant = one.variant | {"folders": folders}
    return replace(one, key=f"{one.key}-in-{folders}", floor=floor, label=label, variant=variant)


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
