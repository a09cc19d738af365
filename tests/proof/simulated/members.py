"""The instance of a simulated process: its disk, its clock, and what it can know of the processes of its machine."""

from collections.abc import Mapping
from typing import Any

from multiprocesstools.claims.identity import Identity
from multiprocesstools.claims.instance import Instance, Rules
from multiprocesstools.claims.record import Beat, Record
from tests.proof.simulated.disk import SimulatedDisk
from tests.proof.simulated.kernel import Kernel, KernelClock, KernelLock, Process
from tests.proof.simulated.players import INSTANCES, identity_of


def instance_of(
    process: Process, processes: Mapping[int, Process], kernel: Kernel, rules: Rules, *, in_place: bool = False,
    instances: str = INSTANCES, **options: Any,
) -> Instance:  # fmt: skip
    """An instance that has not joined yet; `processes` are all there are, by their numbers."""
    own = Record(f"{process.number:032x}", "test", process.number,
                 identity_of(process.number, process.machine.name), 0.0, Beat())  # fmt: skip
    me = Instance(
        SimulatedDisk(kernel.ask, process.number), KernelClock(kernel, process.machine), instances, own, rules,
        is_gone=lambda other: is_gone(other, process, processes),
        is_here=lambda other: other.machine == process.machine.name and processes[other.pid].alive,
        writes_in_place=lambda directory: in_place, **options,
    )  # fmt: skip
    me._keeping = KernelLock(kernel)  # type: ignore[assignment]
    return me


def is_gone(other: Identity, process: Process, processes: Mapping[int, Process]) -> bool:
    """Can a process prove that another one has ended?"""
    return other.machine == process.machine.name and not processes[other.pid].alive
