"""What two machines see of one directory: does exclusive creation exclude between them, and how late is what they see?

Guarantee: every race was run by both at the same time, and counted by comparing what both say that they have won.
Condition: the other one is on another machine; two processes of one machine share its caches, and say little.
"""

import errno
import json
import os
from collections.abc import Callable
from dataclasses import dataclass

from multiprocesstools.claims.disk import ABSENT, Disk
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.clock import SystemClock
from multiprocesstools.doctor.doctor import take_fcntl, take_flock
from multiprocesstools.doctor.meeting import Meeting, Partner
from multiprocesstools.run.directory import unusable

ROUNDS, _ROUNDS_A_STEP = 60, 20
OBSERVE_SECONDS, _LEAST_SECONDS = 60.0, 5.0
_BEAT_SECONDS = 0.25
_LISTED = 5
_TICK_SECONDS = 0.05
"""Longer than a tick of a server's clock, which is 1 to 10 ms."""


@dataclass(frozen=True, slots=True)
class Race:
    """So many rounds, and in how many of them both, or nobody, have won."""

    rounds: int
    both: int
    nobody: int

    @property
    def fair(self) -> bool:
        return not self.both and not self.nobody


@dataclass(frozen=True, slots=True)
class Opinion:
    """What was seen here of what the other machine did. Seconds; None: longer than was waited (`observed_seconds`).

    `missing_seconds`: how long a name that was looked up too early stayed missing. `listing_seconds`: until a new name
    is listed; not counted is what NFS hides for up to a minute, the second of two changes of a directory within one
    tick of the server's clock. `stat_seconds`, `open_seconds`: how old what stat says of a growing file is, and what
    opening it says.
    """

    host: str
    is_here: bool
    races: dict[str, Race]
    missing_seconds: float | None
    listing_seconds: float | None
    stat_seconds: float
    open_seconds: float
    flock: str
    fcntl: str
    observed_seconds: float

    @property
    def refused(self) -> str:
        """Why the directory is unsafe; "" if it is not."""
        unfair = [f"{name} ({race.both} of {race.rounds} times)" for name, race in self.races.items() if race.both]
        if unfair:
            return f"two machines at once have won what only one may win: {', '.join(unfair)}"
        lost = [f"{name} ({race.nobody} of {race.rounds} times)" for name, race in self.races.items() if race.nobody]
        return f"of two machines none has won: {', '.join(lost)}" if lost else ""


def consult(place: str, *, timeout: float, observe_seconds: float = OBSERVE_SECONDS) -> Opinion:
    """Meet the other doctor in the directory, and try everything together. RunDirectoryUnusable after `timeout` seconds
    without one."""
    meeting = Meeting(PosixDisk(), SystemClock(), place)
    partner = meeting.find(timeout)
    try:
        opinion = _try_together(meeting, partner, observe_seconds)
        meeting.part()
        return opinion
    except OSError as error:
        meeting.leave()
        raise unusable(place, error) from error
    except BaseException:
        meeting.leave()
        raise


def _try_together(meeting: Meeting, partner: Partner, observe_seconds: float) -> Opinion:
    races = _races(meeting, partner.token)
    locks = [_lock(meeting, name, take) for name, take in (("flock", take_flock), ("fcntl", take_fcntl))]
    listing = _listing_seconds(meeting, observe_seconds)
    missing, by_stat, by_open = _observe(meeting, partner.token, observe_seconds)
    return Opinion(
        partner.host, partner.is_here, races, missing, listing, by_stat, by_open, locks[0], locks[1], observe_seconds
    )


# -- who wins


def _races(meeting: Meeting, other: str) -> dict[str, Race]:
    disk = meeting.disk

    def create(folder: str, name: str) -> None:
        disk.create(f"{folder}/{name}", b"")

    def link(folder: str, name: str) -> None:
        disk.link(f"{folder}/source-{meeting.token}", f"{folder}/{name}")

    def rename(folder: str, name: str) -> None:
        disk.rename(f"{folder}/token-{name}", f"{folder}/{name}-{meeting.token}")

    contests = {"exclusive creation": create, "hard link": link, "rename of one name": rename}
    return {what: _race(meeting, other, number, run) for number, (what, run) in enumerate(contests.items())}


def _race(meeting: Meeting, other: str, number: int, run: Callable[[str, str], None]) -> Race:
    folder, disk = f"{meeting.folder}/race-{number}", meeting.disk
    disk.make_directory(folder)
    disk.create(f"{folder}/source-{meeting.token}", b"")
    if meeting.leads:
        for turn in range(ROUNDS):
            disk.create(f"{folder}/token-{turn}", b"")
    won = []
    for turn in range(ROUNDS):
        if turn % _ROUNDS_A_STEP == 0:
            meeting.together()
        if _wins(run, folder, str(turn)):
            won.append(turn)
    disk.create(f"{folder}/won-{meeting.token}", json.dumps(won).encode())
    meeting.together()
    theirs = json.loads(disk.read(f"{folder}/won-{other}") or b"[]")
    return Race(ROUNDS, len({*won} & {*theirs}), ROUNDS - len({*won} | {*theirs}))


