"""What a helper and its items share: the run, the membership, the signal guard, and the failures seen here.

Guarantee: a forked child never uses its parent's claims, descriptors or journal; with its first act it joins as an
instance of its own. An instance that was expelled (a forced sweep) joins anew in the same way.
"""

import os
import threading
import traceback as tracebacks
from collections import deque
from dataclasses import dataclass

from multiprocesstools.claims import claim as claims
from multiprocesstools.claims import direct
from multiprocesstools.claims.claim import Expelled, Refusal
from multiprocesstools.claims.ended import Outcome
from multiprocesstools.claims.hands import Claim
from multiprocesstools.claims.instance import Rules
from multiprocesstools.claims.publish import discard
from multiprocesstools.claims.slots import Files, Slot
from multiprocesstools.claims.survey import Finding
from multiprocesstools.errors import HelperClosed, RunDirectoryUnusable
from multiprocesstools.member import Member
from multiprocesstools.progress import Voice
from multiprocesstools.run import Run
from multiprocesstools.signals import Guard

_MOST_FAILURES = 1000
_MOST_REJOINS = 3


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt of this instance: the final relative to the run directory, and what was raised."""

    item: str
    attempt: int
    exception: str
    traceback: str


class Crew:
    """One helper's part in a run."""

    def __init__(self, run: Run, name: str, rules: Rules, loggers: tuple[str, ...], voice: Voice) -> None:
        self.run, self.name, self.rules = run, name, rules
        self.failures: deque[Failure] = deque(maxlen=_MOST_FAILURES)
        self._loggers, self._voice, self.say = loggers, voice, voice.say
        self._lock, self._pid = threading.RLock(), os.getpid()
        self._closed = False
        self.guard = Guard(self.give_up_all, self._die)
        self._member = Member(run, name, rules, loggers, voice.say)

    def member(self) -> Member:
        """The current membership. HelperClosed after `close`."""
        if self._closed:
            raise HelperClosed(self.name)
        current = self._member
        if current.instance.pid == os.getpid() and not current.instance.expelled:
            return current
        return self._join_anew()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def latest_member(self) -> Member:
        """The membership as it is or was, without joining."""
        return self._member

    @property
    def stop_requested(self) -> bool:
        return self._member.stop_requested

    def take(
        self, slot: Slot, files: Files | None = None, *, look: bool = True, in_place: bool = False
    ) -> Claim | Refusal:
        """`claims.take` by the current membership, joining anew when it was expelled."""
        for _ in range(_MOST_REJOINS):
            member = self.member()
            try:
                taken = claims.take(member.instance, slot, files, look=look, in_place=in_place)
            except Expelled:
                continue
            if isinstance(taken, Claim):
                member.journal.add("claimed", item=member.item_name(slot), attempt=taken.attempt)
            return taken
        raise HelperClosed(self.name)

    def assess(self, slot: Slot) -> Finding:
        """The state of an item, from a fresh listing."""
        instance = self.member().instance
        return claims.assess(instance, slot, instance.look(slot))

    def give_up_all(self) -> None:
        """Declare all that is held dropped, at once; the work on it may still go on."""
        member = self._member
        if member.instance.pid != os.getpid():
            return
        for claim in member.instance.hands.claims():
            try:
                if claim.signed:
                    direct.retract(member.instance, claim)
                claims.give_up(member.instance, claim, member.instance.ended(Outcome.DROPPED, started=claim.started))
            except OSError:
                continue  # no server: others will see the silence
            member.journal.add("dropped", item=member.item_name(claim.slot), attempt=claim.attempt)
        member.journal.flush()

    def close(self) -> None:
        """End the membership. What a forked child inherited is only let go."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._member.instance.pid != os.getpid():
            self._member.forsake()
            return
        with self.guard.critical():
            self.give_up_all()
            for claim in self._member.instance.hands.claims():
                self._member.instance.hands.leave(claim.slot)
            self._member.leave()

    def _die(self) -> None:
        """The process is about to be killed by a signal."""
        self._voice.close()
        instance = self._member.instance
        try:
            if instance.pid == os.getpid():
                for claim in instance.hands.claims():
                    for path in claim.private:
                        discard(instance, path)
            self.close()
        except OSError:
            return  # nothing more can be done; the process is proved gone in a moment

    def _join_anew(self) -> Member:
        if self._pid != os.getpid():  # a thread of the parent may have held the lock at the fork
            self._lock, self._pid = threading.RLock(), os.getpid()
            self.guard = Guard(self.give_up_all, self._die)
        with self._lock:
            old = self._member
            if old.instance.pid == os.getpid() and not old.instance.expelled:
                return old
            old.leave() if old.instance.pid == os.getpid() else old.forsake()
            try:
                self._member = Member(self.run, self.name, self.rules, self._loggers, self.say)
            except FileNotFoundError as error:
                raise RunDirectoryUnusable(self.run.directory, "it is not there any more") from error
            return self._member


def failure_of(item: str, attempt: int, error: BaseException) -> Failure:
    """What is kept of an exception, however badly it behaves when it is printed."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception as second:
        text = f"{type(error).__name__} (which cannot be printed: {type(second).__name__})"
    try:
        trace = "".join(tracebacks.format_exception(error))
    except Exception as second:
        trace = f"{text}\n(its traceback cannot be printed: {type(second).__name__})\n"
    return Failure(item, attempt, text, trace)
