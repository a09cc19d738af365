"""The names by which Scipion's protocols know steps, for scripts that were written for it.

    from multiprocesstools.compat.scipion import Protocol, STEPS_PARALLEL

Everything is handed on to `multiprocesstools.steps`; guarantee and conditions are those of its `Protocol`. What is
different: a step that needs a GPU says so (needsGPU=True), `sys.exit` in a step is a failure, and a step that was
inserted with wait=True starts, at the latest, when nothing more is inserted.
"""

import os
from collections.abc import Callable
from typing import Any

from multiprocesstools.errors import BadArgument
from multiprocesstools.steps.params import Form as StepsForm
from multiprocesstools.steps.protocol import STEPS_PARALLEL, STEPS_SERIAL
from multiprocesstools.steps.protocol import Protocol as StepsProtocol

__all__ = ["STEPS_PARALLEL", "STEPS_SERIAL", "Form", "Protocol"]


class Form:
    """The form that `_defineParams` fills in. Sections, labels and conditions are for a graphical interface: there is
    none here, and they are passed over."""

    def __init__(self, form: StepsForm) -> None:
        self._form = form

    def addParallelSection(self, threads: int = 2, mpi: int = 1) -> None:
        """See `multiprocesstools.steps.Form.add_parallel_section`; mpi=0 means no processes beside this one."""
        self._form.add_parallel_section(threads=max(threads, 1), mpi=max(mpi, 1))

    def addSection(self, label: str = "", **options: Any) -> None: ...

    def addParam(self, name: str, kind: object = None, default: Any = None, **options: Any) -> None:
        """A parameter becomes an attribute of the protocol."""
        self._form.add_param(name, default)


class Protocol(StepsProtocol):
    """A protocol with Scipion's names. `workingDir` is the run directory; the rest as for `steps.Protocol`."""

    stepsExecutionMode = STEPS_SERIAL

    def __init__(self, workingDir: str | os.PathLike[str] | None = None, **options: Any) -> None:
        if workingDir is None:
            raise BadArgument("workingDir", workingDir, "name the run directory, which all machines share")
        super().__init__(workingDir, **options)

    # -- what a subclass overrides

    def _defineParams(self, form: Form) -> None: ...

    def _insertAllSteps(self) -> None: ...

    def _stepsCheck(self) -> bool | None:
        """Called at intervals while the protocol runs, to insert steps for what is new. False: nothing more comes."""
        return False

    # -- what a subclass calls

    def _insertFunctionStep(
        self, func: Callable[..., Any] | str, *args: Any, prerequisites: Any = None, wait: bool = False,
        interactive: bool = False, needsGPU: bool = False,
    ) -> int:  # fmt: skip
        return self.insert_function_step(
            func, *args, prerequisites=prerequisites, wait=wait, interactive=interactive, needs_gpu=needsGPU
        )

    def _insertRunJobStep(self, progName: str, progArguments: Any = (), **options: Any) -> int:
        return self.insert_run_job_step(progName, progArguments, **options)

    def updateSteps(self) -> int:
        return self.update_steps()

    def releaseStep(self, step: int) -> None:
        """Let a step start that was inserted with wait=True."""
        self.release(step)

    @property
    def workingDir(self) -> str:
        return self.working_directory

    def _getPath(self, *parts: str) -> str:
        return os.path.join(self.working_directory, *parts)

    def _getExtraPath(self, *parts: str) -> str:
        """Below `extra` in the run directory, which is made."""
        os.makedirs(self._getPath("extra"), exist_ok=True)
        return self._getPath("extra", *parts)

    # -- handing on

    @property
    def steps_execution_mode(self) -> str:  # type: ignore[override]
        return self.stepsExecutionMode

    def define_params(self, form: StepsForm) -> None:
        self._defineParams(Form(form))

    def insert_all_steps(self) -> None:
        self._insertAllSteps()

    def steps_check(self) -> bool | None:
        return self._stepsCheck()
