"""What a helper and its items share: the run, the membership, the signal guard, and the failures seen here.

Guarantee: a forked child never uses its parent's claims, descriptors or journal; with its first act it joins as an
instance of its own. An instance that was expelled (a forced sweep) joins anew in the same way.
"""

import signal
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from multiprocesstools.claims import chunk as chunks
from multiprocesstools.claims import claim as claims
from multiprocesstools.claims.assess import look_twice
from multiprocesstools.claims.bind import Expelled
from multiprocesstools.claims.claim import Refusal
from multiprocesstools.claims.ended import Outcome
from multiprocesstools.claims.hands import Claim, How
from multiprocesstools.claims.identity import own_pid
from multiprocesstools.claims.instance import Instance, Rules
from multiprocesstools.claims.peers import Sight
from multiprocesstools.claims.publish import discard
from multiprocesstools.claims.slots import Files, Slot
from multiprocesstools.claims.survey import Finding, State
from multiprocesstools.crew.member import Member
from multiprocesstools.crew.signals import Guard
from multiprocesstools.errors import HelperClosed, RunDirectoryUnusable
from multiprocesstools.run.directory import Run, unusable

if TYPE_CHECKING:
    from multiprocesstools.display.progress import Voice
    from multiprocesstools.items.failure import Failure

_MOST_FAILURES = 1000
_MOST_REJOINS = 3
_TICK_SECONDS = 0.1


