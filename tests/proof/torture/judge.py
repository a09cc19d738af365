"""The judge of a round: items that had two owners, and finals that are partial or were replaced.

Two owners: every start of an attempt is compared with the end of the one before, and nobody may meet the lock of a
living process. Finals: what lies there is compared with what the observer saw at first and with what the writers say.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.proof.torture.story import read_final, shelves
from tests.proof.torture.witnesses import Execution, Sightings

Pair = tuple[str, int, int]


class Doubles:
    """Items that had two owners, as (item, attempt, attempt): what each witness reports, and what a suspicion explains.

    `numbers` are the instance numbers of the processes, by which the beats are known.
    """

    def __init__(self, found: list[Execution], numbers: dict[int, int], seen: Sightings) -> None:
        self.by_audit: set[Pair] = set()
        self.by_lock: set[Pair] = set()
        self.suspected: set[Pair] = set()
        self._numbers, self._seen = numbers, seen
        by_item: dict[str, list[Execution]] = defaultdict(list)
        for execution in found:
            by_item[execution.item].append(execution)
        for tries in by_item.values():
            tries.sort(key=lambda execution: execution.attempt)
            self._compare_in_row(tries)
            self._compare_with_final(tries)
            self._compare_at_lock(tries)

    def _compare_in_row(self, tries: list[Execution]) -> None:
        """Each attempt begins when the one before is over."""
        for earlier, later in pairwise(tries):
            if earlier.attempt == later.attempt or later.starts < earlier.over:
                self._sort(self.by_audit, earlier, later)

    def _compare_with_final(self, tries: list[Execution]) -> None:
        """Nobody begins when the final is there."""
        sight = self._seen.first.get(tries[0].item)
        author = next((one for one in tries if sight and sight["attempt"] == one.attempt), None)
        if sight is None or author is None:
            return
        for one in tries:
            if one is not author and one.starts > sight["at"]:
                self._sort(self.by_audit, *_by_attempt(author, one))

    def _compare_at_lock(self, tries: list[Execution]) -> None:
        """Nobody meets the lock of a living process that has not given the item up."""
        for one in tries:
            for who, attempt in one.met:
                holder = next((other for other in tries if (other.who, other.attempt) == (who, attempt)), None)
                if holder is None:
                    self.by_lock.add((one.item, attempt, one.attempt))
                    continue
                earlier, later = _by_attempt(holder, one)
                if earlier.attempt == later.attempt or later.starts < earlier.over:
                    self._sort(self.by_lock, earlier, later)

    def _sort(self, reported: set[Pair], earlier: Execution, later: Execution) -> None:
        """A report, unless the owner of the earlier attempt could be suspected before the later one was made."""
        pair, until = (earlier.item, earlier.attempt, later.attempt), min(later.starts, earlier.settled)
        silent = self._seen.beats.stood_still(self._numbers.get(earlier.who), earlier.asked, until)
        (self.suspected if silent and earlier.attempt < later.attempt else reported).add(pair)


def _by_attempt(one: Execution, other: Execution) -> tuple[Execution, Execution]:
    return (one, other) if one.attempt <= other.attempt else (other, one)


@dataclass
class Finals:
    """Names of finals, relative to the run directory."""

    partial: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)


def judge_finals(run: Path, items: int, found: list[Execution], seen: Sightings) -> Finals:
    """Compare what lies there with what the observer saw at first, and with what the writers say they wrote."""
    there = {f"{folder}/{name}" for folder, name in visible(run, items)}
    expected = {final for shelf in shelves(items) for value in shelf.values for final in shelf.finals(value)}
    published = Counter(execution.item for execution in found if execution.fate == "done")
    wrote = {(e.item, e.attempt, e.who): e for e in found if e.how == "wrote"}
    result = Finals(replaced=set(seen.again) | {item for item, times in published.items() if times > 1})
    result.replaced |= set(seen.first) - there
    result.partial |= {final for final, sight in seen.first.items() if not sight["whole"]}
    result.complaints += [f"{final} is nobody's output" for final in sorted(there - expected)]
    if not seen.overflows:
        result.complaints += [f"{final} was never seen to appear" for final in sorted(there - set(seen.first))]
    for final in there & expected:
        _judge_final(result, run, final, wrote, seen.first.get(final))
    return result


def _judge_final(
    result: Finals, run: Path, final: str, wrote: dict[tuple[str, int, int], Execution], sight: dict[str, Any] | None
) -> None:
    seal, content = read_final(str(run / final))
    inode = os.lstat(run / final).st_ino
    if seal is None:
        result.partial.add(final)
        return
    author = wrote.get((seal.item, seal.attempt, seal.who))
    if author is None or author.inodes.get(final) != inode:
        result.replaced.add(final)
    if sight is not None and (sight["inode"], sight["content"]) != (inode, content):
        result.replaced.add(final)


def visible(run: Path, items: int) -> Iterator[tuple[str, str]]:
    """Folder and name of everything that is there and not hidden."""
    for shelf in shelves(items):
        for folder in shelf.folders:
            names = [name for name in os.listdir(run / folder) if not name.startswith(".") and name != "logs"]
            yield from ((folder, name) for name in names)
