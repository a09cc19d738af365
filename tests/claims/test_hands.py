"""What an instance has in its hands."""

from multiprocesstools.claims.ended import Ended, Outcome
from multiprocesstools.claims.hands import Claim, Hands
from multiprocesstools.claims.slots import Slot
from tests.clocks import HandClock

SLOT = Slot("d", "a")


def test_an_item_is_entered_once_until_it_is_left() -> None:
    hands = Hands()
    assert hands.enter(SLOT)
    assert not hands.enter(SLOT)
    hands.leave(SLOT)
    assert hands.enter(SLOT)


def test_only_won_items_are_claims() -> None:
    hands = Hands()
    hands.enter(SLOT)
    assert hands.claims() == []
    claim = hands.hold(Claim(SLOT, 1, HandClock()))
    assert hands.claims() == [claim]


def test_attempts_that_were_left_are_remembered() -> None:
    hands, end = Hands(), Ended(Outcome.DROPPED)
    hands.remember(Claim(SLOT, 1, HandClock()), end)
    assert hands.has_left(SLOT, 1) == end
    assert hands.has_left(SLOT, 2) is None


def test_what_is_owed_stays_until_the_item_is_left() -> None:
    hands, claim, end = Hands(), Claim(SLOT, 1, HandClock()), Ended(Outcome.FAILED)
    hands.enter(SLOT)
    hands.owe(claim, end)
    assert hands.owed() == [(claim, end)]
    hands.leave(SLOT)
    assert hands.owed() == []
