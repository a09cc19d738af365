"""The state of a run as data, for `status()`, the command and reports. It only looks, and needs no script.

What is known of owners is proof, or nothing: a claim is `stale` only if its process is proved gone; for a silent owner
on another machine somebody has to observe (`cleanup`, or any instance that waits). Durations come from the owner's
journal, in the owner's clock.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial

from multiprocesstools.claims import ended as ended_files
from multiprocesstools.claims import identity
from multiprocesstools.claims.disk import ABSENT
from multiprocesstools.claims.ended import Ended, Outcome
from multiprocesstools.claims.identity import Identity
from multiprocesstools.claims.noted import Marks, Names, Noted, Shown
from multiprocesstools.claims.record import LIMIT_BYTES, Record, Unreadable, decode
from multiprocesstools.claims.slots import Files, Listing, Slot, is_chunk, read_listing, read_settled
from multiprocesstools.claims.survey import State, decide, needed_attempts
from multiprocesstools.plans.plans import Plans
from multiprocesstools.run.directory import Run
from multiprocesstools.run.journal import read_journal
from multiprocesstools.run.settings import Settings
from multiprocesstools.upkeep.diary import Diary
from multiprocesstools.upkeep.statuses import InstanceStatus, ItemStatus, Snapshot

_MOST_LOOKS = 3


def take_snapshot(run: Run) -> Snapshot:
    """Look at a run. RunDirectoryUnusable if there is none."""
    return _Look(run.find()).snapshot()


class _Look:
    """One look at a run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._settings = run.settings() or Settings()
        self._records = {name: record for name, record in run.records() if record is not None}
        self._gone = {name: identity.is_gone(record.identity) for name, record in self._records.items()}
        self._plans = Plans(run)
        self._names: dict[str, list[str]] = {}
        self._open: dict[str, set[str]] = {}
        self._read_plans()
        self._diaries = self._read_diaries()
        self._add_open()
        self._counts: Counter[str] = Counter()
        self._items: list[ItemStatus] = []
        self._partials: list[str] = []

    def snapshot(self) -> Snapshot:
        for directory, names in self._names.items():
            noted = (lambda inodes: Names()) if directory in self._open else partial(_names, names)
            self._look_at(self._listing(directory, noted), names)
        counts, total = self._counts, sum(self._counts.values())
        at_work = (diary for name, diary in self._diaries.items() if self._gone.get(name) is False)
        rate = sum(diary.rate for diary in at_work if not diary.paused)
        unfinished = counts[State.FREE] + counts[State.STALE] + counts[State.RUNNING]
        return Snapshot(
            self._run.directory, total, counts[State.DONE], counts[State.FAILED], counts[State.SKIPPED],
            counts[State.RUNNING], counts[State.STALE], counts[State.FREE], rate,
            unfinished / rate if rate and unfinished else None, self._items, self._instances(), self._partials,
        )  # fmt: skip

    def _read_plans(self) -> None:
        """The names of the finals of the current plans, each once, and which directories are open."""
        for plan in self._plans.current():
            if plan.is_open:
                self._open.setdefault(self._run.absolute(plan.directories[0]), set())
                continue
            for block in self._plans.items(plan):
                self._names.setdefault(self._run.absolute(block.folder), []).extend(block.names)
        for directory, names in self._names.items():
            if len(set(names)) != len(names):  # a final that is in two plans
                self._names[directory] = list(dict.fromkeys(names))

    def _add_open(self) -> None:
        """In an open directory those items count, too, that the journals know."""
        for directory, more in self._open.items():
            names = self._names.setdefault(directory, [])
            more.difference_update(names)
            names.extend(more)

    def _listing(self, directory: str, names: Callable[[bool], Noted]) -> Listing:
        def read(inodes: bool) -> Listing:
            return self._run.disk.scan(directory, lambda entries: read_listing(directory, entries, names(inodes)))

        try:
            listing = read(False)
            if self._plans.writes_in_place(directory):  # see Instance.listing
                listing = read_settled(listing, lambda: read(True))
            return listing
        except OSError as error:
            if error.errno in ABSENT or isinstance(error, NotADirectoryError):
                return read_listing(directory, [])
            raise

    def _look_at(self, listing: Listing, names: list[str]) -> None:
        """Most items are done or free, by their names alone; the others are looked at one by one."""
        others = [name for name in names if name in listing.items] if listing.items else []
        done = sum(map(listing.names.__contains__, names)) - sum(name in listing.names for name in others)
        self._counts[State.DONE] += done
        self._counts[State.FREE] += len(names) - len(others) - done - self._look_at_chunks(listing)
        tried = {name: listing.items[name] for name in others}
        if listing.directory in self._open:
            tried |= {name: files for name, files in listing.items.items() if files.highest and not files.done}
        for name, files in tried.items():
            self._look_at_item(Slot(listing.directory, name), files)
        for name, files in listing.items.items():
            self._partials += [
                self._run.relative(Slot(listing.directory, name).partial(k)) for k in sorted(files.partials)
            ]

    def _look_at_chunks(self, listing: Listing) -> int:
        """Of how many items of chunks nothing is to be seen but the claim of the chunk? They are counted with it."""
        found = 0
        for chunk in filter(is_chunk, listing.items):
            files, slot = listing.items[chunk], Slot(listing.directory, chunk)
            data = self._read(slot.claim(1)) if not files.ended else b""
            owner = _owner(data or b"")
            if owner is not None:
                unseen = [name for name in self._plans.members(listing.directory, chunk) if not _is_seen(listing, name)]
                state = State.STALE if identity.is_gone(owner.identity) else State.RUNNING
                self._counts[state] += len(unseen)
                self._note_chunk(listing.directory, unseen, owner, state)
                found += len(unseen)
        return found

    def _note_chunk(self, directory: str, names: list[str], owner: Record, state: str) -> None:
        """Those that the owner has in work, by its journal."""
        diary = self._diaries.get(owner.file_name)
        for name in names:
            item = self._run.relative(f"{directory}/{name}")
            if diary is not None and item in diary.open:
                self._items.append(_of_owner(item, state, 1, owner, self._seconds_in_work(owner, item)))

    def _look_at_item(self, slot: Slot, files: Files, looks: int = 1) -> None:
        if files.done:
            self._counts[State.DONE] += 1
        elif not files.highest:
            self._counts[State.FREE] += 1
        else:
            self._look_closer(slot, files, looks)

    def _look_closer(self, slot: Slot, files: Files, looks: int) -> None:
        read = {attempt: self._ended(slot, attempt) for attempt in needed_attempts(files)}
        ended = {attempt: end for attempt, end in read.items() if end is not None}
        finding = decide(files, ended, self._settings.max_attempts)
        item = self._run.relative(slot.final)
        if finding.state is State.CLAIMED:
            self._look_at_owner(slot, item, finding.attempt, looks)
            return
        self._counts[finding.state] += 1
        if finding.state is not State.DONE and finding.last is not None:
            last, attempt = finding.last, finding.attempt
            error, trace = last.exception or last.outcome.value, last.traceback
            self._items.append(ItemStatus(item, finding.state, attempt, "", last.host, last.pid, None, error, trace))

    def _look_at_owner(self, slot: Slot, item: str, attempt: int, looks: int) -> None:
        data = self._read(slot.claim(attempt))
        if data is None and looks < _MOST_LOOKS:  # the item was finished between the listing and this look
            files = self._listing(slot.directory, lambda _: Marks({slot.name: 0})).files(slot.name)
            self._look_at_item(slot, files, looks + 1)
            return
        owner = _owner(data or b"")
        gone = owner is not None and identity.is_gone(owner.identity)
        state = State.STALE if gone else State.RUNNING
        self._counts[state] += 1
        if owner is None:
            self._items.append(ItemStatus(item, state, attempt, error="its owner is not known"))
            return
        seconds = None if gone else self._seconds_in_work(owner, item)
        self._items.append(_of_owner(item, state, attempt, owner, seconds))

    def _seconds_in_work(self, owner: Record, item: str) -> float | None:
        diary = self._diaries.get(owner.file_name)
        claimed = diary.open.get(item) if diary else None
        if claimed is None:
            return None
        if identity.shares_processes(owner.identity):
            return max(0.0, self._run.clock.wall() - claimed[0])
        latest = self._records.get(owner.file_name, owner)
        return max(0.0, (latest.beat.seconds if latest.beat else 0) - claimed[1])

    def _read(self, path: str) -> bytes | None:
        """The content; None when missing; nothing where it cannot be read."""
        try:
            return self._run.disk.read(path, LIMIT_BYTES, whole=False)
        except OSError:
            return b""

    def _ended(self, slot: Slot, attempt: int) -> Ended | None:
        try:
            data = self._run.disk.read(slot.ended(attempt))
            return None if data is None else ended_files.decode(data)
        except OSError as error:
            return Ended(Outcome.UNREADABLE, exception=str(error))

    def _read_diaries(self) -> dict[str, Diary]:
        """One pass over the journals, which also name the items of open directories."""
        found: dict[str, Diary] = {}
        for entry in self._run.disk.list(self._run.logs):
            if entry.name.endswith(".jsonl"):
                diary = found[entry.name.removesuffix(".jsonl")] = Diary()
                for event in read_journal(f"{self._run.logs}/{entry.name}"):
                    diary.add(event)
                    if self._open and isinstance(item := event.get("item"), str):
                        directory, _, name = self._run.absolute(item).rpartition("/")
                        if directory in self._open:
                            self._open[directory].add(name)
        return found

    def _instances(self) -> list[InstanceStatus]:
        return [self._instance(name, record.identity) for name, record in sorted(self._records.items())]

    def _instance(self, name: str, who: Identity) -> InstanceStatus:
        diary = self._diaries.get(name, Diary())
        return InstanceStatus(name, who.host, who.pid, self._gone[name], diary.done, diary.failed, diary.paused)


def _names(names: list[str], inodes: bool) -> Noted:
    return Marks({name: place for place, name in enumerate(names)}) if inodes else Shown(set(names))


def _is_seen(listing: Listing, name: str) -> bool:
    return name in listing.names or name in listing.items


def _of_owner(item: str, state: str, attempt: int, owner: Record, seconds: float | None) -> ItemStatus:
    who = owner.identity
    return ItemStatus(item, state, attempt, owner.file_name, who.host, who.pid, seconds, job=str(who.job or ""))


def _owner(data: bytes) -> Record | None:
    try:
        return decode(data)
    except Unreadable:
        return None
