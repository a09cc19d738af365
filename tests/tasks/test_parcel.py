"""The file of a partition's results: JSON or npz, decided by what is in it."""

import json
import math
import pickle
import struct
import zipfile
import zlib
from io import BytesIO
from typing import Any

import numpy
import pytest

from multiprocesstools.errors import CannotSave
from multiprocesstools.tasks.parcel import Parcel, Unfit, decode, parcel_of


def there_and_back(*values: Any) -> list[Any]:
    ident, indices, results = decode(parcel_of("s", enumerate(values)).encode())
    assert (ident, indices) == ("s", list(range(len(values))))
    return results


def test_large_integers_and_what_is_no_number_travel() -> None:
    assert there_and_back(10**400, math.inf, None)[:2] == [10**400, math.inf]
    assert math.isnan(there_and_back(math.nan)[0])


ARRAYS = [
    numpy.arange(6, dtype="int16").reshape(2, 3),
    numpy.array([1.5, numpy.nan]),
    numpy.array([[True, False]]),
    numpy.array(["ab", "ç"]),
    numpy.zeros((0, 3)),
    numpy.array(["2026-01-01"], dtype="datetime64[D]"),
    numpy.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3)),
    numpy.array([1 + 2j]),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: str(array.dtype))
def test_arrays_come_back_with_type_and_shape(array: Any) -> None:
    plain, nested = there_and_back(array, {"deep": [array, 3]})
    for back in (plain, nested["deep"][0]):
        assert back.dtype == array.dtype and back.shape == array.shape
        numpy.testing.assert_array_equal(back, array)
    assert nested["deep"][1] == 3


def test_arrays_make_it_an_npz_that_numpy_opens_and_those_alike_lie_together() -> None:
    data = parcel_of("s", ((number, numpy.full(3, number)) for number in range(100))).encode()
    with numpy.load(BytesIO(data), allow_pickle=False) as file:
        assert sorted(file.files) == ["arrays_0", "results.json"]
        assert file["arrays_0"].shape == (100, 3)


def test_scalars_of_numpy_become_the_same_numbers() -> None:
    back = there_and_back(
        numpy.int64(2**62), numpy.float64(0.1), numpy.float32(0.1), numpy.bool_(True), numpy.str_("a")
    )
    assert back == [2**62, 0.1, float(numpy.float32(0.1)), True, "a"]
    assert [type(value) for value in back] == [int, float, float, bool, str]
    assert there_and_back(3 + 4j) == [3 + 4j]


def test_an_array_is_kept_as_it_was_when_it_was_added() -> None:
    buffer, parcel = numpy.zeros(2), Parcel("s")
    for index in range(2):
        buffer[:] = index
        parcel.add(index, buffer)
    assert [result.tolist() for result in decode(parcel.encode())[2]] == [[0, 0], [1, 1]]


@pytest.mark.parametrize(
    "value",
    [
        {1: 2}, {"a": {None: 1}}, {"__multiprocesstools_array__": [0, 0]}, object(), {1, 2}, b"bytes", lambda: 0,
        numpy.array([{}], dtype=object), numpy.ma.masked_array([1, 2], [True, False]), 10**5000,
    ],
    ids=[
        "key a number", "key None", "our own mark", "object", "set", "bytes", "function", "array of objects", "masked",
        "a number that is no text",
    ],
)  # fmt: skip
def test_what_would_be_lost_or_changed_is_refused_by_name_when_it_is_added(value: Any) -> None:
    parcel = Parcel("s")
    parcel.add(0, 1)
    with pytest.raises(CannotSave, match="task 7"):
        parcel.add(7, value)
    assert parcel.indices == [0] and decode(parcel.encode())[2] == [1]


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(CannotSave):
        Parcel("s").add(0, endless)


def test_pickles_are_written_and_loaded_only_if_both_sides_say_so() -> None:
    data = parcel_of("s", [(0, {1, 2}), (1, 5)], pickles=True).encode()
    assert decode(data, pickles=True)[2] == [{1, 2}, 5]
    with pytest.raises(Unfit, match="pickle"):
        decode(data)
    with pytest.raises(CannotSave, match="a pickle"):
        Parcel("s", pickles=True).add(0, lambda: 0)


