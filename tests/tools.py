"""What tests share: scripts in processes of their own, small disks, disks with faults, and what lies in a directory.

Nothing here sleeps blindly: children speak on their standard output and wait for a line on their standard input.
"""

import os
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from multiprocesstools.claims.disk import Kept, Stamp
from multiprocesstools.claims.posix import PosixDisk
from tests.labs import require_lab

CHECKOUT = Path(__file__).resolve().parents[1]
QUICK = {"beat_seconds": 0.1, "patience_seconds": 0.5}
"""Settings with which an owner is silent after half a second."""

_PATIENCE_SECONDS = 20.0
_PRELUDE = """
import encodings.ascii, encodings.unicode_escape, hashlib, importlib, logging, os, pathlib, pkgutil
import shutil, sys, threading, traceback
import multiprocesstools
for module in pkgutil.walk_packages(multiprocesstools.__path__, "multiprocesstools."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from multiprocesstools import MultiProcessHelper

def say(text):
    os.write(1, os.fsencode(f"{text}\\n"))  # handlers of signals say something too, and print cannot begin within print

def wait():
    sys.stdin.readline()

if os.environ.get("CHILD_UMASK"):
    os.umask(int(os.environ["CHILD_UMASK"], 8))
if os.environ.get("CHILD_USER"):
    user, group = map(int, os.environ["CHILD_USER"].split(":"))
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
"""


class Child:
    """A script in a process of its own. It has `MultiProcessHelper`, `say` and `wait`, and its arguments in sys.argv.

    user: (uid, gid), taken on when all modules are imported. hidden: it sees a /proc of its own with hidepid=2.
    """

    def __init__(
        self, script: str, *arguments: object, user: tuple[int, int] | None = None, umask: int | None = None,
        hidden: bool = False,
    ) -> None:  # fmt: skip
        command = [sys.executable, "-c", _PRELUDE + textwrap.dedent(script), *map(str, arguments)]
        if hidden:
            mount = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"'
            command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh", *command]
        environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "PYTHONWARNINGS": "error"}
        environment["CHILD_USER"] = ":".join(map(str, user)) if user else ""
        environment["CHILD_UMASK"] = f"{umask:o}" if umask is not None else ""
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        self._errors: list[str] = []
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()
        self._guard = threading.Timer(_PATIENCE_SECONDS, self.process.kill)
        self._guard.start()

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *error: object) -> None:
        self._guard.cancel()
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            with suppress(BrokenPipeError):
                stream.close()

    def hear(self) -> str:
        """The next line that the child says; an AssertionError with its stderr when it has ended instead."""
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self._reader.join()
            raise AssertionError(f"the child ended with {self.process.returncode}:\n{self.errors}")
        return line.rstrip("\n")

    def go_on(self) -> None:
        """Let the child's `wait()` return."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self) -> int:
        """Wait until the child has ended by itself; its exit code."""
        self.process.wait()
        self._reader.join()
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def errors(self) -> str:
        return "".join(self._errors)

    def _read_errors(self) -> None:
        self._errors.extend(self.process.stderr)


def command(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `multiprocesstools` with these arguments."""
    return subprocess.run(
        [sys.executable, "-m", "multiprocesstools", *map(os.fsencode, map(str, arguments))],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT), "COLUMNS": "200"} | (env or {}),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False,
    )  # fmt: skip


def wait_until(question: Callable[[], Any], what: str, seconds: float = _PATIENCE_SECONDS) -> None:
    """Ask again and again until the answer is yes; AssertionError after `seconds`."""
    end, pause = time.monotonic() + seconds, threading.Event()
    while not question():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        pause.wait(0.01)


def tree(folder: Path) -> dict[str, bytes | str]:
    """Everything below a folder: the content of files, the target of links, the kind of the rest. Links are not
    followed."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        mode, name = path.lstat().st_mode, str(path.relative_to(folder))
        if stat.S_ISLNK(mode):
            found[name] = f"-> {os.readlink(path)}"
        elif stat.S_ISREG(mode):
            found[name] = path.read_bytes()
        else:
            found[name] = stat.filemode(mode)[0]
    return found


def names(folder: Path) -> set[str]:
    """The names in a folder, hidden ones too, without those of the run itself."""
    return set(os.listdir(folder)) - {".multiprocesstools", "multiprocesstools_logs"}


def require_root(*programs: str) -> None:
    """Skip the test, or fail it where labs are required, unless this is root on Linux with these programs."""
    lacks = [program for program in programs if shutil.which(program) is None]
    if not sys.platform.startswith("linux"):
        lacks.append("Linux")
    if os.geteuid() != 0:
        lacks.append("root")
    if lacks:
        require_lab(f"missing: {', '.join(lacks)}")


@contextmanager
def mounted(path: Path, *options: str) -> Iterator[Path]:
    """`mount *options path` for a while."""
    require_root("mount", "umount")
    path.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        require_lab(f"mount {' '.join(options)}: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


Fault = Callable[[str, str], int]
"""Asked before a verb: fault(verb, path) is the errno that it shall end with, or 0."""


class FaultyDisk(PosixDisk):
    """The real disk, some verbs of which fail. `create` fails after the file was made, as a refused close does."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault

    def create(self, path: str, data: bytes, *, durable: bool = False) -> None:
        error = self._fault("create", path)
        super().create(path, b"" if error else data, durable=durable)
        self._raise(error, path)

    def link(self, source: str, target: str) -> None:
        self._raise(self._fault("link", target), target)
        super().link(source, target)

    def rename(self, source: str, target: str) -> None:
        self._raise(self._fault("rename", target), target)
        super().rename(source, target)

    def sync(self, path: str) -> Stamp:
        self._raise(self._fault("sync", path), path)
        return super().sync(path)

    def keep(self, path: str) -> Kept:
        self._raise(self._fault("keep", path), path)
        return super().keep(path)

    def make_directory(self, path: str) -> None:
        self._raise(self._fault("make_directory", path), path)
        super().make_directory(path)

    def _raise(self, error: int, path: str) -> None:
        if error:
            raise OSError(error, os.strerror(error), path)
