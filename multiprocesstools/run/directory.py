"""The run directory: where everything of a run lies, and who takes part.

    <run>/.multiprocesstools/run-<r>.json          settings that all instances share (`settings`)
    <run>/.multiprocesstools/instances/<name>-<n>  records
    <run>/.multiprocesstools/plans/                what the loops work on (`plans`)
    <run>/.multiprocesstools/stop, pause           what all instances are asked for (`requests`)
    <run>/multiprocesstools_logs/<name>-<n>.log, .jsonl

Guarantee: a number n is never given twice.
"""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from multiprocesstools.claims import identity
from multiprocesstools.claims.disk import Disk
from multiprocesstools.claims.identity import Identity
from multiprocesstools.claims.instance import Instance, Notice, Rules, ignore_notice
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.claims.record import Beat, Record, Unreadable, decode
from multiprocesstools.claims.slots import check_name
from multiprocesstools.claims.steady import SteadyDisk
from multiprocesstools.claims.whole import create_whole, replace_whole
from multiprocesstools.clock import Clock, SystemClock
from multiprocesstools.errors import BadArgument, BadName, RunDirectoryUnusable
from multiprocesstools.run.digest import sha256
from multiprocesstools.run.settings import Settings, SettingsFiles

HOME = ".multiprocesstools"
LOGS = "multiprocesstools_logs"
_ID = "[0-9a-f]{32}"
_PRIVATE = rf"\.mpt-{_ID}-(?P<place>{_ID})-(?P<pid>[0-9]{{1,9}})-(?P<start>[0-9]{{1,20}})-[a-z0-9]+\.ended"
_PASSING_PATIENCE_SECONDS = 60.0


class Run:
    """A run directory. `Run(directory)` touches nothing; `prepare` makes what is missing, `find` requires it."""

    def __init__(self, directory: str | os.PathLike[str], *, disk: Disk | None = None, clock: Clock | None = None):
        path = os.fsdecode(directory)
        if not path or "\0" in path or "\n" in path:
            raise BadArgument("working_directory", directory, "it is empty, or contains NUL or a line break")
        self.directory = os.path.realpath(path)  # a file must not have two names
        self.clock: Clock = clock or SystemClock()
        self.raw: Disk = disk or PosixDisk()
        self.disk = SteadyDisk(self.raw, self.clock, _PASSING_PATIENCE_SECONDS)
        self._inside = f"{self.directory}/"
        self.home = f"{self.directory}/{HOME}"
        self.instances = f"{self.home}/instances"
        self.plans = f"{self.home}/plans"
        self.logs = f"{self.directory}/{LOGS}"

    def prepare(self) -> "Run":
        """Make the directories. RunDirectoryUnusable says why that is impossible."""
        self._refuse_links()
        try:
            for directory in (self.directory, self.instances, self.plans, self.logs):
                self.disk.make_directory(directory)
        except OSError as error:
            raise unusable(self.directory, error) from error
        return self

    def find(self) -> "Run":
        """RunDirectoryUnusable if there is no run in the directory."""
        if not os.path.isdir(self.directory):
            reason = "it is not a directory" if os.path.lexists(self.directory) else "it does not exist"
            raise RunDirectoryUnusable(self.directory, reason)
        if not os.path.isdir(self.home):
            raise RunDirectoryUnusable(
                self.directory, f"no run was started here (it has no {HOME}); give the working directory"
            )
        self._refuse_links()
        return self

    def _refuse_links(self) -> None:
        """The own directories are real ones: behind a planted link, files of others would be taken for records."""
        for directory in (self.home, self.instances, self.plans, self.logs):
            if os.path.islink(directory):
                raise RunDirectoryUnusable(directory, "it is a symbolic link")

    # -- settings

    def settings(self) -> Settings | None:
        """The settings in force, or None. NewerFormat if they cannot be understood."""
        return self._settings.latest()

    def check(self, given: dict[str, Any]) -> None:
        """BadArgument if settings make no sense, with those of the run if there is one; ParametersDiffer. Nothing is
        made."""
        self._refuse_links()
        self._settings.check(given, self.settings() if os.path.isdir(self.home) else None)

    def agree(self, given: dict[str, Any]) -> Settings:
        """The settings of the run, those in `given` being asked for. SettingsDiffer while others may be at work;
        ParametersDiffer."""
        return self._settings.agree(given)

    @property
    def _settings(self) -> SettingsFiles:
        return SettingsFiles(
            self.disk, self.clock, self.home, create=self.create, others=self.possibly_alive, is_begun=self._has_plans
        )  # fmt: skip

    def _has_plans(self) -> bool:
        """Has anybody begun to claim anything?"""
        return any(entry.name.endswith(".json") for entry in self.disk.list(self.plans))

    def possibly_alive(self) -> list[str]:
        """The instances that are not proved to be gone."""
        return sorted(record.file_name if record else name for name, record in self.records() if not _is_gone(record))

    def records(self) -> list[tuple[str, Record | None]]:
        """All records: file name and content, None where it cannot be read."""
        found = []
        for entry in self.disk.list(self.instances):
            if not entry.name.startswith("."):
                found.append((entry.name, self._read_record(f"{self.instances}/{entry.name}")))
        return found

    def _read_record(self, path: str) -> Record | None:
        try:
            return decode(self.disk.read(path) or b"")
        except (OSError, Unreadable):
            return None

    # -- instances

    def join(
        self, name: str, rules: Rules, *, notice: Notice = ignore_notice,
        is_gone: Callable[[Identity], bool] = identity.is_gone,
        writes_in_place: Callable[[str], bool] = lambda directory: True,
    ) -> Instance:  # fmt: skip
        """Take part as the next number of `name`; its journal file is created, empty."""
        check_instance_name(name)
        while True:
            number = self._take_number(name)
            own = Record(new_id(), name, number, identity.current(), self.clock.wall(), Beat())
            try:
                return Instance(
                    self.raw, self.clock, self.instances, own, rules,
                    notice=notice, is_gone=is_gone, writes_in_place=writes_in_place,
                ).join()  # fmt: skip
            except FileExistsError:
                continue  # something that is no record of ours has its name; the number is burnt

    def journal_path(self, own: Record) -> str:
        return f"{self.logs}/{own.file_name}.jsonl"

    def log_path(self, own: Record) -> str:
        return f"{self.logs}/{own.file_name}.log"

    def _take_number(self, name: str) -> int:
        taken = re.compile(re.escape(name) + r"-([1-9][0-9]{0,8})\.(?:jsonl|log)")
        numbers = [int(match[1]) for entry in self.disk.list(self.logs) if (match := taken.fullmatch(entry.name))]
        number = max(numbers, default=0)
        while True:
            number += 1
            try:
                self.disk.create(f"{self.logs}/{name}-{number}.jsonl", b"")
                return number
            except FileExistsError:
                continue

    # -- paths and files

    def relative(self, path: str) -> str:
        """The path as it is written in plans and journals: relative inside the run directory, absolute elsewhere."""
        return path.removeprefix(self._inside)

    def absolute(self, path: str) -> str:
        return os.path.normpath(os.path.join(self.directory, path))

    def create(self, path: str, data: bytes, *, exclusive: bool = True) -> bool:
        """Create a file of the run, whole. False: it exists. See `whole` for what `exclusive` means without links."""
        return create_whole(self.disk, path, data, self.private, exclusive=exclusive)

    def replace(self, path: str, data: bytes) -> None:
        """Create a file of the run, or replace it, whole."""
        replace_whole(self.disk, path, data, self.private)

    def private(self) -> str:
        """The name of a file of this process that is about to become another one by a link."""
        return f"{self.home}/.mpt-{process_token(new_id())}-e0.ended"


