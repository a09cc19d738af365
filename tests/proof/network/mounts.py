"""Torture on filesystems that are mounted by FUSE: two clients of one export, each with caches of its own.

Machines work on both mounts; one crashes with items in hand, another stalls for longer than patience and comes back
with its late results. It is judged like the torture on NFS, by audits, pulses and an observer of the export.

Run it: python -m tests.proof.network.mounts [--short]
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.labs.mounts import CHECKOUT, Machine, MountLab, missing, mount_lab
from tests.labs.nfs import wait_until
from tests.proof.figures import Figures, to_json
from tests.proof.network import observer as network_observer
from tests.proof.network import worker as network_worker
from tests.proof.network.judge import Deaths, read_finals, read_lines
from tests.proof.network.observer import Watch
from tests.proof.network.report import gather, litter, report
from tests.proof.network.worker import OUTPUTS, Process, raises_always, raises_once

KINDS = ("sshfs", "glusterfs")
RUN = "torture"
STALLING = "c"
ON_MOUNTS = {"a": 0, "b": 1, STALLING: 1}
"""The machines that live, and which mount each of them sees."""
CRASHING = "crashing"
"""What the names of the machines that crash begin with: they work on both mounts in turn."""


@dataclass(frozen=True)
class Form:
    """How much is tried. `crashes`: how many machines come and crash, one after the other."""

    items: int
    beat: float
    patience: float
    processes: int
    crashes: int


SHORT = Form(80, 1.0, 8.0, 2, 1)
LONG = Form(2000, 2.0, 12.0, 3, 8)
"""The patience is well above the two seconds by which signs of life come late on GlusterFS, together with the three by
which a beat is late on a machine that is too busy."""
FINISH_SECONDS = 300.0


def run(short: bool, kinds: tuple[str, ...] = KINDS) -> list[Figures]:
    """All filesystems side by side."""

    def one(kind: str) -> Figures:
        return not_run(kind) if missing(kind) else torture(kind, SHORT if short else LONG)

    with ThreadPoolExecutor(len(kinds)) as pool:
        return list(pool.map(one, kinds))


def not_run(kind: str) -> Figures:
    return Figures(kind, {}, notes=[f"not run: {missing(kind)}"])


def torture(kind: str, form: Form) -> Figures:
    began = time.monotonic()
    with mount_lab(kind) as lab, tempfile.TemporaryDirectory() as folder:
        with watched(lab, Path(folder) / "seen"):
            suffer(lab, form)
            cleanup(lab)
        seen = (Path(folder) / "seen").read_text().splitlines(keepends=True)
        last = [f"{line}\n" for line in Watch(lab.export / RUN / OUTPUTS).look()]
        finals = read_finals([*seen, *last])
        dead = Deaths(frozenset(process for process in audits(lab) if process.host.startswith(CRASHING)))
        evidence = gather(lab.export / RUN, form.items, dead, form.patience - 1.5 * form.beat)
    tried = {"items": form.items, "mounts": 2, "machine crashes": form.crashes, "pauses past patience": 1}
    return replace(report(kind, tried, evidence, finals), seconds=round(time.monotonic() - began, 1))


def suffer(lab: MountLab, form: Form) -> None:
    machines = {name: start(lab, form, name, lab.mounts[mount]) for name, mount in ON_MOUNTS.items()}
    for number in range(form.crashes):
        name = f"{CRASHING}{number}"
        crashing = start(lab, form, name, lab.mounts[number % 2])
        stop_in_work(lab, form, name, crashing)
        crashing.crash()
        if number == 0:  # not before: in the short form nothing might be left for those that start later
            stop_in_work(lab, form, STALLING, machines[STALLING])
    stalling = machines.pop(STALLING)
    for machine in machines.values():
        machine.finish(FINISH_SECONDS)
    stalling.resume()
    stalling.finish(FINISH_SECONDS)


def stop_in_work(lab: MountLab, form: Form, name: str, machine: Machine) -> None:
    """Pause a machine of which all processes have begun an item, at a moment when one of them is at work on an item.

    Between two items there would be nothing to take over, and on a slow filesystem that is half of the time.
    """
    wait_until(lambda: begun(lab, name) == form.processes, 60, f"the machine {name} works")
    wait_until(lambda: is_stopped_in_work(lab, name, machine), 60, f"the machine {name} is stopped in its work")


def is_stopped_in_work(lab: MountLab, name: str, machine: Machine) -> bool:
    """Pause a machine, and let it go on if it has no item in hand. One that raises, when it goes on, does not count."""
    machine.pause()
    last = [lines[-1] for process, lines in audits(lab).items() if process.host == name and lines]
    if any(what == "start" and not raises_once(int(item)) and not raises_always(int(item)) for what, item, *_ in last):
        return True
    machine.resume()
    return False


def start(lab: MountLab, form: Form, name: str, mount: Path) -> Machine:
    options = ["--items", form.items, "--beat", form.beat, "--patience", form.patience]
    return lab.start(name, [sys.executable, network_worker.__file__, mount / RUN, *options], form.processes)


def cleanup(lab: MountLab) -> None:
    """Without --force: what waits for that is of unfinished items, and the records of the dead."""
    visit = lab.run([sys.executable, "-m", "multiprocesstools", "cleanup", lab.mounts[0] / RUN])
    assert visit.returncode in (0, 3), visit.stdout + visit.stderr
    left = litter(os.listdir(lab.export / RUN / OUTPUTS))
    assert not left, f"{left} left by a cleanup that said\n{visit.stdout}{visit.stderr}"


def audits(lab: MountLab) -> dict[Process, list[list[str]]]:
    folder = lab.export / RUN / "audit"
    return read_lines(folder) if folder.is_dir() else {}


def begun(lab: MountLab, name: str) -> int:
    """How many processes of this machine have begun an item."""
    return sum(process.host == name and bool(lines) for process, lines in audits(lab).items())


@contextmanager
def watched(lab: MountLab, said: Path) -> Iterator[None]:
    """An observer of the export for a while; what it says stands in a file."""
    command = [sys.executable, "-m", network_observer.__name__, str(lab.export / RUN / OUTPUTS)]
    with said.open("w") as file, subprocess.Popen(command, stdout=file, cwd=CHECKOUT) as observer:
        try:
            yield
        finally:
            observer.kill()


def main() -> None:
    for figures in run("--short" in sys.argv[1:]):
        print(to_json(figures), flush=True)


if __name__ == "__main__":
    main()
