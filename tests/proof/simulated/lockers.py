"""Programs that take turns by the tokens of one lock, and the settings in which every interleaving of them is searched.

`owns` is the generation of the token in hand, so that the questions of `checks` about two owners are asked of holds: of
one generation never, of the lock not unless somebody was falsely suspected.
"""

import itertools
from dataclasses import replace

from multiprocesstools.claims.instance import Instance
from multiprocesstools.claims.tokens import Purse, Token
from tests.proof.simulated.behaviour import Setting
from tests.proof.simulated.clients import Ways
from tests.proof.simulated.players import Player, Program

LOCK = "/run/locks/a"
_ROUNDS_ALONE = 4


def locker(rounds: int = 1, *, word: str = "held", ready: bool = True, stays: bool = True) -> Program:
    """Tries to take the lock so many times, and gives it back each time. `ready`: it is there already. `stays`: when it
    is alone it tries until it has had the lock."""

    def play(player: Player) -> None:
        if ready and player.number == 1:
            player.disk.make_directory(LOCK)
            for name in ("of-1", Token(1, 0).name):
                player.disk.create(f"{LOCK}/{name}", b"")
        me = player.join()
        purse, tries = Purse(me, itertools.count(1).__next__), itertools.count()
        for _ in range(rounds):
            _turn(player, me, purse, next(tries), word)
        if stays and player.ask(("alone?",)):  # then nothing may stand in the way any more
            for _ in range(_ROUNDS_ALONE):
                if _turn(player, me, purse, next(tries), word):
                    return
            player.note(said="stuck")

    return play


def _turn(player: Player, me: Instance, purse: Purse, number: int, word: str) -> bool:
    player.reach(me, number, *sorted(purse.mine))
    try:
        taken = purse.try_to_take(LOCK, 1)
        if not isinstance(taken, Token):
            me.stir(LOCK)
            return False
    except OSError:
        return False
    player.note(owns=taken.generation)
    player.ask(("choose", ("work",)))
    player.note(owns=0, said=word)
    try:
        purse.give_back(LOCK, taken)
    except OSError:  # tried again at a later beat
        purse.give_back(LOCK, taken)
    return True


def _of(name: str, ways: Ways, budget: dict[str, int] | None = None, programs: tuple[Program, ...] = ()) -> Setting:
    return Setting(
        f"lock: {name}", programs or (locker(), locker()), ways, budget or {}, newcomer=locker(1, word="done")
    )


THREE = (locker(), locker(stays=False), locker(stays=False))
BLIND = Ways(blind=True)
SETTINGS = [
    _of("made by two at once", BLIND, {"crash": 1}, (locker(ready=False),) * 2),
    _of("crash", BLIND, {"crash": 1}, (locker(2), locker())),
    _of("lost reply", replace(BLIND, lost=True), {"lost": 1}),
    _of("false suspicion", BLIND, {"silent": 1}, (locker(2), locker())),
    _of("torn listings", replace(BLIND, torn=True), {"crash": 1}),
    _of("torn listings, false suspicion", replace(BLIND, torn=True), {"silent": 1}),
    _of("repeated listings", replace(BLIND, repeated=True), {"repeated": 1}),
    _of("late duplicate", replace(BLIND, copy=True), {"copy": 1}),
    _of("stale names", replace(BLIND, stale=True, ageing=True), {"crash": 1}),
    _of("stubborn memory", replace(BLIND, stale=True, stubborn=True), {"crash": 1}),
    _of("errors", replace(BLIND, error=True), {"error": 1}),
    _of("full disk", replace(BLIND, full=True), {"full": 1}),
    _of("three", BLIND, {}, THREE),
    _of("late duplicate, false suspicion", replace(BLIND, copy=True), {"copy": 1, "silent": 1}),
]
