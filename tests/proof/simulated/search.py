"""The exhaustive search over all settings, two at a time; the numbers and what was broken.

    python -m tests.proof.simulated.search [--short] [SETTING ...]

It prints each setting as it ends, and the trace of what it broke.
"""

import json
import multiprocessing
import sys
import time
from dataclasses import asdict, dataclass

from tests.proof.figures import Figures, to_json
from tests.proof.simulated.explore import Search
from tests.proof.simulated.settings import BY_NAME, LONG, SHORT

MOST_STATES = 8_000_000


@dataclass(frozen=True)
class Found:
    """One setting: how much was searched, whether that was all there is, and the promises broken, with their traces."""

    setting: str
    states: int
    transitions: int
    worlds: int
    complete: bool
    seconds: float
    broken: tuple[str, ...]


def search(name: str) -> Found:
    began = time.process_time()
    result = Search(BY_NAME[name]).run(MOST_STATES)
    seconds = time.process_time() - began
    broken = tuple(map(str, result.broken))
    return Found(name, result.states, result.transitions, result.worlds, result.complete, seconds, broken)


def search_all(names: list[str]) -> list[Found]:
    """In processes of their own, so that each gives its memory back."""
    with multiprocessing.get_context("spawn").Pool(2, maxtasksperchild=1) as pool:
        found = []
        for one in pool.imap_unordered(search, names, chunksize=1):
            print(json.dumps({**asdict(one), "broken": len(one.broken)}), file=sys.stderr, flush=True)
            found.append(one)
    return sorted(found, key=lambda one: names.index(one.setting))


def run(short: bool) -> list[Figures]:
    """The settings of CI, or all of them."""
    began = time.monotonic()
    found = search_all([setting.name for setting in (SHORT if short else SHORT + LONG)])
    return [figures(found, time.monotonic() - began)]


def figures(found: list[Found], seconds: float) -> Figures:
    words = [text.splitlines()[0] for one in found for text in one.broken]
    kinds = {
        kind: sum(word.startswith(kind) for word in words)
        for kind in ("two owners", "done twice", "partial", "replaced")
    }
    cut = [f"not searched to the end: {one.setting} ({one.states:,} states)" for one in found if not one.complete]
    tried = {
        "settings": len(found), "states": sum(one.states for one in found),
        "transitions": sum(one.transitions for one in found), "disks": sum(one.worlds for one in found),
    }  # fmt: skip
    return Figures(
        "every interleaving and fault of few instances", tried, lost=len(words) - sum(kinds.values()),
        twice=kinds["two owners"] + kinds["done twice"], partial=kinds["partial"], replaced=kinds["replaced"],
        seconds=seconds, notes=words + cut,
    )  # fmt: skip


if __name__ == "__main__":
    chosen = [word for word in sys.argv[1:] if word != "--short"]
    if chosen:
        for found in search_all(chosen):
            print("\n".join(found.broken) or f"{found.setting}: nothing broken in {found.states:,} states")
    else:
        for line in run("--short" in sys.argv):
            print(to_json(line))
