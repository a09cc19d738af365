"""The record of a protocol: what was inserted, released and begun anew, as a sequence of numbered entries. Pure.

    session   a start: the steps of the script, what of the session before goes on, and what runs again
    steps     steps inserted while others run
    release   steps that were held, with what they wait for
    closed    nothing more will be inserted by `steps_check`

Guarantee: whoever has read the same entries knows the same steps by the same ids. Entry n + 1 is created exclusively by
somebody who has read n (`ledger`), so there is one order of them for all.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from multiprocesstools.errors import UnknownStep
from multiprocesstools.steps.keys import Keys
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
    """All entries that were read."""

    def __init__(self) -> None:
        self.read = 0
        self.protocol = ""
        self.start = Start()
        self.steps: dict[int, Step] = {}
        self.keys = Keys()
        self.closed = False
        self.gone: dict[str, int] = {}
        self._pending: list[int] = []
        self._kinds: dict[tuple[str, str, str], list[int]] = {}

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def has_begun(self) -> bool:
        return self.start.number > 0

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
        known = self.keys.known()
        self.gone = {key: max(known.get(key, 0), self.gone.get(key, 0)) for key in {*known, *self.gone}}
        self.protocol = str(entry["protocol"])
        restart = bool(entry["restart"])
        self.start = Start(self.start.number + 1, str(entry["by"]), restart)
        self.keys = Keys(known, self.gone, frozenset(map(int, entry["forced"])), restart)
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
        return [int(text) for text in entry["steps"]] + self._name()

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
            self._kinds.setdefault((step.origin, step.function, step.arguments), []).append(step.id)
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


def session_entry(
    book: Book, protocol: str, script: Sequence[Step], *, by: str, restart: bool, is_done: Callable[[str], bool],
    is_whole: Callable[[str], bool],
) -> Entry:  # fmt: skip
    """The entry that begins a session in which these are the steps of the script.

    What the session before has inserted later goes on where it can: of a step that has finished and is unchanged, all
    that it inserted; of `steps_check`, what has finished. Steps that have finished and whose files are not `is_whole`
    any more run again, and what waits for steps that run again.
    """
    entry = {
        "kind": "session", "protocol": protocol, "by": by, "restart": restart, "steps": encode_steps(script),
        "forced": [],
    }  # fmt: skip
    if restart or not book.has_begun:
        return entry
    later = _carried(book, imagined(book, entry), is_done)
    entry["steps"] = encode_steps([*script, *later])
    return entry | {"forced": _forced(imagined(book, entry), is_done, is_whole)}


def imagined(book: Book, entry: Entry) -> Book:
    """The book with one more entry."""
    copy = Book()
    copy.keys, copy.gone, copy.start = book.keys, dict(book.gone), book.start
    copy.turn(entry)
    return copy


def _carried(book: Book, new: Book, is_done: Callable[[str], bool]) -> list[Step]:
    """The steps that were inserted later in the session before and go on, with their new ids."""
    mapped = {key: step for step, key in new.keys.key.items()}
    finished = {key for key, step in mapped.items() if is_done(new.item(step) or "")}
    ids = {old: mapped[key] for old, key in book.keys.key.items() if key in mapped and book.steps[old].origin == SCRIPT}
    carried: list[Step] = []
    for step in book.steps.values():
        if step.origin == SCRIPT or not all(other in ids for other in step.prerequisites):
            continue
        done = is_done(book.item(step.id) or "")
        if step.origin in finished or (done and step.id in book.keys.key):
            ids[step.id] = len(new) + len(carried) + 1
            carried.append(replace(step, id=ids[step.id], prerequisites=tuple(ids[p] for p in step.prerequisites)))
            if done:
                finished.add(book.keys.key[step.id])
    return carried


def _forced(new: Book, is_done: Callable[[str], bool], is_whole: Callable[[str], bool]) -> list[int]:
    """The finished steps that run again: their files are gone, or what they wait for has not finished."""
    forced: list[int] = []
    done: set[int] = set()
    for step in new.plan().in_order():
        item = new.item(step)
        if item is None or not is_done(item):
            continue
        if is_whole(item) and done.issuperset(new.steps[step].prerequisites):
            done.add(step)
        else:
            forced.append(step)
    return forced


def release_entry(
    book: Book, steps: Iterable[int], *, is_done: Callable[[str], bool], is_whole: Callable[[str], bool]
) -> Entry:
    """The entry that releases held steps, which run again if they have finished and their files are gone."""
    entry = _release(book, steps)
    copy = deepcopy(book)
    items = [(step, copy.item(step)) for step in copy.turn(entry)]
    return entry | {"forced": [step for step, item in items if item and is_done(item) and not is_whole(item)]}


def _release(book: Book, steps: Iterable[int]) -> Entry:
    """One without prerequisites of its own waits for all steps that exist, but for those that wait for it, and for
    those that are still held."""
    plan, chosen = book.plan(), sorted(steps)
    dependents = plan.dependents()
    released: dict[str, list[int]] = {}
    still = {step.id for step in book.held()}
    for step in chosen:
        still.discard(step)
        if book.steps[step].everything:
            out = {step, *still}
            stack = list(out)
            while stack:
                new = [other for other in dependents[stack.pop()] if other not in out]
                out.update(new)
                stack += new
            prerequisites = [other for other in book.steps if other not in out]
            for prerequisite in prerequisites:
                dependents[prerequisite].append(step)
        else:
            prerequisites = list(book.steps[step].prerequisites)
        released[str(step)] = prerequisites
    return {"kind": "release", "steps": released}
