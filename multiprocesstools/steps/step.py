"""A step, and what has become of it, as data.

    new --(its prerequisites have ended well)--> scheduled --> running --> finished | failed
                                                               --> new again (given back, or its owner died)
    waiting      held until it is released
    interactive  ready, and left for a person
    aborted      new, and can never start: what it waits for has failed

Guarantee: an outcome is read from one file that was written once, whole: the final of the step's item, or the end of
its last attempt.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

SCRIPT, CHECK = "script", "check"
"""Who inserted a step: `insert_all_steps`, `steps_check`, or else the key of the step that did."""


class Status(StrEnum):
    """What is known of a step."""

    NEW = "new"
    SCHEDULED = "scheduled"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    ABORTED = "aborted"
    WAITING = "waiting"
    INTERACTIVE = "interactive"


ENDED = frozenset({Status.FINISHED, Status.FAILED, Status.ABORTED})


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `function` is what it is matched by, `arguments` a JSON list, `prerequisites` are ids.

    `held`: it waits to be released, and `everything`: without prerequisites of its own, so that it will then wait for
    all steps that exist. `origin`: who inserted it.
    """

    id: int
    name: str
    arguments: str = "[]"
    prerequisites: tuple[int, ...] = ()
    function: str = ""
    held: bool = False
    everything: bool = False
    interactive: bool = False
    needs_gpu: bool = False
    tolerate_failure: bool = False
    origin: str = SCRIPT

    @property
    def title(self) -> str:
        """As it is called in messages: step 3 'register("b.tif")'."""
        inside = self.arguments[1:-1] if self.arguments.startswith("[") else self.arguments
        inside = inside if len(inside) <= 60 else f"{inside[:57]}..."
        return f"step {self.id} {self.name}({inside})"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of a step. `result` is what it returned (JSON), `files` those it made, relative to the run
    directory if they lie inside; `without`: prerequisites that had failed when it began, which was tolerated; times
    are Unix timestamps by the clock of `host`."""

    status: Status
    result: Any = None
    files: tuple[str, ...] = ()
    error: str = ""
    traceback: str = ""
    host: str = ""
    pid: int = 0
    started: float = 0.0
    ended: float = 0.0
    attempt: int = 0
    without: tuple[int, ...] = ()

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return self.ended - self.started if self.started and self.ended else None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"seconds": self.seconds}


Outcomes = Mapping[int, "Outcome | Status | str"]
"""What is known of steps, by id; of one that is not in it nothing is known: it is new."""


def status_of(outcomes: Outcomes, step: int) -> Status:
    known = outcomes.get(step, Status.NEW)
    return known.status if isinstance(known, Outcome) else Status(known)


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why a step can never start: `by` is the prerequisite at which it ends, `root` the step that failed."""

    step: int
    by: int
    root: int
    text: str = field(compare=False)

    def __str__(self) -> str:
        return self.text
