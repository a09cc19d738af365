"""The state of an item, as one instance finds it: by the names of a listing and by what the ended-files say.

Guarantee: "failed" and "skipped", and "free" after attempts whose ends are not all to be seen, are said when two
listings in a row say so. A listing is not atomic: one that overlaps the clearing up of a finished item may look like a
failure, and one that overlaps two attempts may miss the end of the first.
"""

from multiprocesstools.claims import ended as ended_files
from multiprocesstools.claims.disk import PASSING
from multiprocesstools.claims.ended import Ended, Outcome
from multiprocesstools.claims.instance import Instance
from multiprocesstools.claims.slots import Files, Slot
from multiprocesstools.claims.survey import Finding, State, decide, needed_attempts


def assess(me: Instance, slot: Slot, files: Files) -> Finding:
    """The state of the item by these names, with the ended-files that matter read."""
    read = {attempt: read_ended(me, slot, attempt) for attempt in needed_attempts(files)}
    ended = {attempt: end for attempt, end in read.items() if end is not None}
    return decide(files, ended, me.rules.max_attempts)


def look_twice(me: Instance, slot: Slot) -> Finding:
    """The state of the item by fresh listings, and by two of them where one is not enough."""
    return look_closely(me, slot)[1]


def look_closely(me: Instance, slot: Slot) -> tuple[Files, Finding]:
    """The same, with the names that say so."""
    files = me.look(slot)
    finding = assess(me, slot, files)
    while is_doubtful(finding, files):
        before, files = finding, me.look(slot)
        finding = assess(me, slot, files)
        if finding == before:
            break
    return files, finding


def is_doubtful(finding: Finding, files: Files) -> bool:
    """May it be the listing, and not the item, that is so?"""
    return finding.state in (State.FAILED, State.SKIPPED) or (finding.state is State.FREE and files.has_gap)


def read_ended(me: Instance, slot: Slot, attempt: int) -> Ended | None:
    """The content of X_k; unreadable ones count as failures. None: it is not there (any more)."""
    try:
        data = me.disk.read(slot.ended(attempt))
    except OSError as error:
        if error.errno in PASSING:
            raise
        return Ended(Outcome.UNREADABLE, exception=f"the ended-file cannot be read: {error}")
    if data is None and slot.holder(attempt) is not slot:
        return Ended(Outcome.DROPPED, exception="its chunk ended")
    return ended_files.decode(data) if data is not None else None
