"""A chunk: several items of one directory that are claimed at once (PROTOCOL: Chunks).

The claim of the chunk is attempt 1 of each of its items; their finals are published one by one, each written once. An
item that fails has an end of its own. When the chunk has ended, or its owner is gone, what is left of it is claimed
item by item from attempt 2 on, so that an item which kills its process takes none of its neighbours with it.

Guarantee: while its chunk is in somebody's hands, nobody else makes attempt 1 at an item. Condition: all instances cut
the list in the same way (see `plans`), and an item that has claims or ends of its own is left out.

    free --take_chunk--> held --leave_chunk--> done: all finals are there, the claim is gone
                                           or: the rest is free, item by item
"""

from multiprocesstools.claims.bind import create_claim
from multiprocesstools.claims.claim import Refusal, end, entered, under_claim
from multiprocesstools.claims.ended import Outcome
from multiprocesstools.claims.hands import Claim
from multiprocesstools.claims.instance import Instance
from multiprocesstools.claims.publish import clear
from multiprocesstools.claims.slots import Slot
from multiprocesstools.claims.survey import Finding, State


def take_chunk(me: Instance, chunk: Slot) -> Claim | Refusal:
    """Try to win the first attempt at all items of a chunk. A refusal: somebody has it, or had it."""
    return entered(me, chunk, bind, None)


def bind(me: Instance, chunk: Slot, how: None = None) -> Claim | Refusal:
    """The same once the chunk is `entered`."""
    claim = Claim(chunk, 1, me.clock)
    claim.is_chunk = True
    return me.hands.hold(claim) if create_claim(me, claim) else Refusal(Finding(State.RUNNING, 1))


def take_item(me: Instance, slot: Slot, chunk: Claim) -> Claim | Refusal:
    """Begin with an item of a chunk that is held. A refusal: it is done, or the chunk is not ours any more."""
    return entered(me, slot, begin, chunk)


def begin(me: Instance, slot: Slot, chunk: Claim) -> Claim | Refusal:
    """The same once the item is `entered`."""
    if chunk.lost or chunk.given_up or not me.hands.works_on(chunk.slot, 1):
        return Refusal(Finding(State.RUNNING, 1))
    claim = Claim(slot, 1, me.clock)
    claim.within = chunk
    return under_claim(me, claim)


def leave_chunk(me: Instance, chunk: Claim, *, done: bool) -> None:
    """Let go of a chunk. `done`: the finals of all its items are there. Otherwise the rest of it is for everybody."""
    if not me.hands.works_on(chunk.slot, 1):
        return  # somebody has ended it before: a signal, or cleanup()
    if done:
        clear(me, chunk.slot, 1, declared_over=chunk.given_up or chunk.lost)
        me.hands.finish(chunk.slot)
    else:
        end(me, chunk, me.ended(Outcome.DROPPED, exception="the rest of the chunk"))
