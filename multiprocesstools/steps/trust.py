"""Which steps this instance runs, and by which function: what stands in the run directory does not decide that alone.

Guarantee: a step calls a function that the script has itself (`functions`). What the record alone brings along and
could run anything - pickled arguments, the command line of a program - counts only if this script has inserted the same
step, or if the entry belongs to this user and nobody else may write it.
"""

import os
import stat
from collections.abc import Callable, Sequence
from typing import Any

from multiprocesstools.claims import identity
from multiprocesstools.errors import CannotRunHere
from multiprocesstools.steps.functions import Functions, are_pickled
from multiprocesstools.steps.ledger import Ledger
from multiprocesstools.steps.place import Place
from multiprocesstools.steps.step import Step

_PROGRAM = "self._run_job"


class Trust:
    """What this instance can run, and dares to."""

    def __init__(self, place: Place, ledger: Ledger, functions: Functions, script: Sequence[Step]) -> None:
        self.place, self._ledger, self._functions = place, ledger, functions
        self.identity = identity.current()
        self._own = {(step.function, step.arguments) for step in script}
        self._checked, self._ours = 0, True

    def knows(self, step: Step) -> bool:
        """Does the script have its function?"""
        return self._functions.find(step.function) is not None

    def can_run(self, step: Step) -> bool:
        if not self.knows(step):
            return False
        if step.function != _PROGRAM and not are_pickled(step.arguments):
            return True
        return (step.function, step.arguments) in self._own or self._is_ours()

    def function(self, step: Step) -> Callable[..., Any]:
        """CannotRunHere for what `can_run` refuses."""
        found = self._functions.find(step.function)
        if found is None or not self.can_run(step):
            raise CannotRunHere(step.title, step.function, "is not one of this script, or its entry is not this user's")
        return found

    def _is_ours(self) -> bool:
        """Do all entries that were read belong to this user, and may nobody else write them?"""
        while self._ours and self._checked < self._ledger.book.read:
            try:
                found = os.lstat(self._ledger.path(self._checked + 1))
            except OSError:
                return False
            self._checked += 1
            self._ours = found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        return self._ours
