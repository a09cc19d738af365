"""One file that is built once in the whole run: one instance builds it, the others wait until it is there.

Guarantee: whoever returns finds the file complete. Condition: the one of the claims it is made of (`claims`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from multiprocesstools.claims.slots import Slot
from multiprocesstools.claims.survey import State
from multiprocesstools.crew.crew import Crew
from multiprocesstools.display.text import printable
from multiprocesstools.errors import ItemFailed, OutOfTime, StopRequested
from multiprocesstools.items.fate import Fate
from multiprocesstools.items.item import Item
from multiprocesstools.retrying import pauses


def build_once(crew: Crew, slot: Slot, claim: Callable[[], Item | None], build: Callable[[Path], Any]) -> Path:
    """Have `build(path)` write the final of `slot`, here or elsewhere. ItemFailed, StopRequested, OutOfTime.

    A paused instance does not build, but it sees what others have built.
    """
    for _ in pauses(crew.run.clock, min(2.0, crew.rules.beat_seconds / 4)):
        item = None if crew.stop_requested or crew.cut_short or crew.paused else claim()
        if item is not None:
            with item:
                build(item.path)
            if item.fate in (Fate.DONE, Fate.LOST):
                break
        if _is_there(crew, slot):
            break
        if crew.stop_requested:
            raise StopRequested(crew.run.relative(slot.final))
        if crew.cut_short:
            raise OutOfTime(crew.run.relative(slot.final), next(iter(crew.cut_short.values())))
    return Path(slot.final)


def _is_there(crew: Crew, slot: Slot) -> bool:
    finding = crew.assess(slot)
    if finding.state in (State.FAILED, State.SKIPPED):
        reason = printable(finding.last.exception) if finding.last else ""
        raise ItemFailed(crew.run.relative(slot.final), reason)
    return finding.state is State.DONE