def new_id() -> str:
    """128 random bits, for names that are never given twice."""
    return os.urandom(16).hex()


def process_token(own_id: str) -> str:
    """The id with what others on this machine need to prove that this process is gone, for names of private files.

    So a private file can be judged although its process was killed before it had a record.
    """
    own = identity.current()
    return f"{own_id}-{_place(own)}-{own.pid}-{own.start}"


def private_owner(name: str) -> Identity | None:
    """The process that a private file with such a token says it belongs to; None for all other files.

    A process of another machine has no boot here, so that nothing can be proved of it.
    """
    private, own = re.fullmatch(_PRIVATE, name), identity.current()
    if private is None:
        return None
    boot = own.boot if private["place"] == _place(own) else ""
    return replace(own, boot=boot, pid=int(private["pid"]), start=int(private["start"]))


def _place(process: Identity) -> str:
    """Machine, boot and process namespace, in which a pid means the same."""
    return sha256(f"{process.boot}\0{process.namespace}".encode())[:32]


def unusable(directory: str, error: OSError) -> RunDirectoryUnusable:
    """What an error of the system says about a directory, in words."""
    if isinstance(error, FileExistsError | NotADirectoryError):
        return RunDirectoryUnusable(os.fsdecode(error.filename or directory), "it is not a directory")
    gone = isinstance(error, FileNotFoundError) and not os.path.lexists(directory)
    return RunDirectoryUnusable(directory, "it is not there any more" if gone else error.strerror or str(error))


def check_instance_name(name: str) -> str:
    """The name, if an instance can be called so."""
    if not isinstance(name, str):
        raise BadName(str(name), "it must be a string")
    if name.startswith("."):
        raise BadName(name, "it must not begin with a dot")
    return check_name(name)


def _is_gone(record: Record | None) -> bool:
    return record is not None and identity.is_gone(record.identity)
