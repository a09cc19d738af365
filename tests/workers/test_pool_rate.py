"""The short form of scripts/bench-pools: what a controller costs over the pool that it uses."""

from scripts.bench_files.pools import CONTESTANTS, FLOOR, measured, over_floor

MOST, TASKS, ROUNDS, TRIES = 1.2, 20_000, 3, 5
OURS = [name for name in CONTESTANTS if name.startswith("WorkerController")]


def test_a_controller_costs_at_most_a_fifth_more_than_the_pool_that_it_uses() -> None:
    """By what the processors have worked in all processes, because others use the machine, too."""
    best = dict.fromkeys(OURS, float("inf"))
    for _ in range(TRIES):
        costs = measured(TASKS, 2, ROUNDS, [*OURS, FLOOR])
        best = {name: min(least, over_floor(costs, name, "cpu")) for name, least in best.items()}
        if max(best.values()) <= MOST:
            return
    assert max(best.values()) <= MOST, best
