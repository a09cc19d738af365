"""An independent look at what steps did: the stamps that they wrote themselves, and the graph, and nothing else.

Nothing of the package is asked. A stamp says which step, "begin" or "end", when, and who; all times are of one clock,
that of the one machine, or of the file server.
"""

import json
import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

Graph = Mapping[str, Collection[str]]
"""Each step with those that it waits for."""


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    time: float
    step: str
    what: str
    who: str


@dataclass
class Attempt:
    """One time that a step was begun."""

    begin: float
    who: str
    end: float | None = None


def random_graph(seed: int, steps: int, *, most: int = 3, reach: int = 60) -> dict[str, list[str]]:
    """A graph without cycles, in an order in which a step may come before those that it waits for."""
    chance = random.Random(seed)
    names = [f"s{number}" for number in range(steps)]
    graph = {}
    for number, name in enumerate(names):
        near = names[max(0, number - reach) : number]
        graph[name] = chance.sample(near, min(len(near), chance.randint(0, most)))
    order = names[:]
    chance.shuffle(order)
    return {name: graph[name] for name in order}


def read_stamps(folder: Path) -> list[Stamp]:
    """The stamps in all files of a folder; a line that its writer could not end does not count."""
    found = []
    for path in folder.iterdir():
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                step, what, time = json.loads(line)
                found.append(Stamp(time, step, what, path.name))
    return sorted(found)


def attempts(stamps: Iterable[Stamp]) -> dict[str, list[Attempt]]:
    """What the stamps say of each step."""
    found: dict[str, list[Attempt]] = defaultdict(list)
    for stamp in stamps:
        if stamp.what == "begin":
            found[stamp.step].append(Attempt(stamp.time, stamp.who))
        else:
            begun = [one for one in found[stamp.step] if one.who == stamp.who and one.end is None]
            assert begun, f"{stamp.step} ended without a begin: {stamp}"
            begun[-1].end = stamp.time
    return dict(found)


def faults(
    graph: Graph, stamps: Iterable[Stamp], crashed: Collection[str] = (), again: Collection[str] = ()
) -> list[str]:
    """What must not be, in words. `crashed`: the writers that were killed; what they had begun may be begun again.
    `again`: steps that failed, which a later session tries again."""
    found = attempts(stamps)
    told = [f"{step} is no step of the graph" for step in found.keys() - graph.keys()]
    for step, prerequisites in graph.items():
        mine = found.get(step, [])
        told += _once(step, mine, crashed, often=step in again)
        for other in prerequisites:
            ends = [one.end for one in found.get(other, []) if one.end is not None]
            early = [one for one in mine if not any(end <= one.begin for end in ends)]
            told += [f"{step} began at {one.begin} ({one.who}) before {other} had ended {ends}" for one in early]
    return told


def _once(step: str, mine: list[Attempt], crashed: Collection[str], *, often: bool) -> list[str]:
    whole = [one for one in mine if one.end is not None]
    left = [one for one in mine if one.end is None]
    told = [f"{step} was begun by {one.who}, who did not crash, and never ended" for one in left
            if one.who not in crashed]  # fmt: skip
    # Who dies between its stamp and the result has carried the step out, and nobody else can know.
    lasting = [one for one in whole if one.who not in crashed]
    if not whole:
        told.append(f"{step} was never carried out")
    elif not often and (len(lasting) > 1 or len(whole) - len(lasting) > len(crashed)):
        told.append(f"{step} was carried out {len(whole)} times: {[one.who for one in whole]}")
    alive = sorted(lasting, key=lambda one: one.begin)
    pairs = pairwise(alive)
    return told + [f"{step} was in work twice at once" for a, b in pairs if a.end is None or b.begin < a.end]


def most_at_once(stamps: Iterable[Stamp]) -> int:
    """So many steps were in work at the same time."""
    now = most = 0
    for stamp in sorted(stamps):
        now += 1 if stamp.what == "begin" else -1
        most = max(most, now)
    return most
