"""From a complete staging file to the final, and what is removed then (PROTOCOL: "One item, in order", steps 3 to 6).

Guarantee: a final appears by one link from a private, complete, synced file (a directory: by a rename that refuses a
final with content), and is never replaced. Condition: the disk links exclusively; with publish="rename" only: a final
that appears between the look and the rename is replaced by another complete one.
"""

import errno
from enum import StrEnum

from multiprocesstools.claims.disk import ABSENT, UNLINKABLE, Disk
from multiprocesstools.claims.hands import Claim
from multiprocesstools.claims.instance import Instance
from multiprocesstools.claims.slots import Slot
from multiprocesstools.errors import UnsafeFilesystem


class Published(StrEnum):
    """What became of a complete staging file."""

    MINE = "mine"
    LOST = "lost"
    GONE = "gone"


MINE, LOST, GONE = Published  # every item asks, and an enumeration answers slowly


def publish(me: Instance, claim: Claim, parts: list[tuple[str, str]]) -> Published:
    """Make the staging files the finals, in order; the last pair is the item itself. Then everything is cleared.

    Published.LOST: somebody else had published before, whose file stays. Published.GONE: the staging file has
    disappeared without a final; the caller ends the attempt. OSError (a full disk, an fsync that failed, something
    that is neither file nor directory): nothing was published, the claim is still held.
    """
    for staging, _ in parts:
        if not _check(me, staging):
            return _without_staging(me, claim)
    claim.publishing = True
    for staging, final in parts:
        if (result := _publish_one(me, staging, final)) is GONE:
            return GONE
    for staging, _ in parts:
        _remove(me, staging)
    _settle(me, claim)
    return result


def publish_draft(me: Instance, claim: Claim, rest: bytes) -> Published:
    """Write the rest of the output into the claim and make it the final. OSError as with `publish`."""
    assert claim.draft is not None
    claim.draft.append(rest)
    if me.rules.durable:
        claim.draft.sync()
    claim.close()
    claim.publishing = True
    result = _publish_one(me, claim.path, claim.final)
    if result is not GONE:
        _settle(me, claim)
    return result


def _check(me: Instance, staging: str) -> bool:
    """Is the staging file there, of a kind that can be published, and safely on the disk? OSError if not."""
    try:
        if me.rules.durable:
            me.disk.sync(staging)
            return True
    except OSError as error:
        if error.errno in ABSENT:
            return False
        raise
    stamp = me.disk.look(staging)
    if stamp is not None and stamp.kind not in ("file", "directory"):
        raise OSError(errno.EINVAL, "neither a regular file nor a directory", staging)
    return stamp is not None


def _without_staging(me: Instance, claim: Claim) -> Published:
    """The staging file is gone: a sweep may have removed it because the item is done."""
    if not _is_published(me, claim.final):
        return Published.GONE
    _settle(me, claim)
    return Published.LOST


def _is_published(me: Instance, final: str) -> bool:
    directory, _, name = final.rpartition("/")
    return me.look(Slot(directory, name)).done


def _settle(me: Instance, claim: Claim) -> None:
    """The item is done: clear up and let it go. Of most there is nothing but the one claim."""
    slot = claim.slot
    if claim.attempt == 1 and not (claim.given_up or claim.lost or slot.chunk):
        _remove_name(me, claim.path)
    else:
        clear(me, slot, claim.attempt, declared_over=claim.given_up or claim.lost)
    me.hands.finish(slot)


def _publish_one(me: Instance, staging: str, final: str) -> Published:
    try:
        if me.rules.publish == "rename":
            return _publish_by_rename(me, staging, final)
        me.disk.link(staging, final)
        return MINE
    except OSError as error:
        return _resolve(me, staging, final, error)


def _resolve(me: Instance, staging: str, final: str, error: OSError) -> Published:
    """What a refused link means."""
    private = me.disk.look(staging)
    if error.errno in ABSENT:
        return Published.LOST if _is_published(me, final) else Published.GONE
    if private is not None and private.kind == "directory":
        return _publish_directory(me, staging, final, private.inode)
    published = me.disk.look(final) if error.errno in UNLINKABLE | {errno.EEXIST} else None
    if published is not None or error.errno == errno.EEXIST:  # sshfs says EPERM for EEXIST
        mine = private is not None and published is not None and private.inode == published.inode
        return Published.MINE if mine else Published.LOST
    if error.errno in UNLINKABLE:
        advice = 'MultiProcessHelper(publish="rename") accepts it, and promises less'
        raise UnsafeFilesystem(final, f"it cannot make hard links ({error.strerror})", advice) from error
    raise error


def _publish_directory(me: Instance, staging: str, final: str, inode: int) -> Published:
    if not me.disk.list(staging):
        raise OSError(errno.ENODATA, "an empty directory is never published", staging)
    try:
        me.disk.rename(staging, final)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            return Published.LOST
        published = me.disk.look(final)
        if error.errno == errno.EPERM and published is not None and me.disk.list(final):
            return Published.LOST  # sshfs says EPERM for ENOTEMPTY
        if error.errno in ABSENT and published is not None:
            return Published.MINE if published.inode == inode else Published.LOST
        if error.errno in ABSENT:
            return Published.GONE
        raise
    return Published.MINE


def _publish_by_rename(me: Instance, staging: str, final: str) -> Published:
    """Without hard links: complete, but a final that appears between the look and the rename is replaced."""
    private = me.disk.look(staging)
    if private is not None and private.kind == "directory":
        return _publish_directory(me, staging, final, private.inode)
    if me.disk.look(final) is not None:
        return Published.LOST
    try:
        me.disk.rename(staging, final)
    except OSError as error:
        published = me.disk.look(final)
        if error.errno in ABSENT and private is not None and published is not None and published.inode == private.inode:
            return Published.MINE
        raise
    return Published.MINE


def clear(me: Instance, slot: Slot, attempt: int, *, declared_over: bool = False) -> None:
    """Remove what the attempts of a finished item have left; a first attempt that nobody `declared_over` has left its
    claim only. A chunk keeps its claim, which is not of this item alone. What cannot be removed is litter for a sweep.
    """
    for number in range(attempt, 0, -1):
        if attempt > 1 or declared_over:
            _remove_name(me, slot.retry(number))
            _remove_name(me, slot.ended(number))
        if not slot.chunk or number > 1:
            _remove_name(me, slot.claim(number))


def _remove_name(me: Instance, path: str) -> None:
    """Remove a file that nobody needs any more. A folder was put there by somebody, and its content is not ours."""
    try:
        me.disk.unlink(path)
    except OSError as error:
        me.notice("litter", path=path, reason=str(error))


def _remove(me: Instance, path: str) -> None:
    """Remove a file that nobody needs any more; what cannot be removed is litter for a sweep, and no failure."""
    try:
        me.disk.unlink(path)
    except IsADirectoryError:
        discard(me, path)
    except OSError as error:
        me.notice("litter", path=path, reason=str(error))


def discard(me: Instance, path: str) -> None:
    """Remove a private file or directory with all that is in it."""
    try:
        me.disk.remove_tree(path)
    except OSError as error:
        me.notice("litter", path=path, reason=str(error))


def move_aside(me: Instance, slot: Slot, attempt: int, disk: Disk) -> None:
    """Move a half-written final away, to where the user can find it."""
    while disk.look(slot.partial(attempt)) is not None:  # what is there is the user's
        attempt += 1
    try:
        disk.rename(slot.final, slot.partial(attempt))
    except FileNotFoundError:
        return
    me.notice("moved aside", slot, attempt)
