"""A Slurm cluster of two nodes as the tests see it: `SlurmLab`, a wrapper around the script slurm-lab beside this file.

Its nodes share the files of this machine, and nothing by which processes are told apart. It needs root and the packages
that `install` fetches; it is gone when the process that brought it up has ended, however that ended.
"""

import os
import selectors
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from . import REQUIRED, require_lab

SCRIPT = Path(__file__).with_name("slurm-lab")
CHECKOUT = Path(__file__).resolve().parents[2]
START_SECONDS = 60


class SlurmLab:
    """The cluster "lab" with the nodes n1 and n2; use as a context manager, which takes it down."""

    def __init__(self, nodes: int = 2) -> None:
        self._nodes = nodes
        self.directory = Path(tempfile.mkdtemp(prefix="slurm-lab-"))
        self.environment = {**os.environ, "SLURM_CONF": str(self.directory / "slurm.conf")}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._process = subprocess.Popen(
                [SCRIPT, "run", self.directory, str(self._nodes)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
            )
            said = b"".join(self._lines(self._process))
            assert said.endswith(b"up\n"), f"the lab did not come up:\n{said.decode()}"
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def down(self) -> None:
        """Nothing of the lab is left."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def submit(self, node: str, script: Path, *arguments: object, array: str = "") -> str:
        """Start a Python script as a batch job on a node; the number of the job."""
        output = self.directory / f"job-{node}-%j.out"
        batch = f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n'
        command = [
            "sbatch",
            "--parsable",
            f"--nodelist={node}",
            f"--output={output}",
            *([f"--array={array}"] * bool(array)),
        ]
        done = subprocess.run(
            [*command, "/dev/stdin", *map(str, arguments)], input=batch, text=True, capture_output=True, check=True,
            env={**self.environment, "PYTHONPATH": str(CHECKOUT)}, cwd=self.directory, timeout=20,
        )  # fmt: skip
        return done.stdout.strip()

    def run(self, *command: str) -> str:
        """What a client program says."""
        return subprocess.run(
            command, env=self.environment, text=True, capture_output=True, check=True, timeout=20
        ).stdout  # fmt: skip

    def crash(self, node: str) -> None:
        """The machine crashes: all its processes are gone at once."""
        subprocess.run([SCRIPT, "kill", self.directory, node], check=True, timeout=10)

    def output(self) -> str:
        """What all jobs have said."""
        return "\n".join(f"{path.name}:\n{path.read_text()}" for path in sorted(self.directory.glob("job-*.out")))

    @staticmethod
    def _lines(process: "subprocess.Popen[bytes]") -> Iterator[bytes]:
        """What the script says until it is up, ends, or takes too long."""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while selector.select(START_SECONDS) and (part := os.read(process.stdout.fileno(), 1 << 16)):
                yield part
                if part.endswith(b"up\n"):
                    return


def require_slurm_lab() -> None:
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
    done = subprocess.run([SCRIPT, "missing"], capture_output=True, text=True, timeout=60, check=True)
    return f"missing: {', '.join(done.stdout.splitlines())} (tests/labs/slurm-lab install)" if done.stdout else ""
