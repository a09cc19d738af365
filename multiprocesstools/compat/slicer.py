"""The queue of processes by the names of 3D Slicer's extension ParallelProcessing.

    from multiprocesstools.compat.slicer import Process, ProcessesLogic

Guarantee: a script of Slicer that subclasses `Process` and overrides its two hooks runs with this import line.
Condition: hooks and the callback are called in a thread of the queue, one at a time, so that what touches widgets or a
scene must be handed to the main thread.
"""

import os
from collections.abc import Callable
from typing import Any

from multiprocesstools.workers.process import Process as _Process
from multiprocesstools.workers.processes import ProcessesLogic as _ProcessesLogic

__all__ = ["Process", "ProcessesLogic"]


class Process(_Process):
    """`multiprocesstools.workers.Process` with hooks in camelCase; its constructor takes the path of the script, and
    the same options by keyword. `name` may be set at any time."""

    def __init__(self, scriptPath: str | os.PathLike[str], **options: Any) -> None:
        super().__init__(scriptPath, **options)

    @property
    def scriptPath(self) -> str:
        return self.script

    @property
    def processState(self) -> str:
        return self.state.value

    def prepareProcessInput(self) -> bytes:
        """Override: the bytes, or the text, for stdin. By default `input`, pickled."""
        return super().prepare_process_input()

    def useProcessOutput(self, processOutput: bytes) -> None:
        """Override: what the script has written to stdout. By default it is unpickled into `output`."""
        super().use_process_output(processOutput)

    def prepare_process_input(self) -> bytes:
        return self.prepareProcessInput()

    def use_process_output(self, output: bytes) -> None:
        self.useProcessOutput(output)


class ProcessesLogic(_ProcessesLogic):
    """`multiprocesstools.workers.ProcessesLogic` in camelCase. `parent` is kept, and not used."""

    def __init__(
        self, parent: Any = None, maximumRunningProcesses: int | None = None,
        completedCallback: Callable[[], Any] | None = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(maximumRunningProcesses, completedCallback, **options)
        self.parent = parent

    def addProcess(self, process: _Process) -> None:
        self.add_process(process)

    def waitForFinished(self, timeoutSeconds: float | None = None) -> bool:
        return self.wait_for_finished(timeoutSeconds)

    def setMaximumRunningProcesses(self, value: int) -> None:
        self.maximum_running_processes = value

    @property
    def maximumRunningProcesses(self) -> int:
        return self.maximum_running_processes

    def state(self) -> dict[str, list[str]]:  # type: ignore[override]
        """The names by state: {"Pending": [...], "Running": [...], ...}."""
        return {state: [process.name for process in found] for state, found in super().state().items()}
