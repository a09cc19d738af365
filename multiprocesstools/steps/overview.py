"""What has become of the steps of a run: for the report of `Protocol.run`, the commands and pictures. It only looks."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from multiprocesstools.errors import StepFailed, UnknownStep
from multiprocesstools.run.directory import Run
from multiprocesstools.steps.place import Place
from multiprocesstools.steps.plan import Plan
from multiprocesstools.steps.step import SCRIPT, Blocked, Outcome, Status, Step


@dataclass(frozen=True)
class Overview:
    """The steps of the latest session and what is known of each. `items`: the finals of the steps, relative to the run
    directory, as far as it is known what they wait for; `stopped`: the run was asked to stop."""

    directory: str
    protocol: str
    plan: Plan
    outcomes: dict[int, Outcome]
    items: dict[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def blocked(self) -> dict[int, Blocked]:
        return self.plan.blocked(self.outcomes)

    @cached_property
    def statuses(self) -> dict[int, Status]:
        """The status of each step."""
        ready = set(self.plan.ready(self.outcomes))
        return {step.id: self._status(step, ready) for step in self.plan}

    @property
    def counts(self) -> dict[Status, int]:
        counted = Counter(self.statuses.values())
        return {status: counted[status] for status in Status if counted[status]}

    @property
    def ok(self) -> bool:
        """Has every step finished, or failed where that is tolerated?"""
        return all(
            status is Status.FINISHED or (status is Status.FAILED and self.plan[step].tolerate_failure)
            for step, status in self.statuses.items()
        )

    @property
    def problems(self) -> list[str]:
        """A line for each step that failed, cannot start, or is still in work or to be done."""
        return [line for step in self.plan if (line := self._problem(step))]

    def check(self) -> "Overview":
        """Itself, if all steps have finished; StepFailed else."""
        if not self.ok:
            raise StepFailed(self.directory, self.problems)
        return self

    def step_of(self, item: str) -> Step | None:
        """The step with this item."""
        return next((self.plan[step] for step, name in self.items.items() if name == item), None)

    def as_dict(self) -> dict[str, Any]:
        steps = [
            {
                "id": step.id, "name": step.name, "arguments": step.arguments, "status": self.statuses[step.id].value,
                "prerequisites": list(step.prerequisites), "item": self.items.get(step.id, ""),
                "outcome": self.outcomes[step.id].as_dict() if step.id in self.outcomes else None,
                "reason": self._problem(step),
            }
            for step in self.plan
        ]  # fmt: skip
        return {"protocol": self.protocol, "counts": {s.value: n for s, n in self.counts.items()}, "steps": steps}

    def __str__(self) -> str:
        counts = ", ".join(f"{number:,} {status}" for status, number in self.counts.items())
        return f"{len(self.plan):,} steps: {counts or 'none'}"

    def _status(self, step: Step, ready: set[int]) -> Status:
        if step.id in self.outcomes and self.outcomes[step.id].status is not Status.NEW:
            return self.outcomes[step.id].status
        if step.id in self.blocked:
            return Status.ABORTED
        if step.held:
            return Status.WAITING
        if step.id in ready:
            return Status.INTERACTIVE if step.interactive else Status.SCHEDULED
        return Status.NEW

    def _problem(self, step: Step) -> str:
        status, outcome = self.statuses[step.id], self.outcomes.get(step.id)
        if step.id in self.blocked and status is Status.ABORTED:
            return str(self.blocked[step.id])
        if status is Status.FAILED and outcome is not None:
            tolerated = ", which is tolerated" if step.tolerate_failure else ""
            return f"{step.title} failed{tolerated}: {outcome.error}"
        words = {
            Status.RUNNING: "is in work", Status.SCHEDULED: "can start", Status.NEW: "waits for others",
            Status.WAITING: "waits to be released", Status.INTERACTIVE: "waits for a person: run(interactive=True)",
        }  # fmt: skip
        needs = self._needs(step) if status is Status.SCHEDULED else ""
        return f"{step.title} {words[status]}{needs}" if status in words else ""

    @staticmethod
    def _needs(step: Step) -> str:
        if "#" in step.function and step.origin != SCRIPT:
            return ", by who inserted it, because its function is inside another; after that has died: by a new start"
        return ", where there is a GPU: gpus=[...]" if step.needs_gpu else ""


def overview(run: Run, *, results: bool = True) -> Overview | None:
    """The steps of a run; None if it has none. NewerFormat. Without `results` finished steps are not read."""
    place = Place(run)
    if not place.has_steps():
        return None
    ledger = place.ledger()
    ledger.catch_up()
    book, listing = ledger.book, place.listing()
    items = {step: item for step in book.steps if (item := book.item(step)) is not None}
    outcomes: dict[int, Outcome] = {}
    for step, item in items.items():
        if listing.is_done(item) or item in listing.items:
            bare = not results and listing.is_done(item)
            outcome = Outcome(Status.FINISHED) if bare else place.outcome(item, listing)
            if outcome is not None and outcome.status is not Status.NEW:
                outcomes[step] = outcome
    finals = {step: run.relative(place.slot(item).final) for step, item in items.items()}
    return Overview(run.directory, book.protocol, book.plan(), outcomes, finals)


def item_of(run: Run, name: str) -> str | None:
    """The item of the step with this id ("7", "#7"); None if `name` is no id, or the run has no steps. UnknownStep for
    a step that does not exist, or whose item is not known before it is released."""
    text = name.removeprefix("#")
    if not text.isdigit() or (known := overview(run)) is None:
        return None
    step = int(text)
    if step not in known.items:
        raise UnknownStep("the command", step, len(known.plan))
    return known.items[step]
