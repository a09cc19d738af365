"""Four NFS clients and a server as the tests see them: `NfsLab`, a wrapper around the script nfs-lab beside this file.

A lab lives in a directory and a network namespace of its own, so that labs never meet, and takes itself down when the
process that brought it up has ended, however that ended. It needs root and the packages that `install` fetches.
"""

import contextlib
import itertools
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from . import REQUIRED, require_lab

SCRIPT = Path(__file__).with_name("nfs-lab")
CHECKOUT = Path(__file__).resolve().parents[2]
SHARED = Path("/mnt/shared")
"""The NFS mount, the same on every node."""
EXPORT = Path("/run/disk/export")
"""The same directory as the server's own disk shows it: no client's cache lies between."""
HIDDEN = ("/tmp", "/var/tmp", "/run", "/mnt", "/dev/shm")
"""What a node does not see of the host unless it is bound."""


class LabError(AssertionError):
    """The lab itself failed, not what runs in it."""


@dataclass(frozen=True)
class Finished:
    """What a command on a node has done; code 255 if the node was lost."""

    command: str
    code: int
    output: str
    errors: str

    def check(self) -> Self:
        assert self.code == 0, f"{self.command}\nended with {self.code}\n{self.output}{self.errors}"
        return self


class Running:
    """A command that runs on a node. Ending it here (`stop`) kills its process group there."""

    def __init__(self, node: str, command: str, process: subprocess.Popen[bytes], output: Path, errors: Path) -> None:
        self.node, self.command = node, command
        self._process, self._output, self._errors = process, output, errors

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """What it has written to its standard output so far."""
        return self._read()[0]

    def wait(self, timeout: float) -> Finished:
        """What it has done, once it has ended; LabError, with its output so far, if it has not by then."""
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.stop()
            raise LabError(f"{self.node} still ran after {timeout} s: {self.command}\n{self._read()}") from None
        return Finished(self.command, code, *self._read())

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _read(self) -> tuple[str, str]:
        return self._output.read_text(errors="replace"), self._errors.read_text(errors="replace")


