"""Where the work on a plan stands: what is ready, what is not any more, kept up to date one outcome at a time.

It says what `Plan.ready` and `Plan.blocked` say of the same outcomes, without going through the whole plan each time.
Pure: no disk, no clock, no threads.
"""

from collections.abc import Iterable

from multiprocesstools.steps.step import ENDED, Status, Step


class Frontier:
    """The steps of one session as far as they are known, with what has become of each."""

    def __init__(self) -> None:
        self.steps: dict[int, Step] = {}
        self.status: dict[int, Status] = {}
        self.ready: dict[int, None] = {}
        self.failed: set[int] = set()
        self.in_work: set[int] = set()
        self.ended = 0
        self._missing: dict[int, int] = {}
        self._dependents: dict[int, list[int]] = {}

    def add(self, steps: Iterable[Step]) -> None:
        """Steps that are new, or were held and are released now. They may wait for later ones of the same call."""
        steps = list(steps)
        for step in steps:
            self.steps[step.id] = step
            self._dependents.setdefault(step.id, [])
        for step in steps:
            self._place(step)

    def settle(self, step: int, status: Status) -> None:
        """A step has finished or failed."""
        if self.status[step] in ENDED:
            return
        self.ready.pop(step, None)
        self.in_work.discard(step)
        self.status[step] = status
        self.ended += 1
        if status is Status.FAILED:
            self.failed.add(step)
        if self._satisfies(step):
            for other in self._dependents[step]:
                self._missing[other] -= 1
                self._open(other)
        else:
            self._abort(self._dependents[step])

    def note(self, step: int, status: Status) -> None:
        """A step is in work somewhere, or can be begun again."""
        if self.status[step] in ENDED:
            return
        self.status[step] = status
        if status is Status.RUNNING:
            self.ready.pop(step, None)
            self.in_work.add(step)
        else:
            self.in_work.discard(step)
            self._open(step)

    @property
    def is_over(self) -> bool:
        """Has every step ended, or can it never start?"""
        return self.ended == len(self.steps)

    def revive(self, steps: Iterable[int]) -> None:
        """Failed steps can be tried again, and what waits for them can be begun again."""
        again = set(steps)
        known, before, in_work = list(self.steps.values()), self.status, self.in_work
        self.__init__()  # type: ignore[misc]
        self.add(known)
        for step, status in before.items():
            if status is Status.FINISHED or (status is Status.FAILED and step not in again):
                self.settle(step, status)
        for step in in_work:
            self.note(step, Status.RUNNING)

    def can_still_act(self) -> bool:
        """Is there a step that has not ended, and neither is held nor waits for one that is?"""
        stack = [step for step, status in self.status.items() if status is Status.WAITING]
        held = set(stack)
        while stack:
            more = [other for other in self._dependents[stack.pop()] if other not in held]
            held.update(more)
            stack += more
        return any(status not in ENDED and step not in held for step, status in self.status.items())

    # -- inside

    def _place(self, step: Step) -> None:
        if self.status.get(step.id) in ENDED:
            return
        if step.held:
            self.status[step.id] = Status.WAITING
            return
        self.status[step.id] = Status.NEW
        missing = [other for other in step.prerequisites if not self._satisfies(other)]
        self._missing[step.id] = len(missing)
        for other in missing:
            self._dependents[other].append(step.id)
        if any(self.status.get(other) in ENDED for other in missing):
            self._abort([step.id])
        else:
            self._open(step.id)

    def _open(self, step: int) -> None:
        if not self._missing.get(step, 1) and self.status[step] not in ENDED and not self.steps[step].held:
            self.status[step] = Status.SCHEDULED
            self.ready[step] = None

    def _satisfies(self, step: int) -> bool:
        status = self.status.get(step)
        return status is Status.FINISHED or (status is Status.FAILED and self.steps[step].tolerate_failure)

    def _abort(self, steps: Iterable[int]) -> None:
        stack = list(steps)
        while stack:
            step = stack.pop()
            if self.status.get(step, Status.NEW) not in ENDED:
                self.status[step] = Status.ABORTED
                self.ended += 1
                stack += self._dependents[step]
