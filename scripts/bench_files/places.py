"""Where jobs run on this machine: in a folder, or on a fresh journalled filesystem for each run (NFS: `share`).

Guarantee: every run gets an empty directory, and nothing of it is left. A place says in `describes` what it is, so that
a table from a machine without root cannot be mistaken for one with a disk of its own.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from scripts.bench_files.job import Contestant

CHECKOUT = Path(__file__).resolve().parents[2]
_IMAGE_BYTES, _INODES = 4 << 30, 160_000  # more of them are longer in the making than the items
_CLOSE_SECONDS = 30.0


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
