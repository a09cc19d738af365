"""The protocol in the simulator: every state of few instances, random schedules, and mutants that must not survive."""

import os
from dataclasses import replace

import pytest

from tests.proof.simulated import hunt, search, simulate
from tests.proof.simulated.behaviour import Setting
from tests.proof.simulated.clients import Ways
from tests.proof.simulated.explore import Search
from tests.proof.simulated.players import worker
from tests.proof.simulated.settings import BLIND, FAILING, SHORT

SEEDS = int(os.environ.get("MPT_SEEDS", "2000"))


@pytest.mark.timeout(900)
def test_no_interleaving_and_no_fault_within_the_budgets_breaks_a_promise() -> None:
    found = search.search_all([setting.name for setting in SHORT])
    assert [text for one in found for text in one.broken] == []
    assert [one.setting for one in found if not one.complete] == []
    assert sum(one.states for one in found) > 500_000


@pytest.mark.timeout(900)
def test_no_random_schedule_breaks_a_promise() -> None:
    told = simulate.run_seeds(range(SEEDS))
    assert {one.story.seed: one.broken for one in told if one.broken} == {}
    assert sum(one.suspicions for one in told) > 0  # zombies did come back, and did no harm
    assert sum(one.operations for one in told) > 100 * SEEDS


@pytest.mark.timeout(900)
def test_every_mutant_of_the_protocol_is_killed() -> None:
    assert [one.rule for one in hunt.hunt_all() if not one.promise] == []


def test_the_same_seed_gives_the_same_run() -> None:
    traces = [simulate.Simulation(7).run().trace for _ in range(2)]
    assert traces[0] == traces[1]
    assert len(traces[0]) > 50


def test_merging_histories_that_agree_changes_nothing_that_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting("crash", (worker("ok", "fail", rounds=2), worker("ok", rounds=2)), BLIND, {"crash": 1})
    merged = Search(setting).run()
    monkeypatch.setattr("tests.proof.simulated.players.Player.reach", lambda player, me, *place: None)
    apart = Search(setting).run()
    assert merged.states < apart.states
    assert merged.violations == apart.violations == set()
    assert merged.outcomes == apart.outcomes


def test_a_broken_promise_comes_with_its_shortest_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiprocesstools.claims.publish._settle", lambda me, claim: me.disk.unlink(claim.final))
    result = Search(Setting("broken", FAILING, BLIND)).run()
    broken = {one.promise: one.trace for one in result.broken}
    assert broken["replaced: a final was removed"][-1].endswith("unlink a -> None")
    assert len(broken["replaced: a final was removed"]) == 5


def test_a_fault_happens_as_often_as_its_budget_says() -> None:
    ways = replace(BLIND, lost=True)
    counts = [Search(Setting("lost", FAILING, ways, {"lost": budget})).run().states for budget in (0, 1)]
    assert counts[0] < counts[1]
    assert Search(Setting("none", FAILING, Ways(blind=True))).run().states == counts[0]
