"""Every interleaving and every fault within a budget, for a few instances of the real claim code.

Searched are distinct states, not schedules: the disk, what the clients remember, who is gone, and the answers that each
instance has had so far (`behaviour`). A transition is computed once and is then a look-up. Private files, which no
other instance looks at, are written without a step of their own.

Found violations come with the shortest trace, because the search goes breadth first.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.proof.simulated.behaviour import Answer, Behaviour, Setting
from tests.proof.simulated.checks import Broken, Moment, World, broken
from tests.proof.simulated.clients import Ways, outcomes, run_copy
from tests.proof.simulated.disk import INODES_PER_PROCESS
from tests.proof.simulated.players import DIRECTORIES, Facts, worker
from tests.proof.simulated.server import PRIVATE, Operation, State, Who, start

NEWCOMER = 99
BUDGETED = ("crash", "lost", "error", "silent", "repeated", "full", "copy")
_PRIVATE_VERBS = frozenset({"create", "look", "unlink", "sync", "remove tree"})
_MOST_STEPS_ALONE = 3000


class Step(NamedTuple):
    """One transition of one instance."""

    world: int
    node: int
    fault: str
    label: str


@dataclass
class Result:
    """What a search has found. `states` are global states; `worlds` distinct disks with memories; `outcomes` the disks
    and the words of all instances at the ends of all runs."""

    setting: Setting
    states: int = 0
    transitions: int = 0
    worlds: int = 0
    histories: int = 0
    complete: bool = True
    outcomes: frozenset[Any] = frozenset()
    broken: list[Broken] = field(default_factory=list)

    @property
    def violations(self) -> set[str]:
        return {one.promise for one in self.broken}


class Search:
    """Breadth first over the states of one setting."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.behaviours = [Behaviour(setting, i + 1, program) for i, program in enumerate(setting.programs)]
        self._newcomer = Behaviour(setting, NEWCOMER, setting.newcomer or worker("ok"))
        self._worlds: dict[Any, int] = {}
        self.values: list[World] = []
        self._steps: dict[tuple[int, int, int], list[Step]] = {}
        self._copies: dict[int, list[tuple[int, str]]] = {}
        self._alone: dict[Any, tuple[str, int, tuple[str, ...]]] = {}
        self._budgets = [tuple(setting.budget.get(fault, 0) for fault in BUDGETED)]
        self._budget_numbers = {self._budgets[0]: 0}
        self._spent: dict[tuple[int, str], int] = {}

    # -- worlds

    def _intern(self, state: State, gone: frozenset[int]) -> int:
        key = (*state.key(), gone)
        number = self._worlds.get(key)
        if number is None:
            number = self._worlds[key] = len(self.values)
            self.values.append(World(state, gone))
        return number

    def _begin(self) -> tuple[int, ...]:
        """All instances have joined, one after the other."""
        state, nodes = start(*DIRECTORIES), []
        for number, behaviour in enumerate(self.behaviours, 1):
            node = 0
            while (request := behaviour.requests[node]) != ("joined",):
                assert request is not None
                outcome = outcomes(state, Who("nowhere", number), request, Ways())[0]
                state, node = outcome.state, behaviour.child(node, Answer(outcome.answer, outcome.error))
            nodes.append(behaviour.child(node, Answer(None)))
        return (self._intern(state, frozenset()), 0, *nodes)

    # -- transitions

    def _steps_of(self, world: int, player: int, node: int) -> list[Step]:
        key = (world, player, node)
        found = self._steps.get(key)
        if found is None:
            found = self._steps[key] = list(self._find_steps(world, player, node))
        return found

    def _find_steps(self, world: int, player: int, node: int) -> Iterator[Step]:
        state, gone = self.values[world].state, self.values[world].gone
        request = self.behaviours[player].requests[node]
        assert request is not None
        for after, answer, fault, label in self._answers(state, gone, player, request):
            arrived = self._write_private(after, player, self.behaviours[player].child(node, answer))
            ended = gone | {player + 1} if self.behaviours[player].requests[arrived[1]] is None else gone
            yield Step(self._intern(arrived[0], ended), arrived[1], fault, label)
        crashed = gone | {player + 1}
        yield Step(self._intern(_stop_listing(state, player + 1), crashed), node, "crash", "CRASH")

    def _answers(
        self, state: State, gone: frozenset[int], player: int, request: Operation
    ) -> Iterator[tuple[State, Answer, str, str]]:
        verb = request[0]
        if verb == "gone?":
            yield state, Answer(request[1] in gone), "", f"gone? {request[1] in gone}"
        elif verb == "alone?":
            yield state, Answer(len(gone) == len(self.behaviours) - 1), "", "alone?"
        elif verb == "choose":
            for choice in request[1]:
                yield state, Answer(choice), "", choice
        elif verb == "silent?":
            yield from self._silent(state, gone, player, *request[1:])
        else:
            for outcome in outcomes(state, self._who(player), request, self.setting.ways):
                yield outcome.state, Answer(outcome.answer, outcome.error), outcome.fault, _label(request, outcome)

    def _silent(
        self, state: State, gone: frozenset[int], player: int, path: str, known: bool
    ) -> Iterator[tuple[State, Answer, str, str]]:
        """Patience passes for whoever will never beat again; for others it takes a false suspicion."""
        creator = state.names.get(path, 0) // INODES_PER_PROCESS
        orphaned = creator in gone or (creator == player + 1 and not known)
        if orphaned:
            yield state, Answer(True), "", "silent for longer than patience"
            return
        yield state, Answer(False), "", "not silent"
        if creator:
            yield state, Answer(True), "silent", "FALSELY SUSPECTED"

    def _who(self, player: int) -> Who:
        return Who(self.setting.machine(player + 1), player + 1)

    def _write_private(self, state: State, player: int, node: int) -> tuple[State, int]:
        """Write private files on the way, as far as nobody looks at them."""
        behaviour = self.behaviours[player]
        while self.setting.ways.blind and _is_private(state, behaviour.requests[node]):
            request = behaviour.requests[node]
            outcome = outcomes(state, self._who(player), request, Ways(blind=True))[0]  # type: ignore[arg-type]
            state, node = outcome.state, behaviour.child(node, Answer(outcome.answer, outcome.error))
        return state, node

    def _late(self, world: int) -> list[tuple[int, str]]:
        found = self._copies.get(world)
        if found is None:
            state, gone = self.values[world]
            found = self._copies[world] = [
                (self._intern(run_copy(state, copy), gone), f"LATE COPY {_words(copy)}") for copy in state.copies
            ]
        return found

    def _pay(self, budget: int, fault: str) -> int:
        """The budget after one more such fault, -1 if there is none left."""
        key = (budget, fault)
        after = self._spent.get(key)
        if after is None:
            after = budget
            if fault in BUDGETED:
                place = BUDGETED.index(fault)
                left = list(self._budgets[budget])
                left[place] -= 1
                after = -1 if left[place] < 0 else self._number_of(tuple(left))
            self._spent[key] = after
        return after

    def _number_of(self, budget: tuple[int, ...]) -> int:
        if budget not in self._budget_numbers:
            self._budget_numbers[budget] = len(self._budgets)
            self._budgets.append(budget)
        return self._budget_numbers[budget]

    # -- the search

    def run(self, most_states: int = 2_000_000, *, first_only: bool = True) -> Result:
        """Search until everything was seen, `most_states` were, or (with `first_only`) a promise was broken."""
        result = Result(self.setting)
        begin = self._begin()
        seen: dict[tuple[int, ...], tuple[int, ...] | None] = {begin: None}
        level = [begin]
        while level and result.complete and not (first_only and result.broken):
            following = []
            for state in level:
                for after, _ in self._successors(state):
                    result.transitions += 1
                    if after in seen:
                        continue
                    seen[after] = state
                    following.append(after)
                    self._check(state, after, seen, result)
                if len(seen) > most_states:
                    result.complete = False
                    break
                if first_only and result.broken:
                    break
            level = following
        result.states, result.worlds = len(seen), len(self.values)
        result.histories = sum(map(len, self.behaviours))
        result.outcomes = frozenset(self._outcome(state) for state in seen if self._has_ended(state))
        return result

    def _successors(self, state: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], str]]:
        world, budget, nodes = state[0], state[1], state[2:]
        gone = self.values[world].gone
        for player, node in enumerate(nodes):
            if player + 1 in gone:
                continue
            for step in self._steps_of(world, player, node):
                left = self._pay(budget, step.fault)
                if left >= 0:
                    yield (
                        (step.world, left, *nodes[:player], step.node, *nodes[player + 1 :]),
                        f"{player + 1}: {step.label}",
                    )
        if self.values[world].state.copies:
            for later, label in self._late(world):
                yield (later, budget, *nodes), label

    # -- checks

    def _check(
        self, before: tuple[int, ...], after: tuple[int, ...], seen: dict[Any, Any], result: Result
    ) -> None:  # fmt: skip
        mover = next(
            (number for number, (old, new) in enumerate(zip(before[2:], after[2:], strict=True), 1) if old != new), 0
        )
        old, new = self._facts(before), self._facts(after)
        worlds = self.values[before[0]], self.values[after[0]]
        found = broken(Moment(self.setting, *worlds, old, new, self._excused(after), mover))
        found += self._check_alone(after)
        for promise in found:
            if promise not in result.violations:
                result.broken.append(Broken(promise, self.setting.name, self._trace(after, seen)))

    def _excused(self, state: tuple[int, ...]) -> int:
        """False suspicions; and where claims are copies, lost replies, which leave a claim that nobody knows of."""
        left = self._budgets[state[1]]
        spent = {fault: self._budgets[0][place] - left[place] for place, fault in enumerate(BUDGETED)}
        return spent["silent"] + (spent["lost"] + spent["error"] if self.setting.copies else 0)

    def _has_ended(self, state: tuple[int, ...]) -> bool:
        return len(self.values[state[0]].gone) == len(self.behaviours)

    def _outcome(self, state: tuple[int, ...]) -> tuple[Any, ...]:
        names = frozenset(path for path in self.values[state[0]].state.names if PRIVATE not in path)
        return names, tuple((fact.said, fact.left) for fact in self._facts(state))

    def _facts(self, state: tuple[int, ...]) -> tuple[Facts, ...]:
        return tuple(self.behaviours[player].facts[node] for player, node in enumerate(state[2:]))

    def _check_alone(self, state: tuple[int, ...]) -> list[str]:
        """When everybody else is gone, one live instance can bring the item to its end."""
        world = self.values[state[0]]
        said, made, litter = self._ask_newcomer(world.state)
        found = []
        if said not in ("done", "failed", "skipped"):
            found.append(f"lost: a newcomer alone is told {said!r}")
        if len(world.gone) == len(self.behaviours):
            facts = self._facts(state)
            told = {fact.said for fact in facts} & {"failed", "skipped"}
            retried = any(fact.retried for fact in facts)
            if told and made and not retried and not self.setting.ways.copy:
                found.append(f"set aside ({told}), and then tried again by a newcomer")
        return found + [f"litter: {name}" for name in litter]

    def _ask_newcomer(self, state: State) -> tuple[str, int, tuple[str, ...]]:
        """What a newcomer is told by this disk when all others are gone, how many attempts it made, what it left."""
        key = (frozenset(state.names.items()), frozenset(state.files.items()))
        found = self._alone.get(key)
        if found is None:
            found = self._alone[key] = self._play_alone(state)
        return found

    def _play_alone(self, state: State) -> tuple[str, int, tuple[str, ...]]:
        state = state._replace(seen={}, begun={}, listed={}, copies=frozenset())
        node, made, owns, who = 0, 0, 0, Who("elsewhere", NEWCOMER)
        for _ in range(_MOST_STEPS_ALONE):
            request = self._newcomer.requests[node]
            facts = self._newcomer.facts[node]
            made += facts.owns not in (0, owns)
            owns = facts.owns
            if request is None:
                return facts.said, made, ()
            if request[0] in ("gone?", "silent?", "alone?"):
                answer = Answer(True)
            elif request[0] == "choose":
                answer = Answer(request[1][0])
            elif request[0] == "joined":
                answer = Answer(None)
            else:
                outcome = outcomes(state, who, request, Ways(blind=True))[0]
                state, answer = outcome.state, Answer(outcome.answer, outcome.error)
            node = self._newcomer.child(node, answer)
        return "nothing, for ever", made, ()

    def _trace(self, state: tuple[int, ...], seen: dict[Any, Any]) -> list[str]:
        lines: list[str] = []
        while (before := seen[state]) is not None:
            lines.append(next(label for after, label in self._successors(before) if after == state))
            state = before
        return lines[::-1]


def _is_private(state: State, request: Operation | None) -> bool:
    if request is None:
        return False
    if request[0] == "write":
        return all(
            path.rpartition("/")[2].startswith(PRIVATE) for path, inode in state.names.items() if inode == request[1]
        )
    return request[0] in _PRIVATE_VERBS and request[1].rpartition("/")[2].startswith(PRIVATE)


def _stop_listing(state: State, process: int) -> State:
    if process not in state.begun:
        return state
    return state._replace(begun={number: value for number, value in state.begun.items() if number != process})


def _words(operation: Operation) -> str:
    return " ".join(str(part).rpartition("/")[2] for part in operation)


def _label(request: Operation, outcome: Any) -> str:
    import errno

    answer = errno.errorcode[outcome.error] if outcome.error else _short(outcome.answer)
    return f"{_words(request)} -> {answer}{f' [{outcome.fault}]' if outcome.fault else ''}"


def _short(answer: Any) -> str:
    if isinstance(answer, tuple) and answer and isinstance(answer[0], tuple):
        return " ".join(f"{name}#{inode // INODES_PER_PROCESS}" for name, inode, _ in answer)
    if isinstance(answer, bytes):
        return f"{len(answer)} bytes"
    return str(answer)
