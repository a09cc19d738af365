"""What a seed decides: who takes part in a simulated run, how they work, and what may go wrong."""

import random
from dataclasses import dataclass

from tests.proof.simulated.clients import Ways

STYLES = ("atomic", "atomic", "atomic", "copies", "in place")


@dataclass
class Story:
    """One run."""

    seed: int
    style: str
    items: int
    processes: int
    machines: int
    max_attempts: int
    durable: bool
    ways: Ways
    fault_chance: float
    troubles: tuple[str, ...]


def draw(seed: int) -> Story:
    chance = random.Random(f"story {seed}")
    style = chance.choice(STYLES)
    careful = style == "in place"  # which promises less: nobody falsely suspected, look-ups that are true
    ways = Ways(
        stale=not careful and chance.random() < 0.5, stubborn=chance.random() < 0.3,
        ageing=not careful and chance.random() < 0.2,
        torn=chance.random() < 0.6, repeated=not careful and chance.random() < 0.1, lost=chance.random() < 0.5,
        error=chance.random() < 0.3, full=chance.random() < 0.3, copy=not careful and chance.random() < 0.2,
    )  # fmt: skip
    durable = chance.random() < 0.3
    troubles = ["crash", "crash", "server", "clock", "forget", "cleanup", "retry"]
    troubles += [] if careful else ["stop", "stop", "suspend", "suspend all", "cut", "cut cleanup", "force"]
    troubles += ["power"] if durable else []
    chosen = tuple(chance.choices(troubles, k=chance.randrange(7)))
    return Story(
        seed, style, chance.randint(1, 4), chance.randint(2, 5), chance.randint(1, 4), chance.randint(1, 3), durable,
        ways, chance.choice((0.0, 0.01, 0.05)), chosen,
    )  # fmt: skip