def npz(line: bytes, compression: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("results.json", line)
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def npy_head(shape: str, descr: str = "<f8") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


LINE = b'{"format":1,"ident":"s","indices":[0],"results":[{"__multiprocesstools_array__":[0,0]}]}\n'


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\0\1", b"[]", b"null", b"{}", b'{"format":2}', b'{"format":1,"ident":"s","indices":[0],"results":[]}',
        b'{"format":1,"ident":"s","indices":[0,0],"results":[1,2]}',
        b'{"format":1,"ident":1,"indices":[],"results":[]}',
        b'{"format":1,"ident":"s","indices":["0"],"results":[1]}',
        b'{"format":1,"ident":"s","indices":[0],"results":[1]}'[:-4], b"[" * 100_000, LINE,
        npz(LINE)[:-30], npz(LINE), npz(LINE, arrays_0=b"nothing"), npz(LINE, arrays_0=npy_head("(1,)")),
        npz(LINE, arrays_0=npy_head("(1000000000000,)")),
        npz(LINE, arrays_0=npy_head("(1,)", "|O") + pickle.dumps([1])),
        npz(LINE, zipfile.ZIP_DEFLATED, arrays_0=npy_head("(1,)") + b"\0" * 8), b"\x80\x04N.",
    ],
)  # fmt: skip
def test_what_is_no_parcel_is_refused_in_words_and_claims_no_memory(data: bytes) -> None:
    with pytest.raises(Unfit, match=r"\w"):
        decode(data)


def test_the_forged_files_are_refused_for_what_is_forged_in_them() -> None:
    assert decode(npz(LINE, arrays_0=npy_head("(1,)") + b"\0" * 8))[2] == [0.0]


def marked(*marks: Any) -> bytes:
    """Three numbers as arrays without dimensions, and a result with these marks."""
    result = [{"__multiprocesstools_array__": mark} for mark in marks]
    line = json.dumps({"format": 1, "ident": "s", "indices": [0], "results": [result]}).encode()
    return npz(line, arrays_0=npy_head("(3,)") + bytes(24))


@pytest.mark.parametrize(
    "marks", [([0, 1], [0, 1]), ([0, [1] * 1000],), ([0, -1],), ([0, None],), ([False, 0],), ([0, 3],), ([1, 0],)]
)
def test_an_array_stands_in_one_place_so_that_a_small_file_holds_no_large_results(marks: Any) -> None:
    assert decode(marked([0, 1], [0, 2]))[2] == [[0.0, 0.0]]
    with pytest.raises(Unfit):
        decode(marked(*marks))


def lying_on_each_other(*members: tuple[str, bytes]) -> bytes:
    """A zip whose members begin one in the other: each local header counts those behind it as its extra field, and all
    of them end with the content of the last one."""
    content = members[-1][1]
    heads, extra = list[bytes](), 0
    for name, _ in reversed(members):
        facts = (zlib.crc32(content), len(content), len(content), len(name), extra)
        heads.insert(0, b"PK\3\4" + struct.pack("<HHHHHLLLHH", 20, 0, 0, 0, 33, *facts) + name.encode())
        extra += len(heads[0])
    body, directory, offset = b"".join(heads) + content, b"", 0
    for (name, _), head in zip(members, heads, strict=True):
        facts = (zlib.crc32(content), len(content), len(content), len(name), 0, 0, 0, 0, 0, offset)
        directory += b"PK\1\2" + struct.pack("<HHHHHHLLLHHHHHLL", 20, 20, 0, 0, 0, 33, *facts) + name.encode()
        offset += len(head)
    end = struct.pack("<HHHHLLH", 0, 0, len(members), len(members), len(directory), len(body), 0)
    return body + directory + b"PK\5\6" + end


def test_members_that_lie_on_each_other_are_refused() -> None:
    array = npy_head("(1000,)") + bytes(8000)
    data = lying_on_each_other(*((f"arrays_{number}.npy", array) for number in range(100)))
    with zipfile.ZipFile(BytesIO(data)) as archive:
        assert sum(member.file_size for member in archive.infolist()) > 40 * len(data), "it is a bomb"
        assert archive.read("arrays_99.npy") == array
    with pytest.raises(Unfit, match="larger than the file"):
        decode(data)
