"""Permissions that go round: n tokens in a directory of their own, each of them free or in the hands of one instance.

A token is an empty file whose name says everything. To take it, to give it back, and to free it from an owner that is
gone are each one rename, to a name with the next generation:

    of-<n>                                           how many tokens there are; never renamed
    <slot>-<generation>.free
    <slot>-<generation>-<since>-<serial>.<record>    in the hands of the instance with this record

Guarantee: a name that somebody held was never there before and never comes back, so of all who try the same step one
succeeds, and the others find nothing to rename: a waiter with an old listing, a second one that judged the same owner,
a zombie that gives back what was taken over from it, a rename that the network repeats late. A directory holds n + 1
files, however often its tokens go round. Condition: rename is atomic, and the directory is made by one rename of a
private one, which refuses a target with content. Two instances hold one token only while one of them is falsely
suspected.

Claims of items follow another rule ("breaking a claim by renaming it gives two owners"), because their names recur.
"""

import errno
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from multiprocesstools.claims.disk import ABSENT, Disk
from multiprocesstools.claims.instance import Instance
from multiprocesstools.claims.peers import Sight, Verdict

MOST_TOKENS = 1000
_MOST_TURNS = 20
_SIZE = re.compile(r"of-([1-9][0-9]{0,3})")
_TOKEN = re.compile(
    r"(?P<slot>[1-9][0-9]{0,3})-(?P<generation>[0-9]{1,12})"
    r"(?:\.free|-(?P<since>[0-9]{1,11})-(?P<serial>[0-9]{1,9})\.(?P<idle>\.?)(?P<holder>[^.].*))",
    re.DOTALL,
)


