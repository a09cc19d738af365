"""The arrays of a store as a file, and back: what `save2file` writes is what `resume_from` makes a store of, that works
on what is missing.

Guarantee: only arrays are written and read, never pickles. A cell counts as open if it is NaN, and only then. Condition
for that: the cells of the array are the tasks, row-major.
"""

import os
from collections.abc import Callable
from io import BytesIO
from typing import Any, TypeVar

from multiprocesstools.errors import BadArgument
from multiprocesstools.tasks.store import TaskStore

Store = TypeVar("Store", bound=TaskStore)


def arrays_of(store: TaskStore) -> dict[str, Any]:
    """The attributes of a store that are numpy arrays."""
    import numpy

    return {name: value for name, value in vars(store).items() if isinstance(value, numpy.ndarray)}


def packed(store: TaskStore) -> bytes:
    """The arrays of a store as the content of an npz. BadArgument for a store that has none, or arrays of objects."""
    import numpy

    arrays = arrays_of(store)
    if not arrays:
        reason = "it has no attribute that is a numpy array, so there is nothing to save; its results are on the disk"
        raise BadArgument("store", store, reason)
    if objects := [name for name, array in arrays.items() if array.dtype.hasobject]:
        raise BadArgument("store", store, f"its array {objects[0]!r} holds objects, which npz cannot hold")
    file = BytesIO()
    numpy.savez(file, **arrays)
    return file.getvalue()


def resume_from(
    npz: str | os.PathLike[str], store: Callable[..., Store], *, num_partitions: int = 100, key: str | None = None,
    **arguments: Any,
) -> Store:  # fmt: skip
    """A new store whose tasks are the cells of a saved array that are NaN, and which has the arrays of the file.

    npz: a file as `TaskManager.save2file` writes it. store: the TaskStore's class. key: the array that says what is
    open; default the only one with as many cells as there are tasks. num_partitions, arguments: for `store`.

    Work on it in a new run directory: its tasks are others. BadArgument for a file that does not fit, or in which
    nothing is open.
    """
    import numpy

    arrays = _read(npz)
    made = store(num_partitions=num_partitions, **arguments)
    chosen = arrays[_choose(npz, arrays, key, made.num_tasks)]
    if chosen.dtype.kind not in "fc":
        raise BadArgument("key", key, f"the array is of {chosen.dtype}, which has no NaN")
    open_tasks = numpy.flatnonzero(numpy.isnan(chosen)).tolist()
    if not open_tasks:
        raise BadArgument("npz", npz, "nothing in it is NaN: no task is open")
    for name, array in arrays.items():
        setattr(made, name, array)
    made.indices = open_tasks
    return made


def _choose(npz: Any, arrays: dict[str, Any], key: str | None, tasks: int) -> str:
    fitting = [name for name, array in arrays.items() if array.size == tasks]
    if key is None and len(fitting) == 1:
        return fitting[0]
    if key in fitting:
        return key
    shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    which = f"{len(fitting)} arrays have" if key is None else "that array has not"
    raise BadArgument("key", key, f"{which} as many cells as there are tasks ({tasks}); {npz} has {shapes}")


def _read(npz: str | os.PathLike[str]) -> dict[str, Any]:
    """The arrays in an npz. BadArgument for a file that is none; FileNotFoundError."""
    import zipfile

    import numpy

    try:
        file = numpy.load(npz, allow_pickle=False)
        if isinstance(file, numpy.ndarray):
            raise BadArgument("npz", npz, "it is one array; give an .npz with the arrays of a store")
        with file:
            return {name: file[name] for name in file.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, BadArgument):
            raise
        raise BadArgument("npz", npz, f"it is no npz of arrays ({error})") from error
