"""The settings that all instances of a run share, and how they come to agree: run-<r>.json, the highest r counts.

Guarantee: of those who start at once with different values one set wins, and the others are told. Settings change only
while nobody else lives or may live; parameters never do, except that they can be recorded as long as nothing was begun.
Condition: files are created exclusively and whole (`claims.whole`).
"""

import itertools
import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from multiprocesstools.claims.disk import Disk
from multiprocesstools.claims.whole import Torn, read_json
from multiprocesstools.clock import Clock
from multiprocesstools.errors import BadArgument, NewerFormat, ParametersDiffer, SettingsDiffer
from multiprocesstools.run.parameters import Change, check_parameters, differences

FORMAT = 1
_FILE = re.compile(r"run-([1-9][0-9]*)\.json")
_FEWEST_BEATS = 5
_LEAST_SECONDS, _MOST_SECONDS = 0.001, 1e9  # 1e9: about 30 years; the system refuses to wait for more than 292


@dataclass(frozen=True, slots=True)
class Settings:
    """What all instances of a run agree on. `parameters` are JSON values; None where none were recorded."""

    beat_seconds: float = 20.0
    patience_seconds: float = 300.0
    max_attempts: int = 3
    parameters: dict[str, Any] | None = field(default=None, hash=False)  # in a JSON file, null

    def __post_init__(self) -> None:
        for name, value in (("beat_seconds", self.beat_seconds), ("patience_seconds", self.patience_seconds)):
            if not isinstance(value, int | float) or not _LEAST_SECONDS <= value <= _MOST_SECONDS:
                raise BadArgument(name, value, "it must be a number of seconds, at least 0.001 and at most 1e9")
        if not self.patience_seconds >= _FEWEST_BEATS * self.beat_seconds:
            reason = f"it must be at least {_FEWEST_BEATS} beats of {self.beat_seconds:g} s, or the living look dead"
            raise BadArgument("patience_seconds", self.patience_seconds, reason)
        if isinstance(self.max_attempts, bool) or not isinstance(self.max_attempts, int) or self.max_attempts < 1:
            raise BadArgument("max_attempts", self.max_attempts, "it must be a whole number, at least 1")


class SettingsFiles:
    """The settings files of a run, in its directory `home`. `create` makes a file of the run, whole and exclusively.

    Asked when settings have to change: `others`, who lives or may live; `is_begun`, was anything done or planned?
    """

    def __init__(
        self, disk: Disk, clock: Clock, home: str, *, create: Callable[[str, bytes], bool],
        others: Callable[[], list[str]], is_begun: Callable[[], bool],
    ) -> None:  # fmt: skip
        self._disk, self._clock, self._home, self._create = disk, clock, home, create
        self._others, self._is_begun = others, is_begun

    def latest(self) -> Settings | None:
        """The settings in force, or None. NewerFormat if they cannot be understood."""
        return self._latest_of(self._numbers())

    def check(self, given: dict[str, Any], recorded: Settings | None) -> None:
        """BadArgument, ParametersDiffer if these settings cannot be those of the run. Nothing is made."""
        replace(recorded or Settings(), **given)
        self._asked(given, recorded)

    def agree(self, given: dict[str, Any]) -> Settings:
        """The settings of the run, those in `given` being asked for. SettingsDiffer while others may be at work;
        ParametersDiffer always."""
        while True:
            numbers = self._numbers()
            recorded = self._latest_of(numbers)
            asked = self._asked(given, recorded)
            wanted = replace(recorded or Settings(), **asked)
            if wanted == recorded:
                return recorded
            if recorded and (alive := self._others()):
                before = asdict(recorded)
                raise SettingsDiffer(asked, {name: before[name] for name in asked}, alive)
            self._write(max(numbers, default=0) + 1, wanted)
            if recorded and "parameters" in asked and self._others():
                self._withdraw_parameters(given)

    def _asked(self, given: dict[str, Any], recorded: Settings | None) -> dict[str, Any]:
        """What is asked for: parameters only where none were recorded and nothing was begun. ParametersDiffer."""
        asked = {name: value for name, value in given.items() if name != "parameters"}
        if not recorded or "parameters" not in given:
            return asked | ({"parameters": given["parameters"] or None} if "parameters" in given else {})
        changes = list(differences(recorded.parameters or {}, given["parameters"]))
        if changes and (recorded.parameters is not None or self._is_begun() or self._others()):
            raise self._differ(changes, none=recorded.parameters is None)
        return asked | ({"parameters": given["parameters"]} if changes else {})

    def _withdraw_parameters(self, given: dict[str, Any]) -> None:
        """Somebody has joined at this very moment, and may have done so without them."""
        numbers = self._numbers()
        if (latest := self._latest_of(numbers)) is not None:
            self._write(max(numbers) + 1, replace(latest, parameters=None))
        raise self._differ(list(differences({}, given["parameters"])), none=True)

    def _write(self, number: int, settings: Settings) -> None:
        data = json.dumps({"format": FORMAT, **asdict(settings)}, indent=1) + "\n"
        self._create(f"{self._home}/run-{number}.json", data.encode())

    def _differ(self, changes: list[Change], *, none: bool) -> ParametersDiffer:
        directory = os.path.dirname(self._home)
        told = [(change.path, change.kind, change.recorded, change.given) for change in changes]
        return ParametersDiffer(directory, told, _free_name(directory), none)

    def _numbers(self) -> list[int]:
        names = [entry.name for entry in self._disk.list(self._home)]
        return [int(match[1]) for name in names if (match := _FILE.fullmatch(name))]

    def _latest_of(self, numbers: list[int]) -> Settings | None:
        """Those with the highest number. An empty file says nothing: without links a crash may have left it so."""
        found = (self._read(f"{self._home}/run-{number}.json") for number in sorted(numbers, reverse=True))
        return next((settings for settings in found if settings is not None), None)

    def _read(self, path: str) -> Settings | None:
        try:
            line = read_json(self._disk, self._clock, path)
            if line["format"] != FORMAT:
                raise NewerFormat(path, f"its format is {line['format']!r}, known is {FORMAT}")
            parameters = line.get("parameters")
            if parameters is not None:
                parameters = check_parameters(parameters)
            beat, patience = float(line["beat_seconds"]), float(line["patience_seconds"])
            return Settings(beat, patience, line["max_attempts"], parameters)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError, OSError) as error:
            if isinstance(error, Torn) and error.data == b"":
                return None
            raise NewerFormat(path, f"it is no settings file ({error})") from error


def _free_name(directory: str) -> str:
    """A directory beside this one that is not there: the next number behind its name."""
    stem, _, number = directory.rpartition("_")
    name, first = (stem, int(number) + 1) if stem and number.isdecimal() and number.isascii() else (directory, 2)
    return next(path for count in itertools.count(first) if not os.path.lexists(path := f"{name}_{count}"))
