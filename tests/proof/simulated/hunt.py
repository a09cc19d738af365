"""Hunting the mutants: each is made in a copy of the package, which a process of its own imports and searches.

python -m tests.proof.simulated.hunt [WORDS OF A RULE]     with the trace of what was broken
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.proof.figures import Figures
from tests.proof.simulated.mutants import MUTANTS, Mutant

CHECKOUT = Path(__file__).resolve().parents[3]
_SEEDS = 1500
_MOST_STATES = 400_000


class DoesNotFit(Exception):
    """The text that a mutant changes is not in the package, or more than once."""


def make(mutant: Mutant, directory: Path) -> None:
    """A copy of the package in `directory`, with the change."""
    shutil.copytree(
        CHECKOUT / "multiprocesstools", directory / "multiprocesstools", ignore=shutil.ignore_patterns("__pycache__")
    )
    for file, old, new in mutant.changes:
        path = directory / "multiprocesstools" / file
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise DoesNotFit(f"{mutant.rule}: {text.count(old)} times in {file}: {old!r}")
        path.write_text(text.replace(old, new), encoding="utf-8")


@dataclass(frozen=True)
class Hunt:
    """What the search has found of one mutant: where, which promise was broken first; "" if it survived."""

    rule: str
    setting: str
    promise: str
    seconds: float
    trace: list[str]


def hunt(mutant: Mutant) -> Hunt:
    """Search the mutant, in a process of its own."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        make(mutant, Path(directory))
        environment = os.environ | {"PYTHONPATH": f"{directory}{os.pathsep}{CHECKOUT}"}
        command = [sys.executable, "-P", "-m", "tests.proof.simulated.hunt", "--search", *mutant.settings]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{mutant.rule}: {done.stderr[-2000:]}")
    found = json.loads(done.stdout)
    if "raised" in found["promise"]:  # a change that makes nonsense of the code proves nothing
        raise DoesNotFit(f"{mutant.rule}: {found['promise']}")
    return Hunt(mutant.rule, **found, seconds=time.monotonic() - began)


def search(settings: Sequence[str]) -> dict[str, object]:
    """Called in the mutant's process: the first promise that is broken in one of the settings."""
    from tests.proof.simulated.explore import Search
    from tests.proof.simulated.settings import BY_NAME

    for name in settings:
        if name.startswith("tests/"):
            if (
                subprocess.run(
                    [
                        sys.executable,
                        "-P",
                        "-m",
                        "pytest",
                        "-q",
                        "-x",
                        "-p",
                        "no:cacheprovider",
                        "--import-mode=importlib",
                        name,
                    ],
                    cwd=CHECKOUT,
                    capture_output=True,
                    check=False,
                ).returncode
                == 1
            ):
                return {"setting": name, "promise": "a test of its own fails", "trace": []}
            continue
        if name.startswith("seeds"):
            found = _search_seeds(name.partition(": ")[2])
            if found:
                return found
            continue
        for broken in Search(BY_NAME[name]).run(_MOST_STATES).broken:
            return {"setting": name, "promise": broken.promise, "trace": broken.trace}
    return {"setting": "", "promise": "", "trace": []}


def _search_seeds(trouble: str) -> dict[str, object] | None:
    """Random schedules; with one kind of trouble only, if it is named."""
    from tests.proof.simulated.simulate import Simulation

    for seed in range(_SEEDS):
        told = Simulation(seed, (trouble, trouble) if trouble else None).run()
        if told.broken:
            return {"setting": f"seed {seed}", "promise": told.broken[0], "trace": []}
    return None


def hunt_all() -> list[Hunt]:
    """All mutants, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(hunt, MUTANTS))


def run(short: bool) -> list[Figures]:
    """All mutants; one that survives is counted as lost. The short form is the long one."""
    began = time.monotonic()
    found = hunt_all()
    survivors = [one.rule for one in found if not one.promise]
    tried = {"mutants": len(found), "killed": len(found) - len(survivors)}
    notes = [f"survived: {rule}" for rule in survivors]
    return [Figures("mutants of the protocol", tried, len(survivors), seconds=time.monotonic() - began, notes=notes)]


def main() -> None:
    if sys.argv[1:2] == ["--search"]:
        print(json.dumps(search(sys.argv[2:])))
        return
    wanted = sys.argv[1:]
    for mutant in MUTANTS:
        if not wanted or any(word in mutant.rule for word in wanted):
            found = hunt(mutant)
            print(f"{found.seconds:6.1f} s  {found.rule}: {found.promise or 'SURVIVED'} ({found.setting})", flush=True)
            if wanted:
                print("\n".join(found.trace))


if __name__ == "__main__":
    main()
