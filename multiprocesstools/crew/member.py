"""This process as a member of a run: its instance, journal, log file and heart, which begin and end together."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from multiprocesstools.claims.instance import Instance, Rules
from multiprocesstools.claims.slots import Slot
from multiprocesstools.crew.heart import Heart
from multiprocesstools.errors import RunDirectoryUnusable
from multiprocesstools.plans.plans import Plans
from multiprocesstools.run.directory import Run, process_token
from multiprocesstools.run.journal import Journal
from multiprocesstools.run.requests import Requests

if TYPE_CHECKING:
    from multiprocesstools.batch.inquiry import Inquiry
    from multiprocesstools.claims.peers import Word
    from multiprocesstools.claims.probe import Findings
    from multiprocesstools.claims.record import Record
    from multiprocesstools.crew.pacemaker import Pacemaker
    from multiprocesstools.run.logs import LogFile

_WARNINGS = {
    "lost": "another instance has taken over {item}; what is computed here is discarded if the other one is first",
    "overdue": "no sign of life could be written for a while, so others may take over {item}",
    "moved aside": "{item} had been left half written; it was moved aside to a .partial- file",
}
_PAUSED = "paused: nothing new is begun until `multiprocesstools resume` (or `stop`); signs of life go on"


class Member:
    """Joined when made. `say` is told what a person should know at once."""

    def __init__(self, run: Run, name: str, rules: Rules, loggers: tuple[str, ...], say: Callable[[str], None]) -> None:
        self._run, self._say = run, say
        writes_in_place = Plans(run).writes_in_place
        self.instance: Instance = run.join(name, rules, notice=self._notice, writes_in_place=writes_in_place)
        self.instance.peers.inquiry = self._inquire
        self._inquiry: Inquiry | None = None
        self._findings: dict[int, Findings] = {}
        self._probing = threading.Lock()
        self._pacemaker: Pacemaker | None = None
        own = self.instance.record
        try:
            self.journal = Journal(run.journal_path(own), self.instance)
            self.log = _open_log(run.log_path(own), loggers)
            self._home = run.raw.hold(run.home)
        except OSError:
            self.instance.leave()
            raise
        self.requests = Requests(run, self._home)
        self.at_beat: list[Callable[[], None]] = []
        self.at_leave: list[Callable[[], None]] = []
        self.journal.add("started", pid=own.identity.pid, name=own.name, number=own.number, id=own.id)
        self._complained = False
        self._see_to_the_pace()
        self._heart = Heart(rules.beat_seconds, self._tend, self.journal, say)
        self._heart.start()

    def check_filesystem(self, directory: str) -> None:
        """Find out what the filesystem of a directory can do. UnsafeFilesystem, RunDirectoryUnusable."""
        from multiprocesstools.claims.probe import refuse_without_links

        disk, own = self._run.disk, self.instance
        stamp = disk.look(directory)
        if stamp is None:
            raise RunDirectoryUnusable(directory, "it is not there any more")
        with self._probing:
            if stamp.device not in self._findings:
                self._findings[stamp.device] = self._probe(directory, stamp.device)
            findings = self._findings[stamp.device]
        refuse_without_links(findings, directory, own.rules.publish)
        if not findings.identity:
            own.copies.add(directory)

    def item_name(self, slot: Slot) -> str:
        return self._run.relative(slot.final)

    def leave(self) -> None:
        """End the membership; what could not be settled is left for others to see."""
        self._heart.stop()
        self._stop_pacemaker()
        if self._inquiry is not None:
            self._inquiry.close()
        for duty in self.at_leave:
            duty()
        self.instance.leave()
        self._home.close()
        self.journal.add("ended")
        self.journal.close()
        self.log.close()

    def succeed(self, other: "Member") -> None:
        """Carry on for an earlier membership of this helper: what it knew of stop requests and filesystems."""
        self.requests.succeed(other.requests)
        if self.requests.paused:
            self.journal.add("paused")
        self.instance.copies |= other.instance.copies
        if other.instance.pid == self.instance.pid:
            self.at_beat = other.at_beat

    def forsake(self) -> None:
        """In a forked child: let go of the parent's files without touching what they say."""
        self.log.close()
        self._home.close()
        self._stop_pacemaker()

    def _stop_pacemaker(self) -> None:
        if self._pacemaker is not None:
            self._pacemaker.stop()

    def _see_to_the_pace(self) -> None:
        """Have a process that beats, if one is wanted; while there is none, the thread beats."""
        wanted = self.instance.rules.heartbeat == "process" and not self.instance.expelled
        if not wanted or (self._pacemaker is not None and self._pacemaker.runs):
            return
        from multiprocesstools.crew.pacemaker import Pacemaker

        if self._pacemaker is not None:
            self._miss_pacemaker(f"it has ended (process {self._pacemaker.child})")
        try:
            self._pacemaker = self.instance.beats.pace = Pacemaker(self.instance)
        except OSError as error:
            self._miss_pacemaker(str(error))

    def _miss_pacemaker(self, reason: str) -> None:
        self.journal.add("no pacemaker", reason=reason)
        if not self._complained:
            self._complained = True
            text = f"the process that beats for this one is missing, a thread does it until there is another: {reason}"
            self.log.warn(text)
            self._say(text)

    def _probe(self, directory: str, device: int) -> "Findings":
        from multiprocesstools.claims.probe import mount_of, probe, read_mounts, refuse_object_store

        refuse_object_store(mount_of(read_mounts(), directory, device), directory)
        try:
            return probe(self._run.disk, directory, process_token(self.instance.record.id))
        except OSError as error:
            raise RunDirectoryUnusable(directory, f"nothing can be created there ({error.strerror})") from error

    def _inquire(self, owner: "Record", gone: bool) -> "Word | None":
        """What the batch system says of an owner; see `batch`."""
        if owner.identity.job is None:
            return None
        with self._probing:
            if self._inquiry is None:
                from multiprocesstools.batch.inquiry import Inquiry

                own = self.instance.record.identity.job
                self._inquiry = Inquiry(own, lambda: len(self._run.raw.list(self._run.instances)), self._run.clock)
        return self._inquiry.about(owner, gone)

    def _tend(self) -> None:
        self.instance.tend()
        self._see_to_the_pace()
        self.journal.flush()
        self._hear()
        for duty in self.at_beat:
            duty()

    def _hear(self) -> None:
        """What is asked for through the directory; a pause is noted where it is obeyed."""
        before = self.requests.paused
        self.requests.look()
        if self.requests.paused != before:
            self.journal.add("paused" if self.requests.paused else "resumed")
            self.journal.sync()
            self._say(_PAUSED if self.requests.paused else "resumed")

    def _notice(self, event: str, slot: Slot | None = None, attempt: int = 0, **facts: Any) -> None:
        """What the claims room says, for the journal, the log and the person."""
        owner = facts.pop("owner", None)
        if owner is not None:
            identity = owner.identity
            facts["from"] = {"name": owner.name, "number": owner.number, "host": identity.host, "pid": identity.pid}
        if slot is not None:
            facts |= {"item": self.item_name(slot), "attempt": attempt}
        self.journal.add(event, **facts)
        if event in _WARNINGS:
            text = _WARNINGS[event].format(item=repr(facts.get("item")))
            self.log.warn(text)
            self._say(text)


def _open_log(path: str, loggers: tuple[str, ...]) -> "LogFile":
    from multiprocesstools.run.logs import LogFile

    return LogFile(path, loggers)
