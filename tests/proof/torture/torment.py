"""The tormentor: at random, what a cluster does to processes, to the disk, and with the command."""

import random
import time

from tests.proof.torture.calls import Calls
from tests.proof.torture.disk import SmallDisk
from tests.proof.torture.gang import Gang
from tests.proof.torture.judge import visible
from tests.proof.torture.setting import Setting

_LONGEST_OBSERVATION_SECONDS = 10.0


class Torment:
    """What happens to the processes of one round."""

    def __init__(self, setting: Setting, seed: int, gang: Gang, calls: Calls, disk: SmallDisk) -> None:
        self._setting, self._gang, self._calls, self._disk = setting, gang, calls, disk
        self._random = random.Random(seed)
        self._end = time.monotonic() + setting.torment_seconds
        self._full_after_items = self._random.uniform(0.2, 0.6) * setting.items
        self._full_until = float("inf") if disk.can_be_filled and setting.full_seconds else 0.0

    def go_on(self) -> None:
        """Torment until the time is over and the disk was full, or until some process has found everything done."""
        next_act = time.monotonic() + self._setting.pause_seconds
        while time.monotonic() < max(self._end, self._full_until) and not self._gang.finished:
            self._gang.resume_due(time.monotonic())
            self._tend_the_disk()
            self._calls.tend(self._disk.full)
            self._gang.keep_up(self._setting.processes)
            if time.monotonic() >= next_act:
                next_act = time.monotonic() + self._random.expovariate(1 / self._setting.pause_seconds)
                self._act()
            time.sleep(0.02)
        self._disk.free()

    def _tend_the_disk(self) -> None:
        """Fill it when some of the work is done, however fast that goes."""
        if not self._disk.full and self._full_until == float("inf") and self._done() >= self._full_after_items:
            self._full_until = time.monotonic() + self._setting.full_seconds
        if self._full_until < float("inf"):
            (self._disk.fill if time.monotonic() < self._full_until else self._disk.free)()

    def _done(self) -> int:
        return sum(not folder.endswith("/logs") for folder, _ in visible(self._disk.path, self._setting.items))

    def _act(self) -> None:
        acts, weights = zip(*self._setting.acts, strict=True)
        act = self._random.choices(acts, weights)[0]
        running = [p for p in self._gang.living if not p.stopped and not p.done_to]
        stopped = [p for p in self._gang.living if p.stopped and not p.done_to]
        few = len(running) <= self._setting.processes // 3
        if act == "call":
            self._call()
        elif act == "kill" and stopped and (few or self._random.random() < 0.2):
            self._gang.kill(self._random.choice(stopped))
        elif few:
            return
        elif act == "kill":
            self._gang.kill(self._random.choice(running))
        elif act == "term":
            self._gang.term(self._random.choice(running))
        elif act == "stop":
            self._gang.stop(self._random.choice(running), self._random.uniform(*self._setting.stop_seconds))

    def _call(self) -> None:
        if self._calls.busy:
            return
        what = self._random.choice(["status", "cleanup", "cleanup", "retry"])
        if what == "cleanup":
            arguments = ["--no-wait"] if self._setting.patience_seconds > _LONGEST_OBSERVATION_SECONDS else []
            kill_after = self._random.uniform(0.1, 1.0) if self._random.random() < 0.3 else float("inf")
            self._calls.start(what, *arguments, kill_after=kill_after)
        else:
            self._calls.start(what, *(["--json"] if what == "status" else []))
