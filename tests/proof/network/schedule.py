"""Which fault befalls which machine, and when: seeded, so that a run can be repeated as far as timing allows.

Each machine has a plan of its own and the plans run side by side, so faults meet in all combinations.
"""

import random
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

DAY_SECONDS = timedelta(days=1).total_seconds()


class Kind(StrEnum):
    """The names are those of the figures."""

    CRASH = "node crashes"
    PAUSE = "pauses past patience"
    SHORT_PAUSE = "short pauses"
    CUT = "cuts past patience"
    SHORT_CUT = "short cuts"
    CLOCK = "clock jumps"
    KILL = "processes killed"
    SERVER_CRASH = "server restarts"
    SERVER_PAUSE = "server pauses"


@dataclass(frozen=True)
class Fault:
    """After `idle` seconds it befalls the machine, for so many seconds; a clock jumps by them."""

    kind: Kind
    idle: float
    seconds: float = 0.0


Plans = dict[str, list[Fault]]

_ON_NODES = {
    Kind.CRASH: 3, Kind.PAUSE: 3, Kind.CUT: 3, Kind.SHORT_PAUSE: 2, Kind.SHORT_CUT: 2, Kind.CLOCK: 3, Kind.KILL: 4,
}  # fmt: skip


def short_plans(patience: float) -> Plans:
    """Each fault once or twice, at the same time on different machines.

    None on n1, which may be held meanwhile: a machine that stalls until the others have done everything.
    """
    return {
        "n2": [Fault(Kind.KILL, 1), Fault(Kind.CUT, 0.5, 1.2 * patience)],
        "n3": [Fault(Kind.CLOCK, 0.5, DAY_SECONDS), Fault(Kind.CRASH, 1, 1), Fault(Kind.CLOCK, 1, -DAY_SECONDS)],
        "n4": [
            Fault(Kind.CLOCK, 0.5, -DAY_SECONDS),
            Fault(Kind.KILL, 0.5),
            Fault(Kind.SHORT_PAUSE, 0.5, patience / 4),
            Fault(Kind.CLOCK, 1, DAY_SECONDS),
            Fault(Kind.KILL, 1),
        ],
        "server": [Fault(Kind.SERVER_CRASH, 2.5, 0.5)],
    }


def long_plans(seed: int, nodes: tuple[str, ...], patience: float, seconds: float) -> Plans:
    """Random faults for about so many seconds on each machine."""
    plans = {node: _plan(random.Random(f"{seed} {node}"), patience, seconds) for node in nodes}
    return plans | {"server": _server_plan(random.Random(f"{seed} server"), patience, seconds)}


def _plan(chance: random.Random, patience: float, seconds: float) -> list[Fault]:
    plan: list[Fault] = []
    while _length(plan) < seconds:
        kind = chance.choices([*_ON_NODES], [*_ON_NODES.values()])[0]
        plan.append(Fault(kind, chance.uniform(4, 14), _seconds_of(kind, chance, patience)))
    return plan


def _seconds_of(kind: Kind, chance: random.Random, patience: float) -> float:
    match kind:
        case Kind.PAUSE | Kind.CUT:
            return patience * chance.uniform(1.2, 3.5)
        case Kind.SHORT_PAUSE | Kind.SHORT_CUT:
            return patience * chance.uniform(0.1, 0.4)
        case Kind.CLOCK:
            return chance.choice([DAY_SECONDS, -DAY_SECONDS])
    return chance.uniform(0, patience / 2)


def _server_plan(chance: random.Random, patience: float, seconds: float) -> list[Fault]:
    plan: list[Fault] = []
    while _length(plan) < seconds:
        kind = chance.choice([Kind.SERVER_CRASH, Kind.SERVER_CRASH, Kind.SERVER_PAUSE])
        plan.append(Fault(kind, chance.uniform(2, 5) * patience, patience * chance.uniform(0, 1)))
    return plan


def _length(plan: list[Fault]) -> float:
    """Clocks jump and processes are killed in no time; a machine takes some seconds to boot."""
    lasting = (fault for fault in plan if fault.kind not in (Kind.CLOCK, Kind.KILL))
    return sum(fault.idle for fault in plan) + sum(fault.seconds for fault in lasting)