class Token(NamedTuple):
    """`holder`: the file name of the record of whoever has it, "" if it is free. `since`: the holder's wall clock.

    `idle`: it was taken to change the number of tokens, and not to be used.
    """

    slot: int
    generation: int
    holder: str = ""
    since: int = 0
    serial: int = 0
    idle: bool = False

    @property
    def name(self) -> str:
        if not self.holder:
            return f"{self.slot}-{self.generation}.free"
        return f"{self.slot}-{self.generation}-{self.since}-{self.serial}.{'.' * self.idle}{self.holder}"

    def freed(self) -> "Token":
        return Token(self.slot, self.generation + 1)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one listing says: the size (0: none is recorded), and of each slot the latest token that it shows.

    A listing is not atomic: it may show an old name beside the new one, or neither.
    """

    size: int
    tokens: tuple[Token, ...]

    @property
    def free(self) -> list[Token]:
        return [token for token in self.tokens if not token.holder]

    @property
    def held(self) -> list[Token]:
        return [token for token in self.tokens if token.holder]


def decode_token(name: str) -> Token | None:
    """The token of this name; None for all other names."""
    match = _TOKEN.fullmatch(name)
    if match is None:
        return None
    slot, generation = int(match["slot"]), int(match["generation"])
    if match["holder"] is None:
        return Token(slot, generation)
    return Token(slot, generation, match["holder"], int(match["since"]), int(match["serial"]), bool(match["idle"]))


def read_tokens(names: Iterable[str]) -> Tokens:
    """What these names say."""
    size, latest = 0, dict[int, Token]()
    for name in names:
        if recorded := _SIZE.fullmatch(name):
            size = int(recorded[1])
        elif (token := decode_token(name)) is not None and token > latest.get(token.slot, Token(0, 0)):
            latest[token.slot] = token
    return Tokens(size, tuple(latest[slot] for slot in sorted(latest) if slot <= size))


def list_tokens(me: Instance, directory: str) -> Tokens | None:
    """The tokens of a directory; None if there is no such directory."""
    try:
        return read_tokens(entry.name for entry in me.disk.list(directory))
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise


def set_up(me: Instance, directory: str, size: int) -> None:
    """Make the directory with its tokens, all at once. One that is there already stays as it is.

    Generations begin at the time, so that one that is made anew, for another size, has no names of the former one.
    OSError when neither can be seen afterwards, of whatever stood in the way.
    """
    place, first = directory.rpartition("/")[0], max(0, int(me.clock.wall()))
    private = me.private(place)
    me.disk.make_directory(private)
    for new in (f"of-{size}", *(Token(slot, first).name for slot in range(1, size + 1))):
        me.disk.create(f"{private}/{new}", b"")
    try:
        me.disk.rename(private, directory)
    except OSError:
        me.disk.remove_tree(private)
        me.disk.list(place)  # an NFS client remembers that the directory was missing, until it lists the one above
        if list_tokens(me, directory) is None:
            raise


def judge(me: Instance, token: Token) -> Verdict:
    """What is known of the holder of a token. VANISHED: its record was removed, so it has left, or was made to."""
    instances = me.path.rpartition("/")[0]
    verdict = me.peers.judge_claim(f"{instances}/{token.holder}")
    if verdict.sight is Sight.VANISHED and any(entry.name == token.holder for entry in me.disk.list(instances)):
        return replace(verdict, sight=Sight.ALIVE)
    return verdict


def is_over(verdict: Verdict) -> bool:
    """May a token be freed from a holder of which this is known?"""
    return verdict.may_be_ended or verdict.sight is Sight.VANISHED


@dataclass(frozen=True, slots=True)
class Busy:
    """No token is to be had: how many there are, and who has them."""

    size: int
    holders: tuple[tuple[Token, Verdict], ...] = ()


class Purse:
    """What one instance has of all tokens, shared by its threads.

    Guarantee: a token that is in the hands of this instance by its name and not in the purse is in no thread's hands: a
    reply was lost. It stands here from before it is taken until after it was given back.
    """

    def __init__(self, me: Instance, serial: Callable[[], int]) -> None:
        """`serial` gives a number that this instance never had before."""
        self.me, self._serial = me, serial
        self.mine: set[Token] = set()
        self._known: set[str] = set()

    def take(self, directory: str, token: Token, *, idle: bool = False) -> Token | None:
        """Try to take a free token. None: somebody was faster."""
        me, since = self.me, max(0, int(self.me.clock.wall()))
        held = Token(token.slot, token.generation + 1, me.record.file_name, since, self._serial(), idle)
        self.mine.add(held)
        taken = False
        try:
            taken = _move(me, directory, token, held)
        finally:
            if not taken:
                self.mine.discard(held)
        return held if taken else None

    def give_back(self, directory: str, token: Token, disk: Disk | None = None) -> bool:
        """Free a token that was taken. False: somebody else has had it since. OSError: it is still taken."""
        given = _move(self.me, directory, token, token.freed(), disk)
        self.mine.discard(token)
        return given

    # -- one try

    def try_to_take(self, directory: str, size: int) -> Token | Busy:
        """Take one of the `size` tokens, if one is free or in the hands of somebody who is gone or silent.

        Busy with another size: so many are recorded, and some of them are in use. OSError.
        """
        busy = Busy(0)
        for _ in range(_MOST_TURNS):
            tokens = self._list(directory)
            if tokens is None:
                set_up(self.me, directory, size)
            elif not tokens.size:  # what is being removed, by the memory of an NFS client
                self.me.disk.list(directory.rpartition("/")[0])
            elif tokens.size != size:
                if not self._make_way(directory, tokens):
                    return Busy(tokens.size, self._holders(directory, tokens.held))
            elif (taken := self._take_any(directory, tokens.free)) is not None:
                return taken
            else:
                busy = Busy(size, self._holders(directory, tokens.held))
                if len(busy.holders) == len(tokens.held) and not tokens.free:
                    return busy
        return busy

    def _list(self, directory: str) -> Tokens | None:
        """The tokens, and once whether the directory is a real one: behind a planted link lies what is not ours."""
        tokens = list_tokens(self.me, directory)
        if tokens is not None and directory not in self._known:
            stamp = self.me.disk.look(directory)
            if stamp is not None and stamp.kind == "link":
                raise OSError(errno.ELOOP, "it is a symbolic link", directory)
            self._known.add(directory)
        return tokens

    def _take_any(self, directory: str, free: list[Token]) -> Token | None:
        """Each instance begins at another one, so that they rarely meet."""
        first = self.me.record.number % max(len(free), 1)
        for token in free[first:] + free[:first]:
            if (held := self.take(directory, token)) is not None:
                return held
        return None

    def _holders(self, directory: str, held: list[Token]) -> tuple[tuple[Token, Verdict], ...]:
        """Who has these tokens. Those of the gone and silent are freed, and those that a lost reply left with us."""
        seen = [(token, judge(self.me, token)) for token in held]
        staying = []
        for token, verdict in seen:
            lost = verdict.sight is Sight.MINE and token not in self.mine
            if lost or is_over(verdict):
                free_from(self.me, directory, token, verdict)
            else:
                staying.append((token, verdict))
        return tuple(staying)

    def _make_way(self, directory: str, tokens: Tokens) -> bool:
        """Remove the directory if nobody has any of its tokens: whoever has taken all of them may do so."""
        taken = []
        for token in tokens.free if not tokens.held else ():
            if (held := self.take(directory, token, idle=True)) is None:
                break
            taken.append(held)
        if len(taken) != tokens.size:
            for held in taken:
                self.give_back(directory, held)
            return False
        private = self.me.private(directory.rpartition("/")[0])
        try:
            self.me.disk.rename(directory, private)
        except OSError as error:
            if error.errno not in ABSENT or self.me.disk.look(private) is None:
                raise  # otherwise it had been renamed, and the reply was lost
        self.me.disk.remove_tree(private)
        self.mine.difference_update(taken)
        return True


def free_from(me: Instance, directory: str, token: Token, verdict: Verdict) -> None:
    """Free a token instead of its holder, of whom this is known."""
    if _move(me, directory, token, token.freed()) and verdict.sight is not Sight.MINE:
        name = directory.rpartition("/")[2]
        me.notice("lock taken over", lock=name, owner=verdict.owner, sight=verdict.sight.value)


def held_by_the_gone(me: Instance, directory: str, *, force: bool = False) -> list[tuple[Token, Verdict]]:
    """The tokens whose holder is gone or silent; with `force` also those of everybody who does not live here."""
    tokens = list_tokens(me, directory)
    seen = [(token, judge(me, token)) for token in (tokens.held if tokens else ())]
    return [(token, verdict) for token, verdict in seen if is_over(verdict) or (force and not _lives_here(me, verdict))]


def _lives_here(me: Instance, verdict: Verdict) -> bool:
    return verdict.sight is Sight.MINE or (verdict.owner is not None and me.is_here(verdict.owner.identity))


def _move(me: Instance, directory: str, old: Token, new: Token, disk: Disk | None = None) -> bool:
    """Rename a token. True also when it was renamed so before: the answer was lost, or somebody else has freed it."""
    disk = disk or me.disk
    try:
        disk.rename(f"{directory}/{old.name}", f"{directory}/{new.name}")
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        return any(entry.name == new.name for entry in disk.list(directory))
    return True
