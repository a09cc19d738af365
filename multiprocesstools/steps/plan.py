"""A plan: steps and what they wait for. Pure: it knows no disk, no clock and no processes.

Guarantee: a plan that could be made can be carried out: no step waits for itself, for one that does not exist, or in a
circle. `ready` and `blocked` follow from the outcomes alone.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter

from multiprocesstools.errors import BadArgument, CyclicSteps, DuplicateStep, UnknownStep
from multiprocesstools.steps.step import Blocked, Outcome, Outcomes, Status, Step, status_of

_SATISFIED = Status.FINISHED


class Plan:
    """Steps by their ids, which count from 1.

    Raises DuplicateStep, UnknownStep, CyclicSteps (with the circle as a path of ids and names), BadArgument.
    """

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self._steps: dict[int, Step] = {}
        for step in steps:
            if isinstance(step.id, bool) or not isinstance(step.id, int) or step.id < 1:
                raise BadArgument("id", step.id, "the id of a step is a whole number from 1 on")
            if (first := self._steps.get(step.id)) is not None:
                raise DuplicateStep(step.id, first.name, step.name)
            self._steps[step.id] = step
        self._check()

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps.values())

    def __contains__(self, step: object) -> bool:
        return step in self._steps

    def __getitem__(self, step: int) -> Step:
        try:
            return self._steps[step]
        except KeyError:
            raise UnknownStep("what was asked", step, len(self._steps)) from None

    def dependents(self) -> dict[int, list[int]]:
        """The steps that wait for each step."""
        found: dict[int, list[int]] = {step: [] for step in self._steps}
        for step in self._steps.values():
            for prerequisite in step.prerequisites:
                found[prerequisite].append(step.id)
        return found

    def in_order(self) -> list[int]:
        """All ids, each after those it waits for, and else as they were inserted."""
        if all(max(step.prerequisites, default=0) < step.id for step in self):
            return sorted(self._steps)
        return list(TopologicalSorter({step.id: step.prerequisites for step in self}).static_order())

    # -- what the outcomes say

    def ready(self, outcomes: Outcomes) -> list[int]:
        """The steps that can start now: new, not held, and all that they wait for has ended well, or was allowed to
        fail."""
        satisfied = {step.id for step in self if self._satisfies(step, outcomes)}
        return [
            step.id
            for step in self
            if not step.held
            and status_of(outcomes, step.id) in (Status.NEW, Status.SCHEDULED)
            and satisfied.issuperset(step.prerequisites)
        ]

    def blocked(self, outcomes: Outcomes) -> dict[int, Blocked]:
        """The steps that can never start, because a step failed that they wait for, directly or through others."""
        found: dict[int, Blocked] = {}
        dependents = self.dependents()
        failed = [s.id for s in self if status_of(outcomes, s.id) is Status.FAILED and not s.tolerate_failure]
        queue = deque((step, step) for step in failed)
        while queue:
            by, root = queue.popleft()
            for step in dependents[by]:
                if step not in found and status_of(outcomes, step) not in (Status.FINISHED, Status.FAILED):
                    found[step] = Blocked(step, by, root, self._reason(step, by, root, outcomes))
                    queue.append((step, root))
        return found

    def _reason(self, step: int, by: int, root: int, outcomes: Outcomes) -> str:
        outcome = outcomes.get(root)
        error = f": {outcome.error}" if isinstance(outcome, Outcome) and outcome.error else ""
        failed = f"{self[root].title} failed{error}"
        if by == root:
            return f"{self[step].title} cannot start, because {failed}"
        return f"{self[step].title} cannot start, because it waits for {self[by].title}, and {failed}"

    @staticmethod
    def _satisfies(step: Step, outcomes: Outcomes) -> bool:
        status = status_of(outcomes, step.id)
        return status is _SATISFIED or (status is Status.FAILED and step.tolerate_failure)

    # -- checks

    def _check(self) -> None:
        backwards = True
        for step in self._steps.values():
            for prerequisite in step.prerequisites:
                if prerequisite not in self._steps:
                    raise UnknownStep(step.title, prerequisite, len(self._steps))
                if prerequisite == step.id:
                    raise CyclicSteps((step.id, step.id), (step.name, step.name))
                backwards &= prerequisite < step.id
        if not backwards:
            self._refuse_cycles()

    def _refuse_cycles(self) -> None:
        try:
            TopologicalSorter({step.id: step.prerequisites for step in self}).prepare()
        except CycleError as error:
            path = error.args[1][::-1]  # graphlib has it from the first to do on; here each waits for the next
            raise CyclicSteps(path, [self[step].name for step in path]) from None