class Crew:
    """One helper's part in a run. `cut_short`: the lists of which items were left for want of time, and why.
    `latest_member`: the membership as it is or was; `member` joins anew where that is needed."""

    def __init__(self, run: Run, name: str, rules: Rules, loggers: tuple[str, ...], voice: "Voice") -> None:
        self.run, self.name, self.rules = run, name, rules
        self.failures: deque[Failure] = deque(maxlen=_MOST_FAILURES)
        self._loggers, self._voice, self.say = loggers, voice, voice.say
        self._lock, self._pid = threading.RLock(), own_pid()
        self._closed = False
        self.cut_short: dict[str, str] = {}
        self.guard = Guard(self)
        self.latest_member = Member(run, name, rules, loggers, voice.say)
        _close_at_the_end_of_a_worker(self)

    def member(self) -> Member:
        """The current membership. HelperClosed after `close`."""
        if self._closed:
            raise HelperClosed(self.name)
        current = self.latest_member
        if current.instance.pid == own_pid() and not current.instance.expelled:
            return current
        return self._join_anew()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def stop_requested(self) -> bool:
        return self.latest_member.requests.stop_requested

    def ask_to_stop(self, asked: bool = True) -> None:
        """Have this instance behave as if it, and it alone, was asked to stop; or not any more."""
        self.latest_member.requests.stop_requested = asked

    def is_undisturbed(self) -> bool:
        """Has nobody asked for anything, neither through the run directory nor by a signal?"""
        requests = self.latest_member.requests
        return not (requests.stop_requested or requests.paused) and self.guard.signalled is None

    @property
    def paused(self) -> bool:
        """Is this instance to begin nothing new, for as long as it is not asked to stop?"""
        return self.latest_member.requests.paused and not self.latest_member.requests.stop_requested

    def wait_out_pause(self, is_over: Callable[[], bool] = lambda: False) -> None:
        """While the run is paused: wait until it goes on, or until this instance is asked to stop or gets a signal, or
        `is_over`.

        Not inside `guard.critical`, where signals would wait too. HelperClosed.
        """
        while self.member() is self.latest_member and self.paused and self.guard.signalled is None:
            if is_over():
                return
            self.run.clock.sleep(_TICK_SECONDS)

    def take(
        self, slot: Slot, files: Files | None = None, *, look: bool = True, how: How = How.STAGED
    ) -> Claim | Refusal:
        """`claims.take` by the current membership, joining anew when it was expelled. Call it with signals waiting."""
        return self.win(claims.attempt, slot, (files, look, how))

    def take_chunk(self, chunk: Slot) -> Claim | Refusal:
        """The same for a chunk."""
        return self.win(chunks.bind, chunk, None)

    def take_item(self, chunk: Claim, slot: Slot) -> Claim | Refusal:
        """The same for an item of a chunk that is held."""
        return self.win(chunks.begin, slot, chunk)

    def take_single(self, slot: Slot, *, how: How = How.STAGED) -> Claim | Refusal:
        """`take` for an item that may belong to a chunk: one that nobody has yet is let go of, item by item."""
        taken = self.take(slot, how=how)
        if not slot.chunk or not isinstance(taken, Refusal) or taken.state is not State.FREE:
            return taken
        chunk = self.take_chunk(slot.holder(1))
        if isinstance(chunk, Refusal):
            return chunk
        self.leave_chunk(chunk, done=False)
        return self.take(slot, how=how)

    def leave_chunk(self, chunk: Claim, *, done: bool) -> None:
        """Let go of a chunk, if it is still in hand."""
        if self.latest_member.instance.pid == own_pid():
            with self.guard.critical:
                chunks.leave_chunk(self.latest_member.instance, chunk, done=done)

    def win(self, take: Callable[[Instance, Slot, Any], Claim | Refusal], slot: Slot, how: Any) -> Claim | Refusal:
        """What `take`, `take_chunk` and `take_item` have in common."""
        rejoins = 0
        while rejoins < _MOST_REJOINS:
            member, taken = self.member(), None
            try:
                taken = claims.entered(member.instance, slot, take, how)
                return self._note_taken(member, taken) if isinstance(taken, Claim) else taken
            except Expelled:
                rejoins += 1
            except OSError as error:
                raise unusable(slot.directory, error) from error
            except BaseException:  # a signal that ends the work leaves nothing in hand that nobody will ever settle
                if isinstance(taken, Claim):
                    claims.end(member.instance, taken, member.instance.ended(Outcome.DROPPED, exception="interrupted"))
                raise
        raise RunDirectoryUnusable(self.run.directory, "the records of this instance are removed again and again")

    def _note_taken(self, member: Member, taken: Claim) -> Claim | Refusal:
        taken.name = self.run.relative(taken.final)
        if not taken.is_chunk:
            member.journal.see_to_claimed()
        if taken.given_up:  # a signal came meanwhile, and the user's handler returned
            member.instance.hands.leave(taken.slot)
            return Refusal(Finding(State.FREE, taken.attempt))
        return taken

    def assess(self, slot: Slot) -> Finding:
        """The state of an item, from fresh listings."""
        return look_twice(self.member().instance, slot)

    def end_if_over(self, slot: Slot, attempt: int) -> Refusal | Sight:
        """`claims.end_if_over`; a refusal also when that cannot be said now."""
        instance = self.member().instance
        if instance.hands.enter(slot):  # else this process works on it again, or owes its end
            try:
                return claims.end_if_over(instance, slot, attempt)
            except OSError:
                pass  # no room, no server: it is tried again
            finally:
                instance.hands.leave(slot)
        return Refusal(Finding(State.RUNNING, attempt))

    # -- when a signal comes, and at the end

    def interrupted(self, number: int) -> None:
        """Note the signal in the journal."""
        if self.latest_member.instance.pid == own_pid():
            self.latest_member.journal.add("interrupted", signal=signal.Signals(number).name)

    def give_up_all(self, *, in_place: bool = True) -> None:
        """Declare what is held dropped, at once; the work on it may still go on.

        What is being written in place cannot be dropped while the work goes on, because nobody could tell then whether
        the final is complete: `in_place=False` leaves it alone, and so is always what other threads write.
        """
        member = self.latest_member
        if member.instance.pid != own_pid():
            return
        for claim in member.instance.hands.in_work():
            if not claim.given_up and (in_place or not claim.signed) and not _is_written_elsewhere(claim):
                self._give_up(member, claim)
        member.journal.flush()

    def _give_up(self, member: Member, claim: Claim) -> None:
        instance = member.instance
        try:
            claims.give_up(instance, claim, instance.ended(Outcome.DROPPED, started=claim.started))
        except OSError:
            return  # no server: others will see the silence
        if claim.given_up and not claim.is_chunk:
            name = claim.name or member.item_name(claim.slot)
            member.journal.add_end("dropped", name, claim.attempt, claim.began or instance.clock.elapsed())
            self.say(f"{name!r} was given back; another instance can take it")

    def close(self) -> None:
        """End the membership. What a forked child inherited is only let go."""
        if self.latest_member.instance.pid != own_pid():
            self._closed = True  # without the lock, which a thread of the parent may have held at the fork
            self.latest_member.forsake()
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
        with self.guard.critical:
            try:
                self.give_up_all()
                for claim in self.latest_member.instance.hands.in_work():
                    if not _is_written_elsewhere(claim):
                        self._let_go(claim)
            finally:
                self.latest_member.leave()

    def _let_go(self, claim: Claim) -> None:
        """Nobody will settle this attempt: remove what it has written."""
        instance = self.latest_member.instance
        for path in claim.private:
            discard(instance, path)
        instance.hands.leave(claim.slot)

    def die(self) -> None:
        """The process is about to be killed by a signal."""
        self._voice.close()
        try:
            self.close()
        except OSError:
            return  # nothing more can be done; the process is proved gone in a moment

    def _join_anew(self) -> Member:
        if self._pid != own_pid():  # a thread of the parent may have held the lock at the fork
            self._lock, self._pid = threading.RLock(), own_pid()
            self.guard = Guard(self)
        with self._lock:
            old = self.latest_member
            if old.instance.pid == own_pid() and not old.instance.expelled:
                return old
            old.leave() if old.instance.pid == own_pid() else old.forsake()
            try:
                self.latest_member = Member(self.run, self.name, self.rules, self._loggers, self.say)
            except FileNotFoundError as error:
                raise RunDirectoryUnusable(self.run.directory, "it is not there any more") from error
            self.latest_member.succeed(old)
            _close_at_the_end_of_a_worker(self)
            return self.latest_member


def _close_at_the_end_of_a_worker(crew: Crew) -> None:
    """Processes of multiprocessing end without the handlers of atexit; they have finalizers of their own."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, close_if_alive, (weakref.ref(crew),), exitpriority=1)


def close_if_alive(reference: "weakref.ref[Crew]") -> None:
    """At the end of the process."""
    crew = reference()
    if crew is not None:
        crew.close()


def _is_written_elsewhere(claim: Claim) -> bool:
    """Is another thread, which no signal reaches, writing the final in place?"""
    return claim.signed and claim.thread not in (threading.get_ident(), threading.main_thread().ident)
