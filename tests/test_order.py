"""In which order an instance walks."""

from multiprocesstools.order import OPEN, Walk

TAKEN = OPEN + 1


def walk(size: int, order: str, seed: str = "a") -> list[int]:
    states, seen = bytearray(size), []
    for index in Walk(states, order, seed):
        seen.append(index)
        states[index] = TAKEN
    return seen


def test_given_is_the_order_of_the_list() -> None:
    assert walk(5, "given") == [0, 1, 2, 3, 4]


def test_spread_begins_somewhere_and_visits_everything_once() -> None:
    starts = set()
    for seed in "abcdefgh":
        seen = walk(100, "spread", seed)
        assert sorted(seen) == list(range(100))
        assert seen[1] == (seen[0] + 1) % 100
        starts.add(seen[0])
    assert len(starts) > 4


def test_meeting_somebody_jumps_to_another_open_place() -> None:
    states = bytearray(1000)
    walking = Walk(states, "spread", "x")
    steps = iter(walking)
    first = next(steps)
    states[first] = TAKEN
    walking.met()
    assert next(steps) != (first + 1) % 1000


def test_items_that_were_settled_meanwhile_are_passed_over() -> None:
    states = bytearray(10)
    seen = []
    for index in Walk(states, "given", "x"):
        seen.append(index)
        states[: index + 3] = bytes([TAKEN] * min(index + 3, 10))
        del states[10:]
    assert seen == [0, 3, 6, 9]


def test_an_empty_board_ends_at_once() -> None:
    assert walk(0, "given") == []
