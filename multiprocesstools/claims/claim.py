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

from dataclasses import dataclass

from multiprocesstools.claims import ended as ended_files
from multiprocesstools.claims.disk import ABSENT, PASSING, UNLINKABLE, HalfCreated
from multiprocesstools.claims.ended import Ended, Outcome
from multiprocesstools.claims.hands import Claim
from multiprocesstools.claims.identity import rebooted
from multiprocesstools.claims.instance import Instance
from multiprocesstools.claims.peers import Sight, Verdict
from multiprocesstools.claims.publish import clear, move_aside
from multiprocesstools.claims.record import Record, Unreadable, decode
from multiprocesstools.claims.slots import Files, Slot
from multiprocesstools.claims.survey import Finding, State, decide, needed_attempts
from multiprocesstools.errors import FinalOfAnotherKind, MultiProcessError, RunDirectoryUnusable

_MOST_TURNS = 20
_PAUSE_SECONDS = 0.01


class Expelled(Exception):
    """The own record is gone (a forced sweep): the instance must join anew. Never leaves the package."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an item was not taken: its state and, where somebody else has it, the verdict on the owner."""

    finding: Finding
    verdict: Verdict | None = None

    @property
    def state(self) -> State:
        return self.finding.state


def take(
    me: Instance, slot: Slot, files: Files | None = None, *, look: bool = True, in_place: bool = False
) -> Claim | Refusal:
    """Try to win the item. `files`: what a recent listing said of it; None to begin with attempt 1.

    With `look=False` a lost race costs one operation and nothing is learnt about who won it. `in_place`: the caller
    will write the final itself (see `direct`). RunDirectoryUnusable when the directory of the final is gone;
    FinalOfAnotherKind when the final is a device, pipe or socket.
    """
    if not me.hands.enter(slot):
        return Refusal(Finding(State.RUNNING), Verdict(Sight.MINE, me.record))
    answer: Claim | Refusal | None = None
    try:
        me.ensure_fresh()
        if me.expelled:
            raise Expelled
        answer = _take(me, slot, files, look, in_place)
        return answer
    finally:
        if not isinstance(answer, Claim) and not me.hands.owes(slot):
            me.hands.leave(slot)


def _take(me: Instance, slot: Slot, files: Files | None, look: bool, in_place: bool) -> Claim | Refusal:
    attempt, vanished = 1, 0
    for turn in range(_MOST_TURNS):
        if files is not None:
            answer = _next_attempt(me, slot, files)
            if isinstance(answer, Refusal):
                return answer
            if isinstance(answer, Sight) and not (answer is Sight.VANISHED and files.highest == vanished):
                vanished = files.highest if answer is Sight.VANISHED else 0
                me.clock.sleep(_PAUSE_SECONDS * turn)
                files = me.look(slot)
                continue
            attempt = files.highest if isinstance(answer, Sight) else answer
        if _create_claim(me, slot, attempt):
            return _under_claim(me, slot, attempt, signed=files is not None and files.sign, in_place=in_place)
        if not look:
            return Refusal(Finding(State.RUNNING, attempt))
        me.clock.sleep(_PAUSE_SECONDS * turn)
        files = me.look(slot)
        if _is_mine(me, slot, attempt, files):
            return _under_claim(me, slot, attempt, signed=files.sign, in_place=in_place)
    return Refusal(Finding(State.RUNNING, attempt))  # names that are never the same twice: come back later


def assess(me: Instance, slot: Slot, files: Files) -> Finding:
    """The state of the item by these names, with the ended-files that matter read."""
    ended = {attempt: read_ended(me, slot, attempt) for attempt in needed_attempts(files)}
    return decide(files, ended, me.rules.max_attempts)


def look_twice(me: Instance, slot: Slot) -> Finding:
    """The state of the item by fresh listings. A listing that overlaps the clearing up of a finished item may look like
    a failure, so "failed" and "skipped" are said when two listings in a row say so."""
    finding = assess(me, slot, me.look(slot))
    while finding.state in (State.FAILED, State.SKIPPED):
        before, finding = finding, assess(me, slot, me.look(slot))
        if finding == before:
            break
    return finding


def read_ended(me: Instance, slot: Slot, attempt: int) -> Ended:
    """The content of X_k; unreadable ones count as failures."""
    try:
        data = me.disk.read(slot.ended(attempt))
    except OSError as error:
        if error.errno in PASSING:
            raise
        return Ended(Outcome.UNREADABLE, exception=f"the ended-file cannot be read: {error}")
    return ended_files.decode(data if data is not None else b"")


def _next_attempt(me: Instance, slot: Slot, files: Files) -> int | Refusal | Sight:
    """The number of the attempt that may be made now, or why none may be made.

    A sight: the last attempt was declared over, and the next listing says so; or its claim has vanished. Claims vanish
    when an item is done, so the next listing shows the final. If it does not, it comes from a client's cache (NFS; the
    change fell into one tick of the server's clock), and only making the vanished claim anew asks the server.
    """
    finding = assess(me, slot, files)
    if finding.state in (State.FAILED, State.SKIPPED):
        finding = look_twice(me, slot)
    if finding.state is State.FREE:
        return finding.attempt + 1
    if finding.state is not State.CLAIMED:
        return Refusal(finding)
    return end_if_over(me, slot, finding.attempt)


