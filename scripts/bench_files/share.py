"""A share of an NFS lab as a place to run jobs: four client kernels and a server, beside the tests.

Guarantee: what is measured happens on the nodes; lists are made and outputs are looked at on the server's own disk, so
that no client learns anything from it. Condition: root on Debian; the lab goes with the process that made it.
"""

import itertools
import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.bench_files.hosts import Node
from scripts.bench_files.job import Contestant
from scripts.bench_files.places import BenchError, Runner, checked

_WAIT_SECONDS = 300.0


class NfsRunner:
    """A runner on a node of the lab. Requests go through a pipe there, answers come with its output."""

    _numbers = itertools.count()

    def __init__(self, lab: Any, node: str, contestant: Contestant, mounts: tuple[str, str]) -> None:
        self._lab, self._node, self._name, self._heard = lab, node, contestant.key, 0
        self._theirs, self._own = mounts  # the server has the shared directory under a path of its own
        self._pipe = f"/run/bench-{next(self._numbers)}"
        script = f"mkfifo {self._pipe}; exec 3<>{self._pipe}; exec {lab.python} -m scripts.bench_files.runner"
        self._running = lab.start(node, f"{script} {contestant.key} <&3")
        self._read()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(request).replace(self._theirs, self._own) if self._theirs else json.dumps(request)
        self._lab.run(self._node, f"printf '%s\\n' {shlex.quote(text)} > {self._pipe}").check()
        return self._read()

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + _WAIT_SECONDS
        while len(lines := self._running.output.splitlines(keepends=True)) <= self._heard or lines[-1][-1:] != "\n":
            if not self._running.runs:
                finished = self._running.wait(10)
                raise BenchError(f"{self._name} on {self._node} ended: {finished.errors[-2000:]}")
            if time.monotonic() > deadline:
                raise BenchError(f"{self._name} on {self._node}: no answer in {_WAIT_SECONDS:g} s")
            time.sleep(0.02)
        self._heard += 1
        return checked(json.loads(lines[self._heard - 1]), self._name)


class NfsShare:
    """A share that the nodes of an NFS lab have mounted; take it up and down as a context manager (root, Debian)."""

    def __init__(self, version: str, nodes: int = 4) -> None:
        from tests.labs import nfs

        self._nfs, self.nodes, self.version = nfs, nodes, version
        self.name = f"NFS v{version}"
        self.describes = (
            f"kernel NFS v{version}, {nodes} client kernels, a server with ext4, default mount options; the processes "
            "in turn on the nodes; remote calls include what happens once in a run"
        )
        self.shared: Path = nfs.SHARED
        os.environ.setdefault("LAB_MEM", "1200M")  # for the runners of all contestants on each node
        os.environ.setdefault("LAB_DISK_MB", "16384")  # sparse; nothing is removed before the lab goes
        self._runners: dict[tuple[str, str], NfsRunner] = {}
        self._counter = itertools.count()

    def __enter__(self) -> "NfsShare":
        self._lab = self._nfs.NfsLab(self.nodes, self.version)
        self._lab.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._lab.down()

    def host(self) -> Node:
        """The first node, as a machine that runs processes of their own."""
        return Node(self._lab, self._lab.nodes[0], (str(self._nfs.SHARED), str(self._nfs.EXPORT)))

    def runners(self, contestant: Contestant) -> list[Runner]:
        return [self._runner(node, contestant) for node in self._lab.nodes]

    def keeper(self, contestant: Contestant) -> Runner:
        return self._runner("server", contestant)

    def _runner(self, node: str, contestant: Contestant) -> NfsRunner:
        key = (node, contestant.key)
        if key not in self._runners:
            mounts = (str(self._nfs.SHARED), str(self._nfs.EXPORT)) if node == "server" else ("", "")
            self._runners[key] = NfsRunner(self._lab, node, contestant, mounts)
        return self._runners[key]

    @contextmanager
    def fresh(self) -> Iterator[str]:
        yield str(self._nfs.SHARED / f"bench-{next(self._counter)}")


def why_no_nfs() -> str:
    """Why no NFS lab can run here; nothing if it can. As root on Debian what is missing is installed."""
    if os.geteuid() != 0:
        return "not root"
    try:
        from tests.labs import nfs
    except ImportError as error:
        return f"{error.name} is not installed"
    lacks: str = nfs.missing()
    if lacks and shutil.which("apt-get"):
        subprocess.run([nfs.SCRIPT, "install"], capture_output=True, check=False, timeout=900)
        lacks = nfs.missing()
    return lacks
