"""The side of the script: `run(handler)` reads the input from stdin, calls the handler, writes its value to stdout.

    from multiprocesstools.workers.script import run

    def handler(data):
        return {"total": sum(data["numbers"])}

    if __name__ == "__main__":
        run(handler)

The same script serves one process, or, started by a `Process(..., keep_alive=True)`, one after the other.

Guarantee: nothing but the value goes to stdout: what the script, a library in C or a child of it prints goes to stderr.
Condition: it was printed after `run` had been called, or is still in the buffer of sys.stdout by then: up to 8 kB that
nobody has flushed.
"""

import os
import pickle
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from multiprocesstools.workers.programs import frames

_PROTOCOL = 5


@dataclass(slots=True)
class _Streams:
    """The real stdin and stdout, out of the way of everybody else."""

    source: int
    target: int


def run(handler: Callable[[Any], Any], *, raw: bool = False) -> None:
    """Have `handler(input)` make the output.

    It gets what was pickled and its value is pickled; with `raw` it gets bytes and gives bytes. An exception of it ends
    the script with its traceback on stderr and exit code 1; a script that is kept alive goes on with the next input.
    """
    streams = _set_aside()
    if os.environ.get(frames.KEEP_ALIVE):
        _serve(streams, handler, raw)
    else:
        frames.write(streams.target, _answer(handler, _read_all(streams.source), raw))


def _set_aside() -> _Streams:
    streams = _Streams(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout.flush()  # what was printed before, if it is still here, goes to stderr, too
    sys.stdout.reconfigure(line_buffering=True, write_through=False)  # type: ignore[union-attr]
    return streams


def _read_all(source: int) -> bytes:
    with open(source, "rb") as file:
        return file.read()


def _answer(handler: Callable[[Any], Any], packed: bytes, raw: bool) -> bytes:
    if not raw:
        return pickle.dumps(handler(pickle.loads(packed)), _PROTOCOL)
    value = handler(packed)
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError(f"run(handler, raw=True) takes bytes from its handler, which gave a {type(value).__name__}")
    return bytes(value)


def _serve(streams: _Streams, handler: Callable[[Any], Any], raw: bool) -> None:
    frames.write(streams.target, frames.header(frames.READY, 0), frames.END)
    while (packed := frames.receive(streams.source)) is not None:
        try:
            word, answer = frames.OUTPUT, _answer(handler, packed, raw)
        except (Exception, SystemExit):
            word, answer = frames.ERROR, traceback.format_exc().encode("utf-8", "replace")
        sys.stdout.flush()
        sys.stderr.flush()
        frames.write(streams.target, frames.header(word, len(answer)), answer, frames.END)
        del packed, answer  # or a large one would be held until the next one is there
