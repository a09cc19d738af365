"""In which order an instance walks."""

import pytest

from multiprocesstools.loop.order import FEW_FOLDERS, OPEN, Act, Step, Walk, lists_all_at_start, place_of

TAKEN = OPEN + 1


def walk_through(walk: Walk, states: bytearray, most: int = 10_000) -> list[int]:
    """The items in the order in which they are tried, when nobody else is there."""
    seen = []
    while (step := walk.next()) is not None and len(seen) < most:
        if step.act is Act.TRY:
            seen.append(step.number)
            states[step.number] = TAKEN
        elif step.act is Act.LIST:
            walk.listed(step.number)
    return seen


def walk(size: int, order: str, start: float = 0.0) -> list[int]:
    states = bytearray(size)
    return walk_through(Walk(states, [(0, size)], order, "a", range(size), start=start), states)


def entered(walking: Walk) -> int:
    """The first item, after the listing."""
    step = walking.next()
    assert step == Step(Act.LIST, 0)
    walking.listed(0)
    return tried(walking)


def tried(walking: Walk) -> int:
    step = walking.next()
    assert step is not None and step.act is Act.TRY
    return step.number


def test_given_is_the_order_of_the_list() -> None:
    assert walk(5, "given") == [0, 1, 2, 3, 4]


def test_given_is_the_order_of_the_list_also_across_directories() -> None:
    states = bytearray(6)
    positions = [3, 0, 4, 1, 5, 2]
    assert walk_through(Walk(states, [(0, 3), (3, 6)], "given", "a", positions), states) == positions


def test_spread_begins_somewhere_and_visits_everything_once() -> None:
    starts = set()
    for number in range(1, 9):
        seen = walk(100, "spread", place_of(number))
        assert sorted(seen) == list(range(100))
        assert seen[1] == (seen[0] + 1) % 100
        starts.add(seen[0])
    assert len(starts) == 8


@pytest.mark.parametrize("many", [2, 7, 8, 100, 512])
@pytest.mark.parametrize("first", [1, 333])
def test_instances_with_numbers_in_a_row_begin_far_from_each_other(first: int, many: int) -> None:
    places = sorted(place_of(number) for number in range(first, first + many))
    gaps = [after - before for before, after in zip(places, [*places[1:], places[0] + 1], strict=True)]
    assert places[0] >= 0 and places[-1] < 1 and min(gaps) > 0.25 / many and max(gaps) < 4 / many


def test_a_directory_is_finished_before_the_next_is_entered_and_each_is_listed_once() -> None:
    states, spans = bytearray(300), [(0, 100), (100, 200), (200, 300)]
    walking, steps = Walk(states, spans, "spread", "a"), []
    while (step := walking.next()) is not None:
        steps.append(step)
        if step.act is Act.LIST:
            walking.listed(step.number)
        else:
            states[step.number] = TAKEN
    listed = [number for number, step in enumerate(steps) if step.act is Act.LIST]
    assert listed == [0, 101, 202]
    assert sorted(step.number for step in steps if step.act is Act.TRY) == list(range(300))


def test_meeting_somebody_leads_to_a_new_listing_and_the_middle_of_what_is_open() -> None:
    states = bytearray(1000)
    walking = Walk(states, [(0, 1000)], "spread", "x")
    first = entered(walking)
    states[first] = TAKEN
    walking.met()
    assert walking.next() == Step(Act.LIST, 0)
    states[:500] = bytes([TAKEN]) * 500
    walking.listed(0)
    assert 600 <= tried(walking) < 900


def test_for_a_few_open_items_nothing_is_listed_again() -> None:
    states = bytearray([TAKEN]) * 1000
    states[3:6] = bytes(3)
    walking = Walk(states, [(0, 1000)], "spread", "x")
    first = entered(walking)
    states[first] = TAKEN
    walking.met()
    assert tried(walking) in range(3, 6)


def test_where_nobody_works_one_begins_at_the_beginning() -> None:
    states = bytearray([TAKEN + 1]) * 1000
    states[200:300] = bytes(100)
    assert entered(Walk(states, [(0, 1000)], "spread", "x")) == 200


def test_items_that_were_settled_meanwhile_are_passed_over() -> None:
    states = bytearray(10)
    walking, seen = Walk(states, [(0, 10)], "given", "x", range(10)), []
    walking.listed(0)
    while (step := walking.next()) is not None:
        seen.append(step.number)
        states[: step.number + 3] = bytes([TAKEN] * min(step.number + 3, 10))
        del states[10:]
    assert seen == [0, 3, 6, 9]


def test_who_shares_asks_before_each_directory_and_tells_after_it() -> None:
    states, spans = bytearray(20), [(0, 10), (10, 20)]
    walking, acts = Walk(states, spans, "spread", "a", shares=True), []
    while (step := walking.next()) is not None:
        acts.append(step.act)
        if step.act is Act.LIST:
            walking.listed(step.number)
        elif step.act is Act.TRY:
            states[step.number] = TAKEN
    one = [Act.ASK, Act.LIST, *[Act.TRY] * 10, Act.TELL]
    assert acts == [*one, *one, Act.ASK]


def test_everything_is_listed_at_the_start_if_that_is_cheap() -> None:
    assert lists_all_at_start(FEW_FOLDERS - 1, 1000) and lists_all_at_start(256, 1)
    assert not lists_all_at_start(256, 8)


def test_an_empty_board_ends_at_once() -> None:
    assert Walk(bytearray(), [], "given", "a").next() is None


@pytest.mark.parametrize("seed", list("abcdefgh"))
def test_whoever_has_met_somebody_goes_where_nobody_is_about_to_arrive(seed: str) -> None:
    """In the first of several open directories the other one is at work, as it walks upwards."""
    states = bytearray(40)
    spans = [(first, first + 10) for first in range(0, 40, 10)]
    walking = Walk(states, spans, "spread", seed, start=0.0)
    assert walking.next() == Step(Act.LIST, 0)
    walking.listed(0)
    assert tried(walking) == 0
    walking.met()
    states[0:20] = bytes([TAKEN]) * 20  # another one has worked here, and goes on in the third directory
    walking.listed(0)
    assert walking.next() == Step(Act.LIST, 3)
    walking.listed(3)
    assert 30 <= tried(walking) < 40
