"""Subscripts from 1, indices from 0, row-major, in whole numbers."""

import itertools
import pickle

import numpy
import pytest

from multiprocesstools.errors import BadArgument
from multiprocesstools.tasks import ind2sub, sub2ind


def test_the_pair_of_the_document() -> None:
    assert sub2ind((2, 1), (48, 47)) == 47
    assert ind2sub(47, (48, 47)) == (2, 1)
    assert [sub2ind(pair, (48, 47)) for pair in ((1, 1), (1, 2), (1, 47), (48, 47))] == [0, 1, 46, 2255]


@pytest.mark.parametrize("dimensions", [(1,), (7,), (3, 4), (2, 1, 5), (2, 3, 2, 2)], ids=str)
def test_every_cell_has_its_index_in_the_order_of_rows(dimensions: tuple[int, ...]) -> None:
    cells = list(itertools.product(*(range(1, size + 1) for size in dimensions)))
    assert [sub2ind(cell, dimensions) for cell in cells] == list(range(len(cells)))
    assert [ind2sub(index, dimensions) for index in range(len(cells))] == cells


def test_a_large_index_stays_a_whole_number() -> None:
    sizes = (10**12, 10**12, 3)
    index = sub2ind((10**12, 10**12, 2), sizes)
    assert index == 3 * 10**24 - 2
    assert ind2sub(index, sizes) == (10**12, 10**12, 2)


@pytest.mark.parametrize("kind", ["uint8", "int32", "int64"])
def test_arrays_are_taken_and_given_also_of_small_types(kind: str) -> None:
    rows, columns = numpy.array([1, 2, 48], dtype=kind), numpy.array([1, 1, 47], dtype=kind)
    index = sub2ind((rows, columns), (48, 47))
    assert index.tolist() == [0, 47, 2255] and index.dtype == numpy.int64
    assert [part.tolist() for part in ind2sub(index, (48, 47))] == [[1, 2, 48], [1, 1, 47]]
    assert sub2ind((numpy.int64(2), 1), (48, 47)) == 47
    assert sub2ind((rows, 1), (48, 47)).tolist() == [0, 47, 2209]


def test_an_array_agrees_with_numpy_itself() -> None:
    every = numpy.arange(2 * 3 * 4)
    ours = ind2sub(every, (2, 3, 4))
    theirs = numpy.unravel_index(every, (2, 3, 4))
    assert all((mine - 1 == other).all() for mine, other in zip(ours, theirs, strict=True))
    assert (sub2ind(ours, (2, 3, 4)) == every).all()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: sub2ind((0, 1), (48, 47)),
        lambda: sub2ind((49, 1), (48, 47)),
        lambda: sub2ind((1, 48), (48, 47)),
        lambda: sub2ind((1,), (48, 47)),
        lambda: sub2ind((1.0, 2), (48, 47)),
        lambda: sub2ind((numpy.array([1.0]), numpy.array([2])), (48, 47)),
        lambda: sub2ind((numpy.array([1, 49]), numpy.array([1, 1])), (48, 47)),
        lambda: sub2ind((numpy.array([1]), numpy.array([1])), (2**40, 2**40)),
        lambda: ind2sub(2256, (48, 47)),
        lambda: ind2sub(-1, (48, 47)),
        lambda: ind2sub(47.0, (48, 47)),
        lambda: ind2sub(numpy.array([0, 2256]), (48, 47)),
        lambda: ind2sub(0, ()),
        lambda: ind2sub(0, (3, 0)),
        lambda: ind2sub(0, (3, 2.5)),
    ],
)
def test_what_is_outside_or_no_whole_number_is_an_error(wrong: object) -> None:
    with pytest.raises(BadArgument) as caught:
        wrong()  # type: ignore[operator]
    assert isinstance(caught.value, ValueError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
