"""A cluster that a script beside this file runs in the foreground: it says "up", and is gone when it is killed.

It needs root and the packages that the script's `install` fetches. It dies with the process that brought it up, however
that ended.
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
from typing import ClassVar, Self

from . import REQUIRED, require_lab

CHECKOUT = Path(__file__).resolve().parents[2]
START_SECONDS = 60


class ForegroundLab:
    """A cluster; use as a context manager, which takes it down."""

    SCRIPT: ClassVar[Path]
    ARGUMENTS: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.SCRIPT.name}-"))
        self.environment = {**os.environ, **self.variables()}
        self._process: subprocess.Popen[bytes] | None = None

    def variables(self) -> dict[str, str]:
        """What the clients of the cluster need in their environment."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            self._process = subprocess.Popen(
                [self.SCRIPT, "run", self.directory, *self.ARGUMENTS], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
            )
            said = b"".join(self._said(self._process))
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

    def run(self, *command: str | Path) -> str:
        """What a client program says."""
        done = subprocess.run(command, env=self.environment, text=True, capture_output=True, timeout=20, check=True)
        return done.stdout

    @classmethod
    def require(cls) -> None:
        """Go on if a lab can run here; skip the test otherwise. Where labs are required, install what is missing."""
        lacks = cls.missing()
        if lacks and REQUIRED and os.geteuid() == 0 and shutil.which("apt-get"):
            done = subprocess.run([cls.SCRIPT, "install"], capture_output=True, text=True, timeout=900, check=False)
            lacks = cls.missing()
            if lacks:
                lacks += f"\n{done.stdout}{done.stderr}"
        if lacks:
            require_lab(lacks)

    @classmethod
    def missing(cls) -> str:
        """What this machine lacks for a lab, in words."""
        if not sys.platform.startswith("linux") or not shutil.which("bash"):
            return "missing: Linux with bash"
        done = subprocess.run([cls.SCRIPT, "missing"], capture_output=True, text=True, timeout=60, check=True)
        lacks = ", ".join(done.stdout.splitlines())
        return f"missing: {lacks} (tests/labs/{cls.SCRIPT.name} install)" if lacks else ""

    @staticmethod
    def _said(process: "subprocess.Popen[bytes]") -> Iterator[bytes]:
        """What the script says until it is up, ends, or takes too long."""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while selector.select(START_SECONDS) and (part := os.read(process.stdout.fileno(), 1 << 16)):
                yield part
                if part.endswith(b"up\n"):
                    return
