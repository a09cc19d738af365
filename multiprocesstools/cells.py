"""What the cells of a notebook begin ends with them; and a helper that is built again takes the place of the former.

A session of IPython keeps alive what a script would have let go of: the frames of the last error and the loops in them,
results of cells, a helper whose name is bound anew. Nobody could tell such an item from one that is worked on.

Guarantee: when a cell has ended, in whatever way, nothing is held that it has claimed; and of the helpers that a thread
has built under one name for one run directory only the latest takes part. What other threads work on is left to them.
Condition: IPython runs the code. The plain prompt of Python tells nobody when its input has been dealt with.

This is kept on the shell, because it must last as long as the session and no longer, also if modules are loaded again.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import GeneratorType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from multiprocesstools.claims.claim import end
from multiprocesstools.claims.ended import Outcome
from multiprocesstools.claims.hands import Claim
from multiprocesstools.claims.publish import discard
from multiprocesstools.crew.crew import Crew
from multiprocesstools.display.notebook import shell
from multiprocesstools.errors import LoopEnded
from multiprocesstools.items.inplace import InPlace

if TYPE_CHECKING:
    from multiprocesstools.items.item import Item

_ATTRIBUTE = "_multiprocesstools_cells"


@dataclass(frozen=True, slots=True)
class _Built:
    """A helper that was built in the session, and by which thread."""

    crew: Crew
    inplace: InPlace
    thread: int

    @property
    def is_ours(self) -> bool:
        """Is it of this thread and, after a fork, of this process?"""
        return self.thread == threading.get_ident() and self.crew.latest_member.instance.pid == os.getpid()


class Cells:
    """The helpers and the begun loops of one session."""

    def __init__(self, its_shell: Any) -> None:
        self._built: list[_Built] = []
        self._loops: dict[int, WeakSet[CellLoop]] = {}
        its_shell.events.register("post_run_cell", self._end_cell)

    def end_former(self, name: str, directory: str) -> None:
        """A helper is about to be built: end those whose place it takes."""
        for built in self._built:
            if built.is_ours and (built.crew.name, built.crew.run.directory) == (name, directory):
                built.crew.close()
        self._forget_closed()

    def add(self, crew: Crew, inplace: InPlace) -> None:
        """A helper was built."""
        self._built.append(_Built(crew, inplace, threading.get_ident()))

    def bind(self, loop: Iterator["Item"]) -> "CellLoop":
        """The loop as one that ends with the cell that begins it."""
        assert isinstance(loop, GeneratorType)
        return CellLoop(self, loop)

    def begin(self, loop: "CellLoop") -> None:
        """Somebody asks for the first item of a loop."""
        self._loops.setdefault(threading.get_ident(), WeakSet()).add(loop)

    def _end_cell(self, result: object = None) -> None:
        self._forget_closed()
        with ExitStack() as duties:  # the last one first; one that fails does not keep the others from being done
            for built in self._built:
                duties.callback(_give_back, built.crew)
                duties.callback(built.inplace.give_back)
            for loop in list(self._loops.pop(threading.get_ident(), ())):
                duties.callback(loop.end)

    def _forget_closed(self) -> None:
        self._built = [built for built in self._built if not built.crew.closed]


class CellLoop(Iterator["Item"]):
    """A loop of `items` in a notebook."""

    def __init__(self, cells: Cells, loop: "GeneratorType[Item, None, None]") -> None:
        self._cells, self._loop = cells, loop
        self._begun = self._ended = False

    def __next__(self) -> "Item":
        if self._ended:
            raise LoopEnded
        if not self._begun:
            self._begun = True
            self._cells.begin(self)
        return next(self._loop)

    def end(self) -> None:
        """The cell is over: give back what the loop holds, if it is not over as well."""
        self._ended = self._loop.gi_frame is not None
        self._loop.close()

    close = end


def _give_back(crew: Crew) -> None:
    """Drop the single items that this thread has claimed and nobody will settle."""
    member = crew.latest_member
    if member.instance.pid == os.getpid():
        for claim in member.instance.hands.claims():
            if claim.thread == threading.get_ident() and not member.instance.hands.owes(claim.slot):
                with crew.guard.critical:
                    _drop(crew, claim)
                crew.guard.leave()
        member.journal.flush()


def _drop(crew: Crew, claim: Claim) -> None:
    instance, journal, announced = crew.latest_member.instance, crew.latest_member.journal, claim.given_up
    for path in claim.private:
        discard(instance, path)
    end(instance, claim, instance.ended(Outcome.DROPPED, started=claim.started))
    claim.given_up = True
    if not announced:
        journal.add_end("dropped", claim.name, claim.attempt, claim.began)
        crew.say(f"{claim.name!r} was given back; another instance can take it")


def find_cells() -> Cells | None:
    """Those of the session that this code runs in. None in a script."""
    its_shell = shell()
    if its_shell is None:
        return None
    found: Cells | None = getattr(its_shell, _ATTRIBUTE, None)
    if found is None:
        found = Cells(its_shell)
        setattr(its_shell, _ATTRIBUTE, found)
    return found
