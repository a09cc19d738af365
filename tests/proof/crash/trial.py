"""One scenario again and again: what lay there before, a process that is struck, then peers, `cleanup` and `status`.

Every process is a fork of this one, which has imported the package and has no threads. Each trial begins with a copy of
what the processes before have left, under the same path, so that its calls are those of the dry run.
"""

import atexit
import faulthandler
import logging
import os
import pickle
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from multiprocesstools import cli
from multiprocesstools.clock import SystemClock
from multiprocesstools.errors import MultiProcessError
from tests.proof.crash.calls import KILL, Calls, Diverged, Strike, forbid_links
from tests.proof.crash.judge import (
    FORCED,
    Sight,
    Wrong,
    is_a_run,
    look,
    nobody_can_be_asked,
    unsettled,
    wrong_at_the_end,
    wrong_between,
)
from tests.proof.crash.place import Place
from tests.proof.crash.scenarios import DONE, FAILED, SKIPPED, Scenario

DEADLINE_SECONDS = 20
_STATUS = {DONE: 0, SKIPPED: 0, FAILED: 1}
_WAITS, _UNUSABLE = 3, 4
Break = Callable[[], None]


@dataclass(frozen=True)
class Ending:
    """How a process ended, and what it said at last. `signal` is 0 if it ended by itself."""

    pid: int
    signal: int
    answer: Any
    trace: str


def in_a_process(work: Callable[[], Any], errors: Path, deadline_seconds: int = DEADLINE_SECONDS) -> Ending:
    """Do it in a fork that ends as an interpreter does; killed by SIGALRM if that takes too long."""
    assert threading.active_count() == 1
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            _be_a_process(work, writer, errors, deadline_seconds)
        finally:
            os._exit(99)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    answer, trace = pickle.loads(said) if said else (None, "")
    return Ending(pid, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, answer, trace)


