"""Direct mode: the caller writes the final itself, in place (`create_temp_file` ... `delete_tempfile`).

The sign T (`.n.direct`, a link to the owner's record) exists from before the first byte of the final until it is
complete: done means "the final is there and T is not". The placeholder that the caller names lives as long as the
attempt, says in a JSON line what it is for, and decides nothing among instances.

Guarantee: a half-written final is never taken for a finished one. Condition: the detection of dead owners is accurate;
a falsely suspected owner that comes back may still write into the final, which nobody can prevent in place.

    held --begin--> writing --finish--> done (or ClaimLost)
                            --undo----> dropped
"""

import json
from functools import partial

from multiprocesstools.claims.bind import bind_to_record
from multiprocesstools.claims.claim import end
from multiprocesstools.claims.disk import Disk
from multiprocesstools.claims.ended import Ended, Outcome
from multiprocesstools.claims.hands import Claim
from multiprocesstools.claims.instance import Instance, was_taken_over
from multiprocesstools.claims.publish import clear, move_aside
from multiprocesstools.claims.slots import Files
from multiprocesstools.claims.whole import create_whole
from multiprocesstools.errors import ClaimLost

PLACEHOLDER_FORMAT = "multiprocesstools placeholder 1"


def begin(me: Instance, claim: Claim, placeholder: str) -> bool:
    """Create the placeholder and the sign. False: the placeholder belongs to another program; the claim was dropped."""
    claim.retract = partial(retract, me, claim)
    try:
        if not _create_placeholder(me, claim, placeholder):
            end(me, claim, me.ended(Outcome.DROPPED, exception=f"{placeholder!r} belongs to another program"))
            return False
        claim.placeholder = placeholder
        _sign(me, claim)
    except BaseException as error:
        end(me, claim, me.ended(Outcome.DROPPED, exception=str(error)))
        raise
    return True


def _sign(me: Instance, claim: Claim) -> None:
    try:
        bind_to_record(me, claim.slot.directory, claim.slot.sign)
    except FileExistsError:
        pass  # the last owner died while it was writing; its final was moved aside when the claim was won
    claim.signed = True


def finish(me: Instance, claim: Claim) -> None:
    """The final is complete: removing the sign publishes it. ClaimLost: another instance has the item, nothing was
    touched."""
    if claim.given_up or was_taken_over(_without_final(me, claim, me.disk), claim.attempt):
        _remove_placeholder(me, claim, me.disk)
        me.hands.leave(claim.slot)
        raise ClaimLost(claim.slot.final)
    if me.rules.durable:
        me.disk.sync(claim.slot.final)
    claim.publishing = True
    me.disk.unlink(claim.slot.sign)
    claim.signed, claim.retract = False, None
    _remove_placeholder(me, claim, me.disk)
    clear(me, claim.slot, claim.attempt)
    me.hands.finish(claim.slot)


def undo(me: Instance, claim: Claim, ended: Ended) -> None:
    """The attempt ends without an output: what was written is moved aside, then the attempt is declared over."""
    end(me, claim, ended)


def retract(me: Instance, claim: Claim, disk: Disk) -> None:
    """Move the half-written final aside and remove sign and placeholder, if the item is still ours and unpublished."""
    files = _without_final(me, claim, disk)
    if claim.signed and files.sign and not was_taken_over(files, claim.attempt):
        move_aside(me, claim.slot, claim.attempt, disk)  # no look first: a client may say "missing"
        disk.unlink(claim.slot.sign)
    claim.signed = False
    _remove_placeholder(me, claim, disk)


def is_foreign(me: Instance, path: str) -> bool:
    """Is there something at `path` that no instance of the package has put there?"""
    try:
        data = me.disk.read(path)
    except OSError:
        return True
    return data is not None and not is_placeholder(data)


def is_placeholder(data: bytes, final_name: str | None = None) -> bool:
    """Is this the content of a placeholder of the package (for this final)?"""
    try:
        line = json.loads(data)
        return bool(line["format"] == PLACEHOLDER_FORMAT and final_name in (None, line["final"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


def placeholder_owner(data: bytes) -> str:
    """The instance id in a placeholder, or nothing."""
    return str(json.loads(data).get("owner", "")) if is_placeholder(data) else ""


def placeholder_final(data: bytes) -> str:
    """The name of the final in a placeholder, or nothing."""
    return str(json.loads(data)["final"]) if is_placeholder(data) else ""


def _without_final(me: Instance, claim: Claim, disk: Disk) -> Files:
    """The names of the item, freshly listed. That the final is there says nothing while it is written in place."""
    files = me.look(claim.slot, disk)
    files.final = False
    return files


def _create_placeholder(me: Instance, claim: Claim, path: str) -> bool:
    """Ours, or one that an instance left behind for the same final; never that of another program."""
    line = {"format": PLACEHOLDER_FORMAT, "final": claim.slot.name, "owner": me.record.id}
    create = partial(
        create_whole, me.disk, path, (json.dumps(line) + "\n").encode(), partial(me.private, claim.slot.directory),
        durable=me.rules.durable, exclusive=False,
    )  # fmt: skip
    if create():
        return True
    if not _is_left_behind(me, claim, path):
        return False
    me.disk.unlink(path)
    return create()


def _is_left_behind(me: Instance, claim: Claim, path: str) -> bool:
    """We hold the claim of this final, so a placeholder for it is a leftover. Links and foreign files are not ours."""
    try:
        data = me.disk.read(path)
    except OSError:
        return False
    return data is None or is_placeholder(data, claim.slot.name)


def _remove_placeholder(me: Instance, claim: Claim, disk: Disk) -> None:
    if not claim.placeholder:
        return
    path, claim.placeholder = claim.placeholder, ""
    try:
        data = disk.read(path)
    except OSError:
        return  # not a regular file: somebody else's
    if data is not None and placeholder_owner(data) == me.record.id:
        disk.unlink(path)
