"""One attempt at one item: take -> publish | end (PROTOCOL: "One item, in order", steps 1 and 2, and the look).

Guarantee: an attempt has one owner; a final is written once, complete, and never replaced; while an item is not done,
its claims, ended-files and retry marks are only added. Every effect is a verb of the instance's disk, so that a crash
between any two of them leaves a stale claim or removable litter.
Condition: the disk creates and links exclusively, and a claim lies in the directory of its final: creating the claim
there is what makes the look at the final that follows true on NFS. What is done is learnt from listings; the final is
never looked up by name before the claim.

    free --take--> held --publish--> done (or lost: somebody else was first)
                        --end-----> ended: failed, fatal, skipped, dropped
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from multiprocesstools.claims.assess import assess, is_doubtful, look_twice
from multiprocesstools.claims.bind import Expelled, create_claim
from multiprocesstools.claims.disk import Stamp
from multiprocesstools.claims.ended import Ended, Outcome
from multiprocesstools.claims.hands import Claim, How
from multiprocesstools.claims.instance import Instance
from multiprocesstools.claims.peers import Sight, Verdict
from multiprocesstools.claims.publish import clear, move_aside
from multiprocesstools.claims.slots import Files, Slot
from multiprocesstools.claims.survey import Finding, State
from multiprocesstools.errors import FinalOfAnotherKind, MultiProcessError

_MOST_TURNS = 20
_PAUSE_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an item was not taken: its state and, where somebody else has it, the verdict on the owner."""

    finding: Finding
    verdict: Verdict | None = None

    @property
    def state(self) -> State:
        return self.finding.state


Asked = tuple[Files | None, bool, How]
"""The arguments `files`, `look` and `how` of `take`."""
_TAKEN = Refusal(Finding(State.RUNNING, 1))
"""Somebody has it, and nothing more was asked."""


def take(
    me: Instance, slot: Slot, files: Files | None = None, look: bool = True, how: How = How.STAGED
) -> Claim | Refusal:
    """Try to win the item. `files`: what a recent listing said of it; None to begin with attempt 1.

    With `look=False` a lost race costs one operation and nothing is learnt about who won it. `how` the caller will
    write. RunDirectoryUnusable when the directory of the final is gone; FinalOfAnotherKind when the final is a device,
    pipe or socket.
    """
    return entered(me, slot, attempt, (files, look, how))


def entered(
    me: Instance, slot: Slot, take_it: Callable[[Instance, Slot, Any], Claim | Refusal], how: Any
) -> Claim | Refusal:
    """take_it(me, slot, how) with nothing else of this instance in its way. Expelled: the instance must join anew."""
    if not me.hands.enter(slot):
        return Refusal(Finding(State.RUNNING), Verdict(Sight.MINE, me.record))
    answer: Claim | Refusal | None = None
    try:
        me.ensure_fresh()
        if me.expelled:
            raise Expelled
        answer = take_it(me, slot, how)
        return answer
    finally:
        if not isinstance(answer, Claim) and not me.hands.owes(slot):
            me.hands.leave(slot)


def attempt(me: Instance, slot: Slot, asked: Asked) -> Claim | Refusal:
    """What `take` does once the item is `entered`; its arguments are one, because every item passes here."""
    files, look, how = asked
    if files is None and (slot.chunk or me.hands.has_tried(slot)):
        files = me.look(slot)  # it has looked at the final then, and its client may remember that
    number, doubts = 1, 0
    for turn in range(_MOST_TURNS):
        if files is not None:
            answer = _next_attempt(me, slot, files)
            if isinstance(answer, Refusal):
                return answer
            if isinstance(answer, Sight):
                doubts = doubts + 1 if answer is Sight.VANISHED else 0
                me.clock.sleep(_PAUSE_SECONDS * turn)
                files = _look_anew(me, slot, doubts)
                continue
            number = answer
        claim = Claim(slot, number, me.clock)
        if create_claim(me, claim, how):
            return under_claim(me, claim, how, signed=files is not None and files.sign)
        if not look:
            return Refusal(Finding(State.RUNNING, number))
        me.clock.sleep(_PAUSE_SECONDS * turn)
        files = _look_anew(me, slot, doubts)
        doubts = 0 if number in files.claims else doubts + 1
    return Refusal(Finding(State.RUNNING, number))  # names that are never the same twice: come back later


def first_attempt(me: Instance, slot: Slot, how: How) -> Claim | Refusal:
    """The same for an item that seems to be untried, without a second look: a lost race costs one operation."""
    if slot.chunk or me.hands.has_tried(slot):
        return attempt(me, slot, (None, False, how))
    claim = Claim(slot, 1, me.clock)
    return under_claim(me, claim, how) if create_claim(me, claim, how) else _TAKEN


def _look_anew(me: Instance, slot: Slot, doubts: int) -> Files:
    """List again. A listing that contradicts what the server says of a name for the second time (it lacks a claim that
    exists, or shows one that has vanished without a final) comes from the client's cache: on NFS a change within one
    tick of the server's clock is not noticed. Changing the directory makes the client ask."""
    if doubts > 1:
        me.stir(slot.directory)
    return me.look(slot)


