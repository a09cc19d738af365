"""What happened in a torture run, from the audits, the pulses and what the observer saw; the package is not asked.

An execution is one process's work on one attempt at one item. A later attempt has an excuse if the execution before it
raised, if its process was killed with the item in hand, or if its process could not reach the shared directory for so
long that others had to take it for dead. Without an excuse the item was done twice.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from tests.proof.network.observer import Sight
from tests.proof.network.worker import Process

FOREVER = float("inf")
CLAIMING_SECONDS = 1.0
"""So long before its first line of work a process may hold its claim. When it was stopped in between, the first thing
that it does is to say that it is there again, and then it begins."""


@dataclass(frozen=True)
class Execution:
    """One process's work on one attempt. `until`: when its process began its next item, which it did not before this
    one was out of its hands; FOREVER for its last one."""

    process: Process
    item: int
    attempt: int
    began: float
    until: float = FOREVER
    raised: bool = False

    def __str__(self) -> str:
        return f"attempt {self.attempt} at item {self.item} on {self.process} (from {self.began} until {self.until})"


@dataclass(frozen=True)
class Silence:
    """From one write of a process that reached the disk to the next one."""

    process: Process
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(frozen=True)
class Deaths:
    """Whom the schedule has killed: single processes, and whole boots of machines."""

    processes: frozenset[Process] = frozenset()
    boots: frozenset[str] = frozenset()

    def has(self, process: Process) -> bool:
        return process in self.processes or process.boot in self.boots


@dataclass
class Verdict:
    """`twice`: what has no excuse, in words, and `items`: of which items. `suspected`: executions that others repeated
    although their process lived, because it was silent for too long; `taken_over`: those of the dead."""

    twice: list[str] = field(default_factory=list)
    items: set[int] = field(default_factory=set)
    suspected: int = 0
    taken_over: int = 0


def read_lines(folder: Path) -> dict[Process, list[list[str]]]:
    """The words of each line of each process, in order; a last line that was torn by a crash does not count."""
    found: dict[Process, list[list[str]]] = defaultdict(list)
    for path in sorted(folder.iterdir(), key=lambda path: (path.stem, int(path.suffix[1:]))):
        lines = path.read_text().splitlines(keepends=True)
        found[Process.read(path.stem)] += [line.split() for line in lines if line.endswith("\n")]
    return found


def read_executions(folder: Path) -> list[Execution]:
    return [execution for process, lines in read_lines(folder).items() for execution in _executions(process, lines)]


def _executions(process: Process, lines: Iterable[Sequence[str]]) -> list[Execution]:
    found: list[Execution] = []
    for what, item, attempt, uptime in lines:
        if what == "start":
            if found:
                found[-1] = replace(found[-1], until=float(uptime))
            found.append(Execution(process, int(item), int(attempt), float(uptime)))
        elif what == "raise":
            found[-1] = replace(found[-1], raised=True)
    return found


def read_silences(pulse: Path, audit: Path) -> list[Silence]:
    """A line of the pulse is begun when the line before it is on the disk, so each pair of lines is a silence. The last
    silence of a process that was killed is known as far as its audit goes."""
    last_words = {process: float(lines[-1][-1]) for process, lines in read_lines(audit).items() if lines}
    silences = []
    for process, lines in read_lines(pulse).items():
        signs = [float(line[0]) for line in lines]
        if signs and last_words.get(process, 0.0) > signs[-1]:
            signs.append(last_words[process])
        silences += [Silence(process, before, after) for before, after in pairwise(signs)]
    return silences


def judge(
    executions: Iterable[Execution], silences: Iterable[Silence], deaths: Deaths, longest_silence: float
) -> Verdict:
    """Silences of more than `longest_silence` seconds excuse a suspicion."""
    by_process = defaultdict(list)
    for silence in silences:
        by_process[silence.process].append(silence)
    by_item = defaultdict(list)
    for execution in executions:
        by_item[execution.item].append(execution)
    verdict = Verdict()
    for several in by_item.values():
        several.sort(key=lambda execution: execution.attempt)
        for before, after in pairwise(several):
            own = by_process[before.process]
            _judge_pair(before, after, own, deaths, longest_silence=longest_silence, verdict=verdict)
    return verdict


def _judge_pair(
    before: Execution,
    after: Execution,
    silences: Sequence[Silence],
    deaths: Deaths,
    *,
    longest_silence: float,
    verdict: Verdict,
) -> None:
    if before.attempt == after.attempt:
        verdict.items.add(before.item)
        verdict.twice.append(f"attempt {before.attempt} has two owners: {before} and {after}")
        return
    if before.raised:
        return
    if before.until == FOREVER and deaths.has(before.process):
        verdict.taken_over += 1
        return
    meanwhile = [
        silence.seconds
        for silence in silences
        if silence.began < before.until and silence.ended > before.began - CLAIMING_SECONDS
    ]
    longest = max(meanwhile, default=0.0)
    if longest > longest_silence:
        verdict.suspected += 1
    else:
        verdict.items.add(before.item)
        verdict.twice.append(f"{after} began although {before} was not over; its longest silence was {longest:.1f} s")


@dataclass
class Finals:
    """What was seen of all finals by all observers. `partial` and `replaced` are items."""

    first: dict[int, Sight] = field(default_factory=dict)
    partial: set[int] = field(default_factory=set)
    replaced: set[int] = field(default_factory=set)


def read_finals(lines: Iterable[str]) -> Finals:
    """What observers said, one after the other. A line torn by a crash of the observer's machine does not count."""
    finals = Finals()
    for line in lines:
        words = line.split()
        if words[0] == "gone":
            finals.replaced.add(int(words[1]))
        elif line.endswith(("complete\n", "partial\n")):
            _note(finals, Sight.read(line))
    return finals


def _note(finals: Finals, sight: Sight) -> None:
    known = finals.first.setdefault(sight.item, sight)
    if not sight.complete:
        finals.partial.add(sight.item)
    if known != sight:
        finals.replaced.add(sight.item)
