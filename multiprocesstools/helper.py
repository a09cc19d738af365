"""MultiProcessHelper: the front door. It checks what the user asks for and hands it to the room that does it.

A room that only some calls need is entered by these calls, so that the import of the door stays cheap.
"""

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from multiprocesstools.claims.claim import Refusal
from multiprocesstools.claims.instance import Rules
from multiprocesstools.crew.crew import Crew, close_if_alive
from multiprocesstools.crew.heart import check_heartbeat
from multiprocesstools.directories import Directories
from multiprocesstools.documented import DocumentedStyle
from multiprocesstools.errors import check_choice
from multiprocesstools.locks.turns import TakingTurns
from multiprocesstools.plans.plans import Plans
from multiprocesstools.run.directory import Run, check_instance_name, unusable
from multiprocesstools.run.parameters import check_parameters
from multiprocesstools.run.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from multiprocesstools.calls.summary import Summary
    from multiprocesstools.cells import Cells
    from multiprocesstools.display.progress import Listener
    from multiprocesstools.items.failure import Failure
    from multiprocesstools.items.fate import Fate
    from multiprocesstools.items.item import Item
    from multiprocesstools.loop.until import Until
    from multiprocesstools.plans.naming import Final
    from multiprocesstools.upkeep.statuses import Snapshot


