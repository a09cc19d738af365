"""The documented style: `create_temp_file`, the work writes the final in place, `delete_tempfile`.

What `delete_tempfile` means is decided here, because it is called alike after success and in `except:`. An exception is
being handled that was not at `create_temp_file`: the item is given back. Otherwise a final that is there is finished,
and without a final the item is given back. Whoever swallows the exception first cannot be told from success.
"""

import sys
import threading
from dataclasses import dataclass

from multiprocesstools.claims import direct
from multiprocesstools.claims.claim import Refusal
from multiprocesstools.claims.ended import Outcome
from multiprocesstools.claims.hands import Claim, How
from multiprocesstools.claims.identity import own_pid
from multiprocesstools.claims.slots import Slot, check_name
from multiprocesstools.crew.crew import Crew
from multiprocesstools.crew.member import Member
from multiprocesstools.errors import BadArgument, BadName, ClaimLost


@dataclass(frozen=True, slots=True)
class _Open:
    """A claim whose final is being written, and the exception that was handled when it was made."""

    claim: Claim
    member: Member
    handled: BaseException | None


class InPlace:
    """The placeholders of one helper."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._open: dict[str, _Open] = {}
        self._ended: set[str] = set()
        self.finished: list[str] = []

    def placeholders(self) -> list[str]:
        mine = own_pid()
        works = list(self._open.items())
        return [path for path, work in works if work.member.instance.pid == mine and not work.claim.given_up]

    def create(self, slot: Slot, temp_name: str) -> bool:
        """Claim a final and make its placeholder. False: not available."""
        placeholder = f"{slot.directory}/{check_name(temp_name)}"
        if temp_name == slot.name:
            raise BadName(temp_name, "the placeholder must have another name than the final")
        self._forget_given_up()
        if placeholder in self.placeholders():
            raise BadArgument("temp_file_name", temp_name, "this instance has that placeholder already")
        self._crew.guard.enter()
        begun = False
        try:
            self._crew.wait_out_pause()
            with self._crew.guard.critical:
                begun = self._begin(slot, placeholder)
        except BaseException:
            self._forget_given_up()
            raise
        finally:
            if not begun:
                self._crew.guard.leave()
        return begun

    def delete(self, placeholder: str) -> None:
        """Finish or give back, as the moment says. A second call for one placeholder changes nothing."""
        work = self._open.get(placeholder)
        if work is None or work.member.instance.pid != own_pid():
            if placeholder in self._ended:
                return
            raise BadArgument(
                "temp_file_name", placeholder, "this instance has made no such placeholder, or its cell is over"
            )
        failed = (error := sys.exception()) is not None and error is not work.handled
        try:
            with self._crew.guard.critical:
                del self._open[placeholder]
                self._ended.add(placeholder)
                self._end(work, failed)
        finally:
            self._crew.guard.leave()

    def _forget_given_up(self) -> None:
        """What a signal has taken away, and nobody came back to delete (a notebook cell that is run again)."""
        for placeholder, work in list(self._open.items()):
            if work.claim.given_up:
                del self._open[placeholder]
                self._ended.add(placeholder)
                work.member.instance.hands.leave(work.claim.slot)
                self._crew.guard.leave()

    def give_back(self) -> None:
        """Give back what this thread has begun and not ended: the cell of a notebook is over."""
        mine = own_pid(), threading.get_ident()
        for placeholder, work in list(self._open.items()):
            if (work.member.instance.pid, work.claim.thread) == mine:
                announced = work.claim.given_up
                try:
                    with self._crew.guard.critical:
                        del self._open[placeholder]
                        self._undo(work)
                    if not announced:
                        self._crew.say(f"{work.claim.name!r} was given back; another instance can take it")
                finally:
                    self._crew.guard.leave()

    def _begin(self, slot: Slot, placeholder: str) -> bool:
        member = self._crew.member()
        if direct.is_foreign(member.instance, placeholder):
            return self._refuse_foreign(placeholder)
        taken = self._crew.take_single(slot, how=How.IN_PLACE)
        if isinstance(taken, Refusal):
            return False
        member = self._crew.member()
        if not direct.begin(member.instance, taken, placeholder):
            member.journal.add("dropped", item=taken.name, attempt=taken.attempt)
            return self._refuse_foreign(placeholder)
        member.journal.add("placeholder", path=placeholder, item=taken.name, attempt=taken.attempt)
        member.journal.flush()  # the only trace that leads a sweep to the placeholder of a killed process
        self._ended.discard(placeholder)
        self._open[placeholder] = _Open(taken, member, sys.exception())
        return True

    def _refuse_foreign(self, placeholder: str) -> bool:
        self._crew.say(f"the placeholder {placeholder!r} belongs to another program; its item was left alone")
        return False

    def _end(self, work: _Open, failed: bool) -> None:
        claim, instance = work.claim, work.member.instance
        try:
            if not failed and instance.disk.look(claim.slot.final) is not None:
                direct.finish(instance, claim)
                self.finished.append(claim.slot.final)
                self._note(work, "done")
                return
        except ClaimLost:
            self._note(work, "lost")
            raise
        except OSError:
            self._undo(work)
            raise
        self._undo(work)

    def _undo(self, work: _Open) -> None:
        given_up = work.claim.given_up
        instance = work.member.instance
        direct.undo(instance, work.claim, instance.ended(Outcome.DROPPED, started=work.claim.started))
        if not given_up:
            self._note(work, "dropped")

    def _note(self, work: _Open, event: str) -> None:
        work.member.journal.add_end(event, work.claim.name, work.claim.attempt, work.claim.began)