def _wins(run: Callable[[str, str], None], folder: str, name: str) -> bool:
    try:
        run(folder, name)
    except OSError as error:
        if error.errno in ABSENT | {errno.EEXIST, errno.EPERM, errno.ENOTSUP, errno.ENOSYS}:
            return False
        raise
    return True


def _lock(meeting: Meeting, name: str, take: Callable[[int], None]) -> str:
    """Does the lock of the one that leads exclude the other? Both are told."""
    path, answer = f"{meeting.folder}/{name}", f"{meeting.folder}/{name}-says"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        if meeting.leads:
            said = _try(take, descriptor)
            meeting.together()
            meeting.together()
            return (meeting.disk.read(answer) or b"").decode() if said == "taken" else said
        meeting.together()
        said = {"taken": "excludes nobody", "refused": "excludes"}.get(got := _try(take, descriptor), got)
        meeting.disk.create(answer, said.encode())
        meeting.together()
        return said
    finally:
        os.close(descriptor)


def _try(take: Callable[[int], None], descriptor: int) -> str:
    try:
        take(descriptor)
    except (BlockingIOError, PermissionError):
        return "refused"
    except OSError as error:
        return f"is missing ({error.strerror})"
    return "taken"


# -- what is seen how late


def _listing_seconds(meeting: Meeting, most_seconds: float) -> float | None:
    """Until a new name of the other one is listed, at the worst; it is made just before both have come to a step.

    None: not within `most_seconds`. The turns go on all the same, because the other one takes them too. They are
    further apart than a tick of the server's clock; see `Opinion`.
    """
    folder, clock, longest = f"{meeting.folder}/new", meeting.clock, 0.0
    meeting.disk.make_directory(folder)
    for turn in range(2 * _LISTED):
        clock.sleep(_TICK_SECONDS)
        meeting.disk.list(folder)
        meeting.together()
        makes = (turn % 2 == 0) == meeting.leads
        if makes:
            meeting.disk.create(f"{folder}/{turn}", b"")
        meeting.together()
        began = clock.elapsed()
        while not makes and longest <= most_seconds and not _is_listed(meeting.disk, folder, str(turn)):
            longest = max(longest, clock.elapsed() - began)
            clock.sleep(0.01)
        longest = max(longest, clock.elapsed() - began)
    return longest if longest <= most_seconds else None


def _is_listed(disk: Disk, folder: str, name: str) -> bool:
    return any(entry.name == name for entry in disk.list(folder))


def _observe(meeting: Meeting, other: str, most_seconds: float) -> tuple[float | None, float, float]:
    """For how long a name stays missing that was looked up too early, and how old stat and open are of files that the
    other one makes longer and longer: of one each, because opening a file refreshes what stat says of it."""
    disk, clock = meeting.disk, meeting.clock
    mine, theirs = (f"{meeting.folder}/seen-{token}" for token in (meeting.token, other))
    for folder in (mine, f"{mine}/alone"):  # whoever looks at other names there learns that the directory has changed
        disk.make_directory(folder)
    for name in ("opened", "looked-at"):
        disk.create(f"{mine}/{name}", b"\n")
    meeting.together()
    disk.look(f"{theirs}/alone/late")
    disk.look(f"{theirs}/looked-at")
    meeting.together()
    disk.create(f"{mine}/alone/late", b"")
    meeting.together()
    began, sizes = clock.elapsed(), _Sizes()
    missing: float | None = None
    kept = [disk.keep(f"{mine}/{name}") for name in ("opened", "looked-at")]
    try:
        while (waited := clock.elapsed() - began) < most_seconds:
            for one in kept:
                one.write(int(waited / _BEAT_SECONDS), b"\n")
            if missing is None and disk.look(f"{theirs}/alone/late") is not None:
                missing = waited
            if missing is not None and waited > min(_LEAST_SECONDS, most_seconds):
                break
            stamp = disk.look(f"{theirs}/looked-at")
            sizes.note(waited, stamp.size if stamp else 0, len(disk.read(f"{theirs}/opened") or b""))
            clock.sleep(_BEAT_SECONDS)
    finally:
        for one in kept:
            one.close()
    return missing, sizes.by_stat, sizes.by_open


class _Sizes:
    """How far behind the size by stat is, and the one by open, at the worst."""

    def __init__(self) -> None:
        self.by_stat = self.by_open = 0.0
        self._grown, self._at = 0, 0.0

    def note(self, now: float, by_stat: int, by_open: int) -> None:
        self.by_stat = max(self.by_stat, (by_open - by_stat) * _BEAT_SECONDS)
        if by_open > self._grown:
            self._grown, self._at = by_open, now
        self.by_open = max(self.by_open, now - self._at)
