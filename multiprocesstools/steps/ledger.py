"""The book on the disk: one file an entry, each created once, whole.

    <run>/.multiprocesstools/steps/<n>.json              entry n, n = 1, 2, ...
    <run>/.multiprocesstools/steps/in-<s>.<instance>     an instance takes part in session s

Guarantee: entry n + 1 is written only by somebody who has read n, and only if nobody else was first: `append` creates
it exclusively, or learns that somebody was. Condition: the disk creates and links exclusively. All effects are verbs
of the disk that is handed in.
"""

import json
import re
from collections.abc import Callable

from multiprocesstools.claims.disk import Disk
from multiprocesstools.claims.whole import create_whole, readings
from multiprocesstools.clock import Clock
from multiprocesstools.errors import NewerFormat, UnknownStep
from multiprocesstools.steps.book import Book, Entry

FORMAT = 1
_LIMIT_BYTES = 1 << 28
_ENTRY = re.compile(r"([1-9][0-9]{0,8})\.json")
_MARK = re.compile(r"in-([1-9][0-9]{0,8})\.(.+)")


class Ledger:
    """The entries in a directory. `private` gives the names of files that are about to become others by a link."""

    def __init__(
        self, disk: Disk, clock: Clock, directory: str, private: Callable[[], str], *, durable: bool = True
    ) -> None:  # fmt: skip
        self._disk, self._clock, self.directory = disk, clock, directory
        self._private, self._durable = private, durable
        self.book = Book()

    def catch_up(self) -> list[int]:
        """Read what others have written; the steps that are new or have changed. NewerFormat for what is no entry."""
        changed: list[int] = []
        names = {entry.name for entry in self._disk.list(self.directory)}
        while f"{self.book.read + 1}.json" in names:
            data = self._read(self.book.read + 1)
            if data is None:
                break  # listed, and not to be read yet: the next look will
            changed += self._turn(data)
        return changed

    def append(self, entry: Entry) -> list[int] | None:
        """Write the next entry; the steps that are new or have changed. None: somebody was first, and `catch_up` says
        with what."""
        data = (json.dumps({"format": FORMAT, **entry}, separators=(",", ":")) + "\n").encode()
        number = self.book.read + 1
        if not create_whole(self._disk, self.path(number), data, self._private, durable=self._durable):
            return None
        return self._turn(data)

    # -- who takes part

    def take_part(self, instance: str) -> None:
        """Say that this instance works on the latest session. An empty file says it; one that is there is fine."""
        try:
            self._disk.create(f"{self.directory}/in-{self.book.start.number}.{instance}", b"")
        except FileExistsError:
            return

    def parties(self) -> set[str]:
        """The instances that take, or took, part in the latest session."""
        found = (_MARK.fullmatch(entry.name) for entry in self._disk.list(self.directory))
        return {match[2] for match in found if match and int(match[1]) == self.book.start.number}

    def path(self, number: int) -> str:
        """Where entry `number` lies."""
        return f"{self.directory}/{number}.json"

    def _read(self, number: int) -> bytes | None:
        """An entry. Without hard links it may be met half written."""
        data = None
        for data in readings(self._disk, self._clock, self.path(number), _LIMIT_BYTES):
            if data is None or data.endswith(b"\n") or _is_json(data):
                break
        return data

    def _turn(self, data: bytes) -> list[int]:
        try:
            entry = json.loads(data)
            if entry["format"] != FORMAT:
                raise ValueError(f"its format is {entry['format']!r}, known is {FORMAT}")
            return self.book.turn(entry)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, UnknownStep) as error:
            raise NewerFormat(
                self.path(self.book.read + 1), f"it is no entry of a record of steps ({error})"
            ) from error


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True
