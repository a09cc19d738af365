"""Tables of what was measured, as Markdown: medians, the spread of the rounds, and ratios of one round.

Guarantee: a row that could not be measured is in the table, with its reason; so is an item that was lost or done
twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts.bench_files.calls import Calls
from scripts.bench_files.measure import Run, Series, median

NOTHING = "-"


@dataclass
class Table:
    """A heading, a sentence that says how to read it, and rows. `data`: the raw figures behind it."""

    heading: str
    explains: str
    columns: list[str]
    rows: list[list[str]]
    data: list[dict[str, Any]] = field(default_factory=list)

    def markdown(self) -> str:
        """Aligned, so that it can be read on a terminal as it is."""
        lines = [self.columns, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.columns))]
        widths[-1] = len(self.columns[-1])  # a long remark makes no other row longer
        head, *texts = [_line(line, widths) for line in lines]
        rule = "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|"
        rule = rule.replace(":", "-", 1)  # names stand to the left, figures to the right
        return "\n".join([f"### {self.heading}", "", self.explains, "", head, rule, *texts, ""])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    figures = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return f"| {' | '.join([cells[0].ljust(widths[0]), *figures])} |"


def throughput(
    heading: str, explains: str, series: Sequence[Series], calls: dict[str, Calls], *, remote: bool = False
) -> Table:
    """Items per second against the floor; with the calls of an item, or on NFS the remote calls."""
    counts = ["RPCs/item"] if remote else ["changes", "looks", "opens", "syncs", "other"]
    columns = ["contestant", "items/s", "spread", "wall ratio", "CPU ratio", "over", *counts, "lost", "twice", "remark"]
    floors = {one.contestant.key: one for one in series}
    rows = [
        [one.contestant.label, *_row(one, floors, calls, remote, len(columns) - 3), _remark(one, remote)]
        for one in series
    ]
    return Table(heading, explains, columns, rows, [_data(one, floors, calls) for one in series])


def _row(one: Series, floors: dict[str, Series], calls: dict[str, Calls], remote: bool, cells: int) -> list[str]:
    if not one.runs:
        return ["not available", *[NOTHING] * cells]
    floor = floors.get(one.contestant.floor)
    counts = [rpcs_text(one.runs)] if remote else calls_text(calls.get(one.contestant.key))
    return [
        f"{median(one.rates):,.0f}", f"{min(one.rates):,.0f}-{max(one.rates):,.0f}",
        ratio_text(one.ratios(floor, lambda run: run.seconds)), ratio_text(one.ratios(floor, lambda run: run.cpu)),
        floor.contestant.label if floor else NOTHING, *counts, str(one.lost), str(one.twice),
    ]  # fmt: skip


def _remark(one: Series, remote: bool) -> str:
    fill = median([run.fill_seconds / run.items / run.seconds_per_item for run in one.runs])
    is_told = fill > 0.05 and not remote  # on NFS the server fills the list
    filled = f"; filling takes {fill:.1f} of its time more" if is_told else ""
    return one.reason or f"{one.contestant.remark}{filled}"


def calls_text(calls: Calls | None) -> list[str]:
    if calls is None:
        return [NOTHING] * 5
    return [number_text(value) for value in (calls.changes, calls.looks, calls.opens, calls.syncs, calls.other)]


def number_text(value: float) -> str:
    """To a tenth, without a zero behind the point."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def ratio_text(ratios: Sequence[float]) -> str:
    return f"{median(ratios):.2f}" if ratios else NOTHING


def rpcs_text(runs: Sequence[Run]) -> str:
    return f"{median([sum(run.rpcs.values()) / run.items for run in runs]):.1f}" if runs else NOTHING


def _data(one: Series, floors: dict[str, Series], calls: dict[str, Calls]) -> dict[str, Any]:
    floor, counted = floors.get(one.contestant.floor), calls.get(one.contestant.key)
    return {
        "contestant": one.contestant.key, "label": one.contestant.label, "place": one.place, "processes": one.processes,
        "floor": one.contestant.floor, "reason": one.reason, "items": one.runs[0].items if one.runs else 0,
        "rates": one.rates, "wall_over_floor": one.ratios(floor, lambda run: run.seconds),
        "cpu_over_floor": one.ratios(floor, lambda run: run.cpu), "calls": vars(counted) if counted else None,
        "rpcs_per_item": [{name: count / run.items for name, count in run.rpcs.items()} for run in one.runs],
        "lost": one.lost, "twice": one.twice, "fill_seconds": [run.fill_seconds for run in one.runs],
    }  # fmt: skip


def scaling(heading: str, explains: str, by_processes: Mapping[int, Sequence[Series]]) -> Table:
    """How the rate grows with the processes: of each round, over that of one process."""
    numbers = sorted(by_processes)
    columns = ["contestant", *(f"{number} / {numbers[0]}" for number in numbers[1:])]
    rows, data = [], []
    for position, alone in enumerate(by_processes[numbers[0]]):
        others = [by_processes[number][position] for number in numbers[1:]]
        rows.append([alone.contestant.label, *(ratio_text(_growth(alone, other)) for other in others)])
        growths = {str(other.processes): _growth(alone, other) for other in others}
        data.append({"contestant": alone.contestant.key, "place": alone.place, "growth": growths})
    return Table(heading, explains, columns, rows, data)


def _growth(alone: Series, other: Series) -> list[float]:
    return [many / one for one, many in zip(alone.rates, other.rates, strict=False)]


def times(heading: str, explains: str, rows: Sequence[tuple[str, list[float], str, str]]) -> Table:
    """Rows of a name, what each round took in seconds, the name of the row it is compared with, and a remark."""
    by_name = {name: values for name, values, _, _ in rows}
    columns = ["what", "ms", "spread", "ms over", "ratio", "compared with", "remark"]
    lines, data = [], []
    for name, values, base, remark in rows:
        bases = by_name.get(base, [])
        over = [value - other for value, other in zip(values, bases, strict=False)]
        ratios = [value / other for value, other in zip(values, bases, strict=False) if other]
        lines.append([
            name, f"{1000 * median(values):,.1f}" if values else "not available",
            f"{1000 * min(values):,.1f}-{1000 * max(values):,.1f}" if values else NOTHING,
            f"{1000 * median(over):,.1f}" if over else NOTHING, ratio_text(ratios), base or NOTHING, remark,
        ])  # fmt: skip
        data.append({"what": name, "seconds": values, "over": over, "ratios": ratios, "compared_with": base})
    return Table(heading, explains, columns, lines, data)
