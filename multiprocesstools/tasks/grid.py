"""From the subscripts of a grid to a linear index and back: subscripts from 1, the index from 0, row-major.

Guarantee: ind2sub(sub2ind(s, d), d) == s, in whole numbers; what is no whole number or lies outside is an error.
Condition for arrays: the grid has less than 2**63 cells. numpy is not loaded here; who gives arrays has it.
"""

from collections.abc import Mapping, Sequence
from math import prod
from operator import index as as_integer
from typing import Any

from multiprocesstools.errors import BadArgument

Dimensions = Sequence[int] | Mapping[str, int]
"""How large a grid is in each direction, perhaps by name."""


def sub2ind(subscripts: Sequence[Any], dimensions: Dimensions) -> Any:
    """The linear index of a cell: sub2ind((2, 1), (48, 47)) is 47.

    subscripts: one per dimension, each a whole number from 1 on, or numpy arrays of them (then so is what comes back).
    dimensions: the sizes of the grid. BadArgument (a ValueError) for what is outside or no whole number.
    """
    sizes = sizes_of(dimensions)
    if len(subscripts) != len(sizes):
        raise BadArgument("subscripts", subscripts, f"there must be {len(sizes)}, one for each of {tuple(sizes)}")
    index: Any = 0
    for subscript, size in zip(subscripts, sizes, strict=True):
        index = index * size + (_within(subscript, 1, size, "subscripts", sizes) - 1)
    return index


def ind2sub(index: Any, dimensions: Dimensions) -> tuple[Any, ...]:
    """The subscripts of a cell: ind2sub(47, (48, 47)) is (2, 1).

    index: a whole number from 0 on, or a numpy array of them (then each subscript is one). BadArgument as in `sub2ind`.
    """
    sizes = sizes_of(dimensions)
    rest = _within(index, 0, prod(sizes) - 1, "index", sizes)
    subscripts = []
    for size in reversed(sizes):
        rest, subscript = divmod(rest, size)
        subscripts.append(subscript + 1)
    return tuple(reversed(subscripts))


def sizes_of(dimensions: Dimensions) -> list[int]:
    """The sizes alone. BadArgument unless they are whole numbers from 1 on, at least one."""
    given = list(dimensions.values() if isinstance(dimensions, Mapping) else dimensions)
    try:
        sizes = [as_integer(size) for size in given]
    except TypeError as error:
        raise BadArgument("dimensions", dimensions, "the sizes must be whole numbers") from error
    if not sizes or min(sizes) < 1:
        raise BadArgument("dimensions", dimensions, "there must be at least one, and each at least 1")
    return sizes


def _within(value: Any, lowest: int, highest: int, what: str, sizes: list[int]) -> Any:
    if getattr(value, "ndim", 0):
        return _array_within(value, lowest, highest, what, sizes)
    try:
        number = as_integer(value)
    except TypeError as error:
        raise BadArgument(what, value, "it must be a whole number, or a numpy array of them") from error
    if not lowest <= number <= highest:
        raise BadArgument(what, number, f"it must be from {lowest} to {highest} in a grid of {tuple(sizes)}")
    return number


def _array_within(value: Any, lowest: int, highest: int, what: str, sizes: list[int]) -> Any:
    if value.dtype.kind not in "iu":
        raise BadArgument(what, value, f"an array must be of whole numbers, not of {value.dtype}")
    if prod(sizes) >= 1 << 63:
        raise BadArgument("dimensions", tuple(sizes), "a grid for arrays has less than 2**63 cells")
    if value.size and not lowest <= int(value.min()) <= int(value.max()) <= highest:
        raise BadArgument(what, value, f"all must be from {lowest} to {highest} in a grid of {tuple(sizes)}")
    return value.astype("int64")  # small types would overflow
