"""Protocol: the door to steps. A script inserts steps that wait for others; it is started on any number of machines.

    inserting --run--> running (steps may be inserted by running steps and by `steps_check`) --> over

Guarantee: whoever runs the same script takes part in the same steps; each is carried out once, after all that it waits
for. Conditions and exceptions: those of the claims (`claims`): a step whose owner was falsely taken for dead may be
carried out twice, and then only the first result counts.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial, wraps
from typing import Any

from multiprocesstools.errors import BadArgument, MisuseError
from multiprocesstools.helper import MultiProcessHelper
from multiprocesstools.items.item import Item
from multiprocesstools.run.directory import Run, check_instance_name
from multiprocesstools.steps.conductor import Wishes
from multiprocesstools.steps.devices import Share
from multiprocesstools.steps.functions import Functions, encode_arguments
from multiprocesstools.steps.gpus import check_gpus, dealer_of
from multiprocesstools.steps.inserting import Handle, Request, Script, check_prerequisites
from multiprocesstools.steps.overview import Overview, overview
from multiprocesstools.steps.params import HELPER_OPTIONS, Form, check_number
from multiprocesstools.steps.part import Part, again_if_replaced
from multiprocesstools.steps.place import Place
from multiprocesstools.steps.session import enter_session
from multiprocesstools.steps.step import Outcome, Step
from multiprocesstools.steps.trust import Trust
from multiprocesstools.steps.work import perform

STEPS_SERIAL, STEPS_PARALLEL = "serial", "parallel"
_PROGRAM = "_run_job"


class Protocol:
    """Steps with prerequisites. Subclass it and insert steps in `insert_all_steps`, or call `step` on an instance.

    Parameters
    ----------
    working_directory: the run directory, shared by all machines; made if it is missing.
    name: what the protocol is called; default the name of the class. One run directory holds one protocol.
    threads, mpi: so many threads in this process, and so many processes on this machine (each with as many threads);
        default what `define_params` says, and 1. With `steps_execution_mode` STEPS_SERIAL one thread and one process.
    gpus: the numbers of the GPUs of this machine, [0, 1, 2]; None: those that CUDA_VISIBLE_DEVICES or the batch system
        names. Steps that need one are begun only where there is one.
    check_seconds: `steps_check` is called so often. check_patience_seconds: with nothing in work and nothing inserted
        for so long, nothing more is expected of `steps_check`.
    stop_on_failure: after the first failure nothing new is begun; else only what depends on it is not.
    retry_failures: a step that raised is tried again, as items are, `max_attempts` times in all; else it has failed.
        A step whose process died is tried again in any case, as often as that.
    pickle_arguments: arguments that JSON cannot hold are pickled.
    beat_seconds, patience_seconds, max_attempts, loggers, durable, heartbeat, parameters: as for MultiProcessHelper.
    stop_after: so many failures in a row without a success end `run` here with TooManyFailures (10; None: never);
        failures that are tolerated do not count.
    Anything else is a parameter that `define_params` has added, and becomes an attribute.

    Raises BadArgument, BadName.
    """

    steps_execution_mode = STEPS_PARALLEL

    def __init__(
        self, working_directory: str | os.PathLike[str], name: str | None = None, *,
        threads: int | None = None, mpi: int | None = None, gpus: Any = None,
        check_seconds: float = 1.0, check_patience_seconds: float = 86400.0, stop_on_failure: bool = False,
        retry_failures: bool = False, pickle_arguments: bool = False, **options: Any,
    ) -> None:  # fmt: skip
        self.protocol_name = check_instance_name(type(self).__name__ if name is None else name)
        self.working_directory = Run(working_directory).directory
        form = Form()
        self.define_params(form)
        helper = {key: options.pop(key) for key in HELPER_OPTIONS if key in options}
        self._set_params(form, options)
        for what, seconds in (("check_seconds", check_seconds), ("check_patience_seconds", check_patience_seconds)):
            if not isinstance(seconds, int | float) or not seconds > 0:
                raise BadArgument(what, seconds, "it must be a number of seconds, more than 0")
        self.threads = check_number("threads", form.threads if threads is None else threads)
        self.mpi = check_number("mpi", form.mpi if mpi is None else mpi)
        self.gpus = None if gpus is None else check_gpus("gpus", gpus)
        self._options, self._checks = helper, (check_seconds, check_patience_seconds)
        self._stop_on_failure, self._retry_failures = stop_on_failure, retry_failures
        self._pickles = pickle_arguments
        self._functions, self._script = Functions(self), Script()
        self._part: Part | None = None
        self._inside = threading.local()

    # -- for subclasses

    def define_params(self, form: Form) -> None:
        """Say what can be set from outside: form.add_param(name, default), form.add_parallel_section(threads, mpi)."""

    def insert_all_steps(self) -> None:
        """Insert the steps. Called once by each `run`, on each machine, before anything begins."""

    def steps_check(self) -> bool | None:
        """Called every `check_seconds` while the protocol runs, to insert steps for what is new.

        False: nothing more will come. True: more may come. None: more may come while steps are held that nobody has
        released; else it is over when all steps have ended.
        """
        return False

    # -- inserting

    def insert_function_step(
        self, func_or_name: Callable[..., Any] | str, *args: Any, prerequisites: Any = None, wait: bool = False,
        interactive: bool = False, needs_gpu: bool = False, tolerate_failure: bool = False,
    ) -> int:  # fmt: skip
        """Insert a step that calls a function, or a method of this protocol by its name, with these arguments.

        args: what JSON can hold. prerequisites: ids that it waits for; None: the step before it (a step that is
        inserted by a running step waits for that one), []: nothing. wait: held until `release`, or until nothing more
        is inserted; without prerequisites it then waits for all steps that exist. interactive: begun only by
        `run(interactive=True)`. needs_gpu: it waits for a GPU. tolerate_failure: what waits for it starts also when it
        has failed. Returns the id; ids count from 1.

        Raises BadStep for a function or an argument that cannot be written down (which one, and why), BadArgument for
        prerequisites that are no ids; UnknownStep and CyclicSteps when the steps are complete (at once while running);
        StepTakenOver in a step that another instance has taken over.
        """
        name, function = self._functions.learn(func_or_name)
        call = self._functions.find(function)
        arguments = encode_arguments(name, call, args, pickled=self._pickles)
        after = check_prerequisites(name, prerequisites)
        request = Request(name, function, arguments, after, wait, interactive, needs_gpu, tolerate_failure)
        return (self._part_here or self._script).insert(request)

    def insert_run_job_step(self, program: str, arguments: Any = (), **options: Any) -> int:
        """Insert a step that runs a program; it fails if the program does. arguments: a list, or a text that is taken
        apart as a shell would; no shell sees them. options: those of `insert_function_step`."""
        from multiprocesstools.steps.program import check_program

        return self.insert_function_step(_PROGRAM, *check_program(program, arguments), **options)

    def step(self, function: Callable[..., Any] | str, *args: Any, after: Any = None, **options: Any) -> Handle:
        """The same with handles: `a = protocol.step(f, x); b = protocol.step(g, after=[a])`."""
        return Handle(self.insert_function_step(function, *args, prerequisites=after, **options))

    def as_step(self, function: Callable[..., Any]) -> Callable[..., Handle]:
        """A decorator: calling the function inserts a step, `f(x, after=[a])`; `f.function` is the function itself."""

        @wraps(function)
        def insert(*args: Any, after: Any = None, **options: Any) -> Handle:
            return self.step(function, *args, after=after, **options)

        self._functions.learn(function)
        insert.function = function  # type: ignore[attr-defined]
        return insert

    def release(self, step: int) -> None:
        """Let a step start that was inserted with wait=True; without prerequisites it waits for all that exist now."""
        (self._part_here or self._script).release(step)

    def update_steps(self) -> int:
        """Learn what others have inserted; the number of steps that there are."""
        part = self._part_here
        return len(self._script.steps) if part is None else part.update()

    # -- running

    def run(self, *, restart: bool = False, interactive: bool = False) -> Overview:
        """Take part until every step has ended or can never start, and say what has become of them.

        What has finished, is unchanged, and whose files are still there is skipped; restart: everything runs again.
        interactive: also steps that wait for a person are begun. `run().check()` raises StepFailed unless all have
        finished.

        Raises StepsDiffer (another script is at work here), AnotherProtocol, UnknownStep, CyclicSteps before anything
        is begun; TooManyFailures; what `steps_check` raises.
        """
        if self._part is not None:
            raise MisuseError("this protocol runs already: call run() once at a time")
        from multiprocesstools.steps.ranks import has_ranks, ranks

        serial = self.steps_execution_mode == STEPS_SERIAL
        if serial or self.mpi == 1 or has_ranks():
            return self._run(restart, interactive, 1 if serial else self.threads)
        with ranks(self.mpi - 1, partial(self._run_rank, interactive)) as others:
            report = self._run(restart, interactive, self.threads, others.go)
            others.join()
            return replace(report, notes=(*report.notes, *others.dead()))

    def _run_rank(self, interactive: bool) -> None:
        """What a process runs that was started here."""
        self._run(False, interactive, self.threads)

    def _run(
        self, restart: bool, interactive: bool, threads: int, begun: Callable[[], None] = lambda: None
    ) -> Overview:
        script = self._complete_script()
        with MultiProcessHelper(self.protocol_name, self.working_directory, **self._options) as helper:
            crew, place = helper._crew, Place(helper._run)
            helper._directories.make_open(place.items)
            crew.member().instance.disk.make_directory(place.record)
            wishes = Wishes(
                threads, self._stop_on_failure, interactive, self._retry_failures, helper._options.stop_after
            )

            def take_part(is_first: bool) -> Overview:
                ledger = place.ledger(durable=crew.rules.durable)
                me = crew.member().instance.record.file_name
                trust = Trust(place, ledger, self._functions, script)
                again = restart and is_first
                enter_session(place, ledger, self.protocol_name, script, me=me, knows=trust.knows, restart=again)
                begun()
                dealer = dealer_of(self.gpus, threads * self._processes, helper.limit)
                return self._play(
                    Part(crew, place, ledger, wishes, trust=trust, carry_out=self._carry_out, dealer=dealer)
                )

            return again_if_replaced(take_part)

    def _play(self, part: Part) -> Overview:
        self._part = part
        checks = self.steps_check if type(self).steps_check is not Protocol.steps_check else None
        every, patience = self._checks
        try:
            part.run(checks, check_seconds=every, patience_seconds=patience)
            return self.overview()  # before it leaves: then others may begin the next session
        finally:
            self._part = None

    def overview(self) -> Overview:
        """What has become of the steps so far, on all machines."""
        found = overview(Run(self.working_directory))
        if found is None:
            raise MisuseError("nothing was recorded in the run directory yet: call run()")
        return found

    def outcome(self, step: int) -> Outcome | None:
        """What has become of a step; None: it has not begun."""
        if (part := self._part_here) is not None:
            return part.outcome(step)
        known = self.overview()
        return known.outcomes.get(known.plan[step].id)

    # -- inside

    def _complete_script(self) -> list[Step]:
        """The steps of the script. Those of `insert_all_steps` come after those that were inserted before."""
        before, self._script = self._script, Script()
        self._script.steps = list(before.steps)
        try:
            self.insert_all_steps()
            return self._script.steps
        finally:
            self._script = before

    @property
    def _part_here(self) -> Part | None:
        """The part that the calling thread has: that of its step, also when the run of that has been left."""
        return getattr(self._inside, "part", None) or self._part

    def _carry_out(self, part: Part, step: Step, item: Item, share: Share | None) -> dict[str, Any]:
        function = part.trust.function(step)
        started, without = time.time(), part.failed_before(step)
        self._inside.part = part
        try:
            result, files = perform(part.place.run, step, share.call(function) if share is not None else function)
        finally:
            self._inside.part = None
        return {
            "step": step.id, "title": step.title, "result": result, "files": files, "attempt": item.attempt,
            "host": part.trust.identity.host, "pid": os.getpid(), "started": started, "ended": time.time(),
            **({"without": without} if without else {}),
        }  # fmt: skip

    def _run_job(self, program: str, arguments: list[str], gpus: Sequence[int | str] = ()) -> None:
        from multiprocesstools.steps.program import run_job

        run_job(program, arguments, gpus=gpus)

    @property
    def _processes(self) -> int:
        """So many processes of this protocol there are on this machine, as far as that is known."""
        from multiprocesstools.steps.ranks import has_ranks, ranks_here

        if has_ranks():
            return ranks_here()
        return 1 if self.steps_execution_mode == STEPS_SERIAL else self.mpi

    def _set_params(self, form: Form, given: dict[str, Any]) -> None:
        for name, value in given.items():
            if name not in form.defaults:
                known = ", ".join([*form.defaults, *HELPER_OPTIONS])
                raise BadArgument(name, value, f"there is no such parameter; there are {known}")
        for name, value in (form.defaults | given).items():
            if hasattr(Protocol, name) or callable(getattr(type(self), name, None)):
                raise BadArgument(name, value, "a parameter must not have the name of a method of the protocol")
            setattr(self, name, value)
