"""What one loop knows of its items: one state per item, learnt from listings, from refusals and from its own work.

States: open (never tried, as far as is known) -> tried -> done | failed | skipped; dropped is what this instance itself
gave back and does not want again.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from multiprocesstools.claims import identity
from multiprocesstools.claims.claim import Refusal
from multiprocesstools.claims.disk import Entry
from multiprocesstools.claims.ended import Outcome
from multiprocesstools.claims.record import Record
from multiprocesstools.claims.slots import Files, Listing, Slot
from multiprocesstools.claims.survey import Finding, State
from multiprocesstools.errors import FinalOfAnotherKind
from multiprocesstools.finals import WorkList
from multiprocesstools.order import OPEN
from multiprocesstools.progress import Tally

TRIED, DONE, FAILED, SKIPPED, DROPPED = range(OPEN + 1, OPEN + 6)
SETTLED = {State.DONE: DONE, State.FAILED: FAILED, State.SKIPPED: SKIPPED}
UNSETTLED = (OPEN, TRIED, DROPPED)
_OLD_SECONDS = 1.0

Assess = Callable[[Slot, Files], Finding]
List = Callable[[str], Listing]


@dataclass(slots=True)
class _Owner:
    """Who was seen to have an item, and when."""

    record: Record | None
    judged: float


class Board:
    """The items of one loop. `lister` and `assess` ask the disk."""

    def __init__(self, work: WorkList, lister: List, assess: Assess, beat_seconds: float) -> None:
        self.states = bytearray(len(work))
        self.running = self.here = 0
        self.directories: dict[str, dict[str, int]] = {}
        for index, final in enumerate(work.finals):
            directory, _, name = final.rpartition("/")
            self.directories.setdefault(directory, {})[name] = index
        self._work, self._lister, self._assess, self._beat_seconds = work, lister, assess, beat_seconds
        self._findings: dict[int, tuple[tuple[object, ...], Finding]] = {}
        self._owners: dict[int, _Owner] = {}
        self._suspected: dict[int, Finding] = {}
        self._began = time.monotonic()

    def slot(self, index: int) -> Slot:
        directory, _, name = self._work.finals[index].rpartition("/")
        return Slot(directory, name)

    # -- learning

    def read(self, directory: str) -> Listing:
        """List a directory and learn what is done and what was tried."""
        listing = self._lister(directory)
        self.learn(listing)
        return listing

    def learn(self, listing: Listing) -> None:
        names, states = self.directories[listing.directory], self.states
        for name in names.keys() & listing.names.keys():
            if states[names[name]] in UNSETTLED and listing.is_done(name):
                states[names[name]] = DONE
        for _, index in self.tried(listing):
            if states[index] == OPEN:
                states[index] = TRIED

    def tried(self, listing: Listing) -> list[tuple[str, int]]:
        """The items of a listing that have files of the protocol and are not done."""
        mine = self.directories[listing.directory]
        return [(name, mine[name]) for name, files in listing.items.items() if name in mine and not files.done]

    def find(self, index: int, slot: Slot, files: Files) -> Finding:
        """The state by the names; ended-files are read again only when the names have changed."""
        names = (files.done, files.highest, files.last_retry, frozenset(files.ended))
        known = self._findings.get(index)
        if known is None or known[0] != names:
            known = names, self._assess(slot, files)
            if known[1].last is None or known[1].last.outcome is not Outcome.UNREADABLE:
                self._findings[index] = known
        return known[1]

    def note(self, index: int, finding: Finding) -> bool:
        """Remember a state that nobody works on any more. False: it is not settled.

        A listing that overlaps the clearing up of a finished item may look like a failure, so "failed" and "skipped"
        count when a second listing says the same.
        """
        if finding.state not in SETTLED:
            return False
        if finding.state is not State.DONE and self._suspected.get(index) != finding:
            self._suspected[index] = finding
            return False
        self.states[index] = SETTLED[finding.state]
        return True

    def note_refusal(self, index: int, refusal: Refusal) -> None:
        """An item could not be taken: it is settled, or somebody else has it."""
        if not self.note(index, refusal.finding):
            self.states[index] = TRIED
            self.running += 1
            verdict = refusal.verdict
            self._owners[index] = _Owner(verdict.owner, time.monotonic()) if verdict else _Owner(None, float("-inf"))

    def unsettled(self) -> Iterator[tuple[int, Slot, Files]]:
        """The items that are not settled, with their files from listings that are at most a moment old."""
        for directory, names in self.directories.items():
            rest = [(name, index) for name, index in names.items() if self.states[index] in UNSETTLED]
            listing, listed = None, 0.0
            for name, index in rest:
                if listing is None or time.monotonic() - listed > _OLD_SECONDS:
                    listing, listed = self.read(directory), time.monotonic()
                if self.states[index] in UNSETTLED:
                    yield index, Slot(directory, name), listing.files(name)

    def is_worth_judging(self, index: int) -> bool:
        """A claim is read once per beat; in between only the processes of this machine are asked, without the disk."""
        owner = self._owners.get(index)
        if owner is None or time.monotonic() - owner.judged >= self._beat_seconds * 0.9:
            return True
        return owner.record is not None and identity.is_gone(owner.record.identity)

    def somebody_died(self) -> bool:
        """Has a process of this machine died that we know to hold one of the open items?"""
        records = [owner.record for index, owner in self._owners.items() if self.states[index] == TRIED]
        return any(record is not None and identity.is_gone(record.identity) for record in records)

    # -- refusing

    def refuse_other_kinds(self, listing: Listing) -> None:
        """Finals are files or directories, and of one kind in one call. FinalOfAnotherKind."""
        kinds: dict[str, str] = {}
        for name in self.directories[listing.directory].keys() & listing.names.keys():
            entry = listing.names[name]
            if entry.is_file(follow_symlinks=False):
                kinds.setdefault("file", name)
            elif entry.is_dir(follow_symlinks=False):
                kinds.setdefault("directory", name)
            elif not _leads_to_an_output(entry):
                kind = "a link to nothing" if entry.is_symlink() else "a device, pipe or socket"
                raise FinalOfAnotherKind(f"{listing.directory}/{name}", kind)
        if len(kinds) > 1:
            final = f"{listing.directory}/{kinds['directory']}"
            raise FinalOfAnotherKind(final, f"a directory, while {kinds['file']!r} is a file")
        self._refuse_empty_directory(listing, kinds)

    def _refuse_empty_directory(self, listing: Listing, kinds: dict[str, str]) -> None:
        """No item is ever published as an empty directory. One of them is looked at, not all: it costs a listing."""
        if "directory" in kinds and not self._lister(f"{listing.directory}/{kinds['directory']}").names:
            raise FinalOfAnotherKind(f"{listing.directory}/{kinds['directory']}", "an empty directory")

    # -- counting

    def tally(self, *, waiting: bool = False) -> Tally:
        states = self.states
        tally = Tally(
            len(states), states.count(DONE), states.count(FAILED), states.count(SKIPPED), self.running, self.here,
            time.monotonic() - self._began,
        )  # fmt: skip
        return replace(tally, waiting_for=self._hosts()) if waiting else tally

    def open_directories(self) -> list[str]:
        """The directories in which something may still happen."""
        over = (DONE, SKIPPED)
        return [
            directory
            for directory, names in self.directories.items()
            if any(self.states[index] not in over for index in names.values())
        ]

    def _hosts(self) -> tuple[str, ...]:
        records = [owner.record for index, owner in self._owners.items() if self.states[index] == TRIED]
        return tuple(sorted({record.identity.host if record else "an unknown host" for record in records}))


def _leads_to_an_output(entry: Entry) -> bool:
    """Is a name that is neither file nor directory a link to one?"""
    try:
        return entry.is_file() or entry.is_dir()
    except OSError:
        return False  # a link to itself
