"""Whatever the number of tasks and partitions, and whatever JSON can hold: nothing is left out, twice or changed."""

from itertools import chain
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from multiprocesstools.tasks import TaskStore
from multiprocesstools.tasks.parcel import decode, parcel_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(), part, max_size=4),
    max_leaves=10,
)


class Line(TaskStore):
    def __init__(self, num_tasks: int, num_partitions: int, indices: list[int] | None = None) -> None:
        super().__init__(num_partitions, indices)
        self.num_tasks = num_tasks


@given(tasks=st.integers(1, 400), partitions=st.integers(1, 500))
def test_partitions_cover_every_index_once_in_order_and_none_is_empty(tasks: int, partitions: int) -> None:
    parts = [part.indices for part in Line(tasks, partitions).partition()]
    assert list(chain(*parts)) == list(range(tasks))
    assert len(parts) == min(tasks, partitions)
    sizes = {len(part) for part in parts}
    assert min(sizes) >= 1 and max(sizes) - min(sizes) <= 1


@given(indices=st.sets(st.integers(0, 299), min_size=1), partitions=st.integers(1, 20))
def test_partitions_of_chosen_indices_cover_these_in_their_order(indices: set[int], partitions: int) -> None:
    chosen = list(indices)
    parts = [part.indices for part in Line(300, partitions, chosen).partition()]
    assert list(chain(*parts)) == chosen and all(parts)


@given(st.lists(JSON, max_size=5))
def test_what_json_holds_comes_back_the_same_in_one_readable_line(values: list[Any]) -> None:
    data = parcel_of("s", enumerate(values)).encode()
    assert data.startswith(b'{"format":1,"ident":"s","indices":[') and data.count(b"\n") == 1
    assert decode(data)[2] == values
