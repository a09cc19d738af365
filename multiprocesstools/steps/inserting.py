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

    def step(self, number: int, prerequisites: Iterable[int], origin: str) -> Step:
        everything = self.held and self.after is None
        return Step(
            number, self.name, self.arguments, () if everything else tuple(prerequisites), self.function, self.held,
            everything, self.interactive, self.needs_gpu, self.tolerate_failure, origin,
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
        """It waits for all steps before it, then."""
        if not 1 <= number <= len(self.steps):
            raise UnknownStep("release", number, len(self.steps))
        step = self.steps[number - 1]
        if step.held:
            everything = tuple(s.id for s in self.steps[: number - 1] if not s.held)
            waits = everything if step.everything else step.prerequisites
            self.steps[number - 1] = replace(step, held=False, everything=False, prerequisites=waits)


class Insertion:
    """Inserting while a protocol runs."""

    def __init__(self, conductor: Conductor, scribe: Scribe) -> None:
        self._conductor, self._scribe = conductor, scribe
        self._by_checks: Counter[tuple[str, ...]] = Counter()

    def insert(self, request: Request) -> int:
        """The id of the step, recorded now or before. UnknownStep; StepTakenOver."""
        conductor, current = self._conductor, self._conductor.current
        by_step = current.step is not None
        if by_step:
            self._scribe.check_not_taken_over()
        with conductor.changed:
            origin = conductor.ledger.book.keys.key[current.step.id] if current.step is not None else CHECK
            counted = current.inserted if by_step else self._by_checks
            kind = (origin, request.function, request.arguments, repr(request.after))
            number = counted.get(kind, 0) + 1
            found = 0

            def make() -> Entry | None:
                nonlocal found
                book = conductor.ledger.book
                found = _recorded(book, request, origin, number)
                if found:
                    return None
                step = self._next(book, request, origin, current.step)
                return {"kind": "steps", "steps": encode_steps([step])}

            added = self._scribe.write(make)
            counted[kind] = number
            return found or added[0]

    @staticmethod
    def _next(book: Book, request: Request, origin: str, by: Step | None) -> Step:
        number = len(book) + 1
        prerequisites = request.after
        if prerequisites is None:
            prerequisites = (by.id,) if by is not None else _latest(book)
        for prerequisite in prerequisites:
            if prerequisite not in book.steps:
                raise UnknownStep(f"step {number} {request.name}", prerequisite, len(book))
        return request.step(number, prerequisites, origin)


def _latest(book: Book) -> tuple[int, ...]:
    """The last step that waits for no release: what a check inserts never waits for one that does."""
    return next(((step.id,) for step in reversed(book.steps.values()) if not (step.held or step.everything)), ())


def _recorded(book: Book, request: Request, origin: str, number: int) -> int:
    """The id of the `number`-th step of that kind in the record; 0 if there are not so many."""
    for step in book.alike(origin, request.function, request.arguments):
        if request.after is None or step.everything or step.prerequisites == request.after:
            number -= 1
            if not number:
                return step.id
    return 0
