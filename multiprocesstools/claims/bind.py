"""Binding the name of a claim to this instance (PROTOCOL: "One item, in order", step 1).

Guarantee: the name is bound once, to whoever made it, and says who that is. Condition: the disk links exclusively, or
creates exclusively where the record cannot be linked.
"""

import errno
import os
from functools import partial

from multiprocesstools.claims.disk import ABSENT, UNLINKABLE, HalfCreated
from multiprocesstools.claims.ended import Outcome
from multiprocesstools.claims.hands import Claim, How
from multiprocesstools.claims.instance import Instance
from multiprocesstools.claims.whole import create_whole
from multiprocesstools.errors import RunDirectoryUnusable

_DRAFT = How.DRAFT  # every item asks, and an enumeration answers slowly


class Expelled(Exception):
    """The own record is gone (a forced sweep): the instance must join anew. Never leaves the package."""


def create_claim(me: Instance, claim: Claim, how: How = How.STAGED) -> bool:
    """Bind the name of the claim to this instance. False: somebody else has it."""
    directory, path = claim.slot.directory, claim.path
    try:
        if how is _DRAFT:
            claim.draft = me.disk.draft(path, me.copy)
        else:
            bind_to_record(me, directory, path)
    except FileExistsError:
        return False
    except HalfCreated as error:
        me.hands.remember(claim, me.ended(Outcome.DROPPED, exception="no room for the claim"))
        if error.errno in ABSENT and me.disk.look(directory) is not None:
            return False  # removed at once by somebody who clears up, as is done when the item is finished
        raise
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        if me.disk.look(path) is not None:
            return False  # ESTALE, the reply to a link that was made
        _explain_missing(me, directory, error)
    return True


def bind_to_record(me: Instance, directory: str, path: str) -> None:
    """Create `path` as a link to the own record, or as a copy where that is impossible. FileExistsError."""
    if directory not in me.copies:
        try:
            me.disk.link(me.path, path)
            return
        except OSError as error:
            if error.errno == errno.ENOSPC:  # GlusterFS on ext4: the record has no room for one more name
                return _bind_to_copy(me, directory, path)
            if error.errno not in UNLINKABLE:
                raise
            me.copies.add(directory)
    me.disk.create(path, me.copy)


def _bind_to_copy(me: Instance, directory: str, path: str) -> None:
    """A whole copy where links can be made; on a disk that is really full nothing is left."""
    try:
        made = create_whole(me.disk, path, me.copy, partial(me.private, directory), durable=False)
    except HalfCreated as error:
        raise OSError(error.errno, error.strerror, path) from error
    if not made:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)


def _explain_missing(me: Instance, directory: str, error: OSError) -> None:
    if me.disk.look(directory) is None:
        raise RunDirectoryUnusable(directory, "it is not there any more") from error
    me.expelled = True
    raise Expelled from error
