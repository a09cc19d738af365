"""Shows the main job of the package: four processes share the tiles of OUTPUT, and one of them is killed in mid-item.

    python show.py OUTPUT

It exits with 0 only if every tile was done exactly once, the tile of the killed process by another one, and the
catalogue and the pictures are there.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evidence import (
    Event,
    claim_file,
    claim_in_hand,
    journals,
    leftovers,
    not_done_once,
    objects_by_image,
    story,
)

HERE = Path(__file__).resolve().parent
PROCESSES = 4
SLOW_SECONDS = 1.5  # per tile of the victim: longer than the second within which a claim enters the journal
VICTIM_DOES = 2  # tiles before it is killed
LIMIT_SECONDS = 180

Process = subprocess.Popen[bytes]


class DemoFailed(Exception):
    """Something that the package promises did not happen."""


def require(holds: bool, otherwise: str) -> None:
    """End the demo unless a promise holds."""
    if not holds:
        raise DemoFailed(otherwise)


def heading(text: str) -> None:
    """Begin the next step."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text} ==", flush=True)


def say(text: str) -> None:
    """Tell what happens, at once."""
    print(f"   {text}", flush=True)


def shown(path: Path) -> str:
    """A path as one would type it here."""
    return shlex.quote(str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path))


def command(*words: str, output: Path, expected: set[int]) -> None:
    """Run one command of the package, as one would type it."""
    print(f"$ mpt {' '.join([words[0], shown(output), *words[1:]])}", flush=True)
    mpt = Path(sys.executable).with_name("mpt")
    code = subprocess.run([mpt, words[0], output, *words[1:]], check=False, timeout=LIMIT_SECONDS).returncode
    require(code in expected, f"mpt {words[0]} ended with exit code {code}")


def start(number: int, output: Path) -> Process:
    """Start the analysis once more. The last process plays a slow machine."""
    slow = ["--slow", str(SLOW_SECONDS)] if number == PROCESSES else []
    with (output / f"process-{number}.txt").open("wb") as text:
        analysis = [sys.executable, str(HERE / "analysis.py"), str(output), *slow]
        process = subprocess.Popen(analysis, stdout=text, stderr=subprocess.STDOUT)
    print("$ python", shown(HERE / "analysis.py"), shown(output), *slow, f"&   # process {process.pid}", flush=True)
    return process


def end(process: Process) -> None:
    """Have a process end politely, or else at once."""
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def side_by_side(output: Path) -> Iterator[list[Process]]:
    """Four processes with the same work; none of them outlives the block."""
    processes: list[Process] = []
    try:
        for number in range(1, PROCESSES + 1):
            processes.append(start(number, output))
        yield processes
    finally:
        for process in processes:
            end(process)


def wait_for_claim(output: Path, victim: Process) -> Event:
    """Wait until a process is known to work on an item."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        require(victim.poll() is None, f"the victim ended by itself, see {output}/process-{PROCESSES}.txt")
        claim = claim_in_hand(output, victim.pid, after=VICTIM_DOES)
        if claim is not None:
            return claim
        time.sleep(0.05)
    raise DemoFailed(f"the victim claimed nothing in {LIMIT_SECONDS} s")


def freeze_in_mid_item(output: Path, victim: Process) -> Event:
    """Stop a process while it holds a claim, and return that claim."""
    while True:
        claim = wait_for_claim(output, victim)
        victim.send_signal(signal.SIGSTOP)
        os.waitpid(victim.pid, os.WUNTRACED)
        if claim_in_hand(output, victim.pid, after=VICTIM_DOES) == claim:
            return claim
        victim.send_signal(signal.SIGCONT)


def kill_in_mid_item(output: Path, victim: Process) -> Event:
    """Kill a process that holds a claim, with the signal that no process can catch; return the claim."""
    claim = freeze_in_mid_item(output, victim)
    say(f"stopped process {victim.pid} (SIGSTOP) while it works on {claim['item']}")
    say(f"the last line of its journal:  {json.dumps(claim)}")
    say(f"its claim beside the output:   {shown(claim_file(output, claim))}")
    victim.kill()
    require(victim.wait() == -signal.SIGKILL, f"the victim ended with {victim.returncode}, not by SIGKILL")
    require(claim_file(output, claim).exists(), "the claim of the killed process is gone")
    require(not (output / claim["item"]).exists(), "the output of the killed process is there")
    say(f"killed process {victim.pid} (SIGKILL): the claim is still there, the output is not")
    return claim


def wait_for_the_others(output: Path, processes: list[Process]) -> None:
    """Let the others finish, and show the last line that each has printed."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while any(process.poll() is None for process in processes):
        require(time.monotonic() < deadline, f"not finished after {LIMIT_SECONDS} s")
        require(not any(process.returncode for process in processes), f"a process failed, see {output}/process-*.txt")
        time.sleep(0.05)
    for number, process in enumerate(processes, start=1):
        require(process.returncode == 0, f"a process failed, see {output}/process-{number}.txt")
        lines = (output / f"process-{number}.txt").read_text(errors="replace").split("\n")
        say(f"process {process.pid}: {next((line.strip() for line in reversed(lines) if line.strip()), '(silent)')}")