class MultiProcessHelper(DocumentedStyle, TakingTurns):
    """This process as one of many that share the work of a loop through a directory.

    In a notebook a helper ends the former one of its name, and what a cell claims is given back when the cell ends.

    Parameters
    ----------
    name: what this analysis is called; instances are numbered per name.
    working_directory: the run directory, shared by all instances; made if it is missing.
    loggers: names of loggers whose messages go to the log file of this instance.
    parameters: what the results depend on (JSON values: numbers, text, lists, dicts, None). They are recorded, and a
        start with others is an error that shows the differences; not given, they are those of the run.
    beat_seconds, patience_seconds, max_attempts: a sign of life is written every `beat_seconds` (20); an owner on
        another machine that was silent for `patience_seconds` (300) is taken over; an item that failed `max_attempts`
        times (3) is set aside. All instances share them: what is not given is taken from the run.
    on_error: "continue" records an exception of a block and goes on, "raise" lets it through after recording it.
    stop_after: this many failures in a row without a success end the loop with TooManyFailures; None never does.
    durable: False leaves out fsync, and with it the promise for a power failure.
    publish: "link", or "rename" for filesystems without hard links, which promises less (see the README).
    heartbeat: "thread", or "process" for work in C that holds the interpreter lock for longer than patience: signs of
        life then come from a small process beside this one.

    Raises
    ------
    BadArgument, BadName, RunDirectoryUnusable, SettingsDiffer, ParametersDiffer, NewerFormat, UnsafeFilesystem.
    """

    def __init__(
        self, name: str, working_directory: str | os.PathLike[str], loggers: Iterable[str] = (), *,
        parameters: Mapping[str, Any] | None = None,
        beat_seconds: float | None = None, patience_seconds: float | None = None, max_attempts: int | None = None,
        on_error: str = "continue", stop_after: int | None = 10, durable: bool = True, publish: str = "link",
        heartbeat: str = "thread",
    ) -> None:  # fmt: skip
        from multiprocesstools.display.progress import Voice
        from multiprocesstools.loop.options import Options

        check_choice("publish", publish, ("link", "rename"))
        check_heartbeat(heartbeat)
        given: dict[str, Any] = {
            "beat_seconds": beat_seconds,
            "patience_seconds": patience_seconds,
            "max_attempts": max_attempts,
        }
        given = {key: value for key, value in given.items() if value is not None}
        if parameters is not None:
            given["parameters"] = check_parameters(parameters)
        self.name = check_instance_name(name)
        self._options = Options(on_error=on_error, stop_after=stop_after)
        self._run = Run(working_directory)
        self._run.check(given)
        self._cells = _find_cells()
        if self._cells is not None:
            self._cells.end_former(self.name, self._run.directory)
        settings = self._run.prepare().agree(given)
        rules = Rules(
            settings.beat_seconds, settings.patience_seconds, settings.max_attempts,
            durable=durable, publish=publish, heartbeat=heartbeat,
        )  # fmt: skip
        self._voice, self._making = Voice(), threading.Lock()
        names = (loggers,) if isinstance(loggers, str) else tuple(loggers)
        self._plans = Plans(self._run)
        crew = self._join(rules, names)
        self._parameters = settings.parameters
        try:
            super().__init__(crew, Directories(crew, self._plans))
        except BaseException:
            crew.close()
            raise
        atexit.register(close_if_alive, weakref.ref(crew))
        if self._cells is not None:
            self._cells.add(crew, self._inplace)

    # -- loops and single items

    def items(
        self, sources: Iterable[Any], *, final: "Final | Sequence[Final]",
        directory: str | os.PathLike[str] | None = None, wait: bool = True,
        order: str = "spread", chunk: int | str = 1, results: bool = False, retry_failed: bool = False,
        until: "Until" = None, progress: "bool | Listener | None" = None,
    ) -> "Iterator[Item]":  # fmt: skip
        """Iterate over the items that this instance wins; all instances with the same list share it.

        sources: paths, names, numbers or dicts. final: a template for the name of the output with {stem} {name}
        {suffix} {parent} {value} {shard} {index} and the keys of a dict source, or a function of the source, or a list
        of those for several files per item. directory: where the finals lie, a name or a path; default the working
        directory. wait: stay until everything is done or set aside, and take over from the dead. order: "spread"
        starts where no other instance is, "given" walks the list. chunk: claim so many items at once, which pays for
        items of less than a second; "auto" measures how many. results: set `item.result` to a value that JSON can hold
        instead of writing to `item.path`; `read_result(path)` gives it back. retry_failed: try again what was set
        aside. until: begin nothing that would not finish by then, judged by what items took: a datetime (local time if
        it has no zone), a timedelta from now, a Unix timestamp, or "walltime", the end of this Slurm job. progress:
        None for a bar or lines, False for silence, or a function that gets a `Tally`.

        Raises NoSources, BadName, BadArgument, DuplicateFinal, ListChanged, ChunksDiffer, FinalOfAnotherKind before
        anything is claimed (in a list of many directories the last one before anything in that directory is);
        TooManyFailures in the loop.
        """
        from multiprocesstools.loop.opening import open_loop

        options = replace(
            self._options, wait=wait, order=order, retry_failed=retry_failed, chunk=chunk, results=results,
            until=until,
        )  # fmt: skip
        loop = open_loop(
            self._crew, self._directories, self._plans, self._voice, options=options, sources=sources, final=final,
            directory=directory, progress=progress,
        )  # fmt: skip
        return loop if self._cells is None else self._cells.bind(loop)

    def map(
        self, function: Callable[..., Any], sources: Iterable[Any], *, final: "Final | Sequence[Final]",
        directory: str | os.PathLike[str] | None = None, save: "Callable[[Any, Path], Any] | None" = None,
        executor: Any = None, wait: bool = True, order: str = "spread", chunk: int | str = 1,
        retry_failed: bool = False, progress: "bool | Listener | None" = None,
    ) -> "Summary":  # fmt: skip
        """Do all items by a function, together with all instances that map the same list, and say what has come of it.

        function: function(source, path) writes the output to `path`, of which it becomes the final; function(source)
        returns a value, which is saved by `save(value, path)` or as the suffix of the final says: .npy (an array),
        .npz (a dict of arrays), .json, .csv (a DataFrame, or rows as lists or dicts), .pkl. Parameters with a default
        do not count; with a list of templates, the function takes (source, paths). executor: an executor of
        concurrent.futures, which then has as many items in work as it has workers, while the claims stay in this
        process; or a function that makes one, such as `lambda: ProcessPoolExecutor(4)`: then a new one is made when a
        worker was killed. The other arguments are those of `items`, and so are retries, limits and what a signal does;
        after `multiprocesstools stop` what is in work is finished.

        Raises what `items` does, BadArgument for a function, a `save` or an executor that cannot be, ExecutorUnusable
        for one that was shut down, before anything is claimed; PoolBroken when a worker was killed and there is no
        function to make a new executor.
        """
        from multiprocesstools.loop.opening import open_loop
        from multiprocesstools.mapping import map_items

        options = replace(self._options, wait=wait, order=order, retry_failed=retry_failed, chunk=chunk)
        opening = partial(
            open_loop, self._crew, self._directories, self._plans, self._voice, options=options, sources=sources,
            final=final, directory=directory, progress=progress,
        )  # fmt: skip
        return map_items(self._crew, function, save, executor, opening)

    def claim(self, final: str, *, directory: str | os.PathLike[str] | None = None) -> "Item | None":
        """Try to win one item by its final, relative to the directory. None: done, set aside or in other hands.

        While the run is paused it waits."""
        slot = self._directories.single(final, directory)
        self._crew.guard.enter()
        item, delivered = None, False
        try:
            self._crew.wait_out_pause()
            with self._crew.guard.critical:
                taken = self._crew.take_single(slot)
                if not isinstance(taken, Refusal):
                    item = self._item(taken, final)
            delivered = True
        finally:
            if item is None:
                self._crew.guard.leave()
            elif not delivered:
                item.give_back()
        return item

    def once(
        self, final: str, build: "Callable[[Path], Any]", *, directory: str | os.PathLike[str] | None = None
    ) -> "Path":
        """Have `build(path)` write one file, once in the whole run: one instance builds, the others wait.

        An exception of `build` is raised in the instance that built, and another one tries; ItemFailed when all
        attempts are used up; StopRequested after `multiprocesstools stop`, because then not all items may be done;
        OutOfTime after a loop of this helper that `until` has ended with items left. While paused it does not build.
        """
        from multiprocesstools.items.once import build_once

        slot = self._directories.single(final, directory)
        return build_once(self._crew, slot, lambda: self.claim(final, directory=directory), build)

    def wait_for(self, path: str | os.PathLike[str], timeout: float | None = None) -> "Path":
        """Wait until `path` (relative to the working directory, or absolute) exists. TimeoutError after `timeout` s."""
        from multiprocesstools.waiting import wait_for

        return wait_for(self._run, path, timeout)

    # -- what is going on

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the run, a copy; empty if none were recorded."""
        if self._parameters is None:  # somebody may have recorded some while this instance joined
            self._parameters = (self._run.settings() or Settings()).parameters or {}
        return check_parameters(self._parameters)

    @property
    def stop_requested(self) -> bool:
        """Has somebody said `multiprocesstools stop`, or was this process told to end by a signal?"""
        return self._crew.stop_requested or self._crew.guard.signalled is not None

    @property
    def paused(self) -> bool:
        """Has somebody said `multiprocesstools pause`, so that nothing new is to be begun?"""
        return self._crew.paused

    @property
    def failures(self) -> "list[Failure]":
        """The failed attempts of this instance, the latest 1,000."""
        return list(self._crew.failures)

    def status(self) -> "Snapshot":
        """The state of the run, on all machines."""
        from multiprocesstools.upkeep.snapshot import take_snapshot

        if not self._crew.closed:
            self._crew.latest_member.journal.flush()
        return take_snapshot(self._run)

    # -- the end

    def cleanup(self) -> None:
        """End this instance: drop what it holds, close its loggers. (The command `cleanup` sweeps after others.)"""
        self._crew.close()

    def __enter__(self) -> "MultiProcessHelper":
        self._crew.member()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cleanup()

    # -- inside

    def _join(self, rules: Rules, loggers: tuple[str, ...]) -> Crew:
        try:
            return Crew(self._run, self.name, rules, loggers, self._voice)
        except OSError as error:
            raise unusable(self._run.directory, error) from error

    def _item(self, claim: Any, source: Any) -> "Item":
        from multiprocesstools.items.item import Item
        from multiprocesstools.items.terms import Terms

        def settled(item: Item, fate: "Fate", error: BaseException | None) -> None:
            self._crew.guard.leave()

        return Item(Terms(self._crew, on_error="raise", settled=settled), claim, source)


def _find_cells() -> "Cells | None":
    """What ends with the cells of a notebook, if this is one."""
    if "IPython" not in sys.modules:
        return None
    from multiprocesstools.cells import find_cells

    return find_cells()
