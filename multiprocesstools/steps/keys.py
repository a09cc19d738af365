"""What a step is known by: the hash of its function, its arguments and the keys of what it waits for, and a generation.

    <name>.<key>.<generation>.json     the item of a step, in the directory `steps` of the run

So a step that is inserted in the middle changes nothing for those that do not wait for it, and a step whose
prerequisite has changed is another step. A *rerun* has the same key and the next generation, and so has everything that
waits for it.

Guarantee: keys and generations follow from the record alone, so that all instances know the same. Two equal steps are
told apart by their order.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from multiprocesstools.run.digest import sha256
from multiprocesstools.steps.step import Step

_KEY_DIGITS = 20
_LONGEST_NAME = 60

Waits = tuple[tuple[str, int], ...]
"""What a step waits for: the key and the generation of each."""


@dataclass(frozen=True, slots=True)
class Past:
    """A step of an earlier session, by what outlives its id. One that never got a key has the generation 0, and a key
    that is no step's and by which only others of that session name it. `replaced`: a session after that one had
    another in its place, which never got a key."""

    step: Step
    key: str
    generation: int
    waits: Waits
    replaced: bool = False

    @property
    def item(self) -> str:
        return item_name(self.step, self.key, self.generation)


@dataclass(slots=True)
class Keys:
    """The keys and generations of the steps of one session, known as soon as what they wait for is.

    `before`: the steps that a new session goes on from, by their keys; `history`: the highest generation of each key
    ever; `retried`: the keys of those that had failed and are tried again, with their last attempts; `forced`: the
    steps that run again although nothing has changed, `all_forced`: those of a restart.
    """

    before: Mapping[str, Past] = field(default_factory=dict)
    history: Mapping[str, int] = field(default_factory=dict)
    retried: Mapping[str, int] = field(default_factory=dict)
    forced: frozenset[int] = frozenset()
    all_forced: bool = False
    key: dict[int, str] = field(default_factory=dict)
    generation: dict[int, int] = field(default_factory=dict)
    _equal: Counter[str] = field(default_factory=Counter)

    def copy(self) -> "Keys":
        return replace(self, key=dict(self.key), generation=dict(self.generation), _equal=Counter(self._equal))

    def add(self, step: Step) -> bool:
        """Name a step. False: what it waits for has no key yet, or it is held, so that nobody knows what that is."""
        if step.id in self.key:
            return True
        if step.held or not all(prerequisite in self.key for prerequisite in step.prerequisites):
            return False
        waits = self.waits(step)
        parts = [step.function, step.arguments, *(key for key, _ in waits)]
        base = sha256("\0".join(parts).encode("utf-8", "surrogatepass"))[:_KEY_DIGITS]
        self._equal[base] += 1
        key = base if self._equal[base] == 1 else sha256(f"{base}\0{self._equal[base]}".encode())[:_KEY_DIGITS]
        self.key[step.id], self.generation[step.id] = key, self._generation(step, key, waits)
        return True

    def waits(self, step: Step) -> Waits:
        """What a step waits for, if that has keys."""
        return tuple(sorted((self.key[other], self.generation[other]) for other in step.prerequisites))

    def item(self, step: Step) -> str | None:
        """The name of the step's item; None as long as it has no key."""
        key = self.key.get(step.id)
        return None if key is None else item_name(step, key, self.generation[step.id])

    def failed_attempt(self, step: Step) -> int:
        """The attempt after which the step's item is tried again in this session; 0 for none."""
        key = self.key[step.id]
        same = key in self.before and self.before[key].generation == self.generation[step.id]
        return self.retried.get(key, 0) if same else 0

    def _generation(self, step: Step, key: str, waits: Waits) -> int:
        """What has run counts if it ran after the same generations of what it waits for. A key that was not in the
        session before counts as new, also if there was one like it long ago: what has run in between may have written
        to the same files."""
        before = self.before.get(key)
        again = self.all_forced or step.id in self.forced or any(other in self.retried for other, _ in waits)
        if before is None or again or before.waits != waits:
            return self.history.get(key, 0) + 1
        return before.generation


def item_name(step: Step, key: str, generation: int) -> str:
    name = re.sub(r"[^A-Za-z0-9_]+", "_", step.name)[:_LONGEST_NAME].strip("_") or "step"
    return f"{name}.{key}.{generation}.json"
