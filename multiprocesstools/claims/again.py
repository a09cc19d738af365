"""Trying again what was set aside: R_k says that the attempts up to k no longer count.

Guarantee: nothing is removed, so that a zombie of an old attempt and an observer with an old listing do no harm.
"""

from multiprocesstools.claims.disk import Disk
from multiprocesstools.claims.slots import Slot


def try_again(disk: Disk, slot: Slot, attempt: int) -> None:
    """The item may be tried again, with all its attempts; one that somebody else has marked already is fine."""
    try:
        disk.create(slot.retry(attempt), b"")
    except FileExistsError:
        return
