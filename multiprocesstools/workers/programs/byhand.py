"""A script run once, by hand, on an input that was saved to a file: to see what it does without the queue around it.

Guarantee: it runs as in a queue, and what it wrote to stdout is kept as it is, also if it has failed.
"""

import os
import pickle
import pprint
import runpy
import sys
from collections.abc import Callable, Iterable
from typing import Any

from multiprocesstools.errors import BadArgument
from multiprocesstools.workers.process import Process
from multiprocesstools.workers.processes import ProcessesLogic

_PICKLE = b"\x80"


class ByHand(Process):
    """Bytes in, bytes out."""

    def prepare_process_input(self) -> bytes:
        return bytes(self.input)

    def use_process_output(self, output: bytes) -> None:
        self.output = output


def find_process(place: str) -> Process:
    """`FILE.py:NAME`, a Process that stands in a file, or a function without arguments that makes one.

    The file is run, under another name than `__main__`. BadArgument, and what the file raises.
    """
    path, _, name = place.rpartition(":")
    if not path or not os.path.isfile(path):
        raise BadArgument("process", place, "it must be FILE.py:NAME, where FILE.py is a file with a Process NAME")
    folder = os.path.dirname(os.path.abspath(path))
    sys.path.insert(0, folder)
    try:
        found: Any = runpy.run_path(path, run_name="multiprocesstools_process")
    finally:
        sys.path.remove(folder)
    if name not in found:
        raise BadArgument("process", place, f"there is no {name} in {path}")
    process = found[name]() if callable(found[name]) else found[name]
    if not isinstance(process, Process):
        raise BadArgument("process", place, f"{name} is a {type(process).__name__} and no Process")
    return process


def run_by_hand(
    script: str, data: bytes, said: Callable[[str], object], *, args: Iterable[str] = (), timeout: float | None = None
) -> ByHand:
    """The process when it is over; `said` hears its stderr, live."""
    process = ByHand(script, data, args=args, timeout=timeout)
    with ProcessesLogic(1) as logic:
        logic.sig_stderr.connect(lambda _, text: said(text))
        logic.add_process(process)
    return process


def shown(output: bytes) -> str:
    """An output as a person reads it: what was pickled, else text."""
    if output.startswith(_PICKLE):
        try:
            return pprint.pformat(pickle.loads(output), width=100)
        except Exception as error:
            return f"{len(output):,} bytes that look like a pickle and are none ({type(error).__name__}: {error})"
    return output.decode("utf-8", "replace")
