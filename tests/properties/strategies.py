"""What the properties are tried with: names, JSON of any kind, bytes that are nearly right, and a disk in memory."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from multiprocesstools.claims.posix import PosixDisk

ID = "0123456789abcdef" * 2

CHARACTERS = st.characters(exclude_categories=()) | st.sampled_from("a.-_/ \0\n\t\x1b\x7f\x9b\u202e\ud800\udc80\udcffé")
"""Every code point, halves of characters and bytes that are not UTF-8 among them."""

TEXT = st.text(CHARACTERS, max_size=30).map(
    lambda text: text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
)
"""Two halves that meet are one character, as JSON reads them."""

_PARTS = (
    *(".claim-1", ".claim-12", ".ended-1", ".retry-2", ".partial-1", ".direct", ".claim-0", ".claim-1234567890"),
    *(".mpt-", ID, "-1.", "-e1", "-folder-1.", ".ended", ".chunk-", ".multiprocesstools", "mpt", "a", ".", "-"),
)  # fmt: skip
NAMES = TEXT | st.lists(st.sampled_from(_PARTS), max_size=5).map("".join) | st.text("a.", max_size=4)
"""Names of all kinds, many of them made of the parts that the package adds itself."""

_NUMBERS = (
    st.integers()
    | st.integers(-(10**400), 10**400)
    | st.sampled_from([31, 53, 63, 1030, 13_000]).map(lambda bits: 2**bits)
)
_SCALARS = st.none() | st.booleans() | _NUMBERS | st.floats() | TEXT
JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=6
)
"""Any value of JSON, and the infinities and NaN that Python's reader accepts."""

_DEEP = st.sampled_from(["[", '{"a":', '[{"a":']).map(lambda part: part.encode() * 100_000)
_ODD = st.sampled_from([b"", b"\0\0\0\0", b"\xff\xfe{}", b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b"-1e999", b"0"])
_LONG = st.sampled_from([b"1", b"\0", b" ", b'"']).map(lambda part: part * 5000)
GARBAGE = st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()) | _DEEP | _LONG | _ODD


@st.composite
def changed(draw: st.DrawFn, line: bytes) -> bytes:
    """A JSON object in which some values were replaced by others, or keys left out, or given twice."""
    facts = list(json.loads(line).items())
    keys = st.sampled_from([key for key, _ in facts])
    left_out = draw(st.sets(keys, max_size=1))
    pairs = [pair for pair in facts if pair[0] not in left_out] + draw(st.lists(st.tuples(keys, JSON), max_size=2))
    return ("{" + ", ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in pairs) + "}\n").encode()


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes torn off somewhere, with a bit turned over, with a hole of NULs, or followed by others."""
    at = draw(st.integers(0, len(data) - 1))
    flipped = data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
    return draw(
        st.sampled_from(
            [data[:at], flipped, data[:at] + b"\0" * (len(data) - at), data + data[:at], data[at:] + data[:at]]
        )
    )


def nearly(line: bytes) -> st.SearchStrategy[bytes]:
    """What may stand where this line of JSON is expected."""
    return changed(line) | damaged(line) | GARBAGE


@dataclass(frozen=True)
class Name:
    """One name of a listing."""

    name: str
    number: int = 1

    def inode(self) -> int:
        return self.number

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return False

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return True

    def is_symlink(self) -> bool:
        return False


@dataclass
class Drawer(PosixDisk):
    """A disk in memory that can only be read."""

    files: dict[str, bytes] = field(default_factory=dict)

    def list(self, directory: str) -> Any:
        return [Name(path.rpartition("/")[2]) for path in self.files if path.rpartition("/")[0] == directory]

    def scan(self, directory: str, see: Any) -> Any:
        return see(self.list(directory))

    def read(self, path: str, limit: int = 1 << 20, *, whole: bool = True) -> bytes | None:
        return self.files.get(path)


def entries(paths: Iterable[str]) -> "list[Name]":
    """The names of these paths, each with an inode of its own."""
    return [Name(path.rpartition("/")[2], number) for number, path in enumerate(paths, 100)]
