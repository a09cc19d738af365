"""A Slurm cluster of two nodes as the tests see it: `SlurmLab`, a wrapper around the script slurm-lab beside this file.

Its nodes share the files of this machine, and nothing by which processes are told apart.
"""

import subprocess
import sys
from pathlib import Path

from .foreground import CHECKOUT, ForegroundLab


class SlurmLab(ForegroundLab):
    """The cluster "lab" with the nodes n1 and n2; use as a context manager, which takes it down."""

    SCRIPT = Path(__file__).with_name("slurm-lab")
    ARGUMENTS = ("2",)

    def variables(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.directory / "slurm.conf")}

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

    def crash(self, node: str) -> None:
        """The machine crashes: all its processes are gone at once."""
        subprocess.run([self.SCRIPT, "kill", self.directory, node], check=True, timeout=10)

    def output(self) -> str:
        """What all jobs have said."""
        return "\n".join(f"{path.name}:\n{path.read_text()}" for path in sorted(self.directory.glob("job-*.out")))
