"""The processes of a round: they are started, killed, stopped, resumed, told to end, and left in peace."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.proof.torture.setting import COMMAND_SECONDS, Setting, environment

_CALM_SECONDS = 180.0
_CALM_SECONDS_PER_ITEM = 0.3


@dataclass
class Process:
    """One process that runs the script, and what was done to it. `over`: since when it may do nothing any more."""

    who: int
    popen: "subprocess.Popen[bytes]"
    over: float = float("inf")
    done_to: str = ""
    code: int | None = None
    stopped_at: float = 0.0
    resume_at: float = float("inf")
    told_to_end: float = float("inf")

    @property
    def stopped(self) -> bool:
        return self.stopped_at > 0


class Gang:
    """All processes of a round."""

    def __init__(self, run: Path, local: Path, setting: Setting, orders: str) -> None:
        self._run, self._local, self._setting, self._orders = run, local, setting, orders
        self._random = random.Random(orders)
        self.all: list[Process] = []
        self.counts: Counter[str] = Counter()
        self.complaints: list[str] = []

    @property
    def living(self) -> list[Process]:
        return [process for process in self.all if process.code is None]

    @property
    def finished(self) -> bool:
        """Has a process ended by itself, because everything was done?"""
        return any(process.code == 0 for process in self.all)

    def start(self) -> None:
        who = len(self.all)
        command = [
            sys.executable, "-m", "tests.proof.torture.worker", str(self._run), str(self._local), str(who),
            self._orders,
        ]  # fmt: skip
        with open(self._local / "stderr" / str(who), "wb") as errors:
            popen = subprocess.Popen(command, env=environment(self._setting), stdin=subprocess.DEVNULL, stderr=errors)
        self.all.append(Process(who, popen))

    def reap(self) -> None:
        for process in self.living:
            process.code = process.popen.poll()
            if process.code is not None:
                process.over = min(process.over, time.monotonic())
            elif not process.stopped and _is_stopped(process.popen.pid):
                self._note_stop(process, self._random.uniform(*self._setting.stop_itself_seconds))
            elif time.monotonic() > process.told_to_end + COMMAND_SECONDS:
                self._give_up_on(process, f"did not end within {COMMAND_SECONDS:g} s after SIGTERM")

    def keep_up(self, number: int) -> None:
        """Start new ones in the place of those that are gone."""
        self.reap()
        for _ in range(number - len(self.living)):
            self.start()

    # -- what is done to them

    def kill(self, process: Process) -> None:
        process.over = min(process.over, time.monotonic())
        process.done_to = "killed"
        process.popen.kill()
        self.counts["SIGKILL"] += 1
        self.counts["SIGKILL while stopped"] += process.stopped

    def term(self, process: Process) -> None:
        process.over = process.told_to_end = time.monotonic()
        process.done_to = "told to end"
        process.popen.terminate()
        self.counts["SIGTERM"] += 1

    def stop(self, process: Process, seconds: float) -> None:
        process.popen.send_signal(signal.SIGSTOP)
        self._note_stop(process, seconds)

    def _note_stop(self, process: Process, seconds: float) -> None:
        process.stopped_at = time.monotonic()
        process.resume_at = process.stopped_at + seconds

    def resume_due(self, now: float) -> None:
        for process in self.living:
            if process.stopped and process.resume_at <= now:
                process.popen.send_signal(signal.SIGCONT)
                spent = time.monotonic() - process.stopped_at
                self.counts["SIGSTOP past patience"] += spent > self._setting.patience_seconds
                self.counts["SIGSTOP within patience"] += spent <= self._setting.patience_seconds
                process.stopped_at, process.resume_at = 0.0, float("inf")

    def finish(self, number: int) -> None:
        """Leave them in peace until all have ended by themselves. Those that an item kills are replaced, those that an
        item stops are resumed."""
        self.resume_due(float("inf"))
        seconds = _CALM_SECONDS + _CALM_SECONDS_PER_ITEM * self._setting.items
        end = time.monotonic() + seconds
        dead = sum(process.code not in (None, 0) for process in self.all)
        self.keep_up(0)
        while self.living:
            self.reap()
            self.resume_due(time.monotonic())
            fallen = sum(process.code not in (None, 0) for process in self.all) - dead
            for _ in range(min(fallen, number - len(self.living))):
                self.start()
            dead += fallen
            if time.monotonic() > end:
                for process in self.living:
                    self._give_up_on(process, f"did not end by itself within {seconds:g} s")
            time.sleep(0.02)

    def _give_up_on(self, process: Process, why: str) -> None:
        process.popen.send_signal(signal.SIGCONT)
        process.popen.send_signal(signal.SIGUSR1)  # its stack goes to its stderr
        time.sleep(0.5)
        process.popen.kill()
        process.popen.wait()
        process.code, process.over = process.popen.returncode, time.monotonic()
        self.complaints.append(f"process {process.who} {why}:\n{self.errors(process)[-3000:]}")

    def errors(self, process: Process) -> str:
        return (self._local / "stderr" / str(process.who)).read_text(errors="replace")

    def close(self) -> None:
        for process in self.living:
            process.popen.kill()
            process.popen.wait()


def _is_stopped(pid: int) -> bool:
    """proc_pid_stat(5): the state follows the name."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"T"
    except OSError:
        return False
