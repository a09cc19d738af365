"""What each node runs in the lab tests: one loop over the items 0 … N-1, watched by an audit of its own.

The audit does not rely on the package. Each process appends `start|end item host pid wall-clock` to a file that only it
writes, `audit/<host>-<pid>.log` in the run directory, and every line is on the server's disk before the work goes on:
an item that was worked on twice has two starts there, whatever the package believes, also after the machine has died.
"""

import argparse
import os
import socket
import time
from pathlib import Path


def content(item: int) -> str:
    """What a complete final holds: long enough for several pages, and its end can be told."""
    return "".join(f"item {item} line {line}\n" for line in range(500)) + f"end of {item}\n"


def main() -> None:
    from multiprocesstools import MultiProcessHelper  # here, as the tests import the rest of this file

    options = parse()
    audit = open_audit(options.run / "audit")
    print(f"{socket.gethostname()} {os.getpid()}", flush=True)
    taken = 0
    with MultiProcessHelper("nfs", options.run, beat_seconds=options.beat, patience_seconds=options.patience) as helper:
        for item in helper.items(range(options.items), final="{value}.txt", progress=False):
            with item:
                note(audit, "start", item.source)
                item.path.write_text(content(item.source))
                taken += 1
                time.sleep(options.sleep)
                if taken == options.hold_at:
                    wait_for_release(options.run.name)
                note(audit, "end", item.source)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--sleep", type=float, default=0.0, help="seconds that an item takes")
    parser.add_argument("--hold-at", type=int, help="the how-manieth item of this process goes on only when released")
    parser.add_argument("--beat", type=float, default=2)
    parser.add_argument("--patience", type=float, default=10)
    return parser.parse_args()


def release_file(run: str) -> Path:
    """Its existence on a node releases the items that are held there: it lies on no shared directory."""
    return Path(f"/run/release-{run}")


def wait_for_release(run: str) -> None:
    while not release_file(run).exists():
        time.sleep(0.1)


def open_audit(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{socket.gethostname()}-{os.getpid()}.log"
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_SYNC, 0o666)


def note(audit: int, what: str, item: int) -> None:
    line = f"{what} {item} {socket.gethostname()} {os.getpid()} {time.time():.3f}\n".encode()
    assert os.write(audit, line) == len(line)


if __name__ == "__main__":
    main()