def _be_a_process(work: Callable[[], Any], writer: int, errors: Path, deadline_seconds: int) -> None:
    signal.alarm(deadline_seconds)
    atexit._clear()  # what this process has still to do is no concern of the fork
    atexit.register(logging.shutdown)
    descriptor = os.open(errors, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.dup2(descriptor, 1), os.dup2(descriptor, 2)
    faulthandler.dump_traceback_later(deadline_seconds - 1, file=descriptor)
    try:
        answer, trace = work(), ""
    except BaseException:
        answer, trace = None, traceback.format_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush(), sys.stderr.flush()
    os.write(writer, pickle.dumps((answer, trace)))
    os._exit(0)


@dataclass(frozen=True)
class Struck:
    """What a process says that was struck, or that made the dry run: what it raised, and how it went on."""

    seen: list[str]
    fallen: bool
    raised: str = ""
    is_clear: bool = True
    again: str = ""
    after: Sight = field(default_factory=Sight)
    wrong: tuple[Wrong, ...] = ()


@dataclass
class Trial:
    """A scenario in a directory. `breaks`: what is done to the package in every process (to test the detectors)."""

    scenario: Scenario
    base: Path
    breaks: Break = lambda: None
    killed: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._place = Place(self.base, self.scenario.helper_options)
        self._shared, self._template = self.base / "shared", self.base / "template"
        self._errors = self.base / "errors"
        self._shared.mkdir(parents=True)
        for script in self.scenario.before:
            ending = in_a_process(lambda script=script: self._ordinary(script), self._errors)
            assert not ending.trace, ending.trace
            self.killed += [ending.pid] if ending.signal else []
        self._shared.rename(self._template)
        self._audit_before = self._place.audit.read_text() if self._place.audit.exists() else ""

    # -- processes

    def dry_run(self) -> list[str]:
        """The calls that can be struck."""
        self._begin_anew()
        ending = in_a_process(lambda: self._struck(None, []), self._errors)
        assert ending.answer is not None and not ending.answer.raised, ending
        return ending.answer.seen

    def strike(self, strike: Strike, expected: list[str], *, sweep_first: bool = False) -> list[Wrong]:
        """One process is struck; the others go on. What is wrong then. Diverged: the call was another one."""
        self._begin_anew()
        ending = in_a_process(lambda: self._struck(strike, expected), self._errors)
        if ending.answer is not None and not ending.answer.fallen:
            raise Diverged(strike)
        before = look(self._place.run, self._place.audit)
        wrong = list(self._wrong_with_the_child(strike, ending))
        killed = [*self.killed, ending.pid] if ending.signal else self.killed
        if sweep_first:
            wrong += self._sweep()
        wrong += self._peer() + self._sweep()
        after = look(self._place.run, self._place.audit)
        if self.scenario.links != "everywhere" and any(unsettled(self.scenario, after)):
            wrong += self._peer() + self._sweep()  # an empty claim was in its way, which patience has ended since
            after = look(self._place.run, self._place.audit)
        wrong += wrong_between(self.scenario, before, after)
        wrong += wrong_at_the_end(self.scenario, after, killed, strike.words)
        return wrong + self._wrong_status(after)

    def _begin_anew(self) -> None:
        shutil.rmtree(self._shared, ignore_errors=True)
        copy_with_links(self._template, self._shared)
        self._place.audit.write_text(self._audit_before)
        self._errors.unlink(missing_ok=True)

    def _ordinary(self, script: Callable[[Place], None]) -> None:
        self._prepare_process()
        place = Place(self.base, self.scenario.helper_options)
        script(place)
        place.close()

    def _prepare_process(self) -> None:
        if self.scenario.links != "everywhere":
            forbid_links(self._shared, across_directories_only=self.scenario.links == "within directories")
        self.breaks()

    def _command(self, *words: str) -> int:
        self._prepare_process()
        sys.argv = ["mpt", *words, str(self._place.run)]
        try:
            cli.main()
        except SystemExit as leaving:
            return int(leaving.code or 0)
        return 0

    # -- the process that is struck

    def _struck(self, strike: Strike | None, expected: list[str]) -> Struck:
        self._prepare_process()
        calls = Calls(str(self._shared), strike, expected)
        place = Place(self.base, self.scenario.helper_options, calls)
        let_time_stand_still_until(lambda: calls.struck)
        calls.install()
        raised, is_clear = self._try(place)
        after = look(place.run, place.audit)
        again, wrong = "", []
        if strike is not None:
            place.again, left = True, place.is_closed
            place.beat()
            again = self._try(place)[0]
            latest = look(place.run, place.audit)
            wrong = [*wrong_between(self.scenario, after, latest)]
            empty = self.scenario.links != "everywhere" and nobody_can_be_asked(place.run)  # patience ends that
            if not left and not empty:  # what a closed helper could not give back is taken when its process has ended
                wrong += [Wrong("stuck", what.what) for what in unsettled(self.scenario, latest)]
        place.close()
        return Struck(calls.seen, calls.struck, raised, is_clear, again, after, tuple(wrong))

    def _try(self, place: Place) -> tuple[str, bool]:
        """Run the script: what it raised, and whether that is an error that says what has happened."""
        try:
            self.scenario.script(place)
        except (MultiProcessError, OSError, KeyboardInterrupt) as error:
            return repr(error), True
        except Diverged:
            raise
        except BaseException:
            return traceback.format_exc(), False
        return "", True

    # -- what is wrong

    def _wrong_with_the_child(self, strike: Strike, ending: Ending) -> list[Wrong]:
        if strike.how == KILL:
            return [] if ending.signal == signal.SIGKILL else [Wrong("harness", f"not killed: {ending}")]
        wrong = self._wrong_with(ending, "struck process")
        if ending.answer is not None:
            wrong += [] if ending.answer.is_clear else [Wrong("unclear", ending.answer.raised)]
            wrong += [Wrong("second try", ending.answer.again)] if ending.answer.again else []
            wrong += ending.answer.wrong
        return wrong

    def _wrong_with(self, ending: Ending, who: str) -> list[Wrong]:
        if ending.signal == signal.SIGALRM:
            return [Wrong("hang", f"the {who} hung\n{self._errors.read_text()}")]
        if ending.signal or ending.trace:
            return [Wrong("failed", f"the {who} ended by signal {ending.signal} {ending.trace}")]
        return []

    def _peer(self) -> list[Wrong]:
        return self._wrong_with(in_a_process(lambda: self._ordinary(self.scenario.script), self._errors), "peer")

    def _sweep(self) -> list[Wrong]:
        """Processes of this machine are proved gone, so where claims are links nothing has to be waited for.

        Nobody can be asked about a file that was created and never written, or that its owner left behind when it took
        its record away; that takes --force, and is counted.
        """
        run, patience = self._place.run, ["--no-wait"] if self.scenario.links == "everywhere" else []
        ending = in_a_process(lambda: self._command("cleanup", *patience), self._errors)
        wrong = self._wrong_with(ending, "cleanup")
        if ending.answer == _UNUSABLE and not is_a_run(run):
            return wrong
        if ending.answer == _WAITS and nobody_can_be_asked(run):
            ending = in_a_process(lambda: self._command("cleanup", "--force"), self._errors)
            wrong += [
                Wrong(FORCED, "a file of which nobody knows whose it is"),
                *self._wrong_with(ending, "cleanup --force"),
            ]
        return wrong + ([] if ending.answer == 0 else [Wrong("cleanup", f"exit code {ending.answer}")])

    def _wrong_status(self, after: Sight) -> list[Wrong]:
        states = [after.state(item, self.scenario.max_attempts) for item in self.scenario.ends]
        right = max(_STATUS.get(state, 3) for state in states)
        ending = in_a_process(lambda: self._command("status"), self._errors)
        if ending.answer == right:
            return []
        return [Wrong("status", f"exit code {ending.answer}, and not {right} {ending.trace}")]


def let_time_stand_still_until(over: Callable[[], bool]) -> None:
    """As if everything before the strike took no time: nothing is written by the second or by the beat."""
    real, began = SystemClock.elapsed, SystemClock().elapsed()
    SystemClock.elapsed = staticmethod(lambda: real() if over() else began)  # type: ignore[assignment]


def copy_with_links(source: Path, target: Path) -> None:
    """Copy a tree in which files have several names."""
    names: dict[int, Path] = {}
    for folder, _, files in os.walk(source):
        there = target / Path(folder).relative_to(source)
        there.mkdir()
        for name in files:
            status = os.lstat(os.path.join(folder, name))
            if status.st_ino in names:
                os.link(names[status.st_ino], there / name)
            else:
                shutil.copyfile(os.path.join(folder, name), there / name)
                names[status.st_ino] = there / name
