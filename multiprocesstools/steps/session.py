"""Beginning a session, or joining the one that others are in.

    nobody has begun                          -> the first session
    others are in the latest session          -> join it; their script must be this one (StepsDiffer)
    nobody is in it any more                  -> resume: the next session, in which what has finished is skipped, and
                                                 what has failed is tried again; with `restart` everything runs again

Guarantee: of several that start at once one begins the session and the others join it.
"""

from collections.abc import Sequence

from multiprocesstools.errors import AnotherProtocol, BadArgument, RunDirectoryUnusable, StepsDiffer
from multiprocesstools.steps.book import Book
from multiprocesstools.steps.ledger import Ledger
from multiprocesstools.steps.place import Place
from multiprocesstools.steps.plan import Plan
from multiprocesstools.steps.resume import Knows, session_entry
from multiprocesstools.steps.step import Status, Step

_MOST_TRIES = 100


def enter_session(
    place: Place, ledger: Ledger, protocol: str, script: Sequence[Step], *, me: str, knows: Knows,
    restart: bool = False,
) -> None:  # fmt: skip
    """Take part, as instance `me`, whose script has the functions that it `knows`. StepsDiffer, AnotherProtocol;
    CyclicSteps, UnknownStep; BadArgument for a restart while others are at work."""
    Plan(script)
    for _ in range(_MOST_TRIES):
        ledger.catch_up()
        book = ledger.book
        if book.has_begun and book.protocol != protocol:
            raise AnotherProtocol(place.run.directory, book.protocol, protocol)
        others = _others(place, ledger, me) if book.has_begun else []
        if others:
            if restart and not book.start.restart:
                raise BadArgument("restart", True, _still_there(others))
            compare(book, script, others)
        elif not _begin(place, ledger, protocol, script, me=me, knows=knows, restart=restart):
            continue
        number = book.start.number
        ledger.take_part(me)
        ledger.catch_up()
        if book.start.number == number:
            return
    raise RunDirectoryUnusable(place.run.directory, "its steps are begun anew again and again")


def _still_there(others: Sequence[str]) -> str:
    return (
        f"others are at work: {', '.join(others)}. Stop them first (`multiprocesstools stop`); if they are gone, let "
        "`multiprocesstools cleanup` find that"
    )


def compare(book: Book, script: Sequence[Step], others: Sequence[str]) -> None:
    """StepsDiffer at the first step that is not the recorded one."""
    recorded = book.of_script()
    if recorded == list(script):
        return
    for place in range(max(len(recorded), len(script))):
        there = recorded[place] if place < len(recorded) else None
        here = script[place] if place < len(script) else None
        if there is None or here is None or not _is_same(there, here):
            raise StepsDiffer(place + 1, _words(there), _words(here), others)


def _is_same(there: Step, here: Step) -> bool:
    """What a step waits for that was held is known only since it was released."""
    waits = there.everything or there.prerequisites == here.prerequisites
    return waits and _facts(there) == _facts(here)


def _facts(step: Step) -> tuple[object, ...]:
    return (
        step.name, step.function, step.arguments, step.everything, step.interactive, step.needs_gpu,
        step.tolerate_failure,
    )  # fmt: skip


def _words(step: Step | None) -> str:
    if step is None:
        return ""
    waits = "all steps that exist, when it is released" if step.everything else f"{list(step.prerequisites)}"
    by = f", matched by {step.function!r}" if "#" in step.function else ""
    return f"{step.title}, after {waits}{by}"


def _others(place: Place, ledger: Ledger, me: str) -> list[str]:
    """The other instances of the latest session that are not proved to be gone."""
    parties = ledger.parties() | {ledger.book.start.by}
    return [name for name in place.run.possibly_alive() if name in parties and name != me]


def _begin(
    place: Place, ledger: Ledger, protocol: str, script: Sequence[Step], *, me: str, knows: Knows, restart: bool
) -> bool:
    """Begin the next session, in which what has failed before is tried again. False: somebody else was first."""
    listing = place.listing()

    def failed_attempt(item: str) -> int:
        files = listing.files(item)
        if files.done:
            return 0
        outcome = place.outcome(item, listing) if files.ended else None
        return outcome.attempt if outcome is not None and outcome.status is Status.FAILED else files.last_retry

    entry = session_entry(
        ledger.book, protocol, script, by=me, restart=restart, is_done=listing.is_done, is_whole=place.is_whole,
        failed_attempt=failed_attempt, knows=knows,
    )  # fmt: skip
    return ledger.append(entry) is not None
