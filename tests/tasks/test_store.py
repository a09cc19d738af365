"""What a store is: its tasks, its partitions, its description."""

from pathlib import Path
from typing import Any

import numpy
import pytest

from multiprocesstools.errors import BadArgument, NewerFormat, StoresDiffer
from multiprocesstools.run.directory import Run
from multiprocesstools.tasks import TaskStore, resume_from
from multiprocesstools.tasks.description import agree, recorded
from tests.clocks import HandClock
from tests.disks import Lagging
from tests.tasks.stores import Adder


class Plain(TaskStore):
    """What a subclass of the original gives: everything itself."""

    def __init__(self, num_tasks: Any, num_partitions: Any = 100, indices: Any = None) -> None:
        super().__init__(num_partitions, indices, None)
        self.num_tasks = num_tasks

    def get(self, index: int | None, *params: Any) -> dict[str, Any]:
        return {"number": params[0]}

    def ind2sub(self, index: int) -> tuple[int]:
        return (index + 1,)


class Grid(TaskStore):
    dimensions = (48, 47)


def test_a_partition_is_a_copy_for_which_no_constructor_is_called() -> None:
    class Fussy(Adder):
        def __init__(self, must_be_given: str) -> None:
            super().__init__()
            self.extra = must_be_given

    store = Fussy("given")
    first = next(store.partition())
    assert type(first) is Fussy and first.extra == "given" and first.indices == [0, 1, 2]
    assert store.indices is None and first.num_tasks == 10


def test_iteration_gives_all_tasks_or_those_of_the_indices() -> None:
    every = list(Adder())
    assert len(every) == 10
    assert every[3] == (3, {"index": 3, "row": 2, "column": 2})
    assert list(Adder(indices=[9, 0])) == [
        (9, {"index": 9, "row": 5, "column": 2}), (0, {"index": 0, "row": 1, "column": 1}),
    ]  # fmt: skip
    assert list(Plain(2)) == [(0, {"number": 1}), (1, {"number": 2})]


def test_dimensions_give_the_number_of_tasks_and_both_ways_and_names_give_get() -> None:
    assert (Grid().num_tasks, Grid().sub2ind(2, 1), Grid().ind2sub(47)) == (2256, 47, (2, 1))
    assert Adder().get(None, 2, 1) == {"index": 2, "row": 2, "column": 1}
    with pytest.raises(NotImplementedError, match="Grid needs get"):
        Grid().get(0, 1, 1)


def test_the_order_of_the_arguments_is_that_of_the_original_and_ident_is_the_name_of_the_class() -> None:
    store = TaskStore(7, [1, 2], "pairs")
    assert (store.num_partitions, store.indices, store.ident) == (7, [1, 2], "pairs")
    assert Grid().ident == "Grid" and Grid().num_partitions == 100


def test_indices_may_be_an_array() -> None:
    store = Plain(10, indices=numpy.array([3, 4]))
    assert store.indices == [3, 4] and {type(index) for index in store.indices} == {int}


def test_a_description_makes_the_same_store() -> None:
    store = Adder(4, [1, 5, 2])
    other = Adder().from_dict(store.to_dict())
    assert other.to_dict() == store.to_dict() and list(other) == list(store)


def test_the_description_of_another_store_is_refused() -> None:
    with pytest.raises(StoresDiffer, match="Grid"):
        Adder().from_dict(Grid().to_dict())
    larger = Adder().to_dict() | {"num_tasks": 11}
    with pytest.raises(StoresDiffer, match="11 -> 10"):
        Adder().from_dict(larger)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: list(TaskStore().partition()), "TaskStore must set it"),
        (lambda: list(Plain(0)), "at least 1"),
        (lambda: list(Plain(-3).partition()), "at least 1"),
        (lambda: list(Plain(2.0).partition()), "whole number"),
        (lambda: Plain(5, 0), "at least 1"),
        (lambda: Plain(5, True), "whole number"),
        (lambda: list(Plain(5, indices=[0, 5])), "from 0 to 4"),
        (lambda: list(Plain(5, indices=[-1]).partition()), "from 0 to 4"),
        (lambda: Plain(5, indices=[1, 2, 1]), "stands twice"),
        (lambda: Plain(5, indices=[*range(200_000), 199_999]), "stands twice"),
        (lambda: Plain(5, indices=[]), "empty"),
        (lambda: Plain(5, indices=["a"]), "whole numbers"),
    ],
    ids=[
        "num_tasks missing", "zero", "negative", "no whole number", "partitions < 1", "partitions a bool",
        "index too large", "index negative", "index twice", "index twice in a long list", "no index", "index a text",
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_clearly(make: Any, words: str) -> None:
    with pytest.raises(BadArgument, match=words):
        make()


# -- resume_from


def save(path: Any, **arrays: Any) -> Any:
    numpy.savez(path, **arrays)
    return path


def test_the_nan_cells_of_a_saved_array_are_the_open_tasks(tmp_path: Any) -> None:
    results = numpy.arange(10.0).reshape(5, 2)
    results[1, 0] = results[4, 1] = numpy.nan
    path = save(tmp_path / "saved.npz", results=results, other=numpy.ones(3), indices=numpy.arange(3))
    store = resume_from(path, Adder, num_partitions=1)
    assert store.indices == [2, 9] and store.num_partitions == 1
    numpy.testing.assert_array_equal(store.results, results)
    assert store.other.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"results": numpy.ones((5, 2))}, "no task is open"),
        ({"results": numpy.full(9, numpy.nan)}, "0 arrays have as many cells"),
        ({"a": numpy.full(10, numpy.nan), "b": numpy.full(10, numpy.nan)}, "2 arrays have"),
        ({"results": numpy.arange(10)}, "has no NaN"),
    ],
    ids=["all done", "another size", "two that fit", "integers"],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Any, arrays: dict[str, Any], words: str) -> None:
    with pytest.raises(BadArgument, match=words):
        resume_from(save(tmp_path / "saved.npz", **arrays), Adder)


def test_key_says_which_array_counts(tmp_path: Any) -> None:
    first, second = numpy.full(10, numpy.nan), numpy.arange(10.0)
    second[7] = numpy.nan
    path = save(tmp_path / "saved.npz", first=first, second=second)
    assert resume_from(path, Adder, key="second").indices == [7]
    with pytest.raises(BadArgument, match="third"):
        resume_from(path, Adder, key="third")


def test_what_is_no_npz_is_refused_and_no_pickle_is_loaded(tmp_path: Any) -> None:
    (tmp_path / "text.npz").write_text("no npz")
    numpy.save(tmp_path / "one.npy", numpy.ones(10))
    save(tmp_path / "objects.npz", results=numpy.array([{}], dtype=object))
    for name in ("text.npz", "one.npy", "objects.npz"):
        with pytest.raises(BadArgument, match="npz"):
            resume_from(tmp_path / name, Adder)
    with pytest.raises(FileNotFoundError):
        resume_from(tmp_path / "missing.npz", Adder)


@pytest.mark.parametrize("known", [0, 9])
def test_a_description_that_is_met_half_written_is_read_again(tmp_path: Path, known: int) -> None:
    run = Run(tmp_path / "run").prepare()
    mine = agree(run, Adder(3), print)
    assert recorded(Run(tmp_path / "run", disk=Lagging(known), clock=HandClock())) == mine
    with pytest.raises(NewerFormat, match=r"store\.json.*it is (torn|empty)"):
        recorded(Run(tmp_path / "run", disk=Lagging(known, reads=99), clock=HandClock()))
