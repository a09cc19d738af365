"""A process that starts on a list of which most is done, and says how long that took and how much memory.

    python -m scripts.bench_files.starts floor|helper|plant RUN FOLDERS ITEMS [PLANTED]

"floor" lists, names, checks for duplicates and filters, in plain Python; "helper" makes a MultiProcessHelper and waits
for its first item; "plant" claims items that are not done and dies with them in its hands.
"""

import importlib
import json
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

TEMPLATE = "{parent}/{stem}.csv"
FLAT_TEMPLATE = "{stem}.csv"
MANY_ATTEMPTS = 1_000


def sources(items: int, folders: int) -> list[str]:
    return [f"plate{index % folders:03d}/image{index:07d}.tif" for index in range(items)]


def template(folders: int) -> str:
    return TEMPLATE if folders > 1 else FLAT_TEMPLATE


def final(source: str, pattern: str) -> str:
    parent, _, name = source.rpartition("/")
    return pattern.format(parent=parent, stem=name.rpartition(".")[0])


def main() -> None:
    what, run, folders, items = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    listed = sources(items, folders)
    if what == "plant":
        _plant(run, listed, folders, int(sys.argv[5]))
    importlib.import_module("multiprocesstools.helper")  # its import is measured elsewhere
    act = _floor if what == "floor" else _helper
    with ExitStack() as stack:
        _forget_the_peak()
        before, began = memory_bytes("VmRSS"), time.monotonic()
        act(run, listed, folders, stack)
        seconds = time.monotonic() - began
        peak = memory_bytes("VmHWM")
    sys.stdout.write(json.dumps({"seconds": seconds, "bytes_per_item": (peak - before) / items}) + "\n")


def _floor(run: str, listed: list[str], folders: int, stack: ExitStack) -> None:
    pattern, directory = template(folders), f"{run}/out"
    finals = [f"{directory}/{final(source, pattern)}" for source in listed]
    if len(set(finals)) != len(finals):
        raise ValueError("two sources have one output")
    there: set[str] = set()
    for folder in dict.fromkeys(path.rpartition("/")[0] for path in finals):
        with os.scandir(folder) as entries:
            there.update(f"{folder}/{entry.name}" for entry in entries)
    open_items = [index for index, path in enumerate(finals) if path not in there]
    assert open_items, "nothing is left to do"


def _helper(run: str, listed: list[str], folders: int, stack: ExitStack) -> None:
    from multiprocesstools import MultiProcessHelper

    helper = MultiProcessHelper("bench", run, max_attempts=MANY_ATTEMPTS)
    items = helper.items(listed, final=template(folders), directory=f"{run}/out", progress=False)
    item = next(iter(items))
    stack.callback(helper.cleanup)  # gives the item back, after everything was measured
    assert item.attempt >= 1


def _plant(run: str, listed: list[str], folders: int, number: int) -> None:
    from multiprocesstools import MultiProcessHelper

    helper = MultiProcessHelper("bench", run, max_attempts=MANY_ATTEMPTS)
    held = []
    for source in listed[len(listed) - number :]:
        item = helper.claim(final(source, template(folders)), directory=f"{run}/out")
        assert item is not None, "an item that is not done cannot be claimed"
        held.append(item)
    os._exit(0)


def _forget_the_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def memory_bytes(what: str) -> int:
    """Of this process: VmRSS is what it has now, VmHWM the most it has had since it was started."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


if __name__ == "__main__":
    main()
