"""What connects a worker with its pool: a line, on which both send messages of any size, and a queue of small ones.

    pool -> worker    by the queue: (TASK, number) + task   (LINE, 0): the next message is on the line   (END, 0)
                      by the line: (FUNCTION, key) + function   (TASK, number) + task, when it is large
    worker -> pool    by the line: (READY, 0)   (DONE, number) + result   (FAILED, number) + exception
                      (MESSAGE, 0) + text

A worker has both for itself, so that it can die at any byte without harm to others.

Guarantee: a pool that hears a line never waits for a message whose end has not come. What a worker has not read from
its queue can be taken back: each message there is read by one of the two, and whole. Condition: one process at a time
hears a line; a queue holds no more than MOST messages.
"""

import socket
import struct
import threading
from typing import NamedTuple

READY, DONE, FAILED, MESSAGE, FUNCTION, TASK, LINE, END = range(8)
SMALL, MOST = 232, 128
"""Bytes that a message of a queue may have, and how many messages it holds."""

_ON_LINE = struct.Struct("<BQQQ")
_IN_QUEUE = struct.Struct("<BBQQ")
_RECORD = 256
_CHUNK = 1 << 16


Packed = bytes | bytearray


class Message(NamedTuple):
    """`nanoseconds`: how long the worker had to do with a task."""

    word: int
    number: int
    packed: Packed
    nanoseconds: int = 0


class Line:
    """One end of it."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self._lock = threading.Lock()
        self._rest = b""
        self._large: tuple[tuple[int, int, int], bytearray, int] | None = None

    def send(self, word: int, number: int = 0, packed: bytes = b"", nanoseconds: int = 0) -> None:
        """OSError when the other side has gone. What is large follows by itself, or it would be copied."""
        head = _ON_LINE.pack(word, len(packed), number, nanoseconds)
        with self._lock:
            if len(packed) <= _CHUNK:
                self.end.sendall(head + packed)
            else:
                self.end.sendall(head)
                self.end.sendall(packed)

    def receive(self) -> Message:
        """Wait for one. EOFError or OSError when the other side has gone."""
        word, size, number, nanoseconds = _ON_LINE.unpack(self._exactly(_ON_LINE.size))
        return Message(word, number, self._exactly(size), nanoseconds)

    def hear(self) -> list[Message]:
        """Those that have come, and do not wait. BlockingIOError when nothing has; EOFError, OSError as above."""
        if self._large is not None:
            return self._hear_more(*self._large)
        data = self.end.recv(_CHUNK, socket.MSG_DONTWAIT)
        if not data:
            raise EOFError
        data, at, found = self._rest + data, 0, []
        while len(data) - at >= _ON_LINE.size:
            word, size, number, nanoseconds = _ON_LINE.unpack_from(data, at)
            begin = at + _ON_LINE.size
            if size > len(data) - begin:
                if size > _CHUNK:
                    self._large = (word, number, nanoseconds), bytearray(size), len(data) - begin
                    self._large[1][: len(data) - begin] = data[begin:]
                    at = len(data)
                break
            at = begin + size
            found.append(Message(word, number, data[begin:at], nanoseconds))
        self._rest = data[at:]
        return found

    def _hear_more(self, head: tuple[int, int, int], packed: bytearray, there: int) -> list[Message]:
        count = self.end.recv_into(memoryview(packed)[there:], 0, socket.MSG_DONTWAIT)
        if not count:
            raise EOFError
        there += count
        if there < len(packed):
            self._large = head, packed, there
            return []
        self._large = None
        return [Message(head[0], head[1], packed, head[2])]

    def _exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        rest = memoryview(data)
        while rest:
            count = self.end.recv_into(rest)
            if not count:
                raise EOFError
            rest = rest[count:]
        return data


class Queue:
    """The end from which a worker reads."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end

    def receive(self) -> tuple[int, int, int, bytes]:
        """Wait for one: word, number, how many answers of the worker were taken, what it brings. EOFError, OSError."""
        record = self.end.recv(_RECORD)
        if not record:
            raise EOFError
        word, size, number, taken = _IN_QUEUE.unpack_from(record)
        return word, number, taken, record[_IN_QUEUE.size : _IN_QUEUE.size + size]


class Backlog:
    """The end of the pool, which can read, too. Nobody hears of its end: a worker's end is told by its process."""

    def __init__(self) -> None:
        self._giving, self.taking = socket.socketpair()

    def put(self, records: list[bytes]) -> None:
        """Messages as `record` makes them."""
        self._giving.sendall(b"".join(records))

    def take_back(self) -> int:
        """Take the messages that were not read, which are the latest. How many there were."""
        size = 0
        try:
            while data := self.taking.recv(_CHUNK, socket.MSG_DONTWAIT):
                size += len(data)
        except BlockingIOError:
            pass
        return size // _RECORD

    def close(self) -> None:
        """It is not needed any more."""
        self._giving.close()
        self.taking.close()


def record(word: int, number: int, taken: int, packed: bytes = b"") -> bytes:
    """A message of a queue."""
    return (_IN_QUEUE.pack(word, len(packed), number, taken) + packed).ljust(_RECORD, b"\0")
