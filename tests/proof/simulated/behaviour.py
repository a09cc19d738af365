"""What is searched, and what its programs do: each a tree of the answers that it may get.

What a program does next follows from its answers alone. A node is a history of answers, found once by running the
program anew with these answers. Where a program has come to a place from which only the state of its instance matters
(`Player.reach`), histories that agree in that state are one node.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from multiprocesstools.claims.instance import Rules
from tests.proof.simulated.clients import Ways
from tests.proof.simulated.disk import refusal
from tests.proof.simulated.players import Facts, Player, Program
from tests.proof.simulated.server import Operation


@dataclass(frozen=True)
class Setting:
    """Who takes part, and what may go wrong how often. `machines`: of each player; all different if left out.

    Faults of `BUDGETED` happen as often as `budget` says; without "silent" in it nobody is ever suspected falsely.
    """

    name: str
    programs: tuple[Program, ...]
    ways: Ways = field(default_factory=Ways)
    budget: dict[str, int] = field(default_factory=dict)
    machines: tuple[str, ...] = ()
    max_attempts: int = 2
    in_place: bool = False
    copies: bool = False
    publish: str = "link"
    newcomer: Program | None = None

    @property
    def accurate(self) -> bool:
        return not self.budget.get("silent")

    def player(self, number: int, ask: Callable[[Operation], Any]) -> Player:
        rules = Rules(1.0, 10.0, self.max_attempts, durable=False, publish=self.publish)
        return Player(number, self.machine(number), ask, rules, self.in_place, self.copies)

    def machine(self, number: int) -> str:
        return self.machines[number - 1] if number <= len(self.machines) else f"machine {number}"


class Suspended(BaseException):
    """The history of answers has ended; what the program would do next is known."""


class Answer(NamedTuple):
    value: Any
    error: int = 0


class Behaviour:
    """One program as a tree of histories. Node 0 is the beginning."""

    def __init__(self, setting: Setting, number: int, program: Program) -> None:
        self._setting, self._number, self._program = setting, number, program
        self._parents: list[int] = []
        self._answers: list[Answer | None] = []
        self._children: list[dict[Answer, int]] = []
        self._reached: dict[str, int] = {}
        self.requests: list[Operation | None] = []
        self.facts: list[Facts] = []
        self._add(-1, None)

    def __len__(self) -> int:
        return len(self.requests)

    def child(self, node: int, answer: Answer) -> int:
        found = self._children[node].get(answer)
        if found is None:
            found = self._children[node][answer] = self._add(node, answer)
        return found

    def _add(self, parent: int, answer: Answer | None) -> int:
        self._parents.append(parent)
        self._answers.append(answer)
        self._children.append({})
        node = len(self._parents) - 1
        request, facts = self._run(node)
        self.requests.append(request)
        self.facts.append(facts)
        if request is None or request[0] != "reach":
            return node
        reached = self._reached.get(request[1])
        if reached is None:
            reached = self._reached[request[1]] = self._add(node, Answer(None))
        return reached

    def _run(self, node: int) -> tuple[Operation | None, Facts]:
        """Run the program with the answers on the way to a node: what it asks next (None: it has ended)."""
        history: list[Answer] = []
        while (answer := self._answers[node]) is not None:
            history.append(answer)
            node = self._parents[node]
        asked: list[Operation] = []
        facts: list[Facts] = []

        def ask(operation: Operation) -> Any:
            if asked:
                raise Suspended
            if not history:
                asked.append(operation)
                facts.append(player.facts)
                raise Suspended
            answer = history.pop()
            if answer.error:
                raise refusal(answer.error, operation)
            return answer.value

        player = self._setting.player(self._number, ask)
        try:
            self._program(player)
        except Suspended:
            pass
        except Exception as error:
            if not asked:
                player.note(said=f"raised {error!r}")
        return (asked[0], facts[0]) if asked else (None, player.facts)
