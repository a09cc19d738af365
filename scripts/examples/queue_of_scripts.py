"""What the examples of queues have in common: run the processes, and judge how they ran."""

import threading
import time
from collections.abc import Sequence

from multiprocesstools.workers import Process, ProcessesLogic, ProcessState


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
