"""Steps as text, for the commands. Every name and message is escaped, so that none can command a terminal."""

from collections.abc import Iterator

from multiprocesstools.display.text import duration, printable
from multiprocesstools.steps.overview import Overview
from multiprocesstools.steps.place import ITEMS
from multiprocesstools.steps.step import Status, Step
from multiprocesstools.upkeep.statuses import Snapshot

_MOST_LINES = 20
_UNFINISHED = (Status.NEW, Status.SCHEDULED, Status.RUNNING, Status.WAITING, Status.INTERACTIVE)


def steps_text(steps: Overview, *, everything: bool = False) -> str:
    """The state of the steps of a run; `everything` lists all that are not finished."""
    lines = [printable(line) for line in steps.problems]
    kept = lines if everything else lines[:_MOST_LINES]
    more = [f"... and {len(lines) - len(kept):,} more"] if len(kept) < len(lines) else []
    return "\n  ".join([f"protocol {printable(steps.protocol)}, {steps}", *kept, *more])


def step_text(steps: Overview, step: Step) -> str:
    """One step: its state, what it waits for, and what has become of it."""
    return "\n".join(_step_lines(steps, step))


def _step_lines(steps: Overview, step: Step) -> Iterator[str]:
    yield f"{printable(step.title)}: {steps.statuses[step.id]}"
    if step.id in steps.blocked:
        yield f"  {printable(str(steps.blocked[step.id]))}"
    if step.everything and step.held:
        yield "  when it is released, it waits for all steps that exist then"
    for other in step.prerequisites[:_MOST_LINES]:
        yield f"  after {printable(steps.plan[other].title)}: {steps.statuses[other]}"
    if len(step.prerequisites) > _MOST_LINES:
        yield f"  ... and after {len(step.prerequisites) - _MOST_LINES:,} more"
    outcome = steps.outcomes.get(step.id)
    if outcome is not None and outcome.host:
        took = "" if outcome.seconds is None else f" in {duration(outcome.seconds)}"
        yield f"  attempt {outcome.attempt} on {printable(outcome.host)}, process {outcome.pid}{took}"
        yield from (f"  made {printable(file)}" for file in outcome.files[:_MOST_LINES])


def exit_code_of(steps: Overview, snapshot: Snapshot) -> int:
    """0 all finished, 1 failed, 3 unfinished: of the steps of the latest session, and of what else there is in the run.

    A step that failed in an earlier session, and is another one by now, does not count.
    """
    inside = [item for item in snapshot.items if item.item.startswith(f"{ITEMS}/")]
    count = {state: sum(item.state == state for item in inside) for state in ("failed", "running", "stale", "free")}
    others_open = snapshot.running + snapshot.stale + snapshot.free - sum(
        count[state] for state in ("running", "stale", "free")
    )  # fmt: skip
    if others_open or any(status in _UNFINISHED for status in steps.statuses.values()):
        return 3
    return 1 if snapshot.failed > count["failed"] or not steps.ok else 0
