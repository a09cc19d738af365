"""Removing what finished items and dead instances have left behind.

Guarantee: a sweep removes only what belongs to finished items or to instances that are proved gone (with `force`: also
to those that are not proved alive), never a final, its sign or what lies beside it as `.partial-`. For an unfinished
item it only adds the ended-file of an attempt whose owner is gone or silent past patience. Condition: the sweeper is a
joined instance whose beats reach the disk, or it is a dry run, which changes nothing.

The decisions (`_Pass`) are taken per directory from one listing; the record of a gone instance goes last, when no
directory holds anything of it any more.
"""

import errno
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from multiprocesstools.claims.claim import declare_over
from multiprocesstools.claims.direct import placeholder_final, placeholder_owner
from multiprocesstools.claims.disk import ABSENT, PASSING
from multiprocesstools.claims.instance import Instance
from multiprocesstools.claims.peers import Sight, Verdict
from multiprocesstools.claims.record import Record
from multiprocesstools.claims.slots import PRIVATE_SUFFIX, Files, Listing, Slot, Staged, is_chunk

Members = Callable[[str, str], list[str]]


def no_members(directory: str, chunk: str) -> list[str]:
    """For runs without chunks."""
    return []


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that was left alone: its path, why, and whose it is. `alive`: the owner was seen to live. `decided`:
    observing longer changes nothing, because of that, or because only --force goes further."""

    path: str
    reason: str
    owner: Record | None
    alive: bool
    decided: bool


@dataclass(slots=True)
class Report:
    """What a sweep did or (dry run) would do: removed, attempts declared over, locks of the gone that were given back,
    what waits, half-written finals."""

    removed: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    given_back: list[str] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    partials: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def carry_on(self, latest: "Report") -> None:
        """Add what a later pass did; what it has left alone is what counts."""
        self.removed += latest.removed
        self.ended += latest.ended
        self.given_back += latest.given_back
        self.waiting, self.partials, self.unreadable = latest.waiting, latest.partials, latest.unreadable

    @property
    def doubtful(self) -> list[Waiting]:
        """What belongs to owners that are not known to live."""
        return [waiting for waiting in self.waiting if not waiting.alive]

    @property
    def undecided(self) -> list[Waiting]:
        """What further observation may decide."""
        return [waiting for waiting in self.waiting if not waiting.decided]


def sweep(
    me: Instance, instances: str, directories: Iterable[str], *,
    placeholders: Iterable[str] = (), parts: Iterable[str] = (), members: Members = no_members, force: bool = False,
    dry_run: bool = False,
) -> Report:  # fmt: skip
    """One pass over the directories of a run and over the records in `instances`.

    `parts` are directories with files that are only a part of an item: there a name does not tell whether its item is
    done. `members` are the finals of a chunk, by its directory and name.
    """
    work = _Pass(me, instances, frozenset(parts), members, force=force, dry_run=dry_run)
    records = work.read_records(instances)
    for directory in directories:
        work.sweep_directory(directory)
    for path in placeholders:
        work.sweep_placeholder(path)
    work.sweep_records(records)
    return work.report


def anybody_gone(me: Instance, instances: str) -> bool:
    """Is there a record of an instance that is proved gone? Then a sweep has something to remove."""
    judge = me.peers.judge_claim
    return any(judge(f"{instances}/{entry.name}").sight is Sight.GONE for entry in me.disk.list(instances))


class _Pass:
    """One pass: who is who, and what was done."""

    def __init__(
        self, me: Instance, instances: str, parts: frozenset[str], members: Members, *, force: bool, dry_run: bool
    ) -> None:
        self._members = members
        self._me, self._instances, self._parts, self._force, self._dry_run = me, instances, parts, force, dry_run
        self._sights: dict[str, Verdict] = {}
        self._blocked: set[str] = set()
        self._is_blind = False
        self.report = Report()

    # -- instances

    def read_records(self, instances: str) -> dict[str, Verdict]:
        """Judge every instance by its record or by the private file that was to become one. Path -> verdict."""
        found = {}
        for entry in self._me.disk.list(instances):
            path = f"{instances}/{entry.name}"
            if path == self._me.path:
                continue
            verdict = self._me.peers.judge_claim(path)
            found[path] = verdict
            if verdict.owner is not None and not entry.name.startswith("."):
                self._note_sight(verdict.owner, verdict)
        return found

    def _note_sight(self, owner: Record, verdict: Verdict) -> None:
        """Of two records with one id one is forged: what has that id goes only if both owners are gone."""
        known = self._sights.get(owner.id)
        if known is None or known.sight is Sight.GONE or self._me.is_here(owner.identity):
            self._sights[owner.id] = verdict

    def sweep_records(self, records: dict[str, Verdict]) -> None:
        """Remove the records of the gone, unless something of theirs could not be removed, or may lie where nothing
        could be seen: without its record nobody would know that it is theirs."""
        for path, verdict in records.items():
            owner = verdict.owner.id if verdict.owner else ""
            if verdict.sight is Sight.VANISHED or verdict.sight is Sight.MINE:
                continue
            if not self._counts_as_gone(verdict):
                self._wait(path, verdict, "an instance")
            elif not self._is_blind and owner not in self._blocked:
                self._remove(path)

    def _counts_as_gone(self, verdict: Verdict) -> bool:
        """Proved gone; with force, everybody who is not a process that lives on this very machine."""
        if verdict.sight is Sight.GONE:
            return True
        return self._force and verdict.sight is not Sight.MINE and not self._lives_here(verdict)

    def _lives_here(self, verdict: Verdict) -> bool:
        return verdict.owner is not None and self._me.is_here(verdict.owner.identity)

    def _sight_of(self, owner: str) -> Verdict:
        """What is known of an instance by its id, which may have joined just now; without a record it is silent."""
        if owner and owner not in self._sights:
            self.read_records(self._instances)
        return self._sights.setdefault(owner, Verdict(Sight.SILENT))

    # -- directories

    def sweep_directory(self, directory: str) -> None:
        try:
            listing = self._me.listing(directory)
        except OSError as error:
            if error.errno != errno.ENOTDIR:  # in a file nothing can lie
                self._not_seen(directory, error)
            return
        for name, files in listing.items.items():
            if is_chunk(name):
                self._sweep_chunk(listing, Slot(directory, name), files)
            else:
                self._sweep_item(Slot(directory, name), files)
        for staged in listing.staged:
            self._sweep_staged(listing, staged)

    def _sweep_item(self, slot: Slot, files: Files) -> None:
        self.report.partials += [slot.partial(number) for number in sorted(files.partials)]
        if files.done:
            for number in sorted(files.ended | files.retries | set(files.claims), reverse=True):
                self._remove_names(slot, files, number)
        elif files.highest and files.highest not in files.ended:
            self._sweep_claim(slot, files.highest)

    def _sweep_chunk(self, listing: Listing, slot: Slot, files: Files) -> None:
        """A chunk is over when the finals of all its items are there; one of no list, with its gone owner. The end of
        an unfinished one is its owner's word, or said of an owner that is proved gone."""
        finals = self._members(slot.directory, slot.name)
        if finals and all(map(listing.is_done, finals)):
            self._remove_names(slot, files, 1)
        elif 1 in files.claims:
            verdict = self._me.peers.judge_claim(slot.claim(1))
            if not finals and self._counts_as_gone(verdict):
                self._remove_names(slot, files, 1)
            elif verdict.sight is Sight.GONE and not files.ended:
                self._end(slot, 1, verdict)

    def _remove_names(self, slot: Slot, files: Files, number: int) -> None:
        if number in files.retries:
            self._remove(slot.retry(number))
        if number in files.ended:
            self._remove(slot.ended(number))
        if number in files.claims:
            self._remove(slot.claim(number))

    def _sweep_claim(self, slot: Slot, attempt: int) -> None:
        verdict = self._me.peers.judge_claim(slot.claim(attempt))
        if verdict.sight is Sight.VANISHED:
            return
        if not verdict.may_be_ended and not self._counts_as_gone(verdict):
            self._wait(slot.claim(attempt), verdict, "a claim")
            return
        self._end(slot, attempt, verdict)

    def _end(self, slot: Slot, attempt: int, verdict: Verdict) -> None:
        if self._dry_run or self._declare_over(slot, attempt, verdict):
            self.report.ended.append(slot.ended(attempt))

    def _declare_over(self, slot: Slot, attempt: int, verdict: Verdict) -> bool:
        try:
            declare_over(self._me, slot, attempt, verdict)
        except OSError as error:
            self.report.unreadable.append(f"{slot.ended(attempt)}: {error.strerror}")
            if verdict.owner is not None:
                self._blocked.add(verdict.owner.id)
            return False
        return True

    def _sweep_staged(self, listing: Listing, staged: Staged) -> None:
        """Staging and private files go with their gone owner, or with their finished item when the owner is silent."""
        if staged.owner == self._me.record.id:
            return
        path = f"{listing.directory}/{staged.file_name}"
        verdict = self._sight_of(staged.owner)
        is_item = staged.name != PRIVATE_SUFFIX and listing.directory not in self._parts
        done = is_item and listing.is_done(staged.name)
        if self._counts_as_gone(verdict) or (done and verdict.sight is Sight.SILENT):
            if not self._remove(path, self._me.disk.remove_tree):
                self._blocked.add(staged.owner)
        else:
            self._wait(path, verdict, "a staging file")

    def sweep_placeholder(self, path: str) -> None:
        """A placeholder of direct mode goes with its gone owner, or with its finished item when the owner is silent."""
        try:
            data = self._me.disk.read(path) or b""
        except OSError as error:
            if error.errno in PASSING:  # else it is none: every placeholder is a file that all can read
                self._not_seen(path, error)
            return
        owner = placeholder_owner(data)
        if not owner or owner == self._me.record.id:
            return
        verdict = self._sight_of(owner)
        if self._counts_as_gone(verdict) or (verdict.sight is Sight.SILENT and self._is_of_done_item(path, data)):
            self._remove(path)
        else:
            self._wait(path, verdict, "a placeholder")

    def _is_of_done_item(self, path: str, data: bytes) -> bool:
        try:
            return self._me.listing(path.rpartition("/")[0]).is_done(placeholder_final(data))
        except OSError:
            return False

    # -- effects

    def _not_seen(self, path: str, error: OSError) -> None:
        if error.errno not in ABSENT:
            self._is_blind = True
            self.report.unreadable.append(f"{path}: {error.strerror}")

    def _wait(self, path: str, verdict: Verdict, what: str) -> None:
        alive = verdict.beating or self._lives_here(verdict)
        decided = alive or verdict.sight is Sight.SILENT
        self.report.waiting.append(Waiting(path, self._reason(what, verdict, alive), verdict.owner, alive, decided))

    @staticmethod
    def _reason(what: str, verdict: Verdict, alive: bool) -> str:
        if verdict.owner is None:
            return f"{what} of an unknown owner"
        own = verdict.owner
        whose = f"{what} of {own.file_name} (process {own.identity.pid} on {own.identity.host})"
        if alive:
            return f"{whose}, which is alive"
        if verdict.sight is Sight.SILENT:
            return f"{whose}, silent for {verdict.silent_seconds:.0f} s"
        return f"{whose}, of which it is not known whether it lives"

    def _remove(self, path: str, remove: Callable[[str], object] | None = None) -> bool:
        """Could it be? Only a staging file may be a folder; whoever made another one keeps its content."""
        if not self._dry_run:
            try:
                (remove or self._me.disk.unlink)(path)
            except OSError as error:
                self.report.unreadable.append(f"{path}: {error.strerror}")
                return False
        self.report.removed.append(path)
        return True
