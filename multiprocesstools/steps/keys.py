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
from dataclasses import dataclass, field

from multiprocesstools.run.digest import sha256
from multiprocesstools.steps.step import Step

_KEY_DIGITS = 20
_LONGEST_NAME = 60


@dataclass(slots=True)
class Keys:
    """The keys and generations of the steps of one session, known as soon as what they wait for is.

    `before`: the generation of each key in the session before, `history`: the highest one ever; `forced`: the steps
    that run again although nothing has changed, `all_forced`: those of a restart.
    """

    before: Mapping[str, int] = field(default_factory=dict)
    history: Mapping[str, int] = field(default_factory=dict)
    forced: frozenset[int] = frozenset()
    all_forced: bool = False
    key: dict[int, str] = field(default_factory=dict)
    generation: dict[int, int] = field(default_factory=dict)
    _again: set[int] = field(default_factory=set)
    _equal: Counter[str] = field(default_factory=Counter)

    def add(self, step: Step) -> bool:
        """Name a step. False: what it waits for has no key yet, or it is held, so that nobody knows what that is."""
        if step.id in self.key:
            return True
        if step.held or not all(prerequisite in self.key for prerequisite in step.prerequisites):
            return False
        parts = [step.function, step.arguments, *sorted(self.key[other] for other in step.prerequisites)]
        base = sha256("\0".join(parts).encode("utf-8", "surrogatepass"))[:_KEY_DIGITS]
        self._equal[base] += 1
        key = base if self._equal[base] == 1 else sha256(f"{base}\0{self._equal[base]}".encode())[:_KEY_DIGITS]
        again = self.all_forced or step.id in self.forced or not self._again.isdisjoint(step.prerequisites)
        if again:
            self._again.add(step.id)
        self.key[step.id], self.generation[step.id] = key, self._generation(key, again)
        return True

    def item(self, step: Step) -> str | None:
        """The name of the step's item; None as long as it has no key."""
        if step.id not in self.key:
            return None
        name = re.sub(r"[^A-Za-z0-9_]+", "_", step.name)[:_LONGEST_NAME].strip("_") or "step"
        return f"{name}.{self.key[step.id]}.{self.generation[step.id]}.json"

    def known(self) -> dict[str, int]:
        """The generation of each key."""
        return {key: self.generation[step] for step, key in self.key.items()}

    def _generation(self, key: str, again: bool) -> int:
        """A key that was not in the session before counts as new, also if there was one like it long ago: what has run
        in between may have written to the same files."""
        if key not in self.before:
            return self.history.get(key, 0) + 1
        return self.history[key] + 1 if again else self.before[key]
