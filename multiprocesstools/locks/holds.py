"""What the threads of one helper hold of locks and limits: taking it, waiting for it, giving it back.

    free --acquire--> held --release--> free
                        --the end of the helper--> free
                        --silent for patience, or swept by force--> lost (somebody else may have it)

Guarantee: those who wait look at growing intervals, at most every 2 s, and at once when a process of this machine that
holds it is gone. Condition: that of `claims.tokens`. A forked child holds nothing of what its parent holds.
"""

import itertools
import os
import random
import threading
import time
from dataclasses import dataclass
from typing import NamedTuple

from multiprocesstools.claims import identity
from multiprocesstools.claims.disk import Disk
from multiprocesstools.claims.identity import Identity
from multiprocesstools.claims.peers import Verdict
from multiprocesstools.claims.tokens import Busy, Purse, Token
from multiprocesstools.crew.crew import Crew
from multiprocesstools.crew.member import Member
from multiprocesstools.display.text import duration, printable
from multiprocesstools.errors import AlreadyHeld, LimitDiffers, LockTimeout, RunDirectoryUnusable, StopRequested
from multiprocesstools.run.directory import unusable

_FIRST_SECONDS, _LONGEST_SECONDS, _GLANCE_SECONDS = 0.02, 2.0, 0.05
_SHARE_OF_THE_WAIT = 0.1
_STIR_SECONDS = 5.0
_MOST_FRUITLESS = 50


class Place(NamedTuple):
    """What is locked: the directory of its tokens, how many there are, and how it is called in messages."""

    directory: str
    size: int
    name: str
    title: str


@dataclass(eq=False, slots=True)
class Hold:
    """One token in the hands of one thread."""

    place: Place
    token: Token
    purse: Purse
    member: Member
    lost: bool = False


