"""The state of an item, decided from names and from what its ended-files say. Pure: no disk, no clock.

    done      the final is there and not being written in place
    failed    the last attempt has ended and the item is set aside
    skipped   the last attempt decided that there is nothing to write
    claimed   the last attempt has not ended: running or stale, which only an observer of its owner can say
    free      anybody may make the next attempt

`claimed` becomes `running` or `stale` by the verdict of `peers`. The first rule that matches
decides (PROTOCOL: States).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from multiprocesstools.claims.ended import COUNTED, Ended, Outcome
from multiprocesstools.claims.slots import MOST_ATTEMPTS, Files

MOST_INTERRUPTIONS = 10


class State(StrEnum):
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    CLAIMED = "claimed"
    RUNNING = "running"
    STALE = "stale"
    FREE = "free"


class Rule(StrEnum):
    """Which rule has decided. `open end` leaves it to an observer of the owner (`peers`)."""

    FINAL_THERE = "final there"
    UNTRIED = "untried"
    OPEN_END = "open end"
    PLANTED = "planted"
    FATAL = "fatal"
    USED_UP = "used up"
    INTERRUPTED_OFTEN = "interrupted often"
    SKIPPED = "skipped"
    RETRIED = "retried"
    ATTEMPTS_LEFT = "attempts left"


SETTLED = frozenset({State.DONE, State.FAILED, State.SKIPPED})
"""The states that nobody works on any more."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The state of an item and its highest attempt (0: none was made). `last` is how that attempt ended; `rule` what
    has decided, where that was decided from names."""

    state: State
    attempt: int = 0
    last: Ended | None = None
    rule: Rule | None = field(default=None, compare=False)


def needed_attempts(files: Files) -> list[int]:
    """The attempts whose ended-files must be read before `decide`: those after the last retry."""
    if files.done:
        return []
    return sorted(k for k in files.ended if k > files.last_retry)


def decide(files: Files, ended: Mapping[int, Ended], max_attempts: int) -> Finding:
    """The state by the names of one listing. `ended` holds the content of the attempts in `needed_attempts`, as far
    as they were found: a last end that is listed and not there was removed since, as those of finished items are, and
    whoever looks at the claim finds that out."""
    highest = files.highest
    if files.done:
        return Finding(State.DONE, highest, None, Rule.FINAL_THERE)
    if not highest:
        return Finding(State.FREE, 0, None, Rule.UNTRIED)
    if highest not in files.ended or (highest > files.last_retry and highest not in ended):
        return Finding(State.CLAIMED, highest, None, Rule.OPEN_END)
    last = ended.get(highest)
    if highest >= MOST_ATTEMPTS:  # nobody tries that often: these files were planted
        return Finding(State.FAILED, highest, last, Rule.PLANTED)
    if is_set_aside(ended, files.last_retry, max_attempts):
        return Finding(State.FAILED, highest, last, set_aside_by(ended, files.last_retry, max_attempts))
    if last is not None and last.outcome is Outcome.SKIPPED and highest > files.last_retry:
        return Finding(State.SKIPPED, highest, last, Rule.SKIPPED)
    rule = Rule.RETRIED if files.last_retry >= highest else Rule.ATTEMPTS_LEFT
    return Finding(State.FREE, highest, last, rule)


def is_set_aside(ended: Mapping[int, Ended], last_retry: int, max_attempts: int) -> bool:
    """Was the item tried as often as it may be? Only attempts after the last retry count."""
    return set_aside_by(ended, last_retry, max_attempts) is not None


def set_aside_by(ended: Mapping[int, Ended], last_retry: int, max_attempts: int) -> Rule | None:
    """The rule by which it is set aside."""
    outcomes = Counter(end.outcome for attempt, end in ended.items() if attempt > last_retry)
    if outcomes[Outcome.FATAL]:
        return Rule.FATAL
    if sum(outcomes[outcome] for outcome in COUNTED) >= max_attempts:
        return Rule.USED_UP
    return Rule.INTERRUPTED_OFTEN if outcomes[Outcome.INTERRUPTED] >= MOST_INTERRUPTIONS else None
