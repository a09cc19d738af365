"""What one loop knows of its items: one state per item, learnt from listings, from refusals and from its own work.

States: open (never tried, as far as is known) -> tried -> done | failed | skipped; dropped is what this instance itself
gave back and does not want again. They are held by position (`finals`), so that those of one directory lie together.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from multiprocesstools.claims import identity
from multiprocesstools.claims.claim import Refusal
from multiprocesstools.claims.disk import Entry
from multiprocesstools.claims.ended import Outcome
from multiprocesstools.claims.noted import Marks, Names, Noted, Shown
from multiprocesstools.claims.record import Record
from multiprocesstools.claims.slots import Files, Listing, Slot
from multiprocesstools.claims.survey import Finding, State
from multiprocesstools.display.progress import Tally
from multiprocesstools.errors import FinalOfAnotherKind
from multiprocesstools.loop.order import OPEN
from multiprocesstools.plans.finals import Folder, WorkList
from multiprocesstools.plans.hints import Heard

TRIED, DONE, FAILED, SKIPPED, DROPPED = range(OPEN + 1, OPEN + 6)
SETTLED = {State.DONE: DONE, State.FAILED: FAILED, State.SKIPPED: SKIPPED}
UNSETTLED = (OPEN, TRIED, DROPPED)
_UNSETTLED = re.compile(b"[%c%c%c]" % UNSETTLED)
_NEWLY_DONE = re.compile(b"[%c%c%c]" % tuple(0x80 | state for state in UNSETTLED))
_OVER = bytes((DONE, SKIPPED))
_JUST_OPEN, _JUST_TRIED = bytes([OPEN]), bytes([TRIED])
_SHOWN = 0x80
_LEARN = bytes(DONE if byte - _SHOWN in UNSETTLED else byte & ~_SHOWN for byte in range(256))
"""What becomes of a state, if a listing shows the final (`_SHOWN`) and if it does not."""
_OLD_SECONDS = 1.0

Assess = Callable[[Slot, Files], Finding]
List = Callable[[str, Callable[[bool], Noted]], Listing]


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
        self.folders = work.folders
        self._work, self._lister, self._assess, self._beat_seconds = work, lister, assess, beat_seconds
        self._findings: dict[int, tuple[tuple[object, ...], Finding]] = {}
        self._owners: dict[int, _Owner] = {}
        self._suspected: dict[int, Finding] = {}
        self._began = time.monotonic()
        self.chunks: dict[int, list[tuple[str, range]]] = {}

    # -- learning

    def read(self, folder: Folder) -> Listing:
        """List a directory and learn what is done and what was tried."""
        listing = self._lister(folder.path, self.names(folder))
        self.learn(folder, listing)
        return listing

    def read_first(self, folder: Folder) -> Listing:
        """The same for a directory that is entered. FinalOfAnotherKind for what cannot be outputs of one call."""
        listing = self._lister(folder.path, self.names(folder, kinds=True))
        self.learn(folder, listing, at_once=True)
        if listing.names.odd:
            self._refuse_other_kinds(folder, listing)
        return listing

    @staticmethod
    def names(folder: Folder, *, kinds: bool = False) -> Callable[[bool], Noted]:
        """What is to be noted of the finals in a directory."""
        return lambda inodes: Marks(folder.places()) if inodes else Shown(folder.known(), kinds=kinds)

    def learn(self, folder: Folder, listing: Listing, *, at_once: bool = False) -> None:
        """What is shown is done, unless it is being written in place; what has files of the protocol was tried.

        `at_once`: no other thread changes a state of the directory meanwhile.
        """
        for name, files in listing.items.items():
            if files.final and not files.done:
                listing.names.discard(name)
        shown = bytes(map(listing.names.__contains__, folder.names))
        mixed = int.from_bytes(self.states[folder.first : folder.end], "little")
        mixed += int.from_bytes(shown, "little") * _SHOWN
        if at_once:
            learnt = mixed.to_bytes(len(shown), "little").translate(_LEARN)
            self.states[folder.first : folder.end] = learnt
        else:
            for match in _NEWLY_DONE.finditer(mixed.to_bytes(len(shown), "little")):
                self.states[folder.first + match.start()] = DONE
        for _, position in self.tried(folder, listing):
            if self.states[position] == OPEN:
                self.states[position] = TRIED
        self._learn_chunks(folder, listing)

    def _learn_chunks(self, folder: Folder, listing: Listing) -> None:
        """What belongs to a chunk that has a claim was tried."""
        cut, count = self._work.cut, len(folder.names)
        found = [(name, places) for name in listing.items if (places := cut.places_of(name, count))]
        self.chunks[folder.first] = found  # whole: the heart learns, too, while the loop removes what is done of them
        for _, places in found:
            self.note_taken(range(folder.first + places.start, folder.first + places.stop))

    def note_taken(self, span: range) -> None:
        """These items are in somebody's hands, or were."""
        for position in span:
            if self.states[position] == OPEN:
                self.states[position] = TRIED

    def is_done(self, span: range) -> bool:
        """Are the finals of all these items there?"""
        return self.states.count(DONE, span.start, span.stop) == len(span)

    def finished_chunks(self) -> Iterator[Slot]:
        """The chunks of which something was there at the last look, although all of their items are done."""
        for folder in self.folders:
            for name, places in self.chunks.get(folder.first, ()):
                if self.is_done(range(folder.first + places.start, folder.first + places.stop)):
                    yield Slot(folder.path, name)

    @staticmethod
    def tried(folder: Folder, listing: Listing) -> list[tuple[str, int]]:
        """The items of a listing that have files of the protocol and are not done."""
        tried = {name for name, files in listing.items.items() if not files.done}
        return list(folder.positions(tried).items()) if tried else []

    def find(self, position: int, slot: Slot, files: Files) -> Finding:
        """The state by the names; ended-files are read again only when the names have changed."""
        names = (files.done, files.highest, files.last_retry, frozenset(files.ended))
        known = self._findings.get(position)
        if known is None or known[0] != names:
            known = names, self._assess(slot, files)
            if known[1].last is None or known[1].last.outcome is not Outcome.UNREADABLE:
                self._findings[position] = known
        return known[1]

    def note(self, position: int, finding: Finding) -> bool:
        """Remember a state that nobody works on any more. False: it is not settled.

        A listing that overlaps the clearing up of a finished item may look like a failure, so "failed" and "skipped"
        count when a second listing says the same.
        """
        if finding.state not in SETTLED:
            return False
        if finding.state is not State.DONE and self._suspected.get(position) != finding:
            self._suspected[position] = finding
            return False
        self.states[position] = SETTLED[finding.state]
        return True

    def note_refusal(self, position: int, refusal: Refusal) -> None:
        """An item could not be taken: it is settled, or somebody else has it."""
        if not self.note(position, refusal.finding):
            self.states[position] = TRIED
            self.running += 1
            verdict = refusal.verdict
            self._owners[position] = _Owner(verdict.owner, time.monotonic()) if verdict else _Owner(None, float("-inf"))

    def hear(self, heard: Heard) -> None:
        """Believe what others say of whole directories; which of the items are failed or skipped they do not say."""
        for number in heard.taken:
            if number < len(self.folders):
                span = slice(self.folders[number].first, self.folders[number].end)
                self.states[span] = self.states[span].replace(_JUST_OPEN, _JUST_TRIED)
        for number, (failed, skipped) in heard.over.items():
            if number < len(self.folders) and not self.is_settled(folder := self.folders[number]):
                done = len(folder.names) - failed - skipped
                if done >= 0:  # else it is forged
                    states = bytes([DONE]) * done + bytes([FAILED]) * failed + bytes([SKIPPED]) * skipped
                    self.states[folder.first : folder.end] = states

    def unsettled(self, folders: Iterable[Folder]) -> Iterator[tuple[int, Slot, Files]]:
        """The items that are not settled, with their files from listings that are at most a moment old."""
        for folder in folders:
            listing, listed = None, 0.0
            for position in self._unsettled_in(folder):
                if listing is None or time.monotonic() - listed > _OLD_SECONDS:
                    listing, listed = self.read(folder), time.monotonic()
                if self.states[position] in UNSETTLED:
                    slot = self._work.slot(position)
                    yield position, slot, listing.of(slot)

    def _unsettled_in(self, folder: Folder) -> Iterator[int]:
        states = bytes(self.states[folder.first : folder.end])
        return (folder.first + match.start() for match in _UNSETTLED.finditer(states))

    def is_worth_judging(self, position: int) -> bool:
        """A claim is read once per beat; in between only the processes of this machine are asked, without the disk."""
        owner = self._owners.get(position)
        if owner is None or time.monotonic() - owner.judged >= self._beat_seconds * 0.9:
            return True
        return owner.record is not None and identity.is_gone(owner.record.identity)

    def somebody_died(self) -> bool:
        """Has a process of this machine died that we know to hold one of the open items?"""
        return any(record is not None and identity.is_gone(record.identity) for record in self._known_owners())

    def _known_owners(self) -> list[Record | None]:
        """The owners of the items that others have; of those that are settled by now nothing is kept."""
        settled = [position for position in self._owners if self.states[position] != TRIED]
        for position in settled:
            del self._owners[position]
        return [owner.record for owner in self._owners.values()]

    # -- refusing

    def _refuse_other_kinds(self, folder: Folder, listing: Listing) -> None:
        """Finals are files or directories, and of one kind in one call."""
        odd = {entry.name: entry for entry in listing.names.odd}
        mine = folder.positions(odd)
        for name in mine:
            if not odd[name].is_dir(follow_symlinks=False) and not _leads_to_an_output(odd[name]):
                kind = "a link to nothing" if odd[name].is_symlink() else "a device, pipe or socket"
                raise FinalOfAnotherKind(f"{folder.path}/{name}", kind)
        directory = next((name for name in mine if odd[name].is_dir(follow_symlinks=False)), "")
        if not directory:
            return
        final, shown = f"{folder.path}/{directory}", filter(listing.names.__contains__, folder.names)
        if file := next((name for name in shown if name not in mine), ""):
            raise FinalOfAnotherKind(final, f"a directory, while {file!r} is a file")
        if self._is_empty(final):  # one of them is looked at, not all: it costs a listing
            raise FinalOfAnotherKind(final, "an empty directory")

    # -- counting

    def tally(self, *, waiting: bool = False, paused: bool = False) -> Tally:
        states = self.states
        tally = Tally(
            len(states), states.count(DONE), states.count(FAILED), states.count(SKIPPED), self.running, self.here,
            time.monotonic() - self._began, paused=paused,
        )  # fmt: skip
        return replace(tally, waiting_for=self._hosts()) if waiting else tally

    def open_folders(self) -> list[Folder]:
        """The directories in which something may still happen: not everything is done or skipped."""
        return [folder for folder in self.folders if self.states[folder.first : folder.end].translate(None, _OVER)]

    def is_settled(self, folder: Folder) -> bool:
        """Is everything there done or set aside?"""
        return not _UNSETTLED.search(self.states, folder.first, folder.end)

    def count_unsettled(self, folder: Folder) -> int:
        """How many items of a directory are open, tried or in work."""
        return sum(1 for _ in self._unsettled_in(folder))

    def set_aside(self, folder: Folder) -> tuple[int, int]:
        """How many of its items are failed, and how many skipped."""
        count = self.states.count
        return count(FAILED, folder.first, folder.end), count(SKIPPED, folder.first, folder.end)

    def _hosts(self) -> tuple[str, ...]:
        records = self._known_owners()
        return tuple(sorted({record.identity.host if record else "an unknown host" for record in records}))

    def _is_empty(self, directory: str) -> bool:
        names = self._lister(directory, lambda inodes: Names()).names
        return isinstance(names, Names) and not any(names)


def _leads_to_an_output(entry: Entry) -> bool:
    """Is a name that is neither file nor directory a link to one?"""
    try:
        return entry.is_file() or entry.is_dir()
    except OSError:
        return False  # a link to itself
