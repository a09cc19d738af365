"""Messages to and from a program that is kept alive: a header with a kind and a length, so many bytes, and a newline,
because srun passes whole lines on.

    queue -> program   (INPUT, bytes)        program -> queue   (READY, nothing), then (OUTPUT, bytes) | (ERROR, text)

READY comes before the first input is read: a program that has read and not said it does not speak this language.

Guarantee: what is no frame is told from one by its first bytes, so that nobody waits for gigabytes that a stray word
announces.
"""

import os
import struct

INPUT, OUTPUT, ERROR, READY = range(4)
KEEP_ALIVE = "MULTIPROCESSTOOLS_KEEP_ALIVE"
_HEADER = struct.Struct(">4sBQ")
_MAGIC = b"MPT\x01"
_READ_BYTES = 1 << 20
END = b"\n"


class NotAFrame(Exception):
    """`args[0]`: the bytes that are none."""


def header(word: int, size: int) -> bytes:
    """What goes before so many bytes."""
    return _HEADER.pack(_MAGIC, word, size)


def split(buffer: bytearray) -> tuple[int, bytes] | None:
    """Take one whole frame off the buffer; None while it is not all there. NotAFrame."""
    if not _MAGIC.startswith(bytes(buffer[: len(_MAGIC)])):
        raise NotAFrame(bytes(buffer[:200]))
    if len(buffer) < _HEADER.size:
        return None
    _, word, size = _HEADER.unpack_from(buffer)
    end = _HEADER.size + size
    if len(buffer) < end + len(END):
        return None
    with memoryview(buffer) as view:
        packed = bytes(view[_HEADER.size : end])
    del buffer[: end + len(END)]
    return word, packed


def write(descriptor: int, *parts: bytes) -> None:
    """All of it, however much fits at a time. OSError."""
    for part in parts:
        view = memoryview(part)
        while view:
            view = view[os.write(descriptor, view) :]


def read(descriptor: int, size: int) -> bytes:
    """So many bytes, fewer at the end of the stream. OSError."""
    parts, left = [], size
    while left and (part := os.read(descriptor, min(left, _READ_BYTES))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def receive(descriptor: int) -> bytes | None:
    """The bytes of the next frame; None at the end of the stream. NotAFrame, OSError."""
    head = read(descriptor, _HEADER.size)
    if len(head) < _HEADER.size:
        return None
    magic, _, size = _HEADER.unpack(head)
    if magic != _MAGIC:
        raise NotAFrame(head)
    packed = read(descriptor, size)
    return packed if len(packed) == size and read(descriptor, len(END)) == END else None
