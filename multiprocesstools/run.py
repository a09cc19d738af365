"""The run directory: where everything of a run lies, the settings all instances share, stop, and who takes part.

    <run>/.multiprocesstools/run-<r>.json          settings; the highest r counts
    <run>/.multiprocesstools/instances/<name>-<n>  records
    <run>/.multiprocesstools/plans/                what the loops work on (`plans`)
    <run>/.multiprocesstools/stop                  a token; obeyed by those that did not find it when they started
    <run>/multiprocesstools_logs/<name>-<n>.log, .jsonl

Guarantee: settings never change while another instance lives or may live, and a number n is never given twice.
"""

import json
import math
import os
import re
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from multiprocesstools.claims import identity
from multiprocesstools.claims.disk import Disk, PosixDisk
from multiprocesstools.claims.identity import Identity
from multiprocesstools.claims.instance import Instance, Notice, Rules, ignore_notice
from multiprocesstools.claims.record import Beat, Record, Unreadable, decode
from multiprocesstools.claims.slots import check_name
from multiprocesstools.claims.steady import SteadyDisk
from multiprocesstools.claims.whole import create_whole
from multiprocesstools.clock import Clock, SystemClock
from multiprocesstools.errors import BadArgument, BadName, NewerFormat, RunDirectoryUnusable, SettingsDiffer

FORMAT = 1
HOME = ".multiprocesstools"
LOGS = "multiprocesstools_logs"
_SETTINGS = re.compile(r"run-([1-9][0-9]*)\.json")
_FEWEST_BEATS = 5
_PASSING_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What all instances of a run agree on."""

    beat_seconds: float = 20.0
    patience_seconds: float = 300.0
    max_attempts: int = 3

    def __post_init__(self) -> None:
        for name, value in (("beat_seconds", self.beat_seconds), ("patience_seconds", self.patience_seconds)):
            if not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
                raise BadArgument(name, value, "it must be a number of seconds, more than 0")
        if not self.patience_seconds >= _FEWEST_BEATS * self.beat_seconds:
            reason = f"it must be at least {_FEWEST_BEATS} beats of {self.beat_seconds:g} s, or the living look dead"
            raise BadArgument("patience_seconds", self.patience_seconds, reason)
        if isinstance(self.max_attempts, bool) or not isinstance(self.max_attempts, int) or self.max_attempts < 1:
            raise BadArgument("max_attempts", self.max_attempts, "it must be a whole number, at least 1")


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
        self.home = f"{self.directory}/{HOME}"
        self.instances = f"{self.home}/instances"
        self.plans = f"{self.home}/plans"
        self.logs = f"{self.directory}/{LOGS}"

    def prepare(self) -> "Run":
        """Make the directories. RunDirectoryUnusable says why that is impossible."""
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
        return self

    # -- settings

    def settings(self) -> Settings | None:
        """The settings in force, or None. NewerFormat if they cannot be understood."""
        numbers = self._settings_numbers()
        return self._read_settings(max(numbers)) if numbers else None

    def check(self, given: dict[str, Any]) -> None:
        """BadArgument if settings make no sense, with those of the run if there is one. Nothing is made."""
        recorded = self.settings() if os.path.isdir(self.home) else None
        replace(recorded or Settings(), **given)

    def agree(self, given: dict[str, Any]) -> Settings:
        """The settings of the run, those in `given` being asked for. SettingsDiffer while others may be at work."""
        while True:
            number = max(self._settings_numbers(), default=0)
            recorded = self._read_settings(number) if number else Settings()
            wanted = replace(recorded, **given)
            if number and wanted == recorded:
                return recorded
            if number and (others := self.possibly_alive()):
                before = asdict(recorded)
                raise SettingsDiffer(given, {name: before[name] for name in given}, others)
            data = json.dumps({"format": FORMAT, **asdict(wanted), "parameters": None}, indent=1) + "\n"
            if self.create(f"{self.home}/run-{number + 1}.json", data.encode()):
                return wanted

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

    def _settings_numbers(self) -> list[int]:
        names = [entry.name for entry in self.disk.list(self.home)]
        return [int(match[1]) for name in names if (match := _SETTINGS.fullmatch(name))]

    def _read_settings(self, number: int) -> Settings:
        path = f"{self.home}/run-{number}.json"
        try:
            line = json.loads(self.disk.read(path) or b"")
            if line["format"] != FORMAT:
                raise NewerFormat(path, f"its format is {line['format']!r}, known is {FORMAT}")
            return Settings(float(line["beat_seconds"]), float(line["patience_seconds"]), line["max_attempts"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError, OSError) as error:
            raise NewerFormat(path, f"it is no settings file ({error})") from error

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
            own = Record(uuid.uuid4().hex, name, number, identity.current(), self.clock.wall(), Beat())
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
        taken = re.compile(re.escape(name) + r"-([1-9][0-9]*)\.(?:jsonl|log)")
        numbers = [int(match[1]) for entry in self.disk.list(self.logs) if (match := taken.fullmatch(entry.name))]
        number = max(numbers, default=0)
        while True:
            number += 1
            try:
                self.disk.create(f"{self.logs}/{name}-{number}.jsonl", b"")
                return number
            except FileExistsError:
                continue

    # -- stop

    def stop_token(self) -> str | None:
        """The token of the latest request to stop; learnt from a listing, which an NFS client cannot have cached."""
        if not any(entry.name == "stop" for entry in self.raw.list(self.home)):
            return None
        try:
            return (self.raw.read(f"{self.home}/stop") or b"").decode("ascii", "replace").strip() or None
        except OSError:
            return None

    def request_stop(self) -> None:
        """Ask all instances that take part now to end after the item in hand."""
        self.replace(f"{self.home}/stop", uuid.uuid4().hex.encode())

    # -- paths and files

    def relative(self, path: str) -> str:
        """The path as it is written in plans and journals: relative inside the run directory, absolute elsewhere."""
        inside = path.startswith(self.directory + "/")
        return path[len(self.directory) + 1 :] if inside else path

    def absolute(self, path: str) -> str:
        return os.path.normpath(os.path.join(self.directory, path))

    def create(self, path: str, data: bytes) -> bool:
        """Create a file of the run, whole. False: it exists."""
        return create_whole(self.disk, path, data, self._private)

    def replace(self, path: str, data: bytes) -> None:
        """Create a file of the run, or replace it, whole."""
        private = self._private()
        self.disk.create(private, data, durable=True)
        self.disk.rename(private, path)

    def _private(self) -> str:
        return f"{self.home}/.mpt-{uuid.uuid4().hex}-e0.ended"


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
