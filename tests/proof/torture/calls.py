"""The command, called beside the processes of a round, and what it may answer."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.proof.torture.setting import COMMAND_SECONDS, Setting, environment


class Calls:
    """The command, called beside the processes; one call at a time."""

    def __init__(self, run: Path, local: Path, setting: Setting) -> None:
        self._run, self._local, self._setting = run, local, setting
        self._popen: subprocess.Popen[bytes] | None = None
        self._what, self._excused, self._kill_at, self._number = "", False, float("inf"), 0
        self.counts: Counter[str] = Counter()
        self.complaints: list[str] = []
        self._done = 0

    def start(self, what: str, *arguments: str, kill_after: float = float("inf")) -> None:
        self._number += 1
        command = [sys.executable, "-m", "multiprocesstools", what, str(self._run), *arguments]
        with open(self._out, "wb") as out, open(self._errors, "wb") as errors:
            self._popen = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, env=environment(self._setting)
            )
        self._what, self._excused, self._kill_at = what, False, time.monotonic() + kill_after
        self.counts[f"mpt {what}"] += 1

    @property
    def busy(self) -> bool:
        return self._popen is not None

    def tend(self, disk_is_full: bool) -> None:
        """Take the result of a call that has ended. One that met a full disk may fail, but not with a traceback."""
        self._excused |= disk_is_full
        if self._popen is None:
            return
        if time.monotonic() > self._kill_at:
            self._popen.kill()
        if self._popen.poll() is not None:
            code, self._popen = self._popen.returncode, None
            self._judge(code)

    def to_end(self, what: str, *arguments: str) -> int:
        """Call and wait; the exit code."""
        self.settle()
        self.start(what, *arguments)
        return self.settle()

    def settle(self) -> int:
        code = 0
        if self._popen is not None:
            code = self._popen.wait(COMMAND_SECONDS)
            self.tend(False)
        return code

    def close(self) -> None:
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait()

    @property
    def output(self) -> str:
        return self._out.read_text()

    @property
    def _out(self) -> Path:
        return self._local / "calls" / f"{self._number}.out"

    @property
    def _errors(self) -> Path:
        return self._local / "calls" / f"{self._number}.err"

    def _judge(self, code: int) -> None:
        errors = self._errors.read_text(errors="replace")
        fine = {"status": {0, 1, 3}, "cleanup": {0, 3}, "retry": {0}}[self._what] | ({4} if self._excused else set())
        if code == -signal.SIGKILL and self._kill_at < float("inf"):
            self.counts[f"mpt {self._what} killed"] += 1
        elif code not in fine or "Traceback" in errors:
            full = " on a full disk" if self._excused else ""
            self.complaints.append(f"mpt {self._what}{full} ended with {code}:\n{errors[-3000:]}")
        elif self._what == "status" and self.output.startswith("{"):
            done = json.loads(self.output)["done"]
            if done < self._done:
                self.complaints.append(f"mpt status said {done} done after it had said {self._done}")
            self._done = done
