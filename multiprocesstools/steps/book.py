"""The record of a protocol: what was inserted, released and begun anew, as a sequence of numbered entries. Pure.

    session   a start: the steps of the script, what of the sessions before goes on, and what runs again
    steps     steps inserted while others run
    release   steps that were held, with what they wait for, and what of the sessions before goes on with them
    closed    nothing more will be inserted by `steps_check`

Guarantee: whoever has read the same entries knows the same steps by the same ids. Entry n + 1 is created exclusively by
somebody who has read n (`ledger`), so there is one order of them for all.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from multiprocesstools.errors import UnknownStep
from multiprocesstools.steps.keys import Keys, Past
from multiprocesstools.steps.plan import Plan
from multiprocesstools.steps.step import SCRIPT, Step

Entry = dict[str, Any]
_DEFAULTS = {name: f.default for name, f in Step.__dataclass_fields__.items()}


@dataclass(frozen=True, slots=True)
class Start:
    """How a session began: by which instance, and whether that was a restart."""

    number: int = 0
    by: str = ""
    restart: bool = False


class Book:
    """All entries that were read. `past`: the steps of earlier sessions that a new one goes on from, by their keys."""

    def __init__(self) -> None:
        self.read = 0
        self.protocol = ""
        self.start = Start()
        self.steps: dict[int, Step] = {}
        self.keys = Keys()
        self.closed = False
        self.past: dict[str, Past] = {}
        self._history: dict[str, int] = {}
        self._pending: list[int] = []
        self._kinds: dict[tuple[str, str, str], list[int]] = {}

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def has_begun(self) -> bool:
        return self.start.number > 0

    def copy(self) -> "Book":
        """One that can be turned without changing this one."""
        other = copy(self)
        other.steps, other.keys, other._pending = dict(self.steps), self.keys.copy(), list(self._pending)
        other._kinds = {kind: list(steps) for kind, steps in self._kinds.items()}
        return other

    def turn(self, entry: Entry) -> list[int]:
        """Read the next entry; the steps that are new or have changed. ValueError, KeyError, TypeError for what is no
        entry."""
        kinds = {"session": self._session, "steps": self._steps, "release": self._release, "closed": self._close}
        changed = kinds[entry["kind"]](entry)
        self.read += 1
        return changed

    def item(self, step: int) -> str | None:
        """The name of the item of a step; None as long as nobody knows what it waits for."""
        return self.keys.item(self.steps[step])

    def of_script(self) -> list[Step]:
        return [step for step in self.steps.values() if step.origin == SCRIPT]

    def alike(self, origin: str, function: str, arguments: str) -> list[Step]:
        """The steps of one kind, in their order."""
        return [self.steps[step] for step in self._kinds.get((origin, function, arguments), ())]

    def held(self) -> list[Step]:
        return [step for step in self.steps.values() if step.held]

    def plan(self) -> Plan:
        return Plan(self.steps.values())

    # -- the kinds of entries

    def _session(self, entry: Entry) -> list[int]:
        steps = list(self._steps_as_past())
        self._history = self._history | {past.key: self._highest(past) for past in steps if past.generation}
        self.past = {past.key: past for past in [*self._not_come_to(), *steps]}
        self.protocol = str(entry["protocol"])
        restart = bool(entry["restart"])
        self.start = Start(self.start.number + 1, str(entry["by"]), restart)
        retried = {str(key): int(attempt) for key, attempt in entry.get("retried", {}).items()}
        forced = frozenset(map(int, entry["forced"]))
        self.keys = Keys(self.past, self._history, retried, forced, restart)
        self.steps, self.closed, self._pending, self._kinds = {}, False, [], {}
        return self._add(decode_steps(entry["steps"]))

    def _steps(self, entry: Entry) -> list[int]:
        return self._add(decode_steps(entry["steps"]))

    def _release(self, entry: Entry) -> list[int]:
        self.keys.forced |= frozenset(map(int, entry.get("forced", ())))
        for text, prerequisites in entry["steps"].items():
            step = self.steps[int(text)]
            if step.held:
                self.steps[step.id] = replace(step, held=False, prerequisites=tuple(map(int, prerequisites)))
        changed = [int(text) for text in entry["steps"]] + self._name()
        return changed + self._add(decode_steps(entry.get("inserted", ())))

    def _close(self, entry: Entry) -> list[int]:
        self.closed = True
        return []

    def _add(self, steps: Sequence[Step]) -> list[int]:
        expected = range(len(self.steps) + 1, len(self.steps) + len(steps) + 1)
        if [step.id for step in steps] != list(expected):
            raise ValueError("the ids of its steps do not follow those before")
        self.steps |= {step.id: step for step in steps}
        missing = [(s, p) for s in steps for p in s.prerequisites if p not in self.steps]
        if missing:
            raise UnknownStep(missing[0][0].title, missing[0][1], len(self.steps))
        for step in steps:
            self._kinds.setdefault(_kind(step), []).append(step.id)
        self._pending += [step.id for step in steps]
        self._name()
        return [step.id for step in steps]

    def _name(self) -> list[int]:
        """Give keys to all that can have one by now."""
        named: list[int] = []
        while True:
            left = [step for step in self._pending if not self.keys.add(self.steps[step])]
            named += sorted(set(self._pending) - set(left))
            if len(left) == len(self._pending) or not left:
                self._pending = left
                return named
            self._pending = left

    # -- what a session leaves to the next one

    def _steps_as_past(self) -> Iterator[Past]:
        keys, number = self.keys, self.start.number

        def known(step: int) -> tuple[str, int]:
            return (keys.key[step], keys.generation[step]) if step in keys.key else (f"{number}#{step}", 0)

        for step in self.steps.values():
            yield Past(step, *known(step.id), tuple(sorted(map(known, step.prerequisites))))

    def _highest(self, past: Past) -> int:
        return max(past.generation, self._history.get(past.key, 0))

    def _not_come_to(self) -> Iterator[Past]:
        """The steps of earlier sessions that the latest one would have named, had it not ended before: those like its
        held ones and what waits for these, and what was inserted by them or after them."""
        kinds = {_kind(self.steps[step]) for step in self._pending}
        named, left = set(self.keys.key.values()), set[str]()
        for past in self.past.values() if kinds else ():
            fits = _kind(past.step) in kinds
            follows = past.step.origin in left or any(key in left for key, _ in past.waits)
            if past.generation and past.key not in named and (fits or follows):
                left.add(past.key)
                yield replace(past, replaced=past.replaced or fits)


def _kind(step: Step) -> tuple[str, str, str]:
    return step.origin, step.function, step.arguments


def encode_steps(steps: Iterable[Step]) -> list[dict[str, Any]]:
    """Steps for an entry, without what is as usual."""
    return [
        {name: value for name, usual in _DEFAULTS.items() if (value := getattr(step, name)) != usual} for step in steps
    ]


def decode_steps(lines: Any) -> list[Step]:
    """ValueError, KeyError or TypeError for everything else."""
    return [_decode(line) for line in lines]


def _decode(line: dict[str, Any]) -> Step:
    step = Step(**{**line, "prerequisites": tuple(map(int, line.get("prerequisites", ())))})
    texts = (step.name, step.arguments, step.function, step.origin)
    if not isinstance(step.id, int) or not all(isinstance(text, str) for text in texts):
        raise ValueError("a value in it has another type")
    return step
