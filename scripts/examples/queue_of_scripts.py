"""What the examples of queues have in common: options, to run the processes and judge how they ran, and the picture."""

import argparse
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from skimage import io

from multiprocesstools.workers import Process, ProcessesLogic, ProcessState


def options(output: str, step: int) -> argparse.ArgumentParser:
    """Those that all have, with defaults for the folder of the output and for the step by which data is thinned."""
    parser = argparse.ArgumentParser()
    parser.add_argument("output", type=Path, nargs="?", default=Path(output))
    parser.add_argument("--step", type=int, default=step)
    parser.add_argument("--cap", type=int, default=2)
    parser.add_argument("--keep-alive", action="store_true")
    return parser


def run_and_show(
    processes: Sequence[Process], cap: int, target: Path, is_right: Callable[[Process], bool], draw: Callable[[], Any]
) -> int:
    """Run them, and write a picture of what came. 0 if all ran as they should and every output is right, else 1."""
    good = run_all(processes, cap)
    same = good and all(map(is_right, processes))
    if good:
        target.parent.mkdir(parents=True, exist_ok=True)
        io.imsave(target, draw(), check_contrast=False)
    print(f"{'the same' if same else 'NOT the same'} as computed here; see {target}")
    return 0 if same else 1


def run_all(processes: Sequence[Process], cap: int) -> bool:
    """Run them. Were all completed, begun in order, at most `cap` at once, and was the callback called once?"""
    begun: list[Process] = []
    most, callbacks = [0], []
    lock = threading.Lock()

    def hear(process: Process, state: ProcessState) -> None:
        with lock:
            begun.extend([process] * (state is ProcessState.RUNNING))
            most[0] = max(most[0], len(logic.state()["Running"]))

    start = time.perf_counter()
    with ProcessesLogic(cap, lambda: callbacks.append(1)) as logic:
        logic.sig_state_changed.connect(hear)
        logic.add_processes(processes)
        logic.run()
        logic.wait_for_finished()
        states = {state: len(found) for state, found in logic.state().items() if found}
    print(
        f"{', '.join(f'{number} {state}' for state, number in states.items())} in {time.perf_counter() - start:.1f} s, "
        f"at most {most[0]} at once (cap {cap}), {'in' if begun == list(processes) else 'NOT in'} order, "
        f"{len(callbacks)} callback"
    )
    for process in processes:
        if process.error is not None:
            print(f"{process.name}: {process.error}\n{process.stderr}")
    complete = states == {"Completed": len(processes)}
    return complete and begun == list(processes) and most[0] <= cap and len(callbacks) == 1
