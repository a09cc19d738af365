"""What each process runs in the lab test of limits: it takes one of n places again and again, watched from outside.

Two detectors that do not rely on the package: an audit of who was inside from when to when (`workload`), and a file of
each that is inside, in a directory that everybody lists right after it came in.
"""

import argparse
import os
import socket
import time
from pathlib import Path

from tests.labs.workload import note, open_audit, release_file


def main() -> None:
    from multiprocesstools import MultiProcessHelper  # here, as the tests import the rest of this file

    options = parse()
    audit, inside = open_audit(options.run / "audit"), options.run / "inside"
    inside.mkdir(exist_ok=True)
    mine = inside / f"{socket.gethostname()}-{os.getpid()}"
    with MultiProcessHelper("limit", options.run, beat_seconds=options.beat, patience_seconds=options.patience) as mph:
        number = 0
        while not release_file(options.run.name).exists():
            with mph.limit("x", options.places):
                note(audit, "start", number)
                os.close(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
                note(audit, "saw:" + ",".join(sorted(os.listdir(inside))), number)
                time.sleep(options.hold)
                mine.unlink()
                note(audit, "end", number)
            number += 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--places", type=int, required=True)
    parser.add_argument("--hold", type=float, required=True, help="seconds inside")
    parser.add_argument("--beat", type=float, default=1)
    parser.add_argument("--patience", type=float, default=12)
    return parser.parse_args()


if __name__ == "__main__":
    main()
