"""Inserting steps: what a script asks for becomes steps of the script, or entries of the record once it runs.

Before the steps are recorded, ids are places in the script, so that steps may wait for later ones. Afterwards each
insertion is recorded at once: exclusively, so that all instances know the step by one id. What another instance, or an
earlier attempt of the same step, has inserted already is found there, and not inserted again: the k-th step of one kind
(function, arguments, prerequisites, who inserts) is the k-th one recorded.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from multiprocesstools.errors import BadArgument, UnknownStep
from multiprocesstools.steps.book import Book, Entry, encode_steps
from multiprocesstools.steps.conductor import Conductor
from multiprocesstools.steps.resume import what_released_wait_for
from multiprocesstools.steps.scribe import Scribe
from multiprocesstools.steps.step import CHECK, Step


class Handle(int):
    """The id of a step, as `Protocol.step` gives it."""

    @property
    def id(self) -> int:
        return int(self)

    def __repr__(self) -> str:
        return f"<step {int(self)}>"


@dataclass(frozen=True, slots=True)
class Request:
    """A step that is to be inserted. `after`: None for what is usual there."""

    name: str
    function: str
    arguments: str
    after: tuple[int, ...] | None = None
    held: bool = False
    interactive: bool = False
    needs_gpu: bool = False
    tolerate_failure: bool = False

    @property
    def everything(self) -> bool:
        """Will it, when it is released, wait for all steps that exist?"""
        return self.held and self.after is None

    @property
    def kind(self) -> tuple[object, ...]:
        """What requests for equal steps have in common."""
        return self.function, self.arguments, self.after, self.everything

    def fits(self, step: Step) -> bool:
        """Could a step of this function and these arguments have come of this request?"""
        if self.everything or step.everything:
            return self.everything and step.everything
        return self.after is None or self.after == step.prerequisites

    def step(self, number: int, prerequisites: Iterable[int], origin: str) -> Step:
        return Step(
            number, self.name, self.arguments, () if self.everything else tuple(prerequisites), self.function,
            self.held, self.everything, self.interactive, self.needs_gpu, self.tolerate_failure, origin,
        )  # fmt: skip


def check_prerequisites(name: str, given: Any) -> tuple[int, ...] | None:
    """The ids in what was given as prerequisites: None, an id, or an iterable of ids. BadArgument."""
    if given is None:
        return None
    if isinstance(given, str | bytes):
        reason = f"a text is no id (for {name!r}): give ids, as insert_function_step returns them"
        raise BadArgument("prerequisites", given, reason)
    if isinstance(given, int) and not isinstance(given, bool):
        given = (given,)
    try:
        listed = list(given)
    except TypeError:
        raise BadArgument("prerequisites", given, f"it must be a list of ids (for {name!r})") from None
    for value in listed:
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadArgument("prerequisites", value, f"the id of a step is a whole number from 1 on (for {name!r})")
        if value < 1:
            raise BadArgument("prerequisites", value, f"ids count from 1 (for {name!r})")
    return tuple(dict.fromkeys(map(int, listed)))


class Script:
    """The steps of a script before they are recorded."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._released: set[int] = set()

    def insert(self, request: Request) -> int:
        number = len(self.steps) + 1
        usual = (number - 1,) if number > 1 else ()
        self.steps.append(request.step(number, usual if request.after is None else request.after, "script"))
        return number

    def release(self, number: int) -> None:
        """Without prerequisites of its own it waits for all steps that there are now, then."""
        if not 1 <= number <= len(self.steps):
            raise UnknownStep("release", number, len(self.steps))
        step = self.steps[number - 1]
        if step.held:
            waits = what_released_wait_for({other.id: other for other in self.steps}, [number])[number]
            self.steps[number - 1] = replace(step, held=False, everything=False, prerequisites=tuple(waits))


class Insertion:
    """Inserting while a protocol runs."""

    def __init__(self, conductor: Conductor, scribe: Scribe) -> None:
        self._conductor, self._scribe = conductor, scribe
        self._by_checks: Counter[object] = Counter()

    def insert(self, request: Request) -> int:
        """The id of the step, recorded now or before. UnknownStep; StepTakenOver, SessionReplaced."""
        conductor, current = self._conductor, self._conductor.performer.current
        if current.step is not None:
            self._scribe.check_not_taken_over()
        with conductor.changed:
            conductor.check_session()
            if current.step is None:
                return self._insert(request, CHECK, self._by_checks)
            if request.after is None and not request.held:
                request = replace(request, after=(current.step.id,))
            return self._insert(request, conductor.ledger.book.keys.key[current.step.id], current.inserted)

    def _insert(self, request: Request, origin: str, counted: Counter[object]) -> int:
        book, kind = self._conductor.ledger.book, (origin, request.kind)
        number = counted[kind] + 1
        found = 0

        def make() -> Entry | None:
            nonlocal found
            found = _recorded(book, request, origin, number)
            return None if found else {"kind": "steps", "steps": encode_steps([_next(book, request, origin)])}

        added = self._scribe.write(make)
        counted[kind] = number
        return found or added[0]


def _next(book: Book, request: Request, origin: str) -> Step:
    number = len(book) + 1
    prerequisites = _latest(book) if request.after is None else request.after
    for prerequisite in prerequisites:
        if prerequisite not in book.steps:
            raise UnknownStep(f"step {number} {request.name}", prerequisite, len(book))
    return request.step(number, prerequisites, origin)


def _latest(book: Book) -> tuple[int, ...]:
    """The last step that waits for no release: what a check inserts never waits for one that does."""
    return next(((step.id,) for step in reversed(book.steps.values()) if not (step.held or step.everything)), ())


def _recorded(book: Book, request: Request, origin: str, number: int) -> int:
    """The id of the `number`-th step of that kind in the record; 0 if there are not so many."""
    alike = [step for step in book.alike(origin, request.function, request.arguments) if request.fits(step)]
    return alike[number - 1].id if len(alike) >= number else 0
