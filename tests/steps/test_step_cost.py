"""What a step costs on top of an item, in one run, so that a busy machine slows both."""

import time
from collections.abc import Callable
from pathlib import Path

from multiprocesstools import MultiProcessHelper
from multiprocesstools.steps import Protocol
from multiprocesstools.steps.frontier import Frontier
from multiprocesstools.steps.step import Status, Step

STEPS, MOST_TIMES, TRIES = 1000, 3.0, 5


def nothing() -> None:
    """A step that does nothing."""


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def items(directory: Path) -> None:
    with MultiProcessHelper("items", directory, durable=False) as mph:
        for item in mph.items(range(STEPS), final="{value}.txt", directory="out", progress=False):
            with item:
                item.path.write_text("done")


def steps(directory: Path) -> None:
    protocol = Protocol(directory, durable=False)
    for _ in range(STEPS):
        protocol.step(nothing, after=[])
    assert protocol.run().ok


def test_a_step_costs_at_most_three_times_an_item(tmp_path: Path) -> None:
    """All is counted: joining, inserting, running, and the report. The best of five tries."""
    ratios = []
    for attempt in range(TRIES):
        item = seconds(lambda n=attempt: items(tmp_path / f"items{n}"))
        ratios.append(seconds(lambda n=attempt: steps(tmp_path / f"steps{n}")) / item)
        if ratios[-1] <= MOST_TIMES:
            return
    raise AssertionError(ratios)


def frontier_seconds(number: int) -> float:
    def work() -> None:
        frontier = Frontier()
        frontier.add(Step(n, "s", prerequisites=(n - 1,) if n > 1 else ()) for n in range(1, number + 1))
        while frontier.ready:
            step = next(iter(frontier.ready))
            frontier.note(step, Status.RUNNING)
            frontier.settle(step, Status.FINISHED)
        assert frontier.is_over

    return min(seconds(work) for _ in range(3))


def test_keeping_track_of_ten_times_as_many_steps_takes_about_ten_times_as_long() -> None:
    ratios = []
    for _ in range(TRIES):
        ratios.append(frontier_seconds(20_000) / frontier_seconds(2_000))
        if ratios[-1] < 40:
            return
    raise AssertionError(ratios)
