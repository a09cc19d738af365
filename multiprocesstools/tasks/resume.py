"""`resume_from`: a store that works on what is missing in a saved one.

Guarantee: a cell counts as open if it is NaN, and only then. Condition: the cells of the array are the tasks,
row-major.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

from multiprocesstools.errors import BadArgument
from multiprocesstools.tasks import saved
from multiprocesstools.tasks.store import TaskStore

Store = TypeVar("Store", bound=TaskStore)


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

    arrays = saved.read(npz)
    made = store(num_partitions=num_partitions, **arguments)
    chosen = arrays[_choose(npz, arrays, key, made.num_tasks)]
    if chosen.dtype.kind not in "fc":
        raise BadArgument("key", key, f"the array is of {chosen.dtype}, which has no NaN")
    open_tasks = numpy.flatnonzero(numpy.isnan(chosen)).tolist()
    if not open_tasks:
        raise BadArgument("npz", npz, "nothing in it is NaN: no task is open")
    made.indices = open_tasks
    for name, array in arrays.items():
        setattr(made, name, array)
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