def show_takeover(output: Path, claim: Event, victim: Process) -> None:
    """Tell from the journals who finished what the killed process had begun."""
    lines = story(output, claim["item"])
    for journal, event in lines:
        say(f"{journal.name} (process {journal.pid}):  {json.dumps(event)}")
    by = [journal for journal, event in lines if event["event"] == "done"]
    taken_from = [event["from"]["pid"] for _, event in lines if event["event"] == "taken over"]
    require(victim.pid in taken_from, f"no journal says that {claim['item']} was taken over from process {victim.pid}")
    require(len(by) == 1 and by[0].pid != victim.pid, f"{claim['item']} was not done once by another process")
    say(f"So {by[0].name} took {claim['item']} over from process {victim.pid} and finished it.")


def check(output: Path) -> None:
    """Count what was done, in the journals and on the disk."""
    items = [f"tables/{tile.stem}.csv" for tile in (output / "tiles").glob("*.png")]
    wrong = not_done_once(output, items)
    require(not wrong, f"not done exactly once: {wrong}")
    tables = {f"tables/{table.name}" for table in (output / "tables").glob("*.csv")}
    require(tables == set(items), f"tables that are missing or too many: {sorted(tables.symmetric_difference(items))}")
    require(not leftovers(output), f"left over: {[str(path) for path in leftovers(output)]}")
    say(f"{len(items):,} tiles, {len(tables):,} tables, each tile done exactly once by the journals:")
    for journal in journals(output):
        done = [event for event in journal.only("done") if event["item"] in tables]
        if done:
            say(f"   {journal.name} (process {journal.pid}): {len(done):,} tiles")


def show_results(output: Path) -> None:
    """Name what a scientist would take home."""
    objects = objects_by_image(output / "catalogue.csv")
    say(f"{shown(output / 'catalogue.csv')}: {objects.total():,} objects")
    for image, count in objects.items():
        picture = output / f"{image}-objects.png"
        require(picture.exists(), f"no {picture}")
        say(f"{shown(picture)}: {count:,} of them drawn in")


def show(output: Path) -> None:
    """All steps, one after the other."""
    heading(f"2. The same script, {PROCESSES} times side by side")
    with side_by_side(output) as processes:
        victim = processes[-1]
        heading("3. One of them is killed in mid-item")
        claim = kill_in_mid_item(output, victim)
        heading("4. In the middle of the run")
        command("status", output=output, expected={0, 3})
        command("cleanup", "--dry-run", output=output, expected={0, 3})
        heading("5. The others finish")
        wait_for_the_others(output, processes[:-1])
    heading("6. Who took the item over?")
    show_takeover(output, claim, victim)
    heading("7. At the end")
    command("cleanup", output=output, expected={0})
    command("status", output=output, expected={0})
    heading("8. Is it true?")
    check(output)
    show_results(output)


def main() -> None:
    """Show the run, and exit with 1 if it was not as promised."""
    if len(sys.argv) != 2:
        sys.exit("usage: show.py OUTPUT")
    try:
        show(Path(sys.argv[1]).absolute())
    except (DemoFailed, subprocess.TimeoutExpired) as failure:
        heading(f"The demo failed: {failure}")
        sys.exit(1)
    except KeyboardInterrupt:
        heading("The demo was interrupted")
        sys.exit(130)
    heading("The demo has shown what it promises.")


if __name__ == "__main__":
    main()
