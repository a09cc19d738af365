"""An export that two FUSE clients of one machine have mounted: `MountLab`, a wrapper around mount-lab beside this file.

Each mount has caches of its own, as on two machines, and the processes of a `Machine` have a host name and a process
namespace of their own: to all others they are processes of another machine, whose end nobody can prove.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import REQUIRED, require_lab

SCRIPT = Path(__file__).with_name("mount-lab")
CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Machine:
    """Processes that were started together, and that end together when the machine crashes."""

    shell: subprocess.Popen[str]

    def crash(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.shell.pid, signal.SIGKILL)
        self.shell.communicate()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        """To the processes themselves: the programs that made their namespaces would stop again by themselves."""
        for pid in leaves(self.shell.pid):
            os.kill(pid, number)

    def finish(self, seconds: float) -> None:
        """AssertionError, with what they said, unless all end well by themselves within the seconds."""
        try:
            output, _ = self.shell.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.crash()
            raise AssertionError(f"still running after {seconds} s") from None
        assert self.shell.returncode == 0, output


@dataclass(frozen=True)
class MountLab:
    """`export` is what the server has on its disk, `mounts` is how two clients see it."""

    export: Path
    mounts: tuple[Path, Path]
    holder: int

    def start(self, name: str, command: Sequence[object], times: int = 1) -> Machine:
        """Start a command so many times on a machine of its own, whose end says whether one of them has failed.

        Each is waited for by its pid, because `wait -n` may miss one of two that end at the same moment.
        """
        script = (
            '"$@" & pids="$pids $!"; ' * times + "for pid in $pids; do wait $pid || failed=1; done; exit ${failed:-0}"
        )
        words = [SCRIPT, "enter", self.holder, name, "bash", "-c", script, "bash", *command]
        return Machine(
            subprocess.Popen(
                list(map(str, words)), env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
            )
        )  # fmt: skip

    def run(self, command: Sequence[object], seconds: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run a command on a machine of its own, to its end."""
        words = [SCRIPT, "enter", self.holder, "visitor", *command]
        return subprocess.run(
            list(map(str, words)), env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, text=True,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False,
        )  # fmt: skip


@contextmanager
def mount_lab(kind: str, options: str = "") -> Iterator[MountLab]:
    """Bring a lab up, and take it down again. `options` are further options of the mounts."""
    folder = Path(tempfile.mkdtemp(prefix=f"{kind}-lab-"))
    environment = os.environ | {"LAB_MOUNT_OPTS": f",{options}" if options else ""}
    with subprocess.Popen(
        [SCRIPT, "up", kind, folder], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as lab:  # fmt: skip
        try:
            assert lab.stdout is not None and lab.stderr is not None
            if lab.stdout.readline() != "ready\n":
                require_lab(f"{kind} does not come up: {lab.stderr.read().strip()}")
            [holder] = Path(f"/proc/{lab.pid}/task/{lab.pid}/children").read_text().split()
            yield MountLab(folder / "export", (folder / "m1", folder / "m2"), int(holder))
        finally:
            lab.kill()  # and with it, as it is asked to, the first process of its namespaces
            lab.communicate()
            shutil.rmtree(folder, ignore_errors=True)


def leaves(pid: int) -> list[int]:
    """The processes below this one that have no children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [leaf for child in children for leaf in leaves(int(child))] if children else [pid]


def require_mount_lab(kind: str) -> None:
    """Go on if this lab can run here; skip the test otherwise. Where labs are required, install what is missing."""
    lacks = missing(kind)
    if lacks and REQUIRED and os.geteuid() == 0 and shutil.which("apt-get"):
        done = subprocess.run([SCRIPT, "install", kind], capture_output=True, text=True, timeout=300, check=False)
        lacks = missing(kind)
        if lacks:
            lacks += f"\n{done.stdout}{done.stderr}"
    if lacks:
        require_lab(lacks)


def missing(kind: str) -> str:
    """What this machine lacks for a lab, in words."""
    if not sys.platform.startswith("linux") or not shutil.which("bash"):
        return "missing: Linux with bash"
    done = subprocess.run([SCRIPT, "missing", kind], capture_output=True, text=True, timeout=60, check=True)
    return (
        f"missing: {', '.join(done.stdout.splitlines())} (tests/labs/mount-lab install {kind})" if done.stdout else ""
    )
