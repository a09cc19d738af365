"""Why an item is in its state: the rule that decided, every attempt, whose it is, and what was seen of the owner.

The state and its rule are what `claims` says of the names (`survey.decide`), and the owner is judged by `claims.peers`;
nothing is decided here anew. Guarantee: it only looks. Condition: for how long an owner has been silent is known for
the time of watching alone; of a process on this machine it is proved whether it lives.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain, filterfalse
from typing import Any

from multiprocesstools.claims import identity
from multiprocesstools.claims.assess import look_closely, read_ended
from multiprocesstools.claims.claim import judge_owner
from multiprocesstools.claims.ended import COUNTED, Ended, Outcome
from multiprocesstools.claims.instance import Instance
from multiprocesstools.claims.peers import Sight, Verdict
from multiprocesstools.claims.slots import Files, Slot, is_chunk, read_listing
from multiprocesstools.claims.survey import Finding, State
from multiprocesstools.plans.plan import Plan
from multiprocesstools.plans.plans import Plans
from multiprocesstools.run.directory import LOGS, Run
from multiprocesstools.upkeep.archive import Archive, Entry, Selection
from multiprocesstools.upkeep.lookup import choose
from multiprocesstools.upkeep.onlooker import onlooker

NAME = "explain"
OBSERVE_SECONDS = 3.0
_MOST_LOOKS, _MOST_ATTEMPTS, _MOST_EVENTS = 3, 50, 20
_PAUSE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: how it ended, by the wall clock of the writer; `end` is None while it has not. `counts`: towards
    max_attempts, since the last retry."""

    number: int
    counts: bool = False
    end: Ended | None = None

    @property
    def outcome(self) -> str:
        return "open" if self.end is None else self.end.outcome.value

    @property
    def seconds(self) -> float | None:
        return self.end.ended - self.end.started if self.end and self.end.started and self.end.ended else None


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose an open attempt is. `sight` is the verdict; `beating`: a beat was seen; `silent_seconds`: for so long none
    was, while watching; `here`: its process is proved to live on this machine; `claimed`: when, by its journal."""

    instance: str
    host: str
    pid: int
    sight: str
    beating: bool
    silent_seconds: float
    watched_seconds: float
    here: bool
    claimed: float | None = None
    chunk: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of one item. `rule` is one of `claims.survey.Rule`; `last_retry`: attempts up to it do not count;
    `lists`: the plans that it is in; `partials`: half-written files that were moved aside."""

    directory: str
    item: str
    state: str
    rule: str
    attempt: int
    attempts: list[Attempt]
    owner: Owner | None
    max_attempts: int
    patience_seconds: float
    last_retry: int = 0
    in_place: bool = False
    leftovers: bool = False
    chunk: str = ""
    lists: list[str] = field(default_factory=list)
    partials: list[str] = field(default_factory=list)
    alive: list[str] = field(default_factory=list)
    events: list[Entry] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        told = asdict(self) | {"events": [entry.as_dict() for entry in self.events]}
        for attempt, line in zip(self.attempts, told["attempts"], strict=True):
            line |= {"outcome": attempt.outcome, "seconds": attempt.seconds}
        return told


def explain(run: Run, name: str, *, observe_seconds: float = OBSERVE_SECONDS) -> Explanation:
    """Explain the item that is called so. UnknownItem, SeveralItems, RunDirectoryUnusable.

    An owner on another machine is watched for `observe_seconds`, or until it gives a sign of life.
    """
    return _Inquiry(run.find(), name).answer(observe_seconds)


