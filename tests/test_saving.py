"""Values that `map` writes by the suffix of the final: all of the value, or an error that says what would do."""

import json
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

from multiprocesstools.calls.saving import WRITERS, check_suffixes, save
from multiprocesstools.errors import BadArgument, CannotSave

FRAME = pandas.DataFrame({"area": [1.5, 2.5], "name": ["a", "b,c"]})
NAMED = FRAME.set_index("name")


def written(tmp_path: Path, suffix: str, value: Any) -> Path:
    path = tmp_path / f".mpt-token.x{suffix}"
    save(value, path, f"x{suffix}")
    return path


@pytest.mark.parametrize(
    "value",
    [
        numpy.arange(6).reshape(2, 3), numpy.float32(1.5), [1, 2], ((1, 2), (3, 4)), 3,
        numpy.zeros(2, [("x", int), ("name", "U3")]), numpy.array(["text"]),
    ],
    ids=["array", "scalar", "list", "tuples", "number", "structured", "texts"],
)  # fmt: skip
def test_npy_holds_arrays(tmp_path: Path, value: Any) -> None:
    read = numpy.load(written(tmp_path, ".npy", value))
    assert numpy.array_equal(read, numpy.asarray(value)) and read.dtype == numpy.asarray(value).dtype


def test_an_npz_holds_a_dict_of_arrays_whatever_they_are_called(tmp_path: Path) -> None:
    value = {"file": numpy.arange(3), "allow_pickle": 1.5, "a/b": [[1], [2]], "self": numpy.array([], float)}
    with numpy.load(written(tmp_path, ".npz", value)) as read:
        assert set(read) == set(value)
        assert all(numpy.array_equal(read[key], numpy.asarray(part)) for key, part in value.items())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, None, "ü"]}, {"a": [1, None, "ü"]}), (numpy.int64(3), 3),
        ({"a": numpy.eye(2)}, {"a": [[1, 0], [0, 1]]}),
        ((1, 2), [1, 2]), ({1: True}, {"1": True}), ("\udcff", "\udcff"),
    ],
    ids=["dict", "number of numpy", "array", "tuple", "key", "name that is not UTF-8"],
)  # fmt: skip
def test_json_holds_what_json_can(tmp_path: Path, value: Any, expected: Any) -> None:
    assert json.loads(written(tmp_path, ".json", value).read_text()) == expected


def test_a_pickle_holds_what_pickle_can(tmp_path: Path) -> None:
    assert pickle.loads(written(tmp_path, ".pkl", {1, 2}).read_bytes()) == {1, 2}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (FRAME, 'area,name\n1.5,a\n2.5,"b,c"\n'), (NAMED, 'name,area\na,1.5\n"b,c",2.5\n'),
        (FRAME[1:], ',area,name\n1,2.5,"b,c"\n'), (FRAME["area"], "area\n1.5\n2.5\n"),
        ([[1, "b,c"], (2, None)], '1,"b,c"\n2,\n'), ([{"a": 1, "b": 2}, {"b": 4, "a": 3}], "a,b\n1,2\n3,4\n"),
        (numpy.array([[1.5, 2.0]]), "1.5,2.0\n"), (iter([[1]]), "1\n"), ([], ""),
        ([["line\nbreak"]], '"line\nbreak"\n'),
    ],
    ids=["frame", "named index", "numbers that are no default", "series", "lists", "dicts", "array", "iterator",
         "no rows", "line break"],
)  # fmt: skip
def test_csv_holds_tables(tmp_path: Path, value: Any, text: str) -> None:
    assert written(tmp_path, ".csv", value).read_bytes().decode().replace("\r\n", "\n") == text


REFUSED: list[tuple[str, Any, str]] = [
    (".npy", {"a": 1}, "a value of type dict cannot be saved as .npy"),
    (".npy", "text", "give an array"),
    (".npy", FRAME, "give an array"),
    (".npy", [[1], [2, 3]], "makes no array"),
    (".npy", numpy.array([object()]), "holds objects"),
    (".npy", numpy.ma.masked_array([1, 2], [True, False]), "whose mask would be lost"),
    (".npz", numpy.arange(3), "give a dict of arrays"),
    (".npz", {1: [1]}, "whose keys are texts"),
    (".npz", {"good": [1], "bad": [object()]}, r"\['bad'\] holds objects"),
    (".json", {"a": {1, 2}}, "type set is nothing that JSON can hold"),
    (".json", {(1, 2): 3}, "keys must be"),
    (".json", FRAME, "type pandas.*DataFrame cannot be saved as .json"),
    (".csv", "a,b", "a list of dicts"),
    (".csv", {"area": 3}, r"\[value\] is one row"),
    (".csv", 3, "a list of lists"),
    (".csv", [1, 2], "row 0 is of type int"),
    (".csv", ["ab", "cd"], "row 0 is of type str"),
    (".csv", [[1], {"a": 2}], "row 1 is of type dict, the first row of type list"),
    (".csv", [{"a": 1}, {"a": 1, "b": 2}], r"row 1 has the keys \['a', 'b'\], the first row has \['a'\]"),
    (".csv", numpy.zeros((2, 2, 2)), "row 0 is of type numpy.ndarray"),
    (".pkl", threading.Lock(), "cannot pickle"),
    (".pkl", lambda: 1, "pickle"),
    *[(suffix, None, "is a `return` missing") for suffix in WRITERS],
]


@pytest.mark.parametrize(("suffix", "value", "words"), REFUSED)
def test_what_a_format_cannot_hold_is_refused(tmp_path: Path, suffix: str, value: Any, words: str) -> None:
    with pytest.raises(CannotSave, match=words) as caught:
        written(tmp_path, suffix, value)
    assert f"'x{suffix}': a value of type " in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_value_that_holds_itself_is_refused(tmp_path: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(CannotSave, match="JSON"):
        written(tmp_path, ".json", endless)


def test_the_suffix_must_say_how_to_write() -> None:
    check_suffixes(["a.npy", "b.CSV", "c.tar.json", "d.pkl", "e.npz"])
    for name in ("a.tif", "a", ".csv", "a.csv.gz"):
        with pytest.raises(BadArgument, match="does not say how to write it"):
            check_suffixes(["good.csv", name])
