"""How lists are cut into chunks."""

import heapq
import random
from itertools import pairwise

import pytest

from multiprocesstools.errors import BadArgument
from multiprocesstools.plans.cut import Cut, check_chunk, head_of, suggested_items

PLAN = "0123456789abcdef" * 2


@pytest.mark.parametrize("cut", [Cut(PLAN, 1), Cut(PLAN, 2), Cut(PLAN, 7), Cut(PLAN, 100), Cut(PLAN, 7, head=5)])
@pytest.mark.parametrize("count", [1, 6, 7, 8, 50])
def test_every_item_is_in_one_chunk_and_chunks_have_names_of_their_own(cut: Cut, count: int) -> None:
    spans = [cut.places(place, count) for place in range(count)]
    assert all(place in span for place, span in enumerate(spans))
    assert all(one == other or one.stop == other.start for one, other in pairwise(spans))
    for place, span in enumerate(spans):
        assert {cut.chunk(other) for other in span} == {cut.chunk(place)}
        assert len(span) == 1 or cut.chunk(place)
    named = [cut.chunk(span.start) for span in dict.fromkeys(spans) if cut.chunk(span.start)]
    assert len(set(named)) == len(named)


def test_the_head_and_a_list_without_chunks_are_single() -> None:
    assert [Cut(PLAN, 3, head=2).chunk(place) for place in (0, 1)] == ["", ""]
    assert Cut(PLAN, 3, head=2).places(1, 10) == range(1, 2)
    assert Cut().chunk(5) == ""


@pytest.mark.parametrize("chunk", [0, -1, 1.5, True, None, "Auto", 10_001])
def test_a_chunk_of_no_sense_is_refused(chunk: object) -> None:
    with pytest.raises(BadArgument):
        check_chunk(chunk)
    assert (check_chunk("auto"), check_chunk(16)) == ("auto", 16)


def test_long_items_are_never_put_together_and_short_ones_are() -> None:
    assert suggested_items(1.0, 1_000_000, 8) == 1
    assert suggested_items(0.01, 1_000_000, 8) == 100
    assert suggested_items(0.0, 1_000_000, 8) > 1000
    assert suggested_items(0.001, 100, 8) == 1


def end_of_run(durations: list[float], workers: int, chunk: int) -> float:
    """When the last of some workers is ready, who take chunks one after the other."""
    free = [0.0] * workers
    for first in range(0, len(durations), chunk):
        heapq.heapreplace(free, free[0] + sum(durations[first : first + chunk]))
    return max(free)


@pytest.mark.parametrize("workers", [1, 4, 64])
@pytest.mark.parametrize("seconds", [0.0001, 0.001, 0.01, 0.1])
@pytest.mark.parametrize("items", [500, 5_000, 100_000])
def test_auto_delays_the_end_of_a_run_by_at_most_five_percent(workers: int, seconds: float, items: int) -> None:
    chance = random.Random(f"{workers} {seconds} {items}")
    durations = [seconds * chance.lognormvariate(-0.5, 1.0) for _ in range(items)]
    measured = sum(durations[: head_of(1)]) / head_of(1)
    rest = durations[head_of(1) :]
    chunk = suggested_items(measured, items, workers)
    assert end_of_run(rest, workers, chunk) <= 1.05 * end_of_run(rest, workers, 1)
