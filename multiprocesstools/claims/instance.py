"""One process taking part in a run: its record, its beat, and what it has in its hands.

States: joined -> (overdue <-> joined) -> expelled | left. *Overdue*: no beat reached the disk for patience - 1.5 beats,
so others may take over what it holds; it starts nothing new until a beat was written and its items were looked at.
*Expelled*: its record was removed by a forced sweep; all that it holds counts as lost, and it must join anew.

Guarantee: the name of a record is bound once, and a claim of this instance is a hard link to the record (a copy where
the record cannot be linked), so one beat refreshes all. Condition: the instance is used by the process that joined.
"""

import errno
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial

from multiprocesstools.claims import ended as ended_files
from multiprocesstools.claims import identity, record, slots
from multiprocesstools.claims.disk import ABSENT, Disk, Kept
from multiprocesstools.claims.ended import Ended, Outcome
from multiprocesstools.claims.hands import Claim, Hands
from multiprocesstools.claims.identity import Identity
from multiprocesstools.claims.noted import Marks, Names, Noted
from multiprocesstools.claims.pace import Beats
from multiprocesstools.claims.peers import Peers
from multiprocesstools.claims.record import Beat, Record
from multiprocesstools.claims.slots import Files, Listing, Slot
from multiprocesstools.claims.steady import SteadyDisk
from multiprocesstools.claims.whole import create_whole
from multiprocesstools.clock import Clock

_LOOK_EVERY_BEATS = 8
_CLOSE_SECONDS = 5.0

Notice = Callable[..., None]
"""Told of events: notice(event, slot, attempt, **facts). See `journal` for the events."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What all instances of a run agree on, and what this one chose for itself (durable, publish, heartbeat)."""

    beat_seconds: float = 20.0
    patience_seconds: float = 300.0
    max_attempts: int = 3
    durable: bool = True
    publish: str = "link"
    heartbeat: str = "thread"


def ignore_notice(event: str, slot: Slot | None = None, attempt: int = 0, **facts: object) -> None:
    """The notice of an instance that nobody listens to."""


