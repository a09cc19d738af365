"""Where jobs run: a folder of this machine, a fresh journalled filesystem for each run, or the nodes of an NFS lab.

Guarantee: every run gets an empty directory, and nothing of it is left. A place says in `describes` what it is, so that
a table from a machine without root cannot be mistaken for one with a disk of its own.
"""

import itertools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from scripts.bench_files.job import Contestant

CHECKOUT = Path(__file__).resolve().parents[2]
_IMAGE_BYTES, _INODES = 4 << 30, 400_000
_WAIT_SECONDS, _CLOSE_SECONDS = 300.0, 30.0


class BenchError(RuntimeError):
    """A contestant or a place has failed: what it said."""


class Runner(Protocol):
    """A process of `runner.py` that has imported what its contestant needs."""

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its answer. BenchError when it says that something failed."""


class Place(Protocol):
    """Somewhere jobs can run. `nodes`: how many machines share it."""

    name: str
    describes: str
    nodes: int

    def runners(self, contestant: Contestant) -> list[Runner]:
        """One runner on each machine."""

    def keeper(self, contestant: Contestant) -> Runner:
        """The runner that prepares the list and looks at what was done, near the disk."""

    def fresh(self) -> Any:
        """A context manager with an empty directory, as the runners see it."""


class LocalRunner:
    """A runner on this machine, started by `before` (strace) if it is given."""

    def __init__(self, contestant: Contestant, before: tuple[str, ...] = ()) -> None:
        self._name = contestant.key
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        command = [*before, sys.executable, "-m", "scripts.bench_files.runner", contestant.key]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True, env=with_checkout(),
            start_new_session=True,
        )  # fmt: skip
        self._read()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            raise BenchError(f"{self._name} ended: {self._errors.read().decode(errors='replace')[-2000:]}")
        return checked(json.loads(line), self._name)

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._errors.close()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise BenchError(f"{self._name} did not end") from None


def with_checkout() -> dict[str, str]:
    """The environment of a process that can import this."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])}


def checked(answer: dict[str, Any], name: str) -> dict[str, Any]:
    if "error" in answer:
        raise BenchError(f"{name}: {answer['error']}")
    return answer


class LocalPlace:
    """What the places on this machine share."""

    nodes = 1

    def __init__(self, name: str, describes: str) -> None:
        self.name, self.describes = name, describes
        self._runners: dict[str, LocalRunner] = {}

    def __enter__(self) -> "LocalPlace":
        return self

    def __exit__(self, *error: object) -> None:
        for runner in self._runners.values():
            runner.close()

    def runners(self, contestant: Contestant) -> list[Runner]:
        if contestant.key not in self._runners:
            self._runners[contestant.key] = LocalRunner(contestant)
        return [self._runners[contestant.key]]

    def keeper(self, contestant: Contestant) -> Runner:
        return self.runners(contestant)[0]


class Folder(LocalPlace):
    """A folder below a directory that is there."""

    def __init__(self, name: str, root: Path, describes: str) -> None:
        super().__init__(name, describes)
        self._root = root

    @contextmanager
    def fresh(self) -> Iterator[str]:
        with tempfile.TemporaryDirectory(prefix=".bench-", dir=self._root) as directory:
            yield directory


class JournalledDisk(LocalPlace):
    """A new ext4 with a journal in a file on the disk of the working directory, mounted for one run (root, Linux)."""

    def __init__(self, name: str, root: Path) -> None:
        describes = f"a fresh ext4 with a journal for each run, in a file on {filesystem_of(root)}"
        super().__init__(name, describes)
        self._root = root

    @contextmanager
    def fresh(self) -> Iterator[str]:
        with tempfile.TemporaryDirectory(prefix=".bench-", dir=self._root) as folder, ExitStack() as stack:
            yield mount_image(Path(folder), stack, _IMAGE_BYTES, _INODES)


def mount_image(folder: Path, stack: ExitStack, size_bytes: int, inodes: int) -> str:
    """Make and mount a journalled filesystem below a folder, until the stack is closed; where it is mounted."""
    image, point = folder / "image", folder / "mount"
    with image.open("wb") as file:
        file.truncate(size_bytes)
    at_once = "lazy_itable_init=0,lazy_journal_init=0"  # nothing is left to do in the background
    run_checked("mkfs.ext4", "-q", "-F", "-m", "0", "-N", str(inodes), "-O", "has_journal", "-E", at_once, str(image))
    point.mkdir()
    run_checked("mount", "-o", "loop", str(image), str(point))
    stack.callback(run_checked, "umount", str(point))
    return str(point)


def run_checked(*command: str) -> None:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PATH": path})
    if done.returncode:
        raise BenchError(f"{' '.join(command)}: {done.stderr.strip()}")


def why_no_image(root: Path) -> str:
    """Why no filesystem can be made and mounted here; nothing if it can."""
    if os.geteuid() != 0:
        return "not root"
    if not (shutil.which("mkfs.ext4") or Path("/sbin/mkfs.ext4").exists()):
        return "mkfs.ext4 (e2fsprogs) is missing"
    try:
        with tempfile.TemporaryDirectory(prefix=".bench-", dir=root) as folder, ExitStack() as stack:
            mount_image(Path(folder), stack, 64 << 20, 1000)
    except BenchError as error:
        return str(error)
    return ""


def local_disk(root: Path, *, own_filesystem: bool = True) -> LocalPlace:
    """The journalled disk, or the disk of the working directory where that cannot be had."""
    reason = why_no_image(root) if own_filesystem else "the short form"
    if reason:
        return Folder("local disk", root, f"the working directory's own {filesystem_of(root)} ({reason})")
    return JournalledDisk("local disk", root)


def memory_disk() -> LocalPlace | None:
    """A tmpfs, if there is one that can be written."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or filesystem_of(shared) != "tmpfs":
        return None
    return Folder("tmpfs", shared, "tmpfs (/dev/shm)")


def quick_root(root: Path) -> Path:
    """Where counting, which does not depend on the filesystem, is quickest."""
    return Path("/dev/shm") if memory_disk() else root


def filesystem_of(path: Path) -> str:
    """The type of the filesystem of a path."""
    command = ["findmnt", "-no", "FSTYPE", "-T", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "filesystem"
    return (done.stdout.split() or ["filesystem"])[-1]  # the last is on top


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
            "in turn on the nodes"
        )
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
