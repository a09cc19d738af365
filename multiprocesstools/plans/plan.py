"""One plan as data: what it says, and its line of JSON."""

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocesstools.run.directory import Run

FORMAT = 1
_HIGHEST_NUMBER = 2**53


@dataclass(frozen=True, slots=True)
class Plan:
    """One call of `items`. Paths are relative to the run directory where they lie inside it.

    `chunk` items are claimed at once (0: so many as will be measured with the `head` of each directory).
    """

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
    chunk: int = 1
    head: int = 0

    def place_of(self, directory: str, run: "Run") -> int:
        """Which of the directories of the plan this one is; -1 for another one."""
        return next((i for i, folder in enumerate(self.directories) if run.absolute(folder) == directory), -1)

    @property
    def is_open(self) -> bool:
        return not self.template


def encode(plan: Plan) -> bytes:
    return (json.dumps({"format": FORMAT, **asdict(plan)}) + "\n").encode()


def decode(line: dict[str, Any], key: str) -> Plan:
    """The plan in a line of JSON. ValueError, KeyError or TypeError for everything else."""
    if line["format"] != FORMAT:
        raise ValueError(f"its format is {line['format']!r}, known is {FORMAT}")
    plan = Plan(**{name: line[name] for name in Plan.__dataclass_fields__})
    for text in (plan.key, plan.name, plan.template, plan.directory, plan.sources, *plan.directories):
        _name(text)
    if not isinstance(plan.directories, list) or not all(map(is_number, _numbers(plan))):
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


def _numbers(plan: Plan) -> tuple[int, ...]:
    return plan.count, plan.sequence, plan.files, plan.chunk, plan.head


def is_number(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < _HIGHEST_NUMBER
