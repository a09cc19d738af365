"""What a worker hands in for a partition: a parcel, or a list of values, judged before anything is done with it.

Guarantee: what comes out holds results of tasks of this very partition of this store, and no pickle was loaded for it,
whatever the store says of its own files. ValueError or CannotSave for everything else.
"""

from collections.abc import Iterable
from typing import Any

from multiprocesstools.tasks.description import Description
from multiprocesstools.tasks.parcel import Parcel, decode, parcel_of


def whole(description: Description, number: int, results: bytes | Iterable[Any]) -> tuple[Parcel, bytes]:
    """The results of all tasks of a partition, and the content of their file."""
    indices = _indices(description, number)
    if isinstance(results, bytes):
        parcel, data = part(description, number, results), results
    else:
        values = list(results)
        if len(values) != len(indices):
            raise ValueError(f"partition {number} has {len(indices)} tasks, and these are {len(values)} results")
        parcel = parcel_of(description.ident, zip(indices, values, strict=True))
        data = parcel.encode()
    if parcel.indices != indices:
        raise ValueError(f"these are not the results of all tasks of partition {number}, in their order")
    return parcel, data


def part(description: Description, number: int, data: bytes) -> Parcel:
    """Results of some tasks of a partition."""
    ident, indices, results = decode(data)
    if ident != description.ident or not set(indices) <= set(_indices(description, number)):
        raise ValueError(f"these are results of another store ({ident!r}) or of another partition than {number}")
    return parcel_of(ident, zip(indices, results, strict=True))


def _indices(description: Description, number: int) -> list[int]:
    if not 0 <= number < description.partitions:
        raise ValueError(f"there is no partition {number}")
    return description.indices_of(number)