def _next_attempt(me: Instance, slot: Slot, files: Files) -> int | Refusal | Sight:
    """The number of the attempt that may be made now, or why none may be made.

    A sight: the last attempt was declared over, and the next listing says so; or its claim has vanished. Claims vanish
    when an item is done, so the next listing shows the final.
    """
    finding = assess(me, slot, files)
    if is_doubtful(finding, files):
        finding = look_twice(me, slot)
    if finding.state is State.FREE and not (slot.chunk and finding.attempt == 0):  # that attempt is its chunk's
        return finding.attempt + 1
    if finding.state is not State.CLAIMED:
        return Refusal(finding)
    return end_if_over(me, slot, finding.attempt)


def end_if_over(me: Instance, slot: Slot, attempt: int) -> Refusal | Sight:
    """Declare an attempt over if its owner is gone or silent. A refusal: it is running. A sight: look again."""
    holder, verdict = judge_owner(me, slot, attempt)
    left = me.hands.has_left(holder, attempt)
    if left is not None and (verdict.sight is Sight.MINE or verdict.owner is None):
        me.write_ended(holder, attempt, left)
        return Sight.MINE
    if me.hands.works_on(holder, attempt):
        return Refusal(Finding(State.RUNNING, attempt), verdict)
    if verdict.sight is Sight.ALIVE or verdict.can_wait:
        return Refusal(Finding(State.RUNNING, attempt), verdict)
    if verdict.sight is not Sight.VANISHED:
        declare_over(me, slot, attempt, verdict)
    return verdict.sight


def judge_owner(me: Instance, slot: Slot, attempt: int) -> tuple[Slot, Verdict]:
    """The owner of an attempt, and whose claim says so: the item's own, from before it belonged to a chunk, or that."""
    verdict, holder = me.peers.judge_claim(slot.claim(attempt)), slot.holder(attempt)
    if holder is slot or verdict.sight is not Sight.VANISHED:
        return slot, verdict
    return holder, me.peers.judge_claim(holder.claim(attempt))


def declare_over(me: Instance, slot: Slot, attempt: int, verdict: Verdict) -> None:
    """Write X_k for an attempt whose owner is gone or silent, or that this instance itself has left.

    Of a chunk, the one item only: the end of the whole chunk is its owner's word, so that an item has one first end.
    """
    if verdict.sight is Sight.MINE:
        me.write_ended(slot, attempt, me.ended(Outcome.DROPPED, exception="left without a word"))
        return
    outcome = verdict.outcome if slot.holder(attempt) is slot else Outcome.DROPPED
    if me.write_ended(slot, attempt, me.ended(outcome, exception=verdict.reason)):
        said = {"word": verdict.word.text} if verdict.word else {}
        me.notice("taken over", slot, attempt, owner=verdict.owner, sight=verdict.sight.value, **said)


# -- step 2: look again, under the claim


def under_claim(me: Instance, claim: Claim, how: How = How.STAGED, *, signed: bool = False) -> Claim | Refusal:
    """Look at the final and take the item in hand. Whatever goes wrong, the claim is not left behind without a word."""
    slot = claim.slot
    try:
        final = me.disk.look(claim.final)
        if final is not None:
            if (done := _find_done(me, claim, final)) is not None:
                return done
            signed = True
        if signed and how is not How.IN_PLACE:
            me.disk.unlink(slot.sign)
        return me.hands.hold(claim)
    except MultiProcessError:
        raise
    except BaseException as error:
        end(me, claim, me.ended(Outcome.DROPPED, exception=repr(error)))
        raise


def _find_done(me: Instance, claim: Claim, final: Stamp) -> Refusal | None:
    """The final is there. None: half written in place, and moved aside by now."""
    slot = claim.slot
    if me.disk.look(slot.sign) is not None:
        move_aside(me, slot, max(claim.attempt - 1, 1), me.disk)
        return None
    claim.close()
    clear(me, slot, claim.attempt)
    if final.kind == "other":
        raise FinalOfAnotherKind(slot.final, "a device, pipe or socket")
    return Refusal(Finding(State.DONE, claim.attempt))


# -- the end of an attempt without an output


def end(me: Instance, claim: Claim, end: Ended) -> None:
    """End an attempt without an output: X_k is written now, or at a later beat when there is no room."""
    claim.close()
    me.hands.remember(claim, end)
    if claim.given_up:
        me.hands.leave(claim.slot)
    else:
        me.pay(claim, end)


def give_up(me: Instance, claim: Claim, end: Ended) -> None:
    """Declare an attempt over while its work goes on, so that somebody else can begin at once. OSError: it is not.
    Called by signal handlers: it does not wait for a server that does not answer."""
    if claim.given_up:
        return
    if claim.retract is not None:
        claim.retract(me.disk.disk)
        claim.retract = None
    me.hands.remember(claim, end)
    me.write_ended(claim.slot, claim.attempt, end, me.disk.disk)
    claim.given_up = True
