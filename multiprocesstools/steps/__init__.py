"""Steps with prerequisites: a protocol inserts steps that wait for others, and any number of machines run them.

from multiprocesstools.steps import Protocol

class Register(Protocol):
    def insert_all_steps(self):
        first = self.insert_function_step("read_list")
        ...

The rooms, from the ground up: `step` (a step and its outcome), `plan` (what is ready and what can never be), `keys`
(what a step is known by), `book` (the record of what was inserted, as all instances read it), `resume` (what goes on
from one session to the next), `ledger` (that record on the disk), `functions` (what a step calls), `session` (beginning
and joining), `frontier`, `performer`, `conductor` and `runner` (running), `scribe` and `inserting` (writing while it
runs), `part` (all of that for one instance), `protocol` (the door), `overview` (what has become of the steps).
"""

TYPE_CHECKING = False

if TYPE_CHECKING:
    from multiprocesstools.steps.functions import Made
    from multiprocesstools.steps.inserting import Handle
    from multiprocesstools.steps.overview import Overview
    from multiprocesstools.steps.params import Form
    from multiprocesstools.steps.plan import Plan
    from multiprocesstools.steps.protocol import STEPS_PARALLEL, STEPS_SERIAL, Protocol
    from multiprocesstools.steps.step import Outcome, Status, Step

_ROOMS = {
    "Form": "params",
    "Handle": "inserting",
    "Made": "functions",
    "Outcome": "step",
    "Overview": "overview",
    "Plan": "plan",
    "Protocol": "protocol",
    "STEPS_PARALLEL": "protocol",
    "STEPS_SERIAL": "protocol",
    "Status": "step",
    "Step": "step",
}

__all__ = [
    "STEPS_PARALLEL",
    "STEPS_SERIAL",
    "Form",
    "Handle",
    "Made",
    "Outcome",
    "Overview",
    "Plan",
    "Protocol",
    "Status",
    "Step",
]


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
