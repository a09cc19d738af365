"""Plans: what the loops of a run work on, written down so that totals, ETA and cleanup need no script.

    plans/<key>.json    name, template, directories, number and hash of the sources; the highest `sequence` of one
                        template and directory counts in the totals
    plans/<key>.names   final and source of each item, compressed

An *open* plan (no template) names a directory in which single items are claimed: `claim`, `once`, direct mode; the
latter has one of its own, `in_place`, which is there before the first final of that kind is begun.

Guarantee: one final never has two sources, in any plan of the run. Plans decide nothing about claims.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from multiprocesstools import inventory
from multiprocesstools.errors import DuplicateFinal, ListChanged, NewerFormat
from multiprocesstools.finals import tell_apart
from multiprocesstools.inventory import Block, Inventory
from multiprocesstools.run import Run

FORMAT = 1
_NAMES_LIMIT_BYTES = 1 << 28
_HIGHEST_NUMBER = 2**53


@dataclass(frozen=True, slots=True)
class Plan:
    """One call of `items`. Paths are relative to the run directory where they lie inside it."""

    key: str
    name: str
    template: str
    directory: str
    directories: list[str]
    count: int
    sources: str
    sequence: int
    numbered: bool = False
    in_place: bool = False
    files: int = 1

    def place_of(self, directory: str, run: Run) -> int:
        """Which of the directories of the plan this one is; -1 for another one."""
        return next((i for i, folder in enumerate(self.directories) if run.absolute(folder) == directory), -1)

    @property
    def is_open(self) -> bool:
        return not self.template


class Plans:
    """The plans of a run."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def all(self) -> list[Plan]:
        """Every plan, oldest first."""
        files = sorted(name for name in self._file_names() if name.endswith(".json") and not name.startswith("."))
        plans = [plan for name in files if (plan := self._read(name)) is not None]
        return sorted(plans, key=lambda plan: plan.sequence)

    def current(self) -> list[Plan]:
        """The plans that count in the totals: the latest of each template and directory."""
        return list({(plan.template, plan.directory): plan for plan in self.all()}.values())

    def directories(self) -> list[str]:
        """All directories that hold finals of the run, absolute."""
        seen = dict.fromkeys(folder for plan in self.all() for folder in plan.directories)
        return [self._run.absolute(folder) for folder in seen]

    def directories_of_parts(self) -> list[str]:
        """Those of them that hold files which are only a part of an item."""
        seen = dict.fromkeys(folder for plan in self.all() if plan.files > 1 for folder in plan.directories)
        return [self._run.absolute(folder) for folder in seen]

    def any_in_place(self) -> bool:
        """Is any directory one in which finals are written in place?"""
        return any(plan.in_place for plan in self.all())

    def items(self, plan: Plan) -> Iterator[Block]:
        """The items of a plan, as they were written."""
        path = self._path(plan.key, "names")
        try:
            yield from inventory.decode(self._run.disk.read(path, _NAMES_LIMIT_BYTES) or b"", plan.count)
        except (zlib.error, ValueError, TypeError, RecursionError, OSError) as error:
            raise NewerFormat(path, f"it is no list of items ({error})") from error

    def record(
        self, name: str, template: str, directory: str, directories: list[str], items: Inventory, *,
        numbered: bool = False, files: int = 1,
    ) -> Plan:  # fmt: skip
        """Write a plan down, if it is new; `files` is the number of files per item. DuplicateFinal, ListChanged."""
        digest = items.digest()
        key = hashlib.sha256(os.fsencode("\0".join((template, directory, digest)))).hexdigest()[:32]
        known = self.all()
        same = [plan for plan in known if (plan.template, plan.directory) == (template, directory)]
        if same and same[-1].key == key:
            return same[-1]
        if numbered and same:
            raise ListChanged(template, same[-1].count, len(items))
        self._refuse_other_sources(known, key, items, template)
        sequence = max((plan.sequence for plan in known), default=0) + 1
        folders = [self._written(folder) for folder in directories]
        plan = Plan(key, name, template, directory, folders, len(items), digest, sequence, numbered, files=files)
        self._write(plan, items.compressed)
        self._refuse_other_sources([p for p in self.all() if p not in known], key, items, template)
        return plan

    def record_open(self, directory: str, *, in_place: bool = False) -> None:
        """Note that single items are claimed in a directory (and that finals are written there in place)."""
        key, folder = self._open_key(directory, in_place), self._written(directory)
        if f"{key}.json" not in self._file_names():
            sequence = max((plan.sequence for plan in self.all()), default=0) + 1
            self._write(
                Plan(key, "", "", folder, [folder], 0, "", sequence, in_place=in_place), lambda: zlib.compress(b"")
            )

    def writes_in_place(self, directory: str) -> bool:
        """May some instance write finals of this directory in place? Asked of the disk each time, without waiting.

        Outside the run directory a path may have another name on another machine, so there the answer is yes.
        """
        if directory != self._run.directory and not directory.startswith(self._run.directory + "/"):
            return True
        try:
            names = {entry.name for entry in self._run.raw.list(self._run.plans)}
        except OSError:
            return True
        return f"{self._open_key(directory, True)}.json" in names

    def _open_key(self, directory: str, in_place: bool) -> str:
        kind = "in place" if in_place else "open"
        return hashlib.sha256(os.fsencode(f"{kind}\0{self._written(directory)}")).hexdigest()[:32]

    def _written(self, directory: str) -> str:
        """A directory as plans have it, the same from every mount point."""
        return "." if directory == self._run.directory else self._run.relative(directory)

    def _file_names(self) -> set[str]:
        return {entry.name for entry in self._run.disk.list(self._run.plans)}

    def _write(self, plan: Plan, names_file: Callable[[], bytes]) -> None:
        """An earlier list that is used again becomes the latest, without a moment in which it is missing.

        Its names follow from its key, so they are written once; an empty file is what a crash without links has left.
        """
        names = self._path(plan.key, "names")
        stamp = self._run.disk.look(names)
        if stamp is None or not stamp.size:
            self._run.replace(names, names_file())
        self._run.replace(
            self._path(plan.key, "json"), (json.dumps({"format": FORMAT, **asdict(plan)}) + "\n").encode()
        )

    def _refuse_other_sources(self, plans: list[Plan], key: str, items: Inventory, template: str) -> None:
        for plan in plans:
            if plan.key == key or plan.is_open:
                continue
            if conflict := items.conflict(self.items(plan)):
                raise DuplicateFinal(*conflict, tell_apart(template))

    def _read(self, file_name: str) -> Plan | None:
        path = f"{self._run.plans}/{file_name}"
        try:
            data = self._run.disk.read(path)
            if data is None:
                return None  # just being replaced by a later one
            return _decode(json.loads(data), file_name.removesuffix(".json"))
        except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
            raise NewerFormat(path, f"it is no plan ({error})") from error

    def _path(self, key: str, suffix: str) -> str:
        return f"{self._run.plans}/{key}.{suffix}"


def _decode(line: dict[str, Any], key: str) -> Plan:
    """The plan in a line of JSON. ValueError, KeyError or TypeError for everything else."""
    if line["format"] != FORMAT:
        raise ValueError(f"its format is {line['format']!r}, known is {FORMAT}")
    plan = Plan(**{name: line[name] for name in Plan.__dataclass_fields__})
    for text in (plan.key, plan.name, plan.template, plan.directory, plan.sources, *plan.directories):
        _name(text)
    if not isinstance(plan.directories, list) or not all(map(_is_number, (plan.count, plan.sequence, plan.files))):
        raise ValueError("a value in it has another type")
    if plan.key != key:
        raise ValueError(f"it says that it is the plan {plan.key!r}")
    if not plan.directories:
        raise ValueError("it names no directory")
    return plan


def _name(text: Any) -> str:
    if not isinstance(text, str) or b"\0" in os.fsencode(text):
        raise ValueError(f"{text!r} is no name")
    return text


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < _HIGHEST_NUMBER
