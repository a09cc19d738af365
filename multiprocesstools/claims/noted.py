"""What is noted of the finals in a listing while its names go by, which may be a million of them.

Guarantee: a listing is read once, in blocks, and the names that may be of the protocol are handed back as entries;
what else is held is said at each way of noting. Names that come twice do no harm.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from multiprocesstools.claims.disk import Entry

_BLOCK = 4096


class Names:
    """All names that a listing shows, and the inode of each."""

    def __init__(self) -> None:
        self._inodes: dict[str, int] = {}
        self.odd: list[Entry] = []

    def gather(self, entries: Iterable[Entry]) -> list[Entry]:
        """Note the names; those that may be of the protocol, as entries. `odd`: the others that are no plain files."""
        hidden = []
        for entry in entries:
            self._inodes[entry.name] = entry.inode()
            if entry.name[0] == ".":
                hidden.append(entry)
        return hidden

    def __contains__(self, name: object) -> bool:
        return name in self._inodes

    def __iter__(self) -> Iterator[str]:
        return iter(self._inodes)

    def inode(self, name: str) -> int:
        return self._inodes[name]

    def discard(self, name: str) -> None:
        self._inodes.pop(name, None)


class Shown:
    """Which of very many known finals a listing shows: all but those that are still missing at its end."""

    def __init__(self, known: set[str], *, kinds: bool = False) -> None:
        """`known` is used up. `kinds`: note also what is `odd`."""
        self._missing, self._kinds = known, kinds
        self.odd: list[Entry] = []

    def gather(self, entries: Iterable[Entry]) -> list[Entry]:
        """The same for the known finals alone. Only what is missing is held, so that a long listing needs no room."""
        rest, hidden = iter(entries), []
        while block := list(islice(rest, _BLOCK)):
            before = len(self._missing)
            self._missing.difference_update([entry.name for entry in block])
            if self._kinds:
                self.odd += _odd_ones(block)
            if before - len(self._missing) != len(block):  # else all of them were known
                hidden += [entry for entry in block if entry.name[0] == "."]
        return hidden

    def __contains__(self, name: object) -> bool:
        """Only to be asked of known finals: of all other names it does not know."""
        return name not in self._missing

    def discard(self, name: str) -> None:
        self._missing.add(name)


def _odd_ones(block: list[Entry]) -> list[Entry]:
    """What is neither a file nor a link to one."""
    try:
        return [entry for entry in block if not entry.is_file()]
    except OSError:  # a link that leads round in a circle
        return [entry for entry in block if not entry.is_file(follow_symlinks=False)]


class Marks:
    """Which of some known finals a listing shows, and their inodes. `places` numbers them from 0 on."""

    def __init__(self, places: Mapping[str, int]) -> None:
        self._places = places
        self._shown = bytearray(len(places))
        self._inodes = array("Q", bytes(8 * len(places)))
        self.odd: list[Entry] = []

    def gather(self, entries: Iterable[Entry]) -> list[Entry]:
        """The same for the known finals alone."""
        hidden, where = [], self._places.get
        for entry in entries:
            place = where(entry.name)
            if place is not None:
                self._shown[place] = 1
                self._inodes[place] = entry.inode()
                if not entry.is_file(follow_symlinks=False):
                    self.odd.append(entry)
            elif entry.name[0] == ".":
                hidden.append(entry)
        return hidden

    def __contains__(self, name: object) -> bool:
        place = self._places.get(name)  # type: ignore[call-overload]
        return place is not None and self._shown[place] == 1

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._places if name in self)

    def inode(self, name: str) -> int:
        return self._inodes[self._places[name]]

    def discard(self, name: str) -> None:
        self._shown[self._places[name]] = 0


Noted = Names | Shown | Marks
"""What a listing says of finals."""
