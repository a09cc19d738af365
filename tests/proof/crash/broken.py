"""Packages that are broken on purpose, to see that the detectors of the crash points work."""

import importlib
import os
from collections.abc import Callable
from typing import Any

from multiprocesstools.claims import claim, ended, identity, publish, sweep
from multiprocesstools.claims.disk import PASSING
from multiprocesstools.claims.hands import Claim
from multiprocesstools.claims.publish import Published
from multiprocesstools.claims.slots import Files
from multiprocesstools.claims.steady import SteadyDisk


def publish_by_copying() -> None:
    """The final is written in place, so that a crash leaves a part of it."""

    def copy(me: Any, staging: str, final: str) -> Published:
        source, target = os.open(staging, os.O_RDONLY), os.open(final, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        while part := os.read(source, 100):
            os.write(target, part)
        os.close(source), os.close(target)
        return Published.MINE

    publish._publish_one = copy


def publish_by_replacing_what_is_not_looked_at() -> None:
    """Whoever finds an item claimed by a dead owner works on it, and renames its result over the one that is there."""

    def replace(me: Any, staging: str, final: str) -> Published:
        os.rename(staging, final)
        return Published.MINE

    def hold(me: Any, won: Claim, *how: Any, **more: Any) -> Claim:
        return me.hands.hold(won)

    publish._publish_one = replace
    claim.under_claim = hold  # type: ignore[assignment]
    Files.done = property(lambda self: self.final and not self.highest)  # type: ignore[assignment,method-assign]


def forget_the_dead() -> None:
    """Nobody is ever taken for gone, so what a killed process held is lost for a long time."""
    identity.is_gone.__code__ = (lambda other: False).__code__  # wherever it was imported to


def sweep_nothing() -> None:
    sweep._Pass._remove = lambda self, path: None  # type: ignore[method-assign]


def say_that_all_is_well() -> None:
    module = importlib.import_module("multiprocesstools.cli.status")  # the package gives the command that name
    module.exit_code = lambda snapshot: 0  # type: ignore[attr-defined]


def wait_for_ever() -> None:
    """An error that passes is waited out in a way that never ends."""

    def again(self: SteadyDisk, error: OSError, verb: Any) -> Any:
        while error.errno in PASSING:
            self._clock.sleep(1)
        raise error

    SteadyDisk._again = again  # type: ignore[method-assign]


def give_a_wrong_reason() -> None:
    """An item is set aside for another reason than the true one."""
    real = ended.encode
    ended.encode = lambda end: real(end).replace(b"fails", b"is too large")


BROKEN: dict[str, Callable[[], None]] = {
    broken.__name__.replace("_", " "): broken
    for broken in (
        publish_by_copying, publish_by_replacing_what_is_not_looked_at, forget_the_dead, sweep_nothing,
        say_that_all_is_well, wait_for_ever, give_a_wrong_reason,
    )
}  # fmt: skip
