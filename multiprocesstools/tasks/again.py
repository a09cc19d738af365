"""Handing out again what is in work: each attempt is declared over as dropped, whoever has it, dead or alive.

Guarantee: nothing is lost and nothing is replaced. Whoever works on may go on: the first result counts, the other one
is discarded as late. Such an attempt does not count towards `max_attempts`.
"""

from collections.abc import Mapping

from multiprocesstools.claims.disk import ABSENT
from multiprocesstools.claims.ended import Outcome
from multiprocesstools.claims.instance import Instance, Rules
from multiprocesstools.claims.slots import Slot
from multiprocesstools.crew.member import Member
from multiprocesstools.run.directory import Run
from multiprocesstools.run.settings import Settings
from multiprocesstools.tasks.shelf import FINAL, Shelf

NAME, REASON = "reschedule", "rescheduled: somebody asked that it is handed out again"


def hand_out_again(run: Run, shelf: Shelf, only: Mapping[int, int] | None = None) -> list[int]:
    """The partitions that were in work and can be claimed again now; with `only` those of them whose attempt in work
    is the one that stands there."""
    settings = run.settings() or Settings()
    rules = Rules(settings.beat_seconds, settings.patience_seconds, settings.max_attempts)
    member = Member(run, NAME, rules, (), lambda text: None)
    try:
        found = _in_work(member.instance, shelf)
        for number, (slot, attempt) in list(found.items()):
            if only is not None and only.get(number) != attempt:
                del found[number]
                continue
            end = member.instance.ended(Outcome.DROPPED, exception=REASON)
            if member.instance.write_ended(slot, attempt, end):
                member.journal.add("rescheduled", item=run.relative(slot.final), attempt=attempt)
        return sorted(found)
    finally:
        member.leave()


def _in_work(me: Instance, shelf: Shelf) -> dict[int, tuple[Slot, int]]:
    try:
        listing = me.listing(shelf.directory)
    except OSError as error:
        if error.errno in ABSENT:
            return {}
        raise
    found = {}
    for number in range(shelf.description.partitions):
        slot = Slot(shelf.directory, FINAL.format(value=number))
        files = listing.of(slot)
        if not files.done and files.highest and files.highest not in files.ended:
            found[number] = (slot, files.highest)
    return found