class NfsLab:
    """A server and the nodes n1, n2, … with its export mounted; use as a context manager, which takes it down."""

    LOST = 255
    """The code of a command whose node died."""
    python = Path(sys.executable)
    """The interpreter that runs the tests; it is there on the nodes too."""

    def __init__(self, nodes: int, version: str, *, bind: Sequence[Path] = (), lease_seconds: int = 15) -> None:
        self.nodes = tuple(f"n{i}" for i in range(1, nodes + 1))
        self.version, self.lease_seconds = version, lease_seconds
        # Short on purpose: the path of a socket, 107 bytes at most, is made from it.
        self.directory = Path(tempfile.mkdtemp(prefix="nfs-lab-"))
        self._processes: list[Running] = []
        self._numbers = itertools.count()
        self._environment = {
            **os.environ,
            "LAB_DIR": str(self.directory),
            "LAB_VERS": version,
            "LAB_PYTHON": sys.executable,
            "LAB_BIND": ":".join(map(str, [*what_python_needs(), *bind])),
            "LAB_LEASE": str(lease_seconds),
            "LAB_OWNER": str(os.getpid()),
        }

    def __enter__(self) -> Self:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self) -> None:
        self._lab("up", str(len(self.nodes)), timeout=180)

    def assert_lease(self) -> None:
        """The server keeps the lease that was asked for: one outside 10 … 3600 s leaves it as it was, 90 s."""
        said = self.run("server", "cat /proc/fs/nfsd/nfsv4leasetime").check().output
        assert float(said) == self.lease_seconds, f"the server keeps a lease of {said.strip()} s"

    def down(self) -> None:
        """Nothing of the lab is left; harmless when it is down."""
        for process in self._processes:
            process.stop()
        with contextlib.suppress(LabError):
            self._lab("down")
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, node: str, command: str | Sequence[str | Path]) -> Running:
        """Start a command on a node; a sequence is quoted, a string is for bash. The checkout can be imported there."""
        text = command if isinstance(command, str) else shlex.join(map(str, command))
        number = next(self._numbers)  # threads may start commands at the same time
        output, errors = (self.directory / f"{number}.{name}" for name in ("output", "errors"))
        with output.open("wb") as stdout, errors.open("wb") as stderr:
            process = subprocess.Popen(
                [SCRIPT, "exec", "-e", f"PYTHONPATH={CHECKOUT}", node, text],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        running = Running(node, text, process, output, errors)
        self._processes.append(running)
        return running

    def run(self, node: str, command: str | Sequence[str | Path], timeout: float = 60) -> Finished:
        return self.start(node, command).wait(timeout)

    def kill(self, node: str) -> None:
        """The machine crashes: its kernel is gone within the call, nothing in it can say so to anybody."""
        self._lab("kill", node)

    def boot(self, node: str) -> None:
        """Boot a killed machine: same address, host name, machine id and disk, another boot id."""
        self._lab("start", node, timeout=60)

    def pause(self, node: str) -> None:
        """Stop the whole kernel, its network included, as a stalled virtual machine does."""
        self._lab("pause", node)

    def resume(self, node: str) -> None:
        self._lab("resume", node)

    def cut(self, node: str) -> None:
        """Unplug the network that carries NFS; `run` still works."""
        self._lab("cut", node)

    def heal(self, node: str) -> None:
        self._lab("heal", node)

    @contextlib.contextmanager
    def deaf(self, *nodes: str) -> Iterator[None]:
        """Machines that the server hears and that do not hear it: what they ask for is done, and the replies are lost.

        The server would send them again, unless it crashes meanwhile.
        """
        for node in nodes:
            self._lab("deafen", node)
        try:
            yield
        finally:
            for node in nodes:
                self._lab("undeafen", node)

    def clock(self, node: str, seconds: float) -> None:
        """Shift the wall clock of a node."""
        self._lab("clock", node, f"{seconds:+}")

    def server_stop(self) -> None:
        """Pause the server: every call of every node hangs, and is carried out or sent again after `server_start`."""
        self.pause("server")

    def server_start(self) -> None:
        self.resume("server")

    def server_crash(self) -> None:
        """Power failure of the server: what was carried out stays, replies are lost, also the remembered ones."""
        self.kill("server")

    def server_boot(self) -> None:
        self.boot("server")

    @contextlib.contextmanager
    def skewed(self, shifts: dict[str, float]) -> Iterator[None]:
        """Clocks that are wrong for a while."""
        for node, seconds in shifts.items():
            self.clock(node, seconds)
        try:
            yield
        finally:
            for node, seconds in shifts.items():
                self.clock(node, -seconds)

    @contextlib.contextmanager
    def paused(self, *nodes: str) -> Iterator[None]:
        """Machines that stall for a while."""
        for node in nodes:
            self.pause(node)
        try:
            yield
        finally:
            for node in nodes:
                self.resume(node)

    def snapshot(self, run: str, target: Path) -> Path:
        """A copy of a directory of the export as the server has it on its disk."""
        target.mkdir(parents=True)
        script = [str(SCRIPT), "exec", "server", shlex.join(["tar", "-cf", "-", "-C", str(EXPORT / run), "."])]
        with tempfile.TemporaryFile(dir=self.directory) as archive:
            subprocess.run(script, env=self._environment, stdout=archive, check=True, timeout=60)
            archive.seek(0)
            with tarfile.open(fileobj=archive) as tar:
                tar.extractall(target, filter="fully_trusted")
        return target

    def read_on_server(self, pattern: str) -> str:
        """The text of the files that a pattern below the export names, together; "" if there is none."""
        return self.run("server", f"cat {EXPORT}/{pattern} 2>/dev/null || true").check().output

    def list_on_server(self, run: str) -> list[str]:
        """The names in a directory of the export, hidden ones too; none if it is not there."""
        return self.run("server", f"ls -A {EXPORT}/{run} 2>/dev/null || true").check().output.splitlines()

    def _lab(self, *arguments: str, timeout: float = 60) -> str:
        try:
            done = subprocess.run(
                [SCRIPT, *arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"nfs-lab {shlex.join(arguments)}: no answer in {timeout} s") from error
        if done.returncode:
            raise LabError(f"nfs-lab {shlex.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout


def require_nfs_lab() -> None:
    """Go on if a lab can run here; skip the test otherwise. Where labs are required, install what is missing."""
    lacks = missing()
    if lacks and REQUIRED and os.geteuid() == 0 and shutil.which("apt-get"):
        done = subprocess.run([SCRIPT, "install"], capture_output=True, text=True, timeout=900, check=False)
        lacks = missing()
        if lacks:
            lacks += f"\n{done.stdout}{done.stderr}"
    if lacks:
        require_lab(lacks)


def missing() -> str:
    """What this machine lacks for a lab, in words."""
    if not sys.platform.startswith("linux") or not shutil.which("bash"):
        return "missing: Linux with bash"
    done = subprocess.run(
        [SCRIPT, "missing"],
        env={**os.environ, "LAB_PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return f"missing: {', '.join(done.stdout.splitlines())} (tests/labs/nfs-lab install)" if done.stdout else ""


def what_python_needs() -> list[Path]:
    """The directories of this interpreter and of the checkout that a node would not see."""
    wanted = {CHECKOUT, Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).parent}
    wanted |= {Path(entry) for entry in sys.path if Path(entry).is_dir()}
    places = [Path(place) for place in HIDDEN]
    hidden = sorted(path for path in wanted if any(place in path.parents for place in places))
    return [path for path in hidden if not any(path.is_relative_to(other) for other in hidden if other != path)]


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Return when the condition holds; fail with `what` if it does not within the seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.2)