class _Inquiry:
    """One question."""

    def __init__(self, run: Run, name: str) -> None:
        self._run, self._plans = run, Plans(run)
        self._all = self._plans.all()
        self._item = choose(run, name, self._known)
        directory, _, final = run.absolute(self._item).rpartition("/")
        chunk = self._plans.chunk_of(directory, final, self._plans.chunked_in(directory))
        self._slot = Slot(directory, final, chunk)
        self._me = onlooker(run, NAME)
        about = Archive(run, Selection(item=self._item), events_only=True).read()
        self._events = [entry for entry in about if entry.item == self._item]

    def answer(self, observe_seconds: float) -> Explanation:
        for _ in range(_MOST_LOOKS):
            files, finding = look_closely(self._me, self._slot)
            if finding.state is not State.CLAIMED:
                return self._explain(files, finding, finding.state, None)
            verdict, watched = self._watch(finding.attempt, observe_seconds)
            if verdict.sight is not Sight.VANISHED:  # else it was finished meanwhile
                break
        state = State.STALE if verdict.may_be_ended else State.RUNNING
        return self._explain(files, finding, state, self._owner(finding, verdict, watched))

    # -- which items there are

    def _known(self) -> Iterator[str]:
        """The items of all lists, and of open directories those of which there is anything to be seen."""
        listed = (block.finals() for plan in self._all if not plan.is_open for block in self._plans.items(plan))
        return chain(chain.from_iterable(listed), *map(self._in_directory, filter(_is_open, self._all)))

    def _in_directory(self, plan: Plan) -> Iterator[str]:
        directory = self._run.absolute(plan.directory)
        return (self._run.relative(f"{directory}/{name}") for name in sorted(self._names_in(directory)))

    def _names_in(self, directory: str) -> set[str]:
        """The finals in a directory, and the items of which there are files of the protocol."""
        try:
            entries = self._run.disk.list(directory)
        except OSError:
            return set()
        names = {entry.name for entry in entries if not entry.name.startswith(".")} - {LOGS}
        return names.union(filterfalse(is_chunk, read_listing(directory, entries).items))

    def _lists(self) -> Iterator[str]:
        for plan in self._all:
            if plan.is_open:
                if self._run.absolute(plan.directory) == self._slot.directory:
                    yield "claimed one by one" + (", written in place" if plan.in_place else "")
            elif any(self._item in block.finals() for block in self._plans.items(plan)):
                yield f"{plan.template} ({plan.count:,} items of {plan.name})"

    # -- attempts and owners

    def _attempts(self, files: Files) -> list[Attempt]:
        numbers = range(max(1, files.highest - _MOST_ATTEMPTS + 1), files.highest + 1)
        return [self._attempt(number, files) for number in numbers]

    def _attempt(self, number: int, files: Files) -> Attempt:
        end = read_ended(self._me, self._slot, number) if number in files.ended else None
        counted = end is not None and end.outcome in {*COUNTED, Outcome.FATAL}
        return Attempt(number, counted and number > files.last_retry, end)

    def _watch(self, attempt: int, observe_seconds: float) -> tuple[Verdict, float]:
        """Judge the owner until something is known, or the time is over."""
        me, clock = self._me, self._run.clock
        began, pause = clock.elapsed(), min(_PAUSE_SECONDS, me.rules.beat_seconds / 2)
        while True:
            now = clock.elapsed()
            me.beats.note(now, now)  # that it can read is all that an onlooker knows of its own connection
            _, verdict = judge_owner(me, self._slot, attempt)
            watched = clock.elapsed() - began
            known = verdict.sight is not Sight.ALIVE or verdict.beating or _is_here(me, verdict)
            if known or watched >= observe_seconds:
                return verdict, watched
            clock.sleep(min(pause, observe_seconds - watched))

    def _owner(self, finding: Finding, verdict: Verdict, watched: float) -> Owner:
        own, chunk = verdict.owner, bool(self._slot.chunk) and finding.attempt == 1
        silent, sight = verdict.silent_seconds, verdict.sight.value
        if own is None:
            return Owner("", "", 0, sight, verdict.beating, silent, watched, False, None, chunk)
        claims = [entry.time for entry in self._events if _is_claim(entry, own.file_name, finding.attempt)]
        return Owner(
            own.file_name, own.identity.host, own.identity.pid, sight, verdict.beating, silent, watched,
            _is_here(self._me, verdict), max(claims, default=None), chunk,
        )  # fmt: skip

    def _explain(self, files: Files, finding: Finding, state: State, owner: Owner | None) -> Explanation:
        rules, slot = self._me.rules, self._slot
        own = self._me.look(Slot(slot.directory, slot.name))
        return Explanation(
            self._run.directory, self._item, state.value, finding.rule.value if finding.rule else "", finding.attempt,
            self._attempts(files), owner, rules.max_attempts, rules.patience_seconds, files.last_retry,
            in_place=own.sign, leftovers=bool(own.done and (own.claims or own.ended)), chunk=slot.chunk,
            lists=list(self._lists()),
            partials=[self._run.relative(slot.partial(number)) for number in sorted(own.partials)],
            alive=self._run.possibly_alive(), events=self._events[-_MOST_EVENTS:],
        )  # fmt: skip


def _is_open(plan: Plan) -> bool:
    return plan.is_open


def _is_here(me: Instance, verdict: Verdict) -> bool:
    return verdict.owner is not None and identity.lives_here(verdict.owner.identity)


def _is_claim(entry: Entry, instance: str, attempt: int) -> bool:
    event = entry.data or {}
    return entry.instance == instance and event.get("event") == "claimed" and event.get("attempt") == attempt
