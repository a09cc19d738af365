"""Results that the package writes itself: a value per item, as JSON in a file of its own.

See "Written by the package" in the claim protocol.

    line 1   the record of the instance that computed it
    line 2   the value

The file is the claim of the attempt until the value is in it, which saves two changes on the disk per item.

Guarantee: decode(encode(value)) is the value, as far as JSON can hold it: keys become texts, tuples become lists.
"""

import json
import os
from math import isfinite
from typing import Any

from multiprocesstools.errors import NoResult

_text = json.JSONEncoder(separators=(",", ":")).encode


def encode(value: Any) -> bytes:
    """The second line. TypeError or ValueError for what JSON cannot hold."""
    plain = type(value) is int or (type(value) is float and isfinite(value))  # the encoder takes ten times as long
    return (repr(value) if plain else _text(value)).encode() + b"\n"


def decode(data: bytes) -> Any:
    """The value in the content of a file. ValueError for everything else."""
    owner, _, line = data.partition(b"\n")
    if not line.endswith(b"\n") or line.count(b"\n") != 1 or not owner.startswith(b'{"format"'):
        raise ValueError("it has not the two lines of a result")
    return json.loads(line)


def read_result(path: str | os.PathLike[str]) -> Any:
    """The value that an item of `items(..., results=True)` has left in its final.

    FileNotFoundError if there is none, NoResult for a file that is none.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        return decode(data)
    except (ValueError, RecursionError) as error:
        raise NoResult(os.fsdecode(path), str(error)) from error
