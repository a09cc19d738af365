"""Somebody who looks at a run without taking part: an instance without record, beat or claims.

Guarantee: it changes nothing. Condition: only what looks is called with it; and for want of a beat of its own it cannot
tell the silence of others from its own trouble, so whoever judges by silence says what was seen, and not more.
"""

from multiprocesstools.claims import identity
from multiprocesstools.claims.instance import Instance, Rules
from multiprocesstools.claims.record import Record
from multiprocesstools.plans.plans import Plans
from multiprocesstools.run.directory import Run, new_id
from multiprocesstools.run.settings import Settings


def onlooker(run: Run, name: str) -> Instance:
    """An instance that never joins."""
    settings = run.settings() or Settings()
    rules = Rules(settings.beat_seconds, settings.patience_seconds, settings.max_attempts)
    own = Record(new_id(), name, 0, identity.current(), run.clock.wall())
    return Instance(run.raw, run.clock, run.instances, own, rules, writes_in_place=Plans(run).writes_in_place)