class Holds:
    """All that the threads of one helper hold."""

    def __init__(self, crew: Crew) -> None:
        self._crew, self.home = crew, crew.run.home
        self._begin()

    def _begin(self) -> None:
        self._pid, self._serials, self._mutex = os.getpid(), itertools.count(1), threading.RLock()
        self._holds: dict[tuple[str, threading.Thread], Hold] = {}
        self._owed: list[Hold] = []
        self._purse: Purse | None = None
        self._given_back = 0

    def find(self, place: Place) -> Hold | None:
        """What the calling thread holds of it."""
        return self._holds.get((place.directory, threading.current_thread())) if self._pid == os.getpid() else None

    # -- take

    def acquire(self, place: Place, timeout: float | None) -> None:
        """Wait for a token. See `locks.Lock.acquire`."""
        if self._pid != os.getpid():
            self._begin()
        if self.find(place) is not None:
            raise AlreadyHeld(place.title)
        self._crew.guard.enter()
        try:
            self._wait(place, timeout)
        except BaseException:
            if not self.drop(place):
                self._crew.guard.leave()
            raise

    def _wait(self, place: Place, timeout: float | None) -> None:
        began = stirred = time.monotonic()
        fruitless = 0
        while (busy := self._try(place)) is not None:
            now = time.monotonic()
            if self._crew.stop_requested or self._crew.guard.signalled is not None:
                raise StopRequested(place.title)
            left = float("inf") if timeout is None else began + timeout - now
            if left <= 0:
                raise LockTimeout(place.title, timeout or 0.0, _words(busy))
            fruitless = 0 if busy.holders else fruitless + 1
            if fruitless > _MOST_FRUITLESS:
                reason = "its files are incomplete: let nothing run, and remove this directory"
                raise RunDirectoryUnusable(place.directory, reason)
            if now - stirred > _STIR_SECONDS:
                stirred = self._stir(place)
            self._pause(min(left, _pause_seconds(now - began, self._crew.rules.beat_seconds)), busy)

    def _try(self, place: Place) -> Busy | None:
        """One try. None: it is held now."""
        with self._crew.guard.critical:
            member = self._crew.member()
            with self._mutex:
                purse = self._purse_of(member)
            try:
                member.instance.ensure_fresh()
                taken = purse.try_to_take(place.directory, place.size)
            except OSError as error:
                raise unusable(place.directory, error) from error
            if isinstance(taken, Token):
                self._holds[place.directory, threading.current_thread()] = Hold(place, taken, purse, member)
                return None
        if taken.size not in (0, place.size) and taken.holders and not all(token.idle for token, _ in taken.holders):
            raise LimitDiffers(place.name, place.size, taken.size, _words(taken))
        return taken

    def _purse_of(self, member: Member) -> Purse:
        """The one purse of this membership, whose heart tends what is in it from now on."""
        if self._purse is None or self._purse.me is not member.instance:
            for kind in ("locks", "limits"):
                if os.path.islink(f"{self._crew.run.home}/{kind}"):
                    raise RunDirectoryUnusable(f"{self._crew.run.home}/{kind}", "it is a symbolic link")
            self._purse = Purse(member.instance, self._serials.__next__)
            if self._tend not in member.at_beat:
                member.at_beat.append(self._tend)
            member.at_leave.append(self._give_all_back)
        return self._purse

    def _stir(self, place: Place) -> float:
        """A change within one tick of the server's clock may go unnoticed by an NFS client for ever: make it ask."""
        try:
            self._crew.member().instance.stir(place.directory)
        except OSError:
            pass  # the next try says what is wrong
        return time.monotonic()

    def _pause(self, seconds: float, busy: Busy) -> None:
        """Wait, not longer than until a thread of this helper gives something back or a holder here is gone."""
        end, given_back = time.monotonic() + seconds, self._given_back
        here = [verdict.owner.identity for _, verdict in busy.holders if verdict.owner is not None]
        here = list(filter(identity.shares_processes, here))
        while (left := end - time.monotonic()) > 0:
            self._crew.run.clock.sleep(min(left, _GLANCE_SECONDS))
            if self._given_back != given_back or self._crew.stop_requested or any(map(identity.is_gone, here)):
                return

    # -- give back

    def drop(self, place: Place) -> bool:
        """Give back what the calling thread holds. False: nothing; a forked child holds nothing of its parent's."""
        if self.find(place) is None:
            return False
        with self._crew.guard.critical:
            self._give_back(self._holds.pop((place.directory, threading.current_thread())))
        self._crew.guard.leave()
        return True

    @property
    def over(self) -> bool:
        """Has the helper ended, which has given back everything, or is this a forked child?"""
        return self._crew.closed or self._pid != os.getpid()

    def _give_back(self, hold: Hold, disk: Disk | None = None) -> None:
        """What cannot be given back now, because the server does not answer, is tried again at each beat."""
        try:
            given = hold.purse.give_back(hold.place.directory, hold.token, disk)
        except OSError:
            self._owed.append(hold)
            return
        self._given_back += 1
        if not given:
            self._lose(hold)

    def _give_all_back(self) -> None:
        """The end of a membership, without waiting for a server that does not answer. Expelled, work may go on."""
        holds = dict(self._holds)
        for hold in [*holds.values(), *self._owed]:
            self._give_back(hold, hold.purse.me.disk.disk)
        self._owed.clear()
        for (directory, thread), hold in holds.items():
            if not self._crew.closed:
                self._lose(hold)
            elif self._holds.pop((directory, thread), None) and thread is threading.main_thread():
                self._crew.guard.leave()

    # -- at each beat

    def _tend(self) -> None:
        owed, self._owed = self._owed, []
        for hold in owed:
            self._give_back(hold)
        for hold in list(self._holds.values()):
            if not hold.lost and not self._is_listed(hold):
                self._lose(hold)

    def _is_listed(self, hold: Hold) -> bool:
        """Is the token still in these hands, by a fresh listing? It may be given back meanwhile."""
        listed = hold.purse.me.disk.disk.list(hold.place.directory)
        return any(entry.name == hold.token.name for entry in listed) or hold not in self._holds.values()

    def _lose(self, hold: Hold) -> None:
        if hold.lost:
            return
        hold.lost = True
        hold.member.journal.add("lock lost", lock=hold.place.name)
        text = f"{hold.place.title} was taken over from this process, which gave no sign of life for too long"
        hold.member.log.warn(text)
        self._crew.say(text)


def _pause_seconds(waited: float, beat_seconds: float) -> float:
    """A tenth of the time that was waited, so that few ask often and many seldom; twice a beat, because silence is
    counted in rounds that follow each other."""
    longest = min(_LONGEST_SECONDS, beat_seconds / 2)
    return min(longest, max(_FIRST_SECONDS, _SHARE_OF_THE_WAIT * waited)) * random.uniform(0.75, 1.25)


def _words(busy: Busy) -> list[str]:
    """Who holds the tokens, and since when."""
    return [_holder(token, verdict) for token, verdict in busy.holders]


def _holder(token: Token, verdict: Verdict) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(token.since))
    who = f"{printable(token.holder)}{_place(verdict.owner.identity) if verdict.owner else ''}"
    silent = f", silent for {duration(verdict.silent_seconds)}" if verdict.silent_seconds > 0 else ""
    return f"{who} since {since} by its clock{silent}"


def _place(who: Identity) -> str:
    return f" (process {who.pid} on {printable(who.host)})"
