"""Values as files: what `map` does with what a function returns, by the suffix of the final.

Guarantee: a file that was written holds the whole value; what its format would change or lose is refused (CannotSave).
Condition: JSON keeps what JSON can hold: keys become texts, tuples and arrays become lists; CSV keeps texts.
numpy and pandas are loaded only where they are needed.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from multiprocesstools.errors import BadArgument, CannotSave

Save = Callable[[Any, Path], Any]
_ROWS = "give a pandas DataFrame, or rows: a list of lists, or a list of dicts that have the same keys"


class _Unfit(Exception):
    """The value cannot be written in this format; what would do. Never leaves this room."""


def save(value: Any, path: Path, final: str) -> None:
    """Write a value in the format that the suffix of the final names. CannotSave."""
    suffix = suffix_of(final)
    try:
        if value is None:
            raise _Unfit("is a `return` missing? (a function of two parameters writes the file itself)")
        WRITERS[suffix](value, path)
    except _Unfit as error:
        raise CannotSave(final, kind(value), suffix, str(error)) from error.__cause__


def suffix_of(name: str) -> str:
    """The last suffix in small letters; empty if there is none."""
    return Path(name).suffix.lower()


def check_suffixes(names: Iterable[str]) -> None:
    """BadArgument if a name does not say how its value is to be written, or if what writes it is not installed."""
    suffixes = {"." + name.rpartition(".")[2].lower() if "." in name[1:] else "" for name in names}
    if unknown := sorted(suffixes - set(WRITERS)):
        there = repr(unknown[0]) if unknown[0] else "none"
        reason = (
            f"the function returns a value, and the suffix of the final ({there}) does not say how to write it: "
            f"one of {' '.join(WRITERS)} does, or save=function(value, path), or a function of (source, path)"
        )
        raise BadArgument("save", None, reason)
    if suffixes & {".npy", ".npz"} and find_spec("numpy") is None:
        raise BadArgument("save", None, "numpy writes .npy and .npz, and is not installed: `pip install numpy`")


def kind(value: Any) -> str:
    """What a value is, in a word."""
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")


# -- the formats


def _write_npy(value: Any, path: Path) -> None:
    import numpy

    array = _array(value)
    with open(path, "wb") as file:
        numpy.save(file, array, allow_pickle=False)


def _write_npz(value: Any, path: Path) -> None:
    """By `zipfile`, as numpy.savez does it, whose own parameters would forbid some keys."""
    import zipfile

    import numpy

    if not isinstance(value, Mapping) or not all(isinstance(key, str) and key for key in value):
        raise _Unfit("give a dict of arrays, whose keys are texts; or save one array as .npy")
    arrays = {key: _array(part, f"[{key!r}]") for key, part in value.items()}
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        for key, array in arrays.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as file:
                numpy.lib.format.write_array(file, array, allow_pickle=False)


def _array(value: Any, where: str = "") -> Any:
    import numpy

    if isinstance(value, numpy.ma.MaskedArray):
        raise _Unfit(f"{where or 'it'} is a masked array, whose mask would be lost; give `.filled(...)` of it")
    if not isinstance(value, (numpy.ndarray, numpy.generic, int, float, complex, list, tuple)):
        raise _Unfit(f"{where or 'it'} is of type {kind(value)}; give an array, a number or a list of numbers")
    try:
        array = numpy.asarray(value)
    except (ValueError, OverflowError) as error:
        raise _Unfit(f"it makes no array ({error}); give an array, or save it as .pkl") from error
    if array.dtype.hasobject:
        raise _Unfit(f"{where or 'it'} holds objects, not numbers; give an array of numbers, or save it as .pkl")
    return array


def _write_json(value: Any, path: Path) -> None:
    import json

    try:
        text = json.dumps(value, default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        reason = f"{error}; JSON holds dicts, lists, texts, numbers, True, False and None, or save it as .pkl"
        raise _Unfit(reason) from error
    path.write_text(text + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy as JSON has them."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic | numpy.ndarray):
        return value.tolist()
    raise TypeError(f"a value of type {kind(value)} is nothing that JSON can hold")


def _write_pickle(value: Any, path: Path) -> None:
    import pickle

    try:
        with open(path, "wb") as file:
            pickle.dump(value, file)
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise _Unfit(f"{error}; give what pickle can hold, or save=function(value, path)") from error


def _write_csv(value: Any, path: Path) -> None:
    """A DataFrame without its index if that is the default 0, 1, 2, …; or rows."""
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value, pandas.DataFrame | pandas.Series):
        index = value.index
        numbered = isinstance(index, pandas.RangeIndex) and (index.start, index.step, index.name) == (0, 1, None)
        value.to_csv(path, index=not numbered)
        return
    import csv

    rows = _rows(value)
    with open(path, "w", newline="", encoding="utf-8") as file:
        if rows and isinstance(rows[0], Mapping):
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
        else:
            csv.writer(file).writerows(rows)


def _rows(value: Any) -> list[Any]:
    if isinstance(value, str | bytes | Mapping | set | frozenset) or not isinstance(value, Iterable):
        raise _Unfit(f"{_ROWS}; [value] is one row")
    rows = list(value)
    keys = set(rows[0]) if rows and isinstance(rows[0], Mapping) else None
    for number, row in enumerate(rows):
        if not _is_row(row):
            raise _Unfit(f"row {number} is of type {kind(row)}; {_ROWS}")
        if isinstance(row, Mapping) != (keys is not None):
            raise _Unfit(f"row {number} is of type {kind(row)}, the first row of type {kind(rows[0])}; {_ROWS}")
        if keys is not None and set(row) != keys:
            raise _Unfit(f"row {number} has the keys {list(row)}, the first row has {list(rows[0])}; {_ROWS}")
    return rows


def _is_row(row: Any) -> bool:
    if isinstance(row, Sequence):
        return not isinstance(row, str | bytes)
    return isinstance(row, Mapping) or getattr(row, "ndim", None) == 1


WRITERS: Mapping[str, Save] = {
    ".npy": _write_npy, ".npz": _write_npz, ".json": _write_json, ".csv": _write_csv, ".pkl": _write_pickle,
}  # fmt: skip
