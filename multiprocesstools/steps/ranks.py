"""Several processes on this machine that run one protocol: each is an instance of its own, as on another machine.

Under mpirun (or srun) the ranks are there already, each runs the script, and none is started here. A process that is
killed is noticed: what it had begun is taken over, and the death is said. Guarantee: no process of ours outlives an
orderly end of the one that started it; if that is killed, they finish the run, as other machines would.
"""

import multiprocessing
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE", "PALS_NRANKS", "SLURM_STEP_NUM_TASKS")
_LOCAL_SIZES = (
    "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "MV2_COMM_WORLD_LOCAL_SIZE", "PALS_LOCAL_SIZE",
    "SLURM_STEP_TASKS_PER_NODE",
)  # fmt: skip
_NUMBERS = re.compile(r"(?:^|,)([0-9]{1,9})\b")
"""Of Slurm's "4(x2),3": two machines with four tasks, one with three."""
_END_SECONDS = 10.0


def has_ranks() -> bool:
    """Was this process started by mpirun or srun, as one of several?"""
    return _largest(_SIZES) > 1


def ranks_here() -> int:
    """So many of them mpirun or srun has started on this machine, at the most; 1 where it does not say."""
    return _largest(_LOCAL_SIZES)


def _largest(names: tuple[str, ...]) -> int:
    return max([1, *(int(number) for name in names for number in _NUMBERS.findall(os.environ.get(name, "")))])


class Ranks:
    """The processes that were started here. They wait until they are told to `go`."""

    def __init__(self, number: int, work: Callable[[], None]) -> None:
        context = multiprocessing.get_context("fork")
        self._started = context.Event()
        self.processes = [
            context.Process(target=_work, args=(self._started, os.getpid(), work), name=f"steps-rank-{rank + 1}")
            for rank in range(number)
        ]
        with warnings.catch_warnings():  # threads of numerical libraries; none of ours holds a lock here
            warnings.simplefilter("ignore", DeprecationWarning)
            for process in self.processes:
                process.start()

    def go(self) -> None:
        self._started.set()

    def dead(self) -> list[str]:
        """Those that did not end well, in words."""
        return [
            f"process {process.pid} was killed by signal {-process.exitcode}" if process.exitcode < 0
            else f"process {process.pid} ended with exit code {process.exitcode}"
            for process in self.processes if process.exitcode
        ]  # fmt: skip

    def join(self) -> None:
        for process in self.processes:
            process.join()

    def end(self) -> None:
        """End those that still run: what they have in work is given back."""
        for process in self.processes:
            if process.is_alive():
                process.terminate()
        for process in self.processes:
            process.join(_END_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()


@contextmanager
def ranks(number: int, work: Callable[[], None]) -> Iterator[Ranks]:
    """`number` processes beside this one, ended when the block is left."""
    there = Ranks(number, work)
    try:
        yield there
    finally:
        there.end()


def _work(started: "multiprocessing.synchronize.Event", parent: int, work: Callable[[], None]) -> None:
    while not started.wait(0.5):
        if os.getppid() != parent:
            return  # nobody will ever say go
    work()
