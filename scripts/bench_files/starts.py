"""A process that starts on a list of which most is done, or looks at it, and says what that took (`hosts.Said`).

    python -m scripts.bench_files.starts floor|helper|make|plant|remove|journals|parse RUN FOLDERS ITEMS [NUMBER]
    python -m scripts.bench_files.starts command NAME RUN [OPTION ...]

"floor" lists, names, checks for duplicates and filters, in plain Python; "helper" makes a MultiProcessHelper and waits
for its first item; "make" makes the outputs of the first NUMBER items, empty: only their names count; "plant" claims
the last NUMBER items and dies with them in its hands; "remove" removes all of it, or with NUMBER 0 what the package
itself has written. "journals" writes journals of NUMBER events, "parse" reads each line of them. "command" is one of
the package's, in full from its start.
"""

import importlib
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from scripts.bench_files.rpcs import rpcs_so_far

TEMPLATE = "{parent}/{stem}.csv"
FLAT_TEMPLATE = "{stem}.csv"
MANY_ATTEMPTS = 1_000
JOURNALS = 8
_EVENT = (
    '{{"time": {time:.3f}, "at": {at:.3f}, "event": "{event}", "item": "out/plate{folder:03d}/image{number:07d}.csv", '
    '"attempt": 1{rest}, "host": "node{host}"}}\n'
)


def sources(items: int, folders: int) -> list[str]:
    return [f"plate{index % folders:03d}/image{index:07d}.tif" for index in range(items)]


def template(folders: int) -> str:
    return TEMPLATE if folders > 1 else FLAT_TEMPLATE


def final(source: str, pattern: str) -> str:
    parent, _, name = source.rpartition("/")
    return pattern.format(parent=parent, stem=name.rpartition(".")[0])


def main() -> None:
    what, run, *more = sys.argv[1:]
    if what == "command":
        _command(run, more)
        return
    folders, items, *number = map(int, more)
    listed = sources(items, folders)
    match what:
        case "make":
            _make(run, listed[: number[0]], folders)
        case "plant":
            _plant(run, listed, folders, number[0])
        case "remove":
            _remove(run, folders, everything=number[0] > 0)
        case "journals":
            _write_journals(run, number[0])
        case "parse":
            _measured(partial(_parse_journals, run), run)
        case _:
            importlib.import_module("multiprocesstools.helper")  # its import is measured elsewhere
            with ExitStack() as stack:
                _measured(partial(_floor if what == "floor" else _helper, run, listed, folders, stack), run)


def _measured(act: Callable[[], None], run: str) -> None:
    """Do it, and say what it took before anything is taken down."""
    _forget_the_peak()
    calls, memory = sum(rpcs_so_far(run).values()), memory_bytes("VmRSS")
    cpu, began = time.process_time(), time.monotonic()
    act()
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    _say(seconds, cpu, memory_bytes("VmHWM") - memory, sum(rpcs_so_far(run).values()) - calls)


def _command(name: str, words: list[str]) -> None:
    """A command that may say that something is unfinished, from the start of this process."""
    from multiprocesstools.cli import main as mpt

    run, sys.argv = words[0], ["mpt", name, *words]
    calls = sum(rpcs_so_far(run).values())
    output, sys.stdout = sys.stdout, io.StringIO()
    try:
        mpt()
    except SystemExit as end:
        if end.code not in (None, 0, 3):
            sys.stderr.write(sys.stdout.getvalue())
            raise
    finally:
        sys.stdout = output
    made = sum(rpcs_so_far(run).values()) - calls
    _say(_seconds_since_start(), time.process_time(), memory_bytes("VmHWM"), made)


def _say(seconds: float, cpu: float, peak_bytes: float, rpcs: int) -> None:
    said = {"seconds": seconds, "cpu": cpu, "peak_bytes": peak_bytes, "rpcs": rpcs}
    sys.stdout.write(json.dumps(said) + "\n")


def _seconds_since_start() -> float:
    """Since the kernel has made this process, to a hundredth."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def _make(run: str, listed: list[str], folders: int) -> None:
    pattern, out = template(folders), f"{run}/out"
    os.makedirs(out)
    for number in range(folders if folders > 1 else 0):
        os.mkdir(f"{out}/plate{number:03d}")
    for source in listed:
        os.close(os.open(f"{out}/{final(source, pattern)}", os.O_CREAT | os.O_WRONLY))


def _remove(run: str, folders: int, *, everything: bool) -> None:
    if everything:
        shutil.rmtree(run)
        return
    for path in (f"{run}/.multiprocesstools", f"{run}/multiprocesstools_logs"):
        shutil.rmtree(path, ignore_errors=True)
    for place in [f"{run}/out/plate{number:03d}" for number in range(folders)] if folders > 1 else [f"{run}/out"]:
        with os.scandir(place) as entries:
            hidden = [entry.path for entry in entries if entry.name[0] == "."]
        for path in hidden:
            os.unlink(path)


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


def _write_journals(run: str, events: int) -> None:
    """As many instances as there are files have claimed and done one item after the other."""
    for host, path in enumerate(_journals(run)):
        with path.open("w") as file:
            for step in range(events // JOURNALS):
                number, is_end = host + JOURNALS * (step // 2), step % 2
                file.write(_EVENT.format(
                    time=1.7e9 + step / 100, at=step / 100, event="done" if is_end else "claimed", folder=number % 256,
                    number=number, rest=', "seconds": 0.01, "rss": 50000000' if is_end else "", host=host,
                ))  # fmt: skip


def _parse_journals(run: str) -> None:
    done = 0
    for path in _journals(run):
        with path.open("rb") as file:
            for line in file:
                done += json.loads(line)["event"] == "done"
    assert done


def _journals(run: str) -> list[Path]:
    return [Path(run) / "multiprocesstools_logs" / f"earlier-{number}.jsonl" for number in range(1, JOURNALS + 1)]


def _forget_the_peak() -> None:
    with suppress(OSError):  # a kernel without it: then the peak is that since the start, which is no smaller
        Path("/proc/self/clear_refs").write_text("5")


def memory_bytes(what: str) -> int:
    """Of this process: VmRSS is what it has now, VmHWM the most it has had since it was started."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


if __name__ == "__main__":
    main()
