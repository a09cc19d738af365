"""Runs the parts of the proof and prints what each has tried and how often a promise was broken.

    python -m tests.proof [--short] [--save FILE] [PART ...]

Exit code 1 when a promise was broken. A part that cannot run here (no root, no lab) says so and is left out.
"""

import argparse
import importlib
import sys
import time

import pytest

from tests.proof.figures import Figures, table, to_json

PARTS = {
    "simulated.search": "every interleaving and fault of few instances, in a simulator",
    "simulated.simulate": "random schedules of whole runs in virtual time",
    "simulated.hunt": "the protocol broken on purpose, one rule at a time",
    "crash.points": "real processes killed before and after every call",
    "torture.rounds": "16 real processes, killed, stopped and starved at random",
    "network.nfs": "four machines on real NFS, crashed, paused and cut off at random",
    "network.mounts": "sshfs and GlusterFS",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="torture", description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--short", action="store_true", help="the forms that run in CI")
    parser.add_argument("--save", metavar="FILE", help="write the figures as JSON lines too")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - PARTS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    rows = [row for part in arguments.parts or PARTS for row in _run(part, arguments.short)]
    print(table(rows))
    if arguments.save:
        with open(arguments.save, "w", encoding="utf-8") as file:
            file.writelines(to_json(row) + "\n" for row in rows)
    return 0 if all(row.clean for row in rows) else 1


def _run(part: str, short: bool) -> list[Figures]:
    began = time.monotonic()
    print(f"{part}: {PARTS[part]} ...", file=sys.stderr, flush=True)
    try:
        rows: list[Figures] = importlib.import_module(f"tests.proof.{part}").run(short)
    except pytest.skip.Exception as reason:
        print(f"{part}: left out, {reason}", file=sys.stderr)
        return []
    for row in rows:
        for note in row.notes:
            print(f"  {row.part}: {note}", file=sys.stderr)
    print(f"{part}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    sys.exit(main())
