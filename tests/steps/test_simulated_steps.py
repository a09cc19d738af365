"""The rooms of steps on a simulated disk: random graphs, crashes, stale caches and lost replies, in virtual time."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from multiprocesstools.claims.disk import Disk
from multiprocesstools.claims.whole import replace_whole
from tests.proof.simulated import steps

SEEDS = int(os.environ.get("MPT_STEPS_SEEDS", "100"))
"""The long form: MPT_STEPS_SEEDS=500."""
_MOST_SEEDS_OF_A_MUTANT = 300
"""Two must append in the same moment; the first seed in which they do was 42."""


@pytest.mark.timeout(900)
def test_no_random_graph_on_the_simulated_disk_breaks_a_promise() -> None:
    told = steps.run_seeds(range(SEEDS))
    assert {one.seed: one.broken for one in told if one.broken} == {}
    assert sum(one.crashes for one in told) > SEEDS / 3  # the troubles did come,
    assert sum(one.begun_again for one in told) > 0  # struck steps that were in work,
    assert sum(one.inserted for one in told) > 0 and sum(one.failed for one in told) > 0
    assert sum(one.steps for one in told) > 5 * SEEDS


def overwrite(disk: Disk, path: str, data: bytes, private: Callable[[], str], *, durable: bool = True) -> bool:
    """Entries of the record that are not exclusive."""
    replace_whole(disk, path, data, private)
    return True


@pytest.mark.parametrize(
    ("where", "mutant"),
    [
        ("multiprocesstools.steps.frontier.Frontier._satisfies", lambda frontier, step: True),
        ("multiprocesstools.steps.ledger.create_whole", overwrite),
    ],
    ids=["no prerequisites", "a record that is overwritten"],
)
def test_the_simulation_finds_what_is_broken_on_purpose(
    monkeypatch: pytest.MonkeyPatch, where: str, mutant: Any
) -> None:
    monkeypatch.setattr(where, mutant)
    assert any(inserting(seed).run().broken for seed in range(_MOST_SEEDS_OF_A_MUTANT))


def inserting(seed: int) -> steps.Simulation:
    """Where every step inserts another one, there is more to break."""
    simulation = steps.Simulation(seed)
    simulation.inserters = set(simulation.graph)
    return simulation
