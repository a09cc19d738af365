"""Where the processes of a measurement run: on this machine, or on a node that has the directory from a file server.

A process says itself what it took (`Said`): who starts it may be far away, and sees another machine's memory.
"""

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Protocol

from scripts.bench_files.places import BenchError, with_checkout

_LONGEST_SECONDS = 600.0


@dataclass(frozen=True)
class Said:
    """What a process took: seconds by the wall and by the processor, memory at its peak in bytes beyond that when it
    began (of a command: in all), and remote calls."""

    seconds: float = 0.0
    cpu: float = 0.0
    peak_bytes: float = 0.0
    rpcs: int = 0


class Host(Protocol):
    """A machine. `has_rpcs`: does the directory come from a file server?"""

    has_rpcs: bool

    def ask(self, module: str, *words: str) -> Said:
        """Run a module, which ends its output with a line of JSON for `Said`. BenchError if it fails."""

    def keep(self, module: str, *words: str) -> Said:
        """The same near the disk, so that this machine learns nothing from it."""


class Here:
    """This machine."""

    has_rpcs = False

    def ask(self, module: str, *words: str) -> Said:
        command = [sys.executable, "-m", module, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=with_checkout())
        return _said(done.returncode, done.stdout, done.stderr, words)

    keep = ask


class Node:
    """A node of an NFS lab. What it has in memory of the share is forgotten before each process."""

    has_rpcs = True
    _WARM = "echo 3 > /proc/sys/vm/drop_caches; {python} -c 'import multiprocesstools.cli, scripts.bench_files.starts'"

    def __init__(self, lab: Any, name: str, mounts: tuple[str, str]) -> None:
        self._lab, self._name = lab, name
        self._theirs, self._own = mounts  # the server has the shared directory under a path of its own

    def ask(self, module: str, *words: str) -> Said:
        self._lab.run(self._name, self._WARM.format(python=self._lab.python)).check()
        return self._run(self._name, module, words)

    def keep(self, module: str, *words: str) -> Said:
        return self._run("server", module, [word.replace(self._theirs, self._own) for word in words])

    def _run(self, node: str, module: str, words: Any) -> Said:
        command = shlex.join([str(self._lab.python), "-m", module, *words])
        done = self._lab.run(node, command, timeout=_LONGEST_SECONDS)
        return _said(done.code, done.output, done.errors, words)


def _said(code: int, output: str, errors: str, words: Any) -> Said:
    if code:
        raise BenchError(f"{' '.join(words)}: {errors[-2000:]}{os.linesep}ended with {code}")
    lines = output.splitlines()
    return Said(**json.loads(lines[-1])) if lines else Said()
