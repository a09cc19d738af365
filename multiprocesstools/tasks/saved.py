"""The arrays of a store as a file, and back: what `save2file` writes is what `resume_from` reads.

Guarantee: the file is written whole, or not at all; only arrays are read, never pickles.
"""

import os
from io import BytesIO
from typing import Any

from multiprocesstools.errors import BadArgument
from multiprocesstools.tasks.store import TaskStore


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


def read(npz: str | os.PathLike[str]) -> dict[str, Any]:
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
