"""What is left of a torture run when everybody has ended and one node has cleaned up, and its line in the table."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.proof.figures import Figures
from tests.proof.network.judge import Deaths, Finals, Verdict, judge, read_executions, read_lines, read_silences
from tests.proof.network.worker import MAX_ATTEMPTS, OUTPUTS, REFUSALS, raises_always

_MOST_INTERRUPTIONS = 10


@dataclass(frozen=True)
class Evidence:
    """`names`: all names beside the finals. `outcomes`: of each item without a final, how its attempts ended.
    `refusals`: the attempts that failed although nothing was planned, and why. `said`: what the package says of items
    that were done twice, which proves nothing and helps to find out why."""

    verdict: Verdict
    executions: int
    names: frozenset[str]
    outcomes: Mapping[int, list[str]]
    refusals: Sequence[str] = ()
    said: Sequence[str] = ()


def gather(run: Path, items: int, deaths: Deaths, longest_silence: float) -> Evidence:
    """Read a run directory as the server has it on its disk."""
    executions = read_executions(run / "audit")
    verdict = judge(executions, read_silences(run / "pulse", run / "audit"), deaths, longest_silence)
    names = frozenset(path.name for path in (run / OUTPUTS).iterdir())
    without = [item for item in range(items) if f"{item}.txt" not in names]
    return Evidence(
        verdict,
        len(executions),
        names,
        {item: read_outcomes(run / OUTPUTS, item) for item in without},
        read_refusals(run / REFUSALS),
        read_journals(run, verdict.items),
    )


def read_refusals(folder: Path) -> list[str]:
    """Each with the last frame of its traceback."""
    found = []
    for process, lines in read_lines(folder).items():
        for item, attempt, *words in lines:
            exception, traceback = json.loads(" ".join(words))
            place = [line.strip() for line in traceback.splitlines() if line.lstrip().startswith("File ")][-1:]
            found.append(f"attempt {attempt} at item {item} failed on {process}: {exception} ({' '.join(place)})")
    return found


def read_journals(run: Path, items: Iterable[int]) -> list[str]:
    """The lines of all journals about these items, by the clocks of their writers."""
    names = [f'"{OUTPUTS}/{item}.txt"' for item in items]
    lines = [line for path in run.glob("multiprocesstools_logs/*.jsonl") for line in path.read_text().splitlines()]
    return sorted(line for line in lines if any(name in line for name in names))


def read_outcomes(folder: Path, item: int) -> list[str]:
    return [json.loads(path.read_text())["outcome"] for path in sorted(folder.glob(f".{item}.txt.ended-*"))]


def report(part: str, tried: Mapping[str, int], evidence: Evidence, finals: Finals) -> Figures:
    """The figures, with a note for every number that is not zero."""
    verdict, unfinished = evidence.verdict, evidence.outcomes
    unsettled = [item for item, outcomes in unfinished.items() if not is_set_aside(outcomes)]
    unplanned = [item for item in unfinished if not raises_always(item) and item not in unsettled]
    facts = {
        "executions": evidence.executions,
        "taken over from the dead": verdict.taken_over,
        "repeated after a suspicion": verdict.suspected,
        "set aside as planned": len(unfinished) - len(unplanned) - len(unsettled),
        "failed attempts not planned": len(evidence.refusals),
        "litter beside finished items": len(litter(evidence.names)),
    }
    notes = [*verdict.twice, *evidence.said, *litter(evidence.names), *evidence.refusals]
    notes += [f"item {item} is lost: {unfinished[item]}" for item in unsettled]
    notes += [f"item {item} was set aside, because it was interrupted by {unfinished[item]}" for item in unplanned]
    notes += [f"item {item} was partial" for item in sorted(finals.partial)]
    notes += [f"item {item} was replaced" for item in sorted(finals.replaced)]
    return Figures(
        part, {**tried, **facts}, lost=len(unsettled), twice=len(verdict.twice), partial=len(finals.partial),
        replaced=len(finals.replaced), notes=notes,
    )  # fmt: skip


def is_set_aside(outcomes: Iterable[str]) -> bool:
    """By the words of the ended-files: an item is given up when it has failed, or killed its process, too often."""
    counts = Counter(outcomes)
    return counts["failed"] + counts["died"] >= MAX_ATTEMPTS or counts["interrupted"] >= _MOST_INTERRUPTIONS


def litter(names: Iterable[str]) -> list[str]:
    """The hidden files that belong to finished items although a cleanup has run."""
    finals = {name for name in names if not name.startswith(".")}
    return sorted(name for name in names if name.startswith(".") and item_of(name) in finals)


def item_of(name: str) -> str:
    """The final that a hidden file belongs to: `.n.claim-1`, or `.mpt-token.n`."""
    if name.startswith(".mpt-"):
        return name.removeprefix(".mpt-").partition(".")[2]
    return name[1:].rpartition(".")[0]
