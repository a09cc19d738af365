"""Many instances on one list: few wasted claims, a flat cost per item, and nobody idle while an item is free."""

import pytest

from multiprocesstools.plans.finals import WorkList
from tests.spread.simulate import PATIENCE_SECONDS, Outcome, make_work, simulate

ITEMS, FOLDERS, MANY = 32_000, 16, 16
SEED = 3


@pytest.fixture(scope="module")
def work() -> WorkList:
    return make_work(ITEMS, FOLDERS)


@pytest.fixture(scope="module")
def alone(work: WorkList) -> Outcome:
    return simulate(work, 1, seed=SEED)


def check(outcome: Outcome, alone: Outcome) -> None:
    assert outcome.unfinished == 0 and outcome.idle == 0
    assert outcome.wasted <= 0.02
    assert outcome.operations_per_item <= 1.1 * alone.operations_per_item


@pytest.mark.parametrize("instances", [2, 7, MANY])
def test_the_cost_of_an_item_does_not_depend_on_the_number_of_instances(
    work: WorkList, alone: Outcome, instances: int
) -> None:
    assert alone.wasted == 0 and alone.operations_per_item < 6.02
    check(simulate(work, instances, seed=SEED), alone)


def test_items_that_all_take_the_same_time_are_shared_as_well(work: WorkList, alone: Outcome) -> None:
    check(simulate(work, MANY, seconds=lambda position: 0.5, seed=SEED), alone)


def test_whoever_starts_late_finds_work_without_a_fight(work: WorkList, alone: Outcome) -> None:
    check(simulate(work, MANY, late=2000.0, seed=SEED), alone)


def test_the_items_of_those_that_crash_are_taken_over(work: WorkList, alone: Outcome) -> None:
    """And the server has little to do while all others wait until they may."""
    outcome = simulate(work, MANY, crashing=4, seed=SEED)
    assert outcome.unfinished == 0 and outcome.idle == 0 and outcome.wasted <= 0.02
    assert outcome.taken_over >= 4
    waiting = (outcome.operations_per_item - 1.1 * alone.operations_per_item) * ITEMS / PATIENCE_SECONDS
    assert waiting < 600, "operations a second while the others wait for the silence to be long enough"


def test_the_simulation_sees_instances_that_fight_over_the_same_items(
    work: WorkList, alone: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All begin at the same place, and the first ones there know nothing of each other."""
    monkeypatch.setattr("tests.spread.simulate.place_of", lambda number: 0.0)
    monkeypatch.setattr("multiprocesstools.loop.order.Walk.met", lambda walk: None)
    assert simulate(work, MANY, seed=SEED).wasted > 0.02


def test_the_simulation_sees_an_instance_that_leaves_while_an_item_is_free(
    work: WorkList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multiprocesstools.loop.order.Walk._choose", lambda walk: False)
    monkeypatch.setattr("tests.spread.simulate.Instance._rest", lambda instance, shares: iter(()))
    assert simulate(work, MANY, seed=SEED).idle > 0