class Instance:
    """A member of a run. Make it with `join`."""

    def __init__(
        self, disk: Disk, clock: Clock, instances: str, own: Record, rules: Rules, *,
        notice: Notice = ignore_notice, is_gone: Callable[[Identity], bool] = identity.is_gone,
        is_here: Callable[[Identity], bool] = identity.lives_here,
        writes_in_place: Callable[[str], bool] = lambda directory: True,
    ) -> None:  # fmt: skip
        """`instances` is the directory of the records, where `join` writes `own`. `writes_in_place` tells, from what is
        on the disk at the time of the call, whether somebody may write finals of a directory in place."""
        self.disk = SteadyDisk(disk, clock, rules.patience_seconds)
        self.clock, self.rules, self.notice = clock, rules, notice
        self.record, self.pid, self.is_here = own, identity.own_pid(), is_here
        self.writes_in_place = writes_in_place
        self.path = f"{instances}/{own.file_name}"
        self.hands = Hands()
        self.expelled = False
        self.copies: set[str] = set()
        self.started = clock.elapsed()
        self.beats = Beats(clock, rules.patience_seconds - 1.5 * rules.beat_seconds, self._warn_of_loss)
        self._instances = instances
        self._serial = itertools.count(1)
        self._encoded = record.encode(own)
        self.beat_offset = record.beat_offset(self._encoded)
        self._kept: Kept | None = None
        self._keeping = threading.Lock()  # a closed descriptor may be another file's by the time of a late beat
        self._must_look, self._sought, self.inode = False, 0, 0
        self.peers = Peers(
            self.disk, clock, instances, own.id, beat_seconds=rules.beat_seconds,
            patience_seconds=rules.patience_seconds, is_gone=is_gone, own_beat=lambda: self.beats.latest,
        )  # fmt: skip

    def join(self) -> "Instance":
        """Write the record. FileExistsError when its name is taken."""
        if not create_whole(self.disk, self.path, self._encoded, lambda: self.private(self._instances)):
            raise FileExistsError(self.path)
        self._kept = self.disk.keep(self.path)
        self.inode = self._kept.inode
        self.beat()
        return self

    # -- signs of life

    def beat(self) -> bool:
        """Write one beat. False: it did not reach the disk."""
        with self._keeping:
            if self._kept is None:
                return False
            began = self.clock.elapsed()
            try:
                beat = Beat(self.beats.count + 1, int(began - self.started))
                self._kept.write(self.beat_offset, beat.encode())
            except OSError as error:
                if error.errno in ABSENT:  # NFS: another client has removed the record
                    self._look_for_record()
                return False
        self.beats.note(began, self.clock.elapsed())
        self._look_for_record_if_due()
        return True

    def overdue(self) -> bool:
        """Could this instance not beat for so long that others may take over what it holds?"""
        return self.beats.overdue()

    def notice_silence(self) -> bool:
        """Is it overdue? Then it is said, once, of everything in hand."""
        if overdue := self.beats.overdue():
            self._warn_of_loss()
        return overdue

    def tend(self) -> None:
        """What has to be done at each beat: warn, beat, look at what is in hand, write what could not be written."""
        self.notice_silence()
        if self.beats.come_from_elsewhere:
            self._look_for_record_if_due()
        elif not self.beat():
            return
        try:
            if self._must_look:
                self.look_at_hands(self.disk.disk)
            for claim, end in self.hands.owed():
                self.pay(claim, end, self.disk.disk)
        except OSError:
            return  # the next beat tries again

    def ensure_fresh(self) -> None:
        """Before anything new: an overdue instance beats first and looks at what it holds. OSError if it cannot."""
        if self.beats.overdue():
            self._beat_again()
        if self._must_look:
            self.look_at_hands(self.disk)

    def _beat_again(self) -> None:
        self._warn_of_loss()
        end = self.clock.elapsed() + self.rules.patience_seconds
        while not ((arrived := self.beat()) and not self.overdue()) and not self.expelled:
            if not arrived and self.clock.elapsed() >= end:  # one that hung until now says that the server is back
                silent = self.clock.elapsed() - self.beats.latest
                raise OSError(errno.ETIMEDOUT, f"no beat could be written for {silent:.0f} s", self.path)
            self.clock.sleep(min(1.0, self.rules.beat_seconds))

    def look_at_hands(self, disk: Disk) -> None:
        """Mark as lost what others have taken over; of a chunk nothing says so, so that it counts as lost."""
        for claim in self.hands.claims():
            if claim.lost or claim.given_up:
                continue
            if claim.is_chunk:
                claim.lost = True
            elif was_taken_over(self.look(claim.slot, disk), claim.attempt) and not claim.publishing:
                self._lose(claim)  # publishing, asked after the look: the final that it saw may be our own
        self._must_look = False

    # -- what claims are made of

    def listing(
        self, directory: str, disk: Disk | None = None, names: Callable[[bool], Noted] = lambda inodes: Names()
    ) -> Listing:
        """Read a directory; on NFS this renews what the client remembers of it.

        A listing is not atomic: it may show a final and miss the sign that was made just before it, or removed just
        after the half-written final was moved aside. See `slots.read_settled` for what is done where finals are
        written in place. `names` makes what notes the finals, with their inodes if it is told so.
        """
        disk = disk or self.disk

        def read(inodes: bool) -> Listing:
            return disk.scan(directory, lambda entries: slots.read_listing(directory, entries, names(inodes)))

        listing = read(False)
        if self.writes_in_place(directory):
            listing = slots.read_settled(listing, lambda: read(True))
        return listing

    def look(self, slot: Slot, disk: Disk | None = None) -> Files:
        """The files of one item, from a fresh listing of its directory."""
        return self.listing(slot.directory, disk, lambda _: Marks({slot.name: 0})).of(slot)

    def stir(self, directory: str) -> None:
        """Change a directory, so that this client asks the server when it lists it next."""
        path = self.private(directory)
        try:
            self.disk.create(path, b"")
        finally:  # whatever interrupts it: without the record of this instance nobody would know whose it is
            self.disk.unlink(path)

    @cached_property
    def copy(self) -> bytes:
        """The record as a claim holds it where it cannot be linked."""
        return record.encode(replace(self.record, beat=None))

    def private(self, directory: str) -> str:
        """A new name for a file that is about to become another one."""
        return slots.private(directory, f"{self.record.id}-e{next(self._serial)}")

    def staging(self, claim: Claim, kind: str = "") -> str:
        """Where an attempt writes; its private directory is of the kind "folder-"."""
        return claim.slot.staging(f"{self.record.id}-{kind}{claim.attempt}")

    # -- the end of attempts

    def ended(self, outcome: Outcome, *, exception: str = "", traceback: str = "", started: float = 0.0) -> Ended:
        """An end as this instance writes it down."""
        who, ended = self.record.identity, self.clock.wall()
        return Ended(outcome, exception, traceback, who.host, who.pid, started, ended, self.record.id)

    def write_ended(self, slot: Slot, attempt: int, end: Ended, disk: Disk | None = None) -> bool:
        """Create X_k. False: one that is there already, which is fine. OSError when there is no room."""
        data, private = ended_files.encode(end), partial(self.private, slot.directory)
        return create_whole(disk or self.disk, slot.ended(attempt), data, private, durable=self.rules.durable)

    def pay(self, claim: Claim, end: Ended, disk: Disk | None = None) -> None:
        """Write the end of an attempt that was left; keep the item in hand and owe the file when that fails."""
        try:
            if claim.retract is not None:
                claim.retract(disk or self.disk)
                claim.retract = None
            self.write_ended(claim.slot, claim.attempt, end, disk)
        except OSError as error:
            if error.errno in ABSENT and self._is_gone(claim.slot.directory):
                self.hands.leave(claim.slot)  # the claim has gone with it
            else:
                self.hands.owe(claim, end)
        else:
            self.hands.leave(claim.slot)

    def _is_gone(self, directory: str) -> bool:
        try:
            return self.disk.disk.look(directory) is None
        except OSError:
            return False

    # -- leaving

    def leave(self) -> None:
        """End the membership. A record that still vouches for a claim stays, so that others can judge its owner."""
        for claim, end in self.hands.owed():
            self.pay(claim, end)
        if self._stop_keeping() and not self.expelled and not self.hands.owed() and not self.hands.claims():
            try:
                self.disk.disk.unlink(self.path)
            except OSError:
                pass  # the directory is gone or read-only; a sweep removes the record of a process that is gone

    def _stop_keeping(self) -> bool:
        if not self._keeping.acquire(timeout=_CLOSE_SECONDS):
            return False  # a beat hangs on a server that does not answer: the descriptor stays open
        try:
            kept, self._kept = self._kept, None
        finally:
            self._keeping.release()
        if kept is not None:
            kept.close()
        return kept is not None

    def _look_for_record_if_due(self) -> None:
        if self.beats.count - self._sought >= _LOOK_EVERY_BEATS:
            self._look_for_record()

    def _look_for_record(self) -> None:
        try:
            here = self._kept is None or self._kept.is_listed()
        except OSError:
            return
        self._sought = self.beats.count
        if not here:
            self.expelled = True
            for claim in self.hands.claims():
                self._lose(claim)

    def _lose(self, claim: Claim) -> None:
        claim.lost = True
        self.notice("lost", claim.slot, claim.attempt)

    def _warn_of_loss(self) -> None:
        if self.beats.warned:
            return
        self.beats.warned = self._must_look = True
        for claim in self.hands.claims():
            self.notice("overdue", claim.slot, claim.attempt, silent_seconds=self.clock.elapsed() - self.beats.latest)


def was_taken_over(files: Files, attempt: int) -> bool:
    """Do the names say that attempt `attempt` is no longer the one that counts?"""
    return attempt in files.ended or files.highest > attempt or files.done