def end_if_over(me: Instance, slot: Slot, attempt: int) -> Refusal | Sight:
    """Declare an attempt over if its owner is gone or silent. A refusal: it is running. A sight: look again."""
    verdict = me.peers.judge_claim(slot.claim(attempt))
    left = me.hands.has_left(slot, attempt)
    if left is not None and (verdict.sight is Sight.MINE or verdict.owner is None):
        me.write_ended(slot, attempt, left)
        return Sight.MINE
    if me.hands.works_on(slot, attempt):
        return Refusal(Finding(State.RUNNING, attempt), verdict)
    if verdict.sight is Sight.ALIVE:
        return Refusal(Finding(State.RUNNING, attempt), verdict)
    if verdict.sight is not Sight.VANISHED:
        declare_over(me, slot, attempt, verdict)
    return verdict.sight


def declare_over(me: Instance, slot: Slot, attempt: int, verdict: Verdict) -> None:
    """Write X_k for an attempt whose owner is gone or silent, or that this instance itself has left."""
    if verdict.sight is Sight.MINE:
        me.write_ended(slot, attempt, me.ended(Outcome.DROPPED, exception="left without a word"))
        return
    if me.write_ended(slot, attempt, me.ended(_outcome_of(verdict), exception=_words(verdict))):
        me.notice("taken over", slot, attempt, owner=verdict.owner, sight=verdict.sight.value)


def _outcome_of(verdict: Verdict) -> Outcome:
    restarted = verdict.sight is Sight.SILENT and verdict.owner is not None and rebooted(verdict.owner.identity)
    return Outcome.INTERRUPTED if restarted else Outcome.DIED


def _words(verdict: Verdict) -> str:
    who = _name(verdict.owner)
    if verdict.sight is Sight.GONE:
        return f"{who} ended without a word (killed, or out of memory?)"
    return f"{who} gave no sign of life for {verdict.silent_seconds:.0f} s"


def _name(owner: Record | None) -> str:
    if owner is None:
        return "an unknown owner"
    return f"{owner.file_name} (process {owner.identity.pid} on {owner.identity.host})"


# -- step 1: the claim


def _create_claim(me: Instance, slot: Slot, attempt: int) -> bool:
    try:
        bind_to_record(me, slot.directory, slot.claim(attempt))
    except FileExistsError:
        return False
    except HalfCreated:
        me.hands.remember(Claim(slot, attempt, 0.0), me.ended(Outcome.DROPPED, exception="no room for the claim"))
        raise
    except PermissionError:  # what sshfs says to half of those that lose
        if me.disk.look(slot.claim(attempt)) is None:
            raise
        return False
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        _explain_missing(me, slot.directory, error)
    return True


def bind_to_record(me: Instance, directory: str, path: str) -> None:
    """Create `path` as a link to the own record, or as a copy where that is impossible. FileExistsError."""
    if directory not in me.copies:
        try:
            me.disk.link(me.path, path)
            return
        except OSError as error:
            if error.errno not in UNLINKABLE:
                raise
            me.copies.add(directory)
    me.disk.create(path, me.copy())


def _explain_missing(me: Instance, directory: str, error: OSError) -> None:
    if me.disk.look(directory) is None:
        raise RunDirectoryUnusable(directory, "it is not there any more") from error
    me.expelled = True
    raise Expelled from error


def _is_mine(me: Instance, slot: Slot, attempt: int, files: Files) -> bool:
    """Was the claim that "exists already" made by the call in flight, whose reply was lost?"""
    if attempt not in files.claims or attempt in files.ended or me.hands.has_left(slot, attempt) is not None:
        return False
    if slot.directory not in me.copies:
        return files.claims[attempt] == me.inode and files.highest == attempt
    try:
        data = me.disk.read(slot.claim(attempt))
        return data is not None and decode(data).id == me.record.id
    except (OSError, Unreadable):
        return False


# -- step 2: look again, under the claim


def _under_claim(me: Instance, slot: Slot, attempt: int, *, signed: bool, in_place: bool) -> Claim | Refusal:
    """Whatever goes wrong here, the claim is not left behind without a word."""
    try:
        return _look_again(me, slot, attempt, signed=signed, in_place=in_place)
    except MultiProcessError:
        raise
    except BaseException as error:
        end(me, Claim(slot, attempt, 0.0), me.ended(Outcome.DROPPED, exception=repr(error)))
        raise


def _look_again(me: Instance, slot: Slot, attempt: int, *, signed: bool, in_place: bool) -> Claim | Refusal:
    final = me.disk.look(slot.final)
    if final is not None:
        signed = me.disk.look(slot.sign) is not None
        if not signed:
            clear(me, slot, attempt)
            if final.kind == "other":
                raise FinalOfAnotherKind(slot.final, "a device, pipe or socket")
            return Refusal(Finding(State.DONE, attempt))
        move_aside(me, slot, max(attempt - 1, 1), me.disk)
    if signed and not in_place:
        me.disk.unlink(slot.sign)
    return me.hands.hold(Claim(slot, attempt, me.clock.wall()))


# -- the end of an attempt without an output


def end(me: Instance, claim: Claim, end: Ended) -> None:
    """End an attempt without an output: X_k is written now, or at a later beat when there is no room."""
    me.hands.remember(claim, end)
    if claim.given_up:
        me.hands.leave(claim.slot)
    else:
        me.pay(claim, end)


def give_up(me: Instance, claim: Claim, end: Ended) -> None:
    """Declare an attempt over while its work goes on, so that somebody else can begin at once. OSError: it is not.

    Called by signal handlers: it does not wait for a server that does not answer.
    """
    if claim.given_up:
        return
    if claim.retract is not None:
        claim.retract(me.disk.disk)
        claim.retract = None
    me.hands.remember(claim, end)
    me.write_ended(claim.slot, claim.attempt, end, me.disk.disk)
    claim.given_up = True
