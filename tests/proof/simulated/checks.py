"""The promises, as questions about one step of a simulated run. They know nothing of the rules that keep them.

two owners of one attempt        always
two owners of the item           where nobody is falsely suspected, and no signal gave an attempt up
done twice                       an attempt begins although the final is there (same condition)
replaced, removed                a final that was there is another one, or gone
partial                          a final without its whole content counts as done
told done, and it is not         what an instance says of the item is true when it says it
set aside wrongly                fewer attempts failed or died than max_attempts say
set aside, and then tried again  without a retry that anybody asked for
stuck, raised                    an instance that is alone goes no further, or ends with an error of the package
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from multiprocesstools.claims import ended as ended_files
from tests.proof.simulated.disk import INODES_PER_PROCESS
from tests.proof.simulated.players import INSTANCES, ITEM, WHOLE, Facts
from tests.proof.simulated.server import PRIVATE, State

if TYPE_CHECKING:
    from tests.proof.simulated.behaviour import Setting

FAILURES = ("failed", "fatal")
ASIDE = ("fatal", "skipped")


@dataclass(frozen=True)
class Broken:
    """A promise that was broken, in which setting, and the shortest way to it."""

    promise: str
    setting: str
    trace: list[str]

    def __str__(self) -> str:
        return f"{self.promise} in {self.setting}\n" + "\n".join(f"    {line}" for line in self.trace)


class World(NamedTuple):
    """The shared disk, and the processes that are gone."""

    state: State
    gone: frozenset[int]

    @property
    def final(self) -> int:
        return self.state.names.get(ITEM.final, 0)

    @property
    def signed(self) -> bool:
        return ITEM.sign in self.state.names

    @property
    def whole(self) -> bool:
        return self.final != 0 and self.state.files[self.final].data.endswith(WHOLE)

    @property
    def done(self) -> bool:
        return self.final != 0 and not self.signed


@dataclass(frozen=True)
class Moment:
    """One step: the worlds and the facts of all instances before and after it.

    `mover`: whose step it was, 0 for nobody's. `excused`: attempts that may count as failed although their owner lives.
    """

    setting: "Setting"
    before: World
    after: World
    old: tuple[Facts, ...]
    new: tuple[Facts, ...]
    excused: int
    mover: int

    @property
    def retried(self) -> bool:
        return any(fact.retried for fact in self.new)


def broken(moment: Moment) -> list[str]:
    """The promises that this step has broken."""
    found = _final(moment.before, moment.after) + _swept(moment)
    for player, (was, is_now) in enumerate(zip(moment.old, moment.new, strict=True)):
        if was is is_now or player + 1 in moment.before.gone:
            continue
        if is_now.owns and is_now.owns != was.owns:
            found += _ownership(moment, player)
        if is_now.said != was.said:
            found += _words(moment, is_now)
    return found


def _final(before: World, after: World) -> list[str]:
    if after.done and not after.whole:
        return ["partial: a final without its whole content counts as done"]
    if before.done and after.final != before.final:
        return ["replaced: a final was replaced" if after.final else "replaced: a final was removed"]
    if before.done and not after.done:
        return ["replaced: a final is not done any more"]
    return []


def _swept(moment: Moment) -> list[str]:
    """Nobody but its owner removes what belongs to the living, as long as the item is not done."""
    before, after = moment.before, moment.after
    if before.done or len(after.state.names) >= len(before.state.names):
        return []
    for path in before.state.names.keys() - after.state.names.keys():
        owner, name = before.state.names[path] // INODES_PER_PROCESS, path.rpartition("/")[2]
        private = name.startswith(PRIVATE) or path.startswith(INSTANCES)
        if private and owner not in (moment.mover, 0) and owner not in before.gone:
            return [f"swept: {name} of a living instance"]
    return []


def _ownership(moment: Moment, player: int) -> list[str]:
    """An attempt has just begun."""
    world, new = moment.after, moment.new
    attempt, found = new[player].owns, []
    for other, fact in enumerate(new):
        if other == player or not fact.owns or other + 1 in world.gone:
            continue
        if fact.owns == attempt:
            found.append("two owners of one attempt")
        elif moment.setting.accurate and not fact.given_up:
            found.append("two owners of the item, nobody suspected")
    if moment.setting.accurate and world.done:
        found.append("done twice: an attempt begins although the item is done")
    if not moment.retried:
        if any(attempt > aside for aside in _set_aside(moment)):
            found.append("set aside, and then tried again")
        if len(_failures(world, new, below=attempt)) - moment.excused >= moment.setting.max_attempts:
            found.append("tried more often than max_attempts")
    return found


def _set_aside(moment: Moment) -> list[int]:
    """The attempts at which the item was set aside: somebody was told so, or its ended-file says it."""
    told = [fact.at for fact in moment.old if fact.said in ("failed", "skipped")]
    left = [end for fact in moment.old for end in fact.left if end[1] in ASIDE]
    return told + [attempt for attempt, outcome in left if _end_of(moment.after.state, attempt) == outcome]


def _words(moment: Moment, fact: Facts) -> list[str]:
    """An instance has just been told something of the item."""
    world = moment.after
    if fact.said.startswith("raised") or fact.said == "stuck":
        return [fact.said]
    if fact.said == "done" and not (world.done and world.whole):
        return ["told done, and it is not"]
    outcomes = {outcome for one in moment.new for _, outcome in one.left}
    if fact.said == "failed" and "fatal" not in outcomes:
        failures = len(_failures(world, moment.new)) + moment.excused
        if failures < moment.setting.max_attempts:
            return [f"set aside wrongly: {failures} of {moment.setting.max_attempts} attempts failed"]
    if fact.said == "skipped" and "skipped" not in outcomes:
        return ["set aside wrongly: nobody has skipped it"]
    return []


def _failures(world: World, facts: tuple[Facts, ...], below: int = 1 << 30) -> set[int]:
    """The attempts that truly failed, or whose owner has died in them. Not one in a chunk that ended without a word."""
    names = world.state.names
    failed = {
        attempt for fact in facts for attempt, outcome in fact.left
        if outcome in FAILURES and (ITEM.claim(attempt) in names or _end_of(world.state, attempt) in FAILURES)
    }  # fmt: skip
    for attempt in range(1, 10):
        inode = names.get(ITEM.claim(attempt), 0)
        if inode // INODES_PER_PROCESS in world.gone and _end_of(world.state, attempt) in ("", "died"):
            failed.add(attempt)
    return {attempt for attempt in failed if attempt < below}


def _end_of(state: State, attempt: int) -> str:
    """What the ended-file of an attempt says; "died": its owner is gone, and could not say a word."""
    inode = state.names.get(ITEM.ended(attempt))
    return "" if inode is None else ended_files.decode(state.files[inode].data).outcome.value
