"""A parcel: the results of some tasks of a partition, by index, and their file format, which its content decides.

    JSON   {"format": 1, "ident": ..., "indices": [...], "results": [...]} in one line, where JSON holds all results
    npz    the same line as the member results.json, and the arrays in it as members arrays_0.npy, arrays_1.npy, ...,
           each of them all arrays of one type and shape; not compressed. A mark in the line says which one goes where

Guarantee: decode(encode()) holds what was added; what the format would change or lose is refused (CannotSave), when it
is added. Condition: as in JSON tuples become lists; numpy's scalars become the same numbers of Python. Nothing is ever
unpickled, unless the caller says so; arrays of objects are refused. What is decoded holds no more bytes of arrays than
the file, whoever has written that.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from typing import Any

from multiprocesstools.calls.saving import kind
from multiprocesstools.errors import CannotSave

FORMAT = 1
_ARRAY, _PICKLE = "__multiprocesstools_array__", "__multiprocesstools_pickle__"
_ZIP = b"PK\x03\x04"
_DATE = (1980, 1, 1, 0, 0, 0)
_ADVICE = "give numbers, texts, lists, dicts with texts as keys, None, numpy arrays, or set `pickles` in the store"
_text = json.JSONEncoder(separators=(",", ":"), check_circular=True).encode


class Unfit(ValueError):
    """Bytes that are no parcel, and why."""


class Pickled(Unfit):
    """There is a pickle in it, and it was not loaded."""


class Parcel:
    """Results by the index of their task. `pickles`: may what neither JSON nor npz holds be pickled, and loaded?"""

    def __init__(self, ident: str, *, pickles: bool = False) -> None:
        self.ident = ident
        self._pickles = pickles
        self._texts: dict[int, str] = {}
        self._arrays: dict[tuple[str, tuple[int, ...]], list[Any]] = {}

    def __len__(self) -> int:
        return len(self._texts)

    def __contains__(self, index: object) -> bool:
        return index in self._texts

    @property
    def indices(self) -> list[int]:
        """The tasks, in the order in which their results were added."""
        return list(self._texts)

    def add(self, index: int, value: Any) -> None:
        """Add the result of a task, as it is now. CannotSave for what cannot be written."""
        self._texts[index] = self._encoded(index, value)

    def sorted(self, indices: Sequence[int]) -> "Parcel":
        """The same in this order of the tasks, all of which it must hold."""
        self._texts = {index: self._texts[index] for index in indices}
        return self

    # -- to bytes

    def encode(self) -> bytes:
        """The content of a file."""
        head = _text({"format": FORMAT, "ident": self.ident, "indices": self.indices})
        line = f'{head[:-1]},"results":[{",".join(self._texts.values())}]}}\n'.encode()
        return _npz(line, list(self._arrays.values())) if self._arrays else line

    def _encoded(self, index: int, value: Any) -> str:
        try:
            return _text(self._plain(value, f"of task {index}"))
        except (TypeError, ValueError, RecursionError) as error:
            if self._pickles:
                return self._pickled(index, value)
            if isinstance(error, CannotSave):
                raise
            raise _unfit(value, f"of task {index}", f"{error}; {_ADVICE}") from error

    def _plain(self, value: Any, where: str) -> Any:
        """The value as JSON has it, with marks in place of arrays."""
        if value is None or isinstance(value, (str, bool, int, float)):
            return value
        if isinstance(value, (list, tuple)):
            return [self._plain(part, where) for part in value]
        if isinstance(value, dict):
            return self._plain_dict(value, where)
        return self._array(value, where)

    def _plain_dict(self, value: dict[Any, Any], where: str) -> dict[str, Any]:
        for key in value:
            if not isinstance(key, str) or key in (_ARRAY, _PICKLE):
                raise _unfit(value, where, f"its key {key!r} would not come back the same")
        return {key: self._plain(part, where) for key, part in value.items()}

    def _array(self, value: Any, where: str) -> Any:
        numpy = sys.modules.get("numpy")  # where it is not loaded, nothing is an array
        if numpy is None or not isinstance(value, (numpy.ndarray, numpy.generic, complex)):
            raise _unfit(value, where, _ADVICE)
        if isinstance(value, numpy.generic) and isinstance(number := value.item(), (bool, int, float, str)):
            return number
        array = numpy.array(value)  # the worker may go on using its own
        if isinstance(value, numpy.ma.MaskedArray) or array.dtype.hasobject:
            raise _unfit(value, where, "it is masked, or holds objects; give `.filled(...)` of it, or numbers")
        group = (str(numpy.lib.format.dtype_to_descr(array.dtype)), array.shape)
        alike = self._arrays.setdefault(group, [])
        alike.append(array)
        return {_ARRAY: [list(self._arrays).index(group), len(alike) - 1]}

    def _pickled(self, index: int, value: Any) -> str:
        import pickle
        from base64 import b64encode

        try:
            return _text({_PICKLE: b64encode(pickle.dumps(value)).decode()})
        except Exception as error:  # whatever the value's own class raises
            reason = f"{type(error).__name__}: {error}"
            raise CannotSave(f"the result of task {index}", kind(value), "a pickle", reason) from error


# -- from bytes


def array_of(data: bytes) -> Any:
    """The array in the content of one .npy. Unfit for what is none, or holds objects."""
    try:
        return _read_array(data)
    except (ValueError, KeyError, EOFError, SyntaxError) as error:
        raise error if isinstance(error, Unfit) else Unfit(f"it is no whole npy ({error})") from error


def decode(data: bytes, *, pickles: bool = False) -> "tuple[str, list[int], list[Any]]":
    """The ident, the indices and the results in the content of a file. Unfit for what is no parcel.

    With `pickles` whoever has written the file can run any code here.
    """
    line, arrays = _taken_apart(data)
    try:
        content = json.loads(line)
        if content["format"] != FORMAT:
            raise Unfit(f"its format is {content['format']!r}, not {FORMAT}; was it written by a newer version?")
        ident, indices, results = content["ident"], content["indices"], content["results"]
        if not isinstance(ident, str) or not all(type(index) is int for index in indices):
            raise Unfit("it does not name its store and its tasks")
        if len(indices) != len(results) or len(set(indices)) != len(indices):
            raise Unfit(f"it has {len(indices)} tasks and {len(results)} results, or a task twice")
        taken = _Arrays(arrays)
        return ident, indices, [_restored(result, taken, pickles) for result in results]
    except Unfit:
        raise
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise Unfit(f"it cannot be read ({type(error).__name__}: {error})") from error


def parcel_of(ident: str, pairs: Iterable[tuple[int, Any]], *, pickles: bool = False) -> Parcel:
    """A parcel of these results. CannotSave."""
    parcel = Parcel(ident, pickles=pickles)
    for index, value in pairs:
        parcel.add(index, value)
    return parcel


def _taken_apart(data: bytes) -> tuple[bytes, list[Any]]:
    """The line, and the arrays. Only members that are not compressed and do not lie on each other are read: together
    they are not larger than the file."""
    if not data.startswith(_ZIP):
        return data, []
    from zipfile import ZIP_STORED, BadZipFile, ZipFile

    try:
        with ZipFile(BytesIO(data)) as archive:
            members = archive.infolist()
            if any(member.compress_type != ZIP_STORED for member in members):
                raise Unfit("it is compressed")
            if sum(member.file_size for member in members) > len(data):
                raise Unfit("its members are larger than the file")
            names = archive.namelist()
            return archive.read("results.json"), list(_arrays(archive, names))
    except (BadZipFile, KeyError, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        raise error if isinstance(error, Unfit) else Unfit(f"it is no whole npz ({error})") from error


def _arrays(archive: Any, names: list[str]) -> Iterator[Any]:
    number = 0
    while (name := f"arrays_{number}.npy") in names:
        yield _read_array(archive.read(name))
        number += 1


def _read_array(data: bytes) -> Any:
    """The array in these bytes, which must be there in full: a forged head would make a large one of nothing."""
    from math import prod

    from numpy.lib import format as npy

    file = BytesIO(data)
    read_head = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(file)]
    shape, _, dtype = read_head(file)
    if dtype.hasobject or prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise Unfit("an array in it holds objects, or another number of bytes than it says")
    return npy.read_array(BytesIO(data), allow_pickle=False)


class _Arrays:
    """The arrays of a file. Each stands in one place of the results: else a small file would hold many large ones."""

    def __init__(self, groups: list[Any]) -> None:
        self._groups, self._taken = groups, set[tuple[int, int]]()

    def take(self, mark: Any) -> Any:
        """The array that a mark names. Unfit, IndexError."""
        group, row = mark
        if type(group) is not int or type(row) is not int or min(group, row) < 0 or (group, row) in self._taken:
            raise Unfit("a mark in it is none, or names an array a second time")
        self._taken.add((group, row))
        return self._groups[group][row]


def _restored(value: Any, arrays: _Arrays, pickles: bool) -> Any:
    if isinstance(value, list):
        return [_restored(part, arrays, pickles) for part in value]
    if not isinstance(value, dict):
        return value
    if _ARRAY in value:
        return arrays.take(value[_ARRAY])
    if _PICKLE in value:
        return _unpickled(value[_PICKLE], pickles)
    return {key: _restored(part, arrays, pickles) for key, part in value.items()}


def _unpickled(text: str, pickles: bool) -> Any:
    if not pickles:
        raise Pickled("it holds a pickle, which is not loaded unless the store says `pickles = True`")
    import pickle
    from base64 import b64decode

    try:
        return pickle.loads(b64decode(text))
    except Exception as error:  # whatever the class of the value raises, or lacks here
        raise Unfit(f"a pickle in it cannot be loaded ({type(error).__name__}: {error})") from error


def _npz(line: bytes, groups: list[list[Any]]) -> bytes:
    from zipfile import ZipFile, ZipInfo

    import numpy

    whole = BytesIO()
    with ZipFile(whole, "w") as archive:
        archive.writestr(ZipInfo("results.json", _DATE), line)
        for number, arrays in enumerate(groups):
            with archive.open(ZipInfo(f"arrays_{number}.npy", _DATE), "w", force_zip64=True) as member:
                numpy.lib.format.write_array(member, numpy.stack(arrays), allow_pickle=False)
    return whole.getvalue()


def _unfit(value: Any, where: str, advice: str) -> CannotSave:
    return CannotSave(f"the result {where}", kind(value), "JSON or npz", advice)
