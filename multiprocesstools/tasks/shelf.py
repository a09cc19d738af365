"""Where the results of partitions lie, and how they are read.

    <run>/partitions/0042.results        the results of partition 42, whole: the final of its item
    <run>/partitions/0042.partial-<k>    what attempt k had computed of it before it failed; goes with 0042.results

Guarantee: what is read is a whole parcel of this very partition, or an error that names the file (NotResults).
"""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from multiprocesstools.claims.disk import ABSENT
from multiprocesstools.claims.slots import Slot, read_listing
from multiprocesstools.errors import NotResults
from multiprocesstools.run.directory import Run
from multiprocesstools.tasks.description import Description
from multiprocesstools.tasks.parcel import Parcel, Pickled, Unfit, decode, parcel_of

DIRECTORY, FINAL = "partitions", "{value:04d}.results"
MOST_BYTES = 1 << 36
_RESULTS = re.compile(r"([0-9]{4,})\.results")
_OTHERS_MAY_WRITE = 0o022
_DISTRUSTED = "it holds a pickle, and others may write it or its directory (`chmod go-w` both?)"


class Shelf:
    """The results of one store in one run directory. `pickles`: load them, where this user alone may write."""

    def __init__(self, run: Run, description: Description, *, pickles: bool = False) -> None:
        self.run, self.description, self._pickles = run, description, pickles
        self.directory = f"{run.directory}/{DIRECTORY}"

    def path(self, number: int) -> str:
        return f"{self.directory}/{FINAL.format(value=number)}"

    def published(self) -> set[int]:
        """The partitions whose results are there, by one listing."""
        try:
            names = [entry.name for entry in self.run.disk.list(self.directory)]
        except OSError as error:
            if error.errno in ABSENT:
                return set()
            raise
        found = {int(match[1]) for name in names if (match := _RESULTS.fullmatch(name))}
        return {number for number in found if number < self.description.partitions}

    def ended(self, attempts: Mapping[int, int]) -> list[int]:
        """Those partitions of which this attempt was ended, by one listing."""
        listing = read_listing(self.directory, self.run.disk.list(self.directory))
        slots = {number: Slot(self.directory, FINAL.format(value=number)) for number in attempts}
        return [number for number, attempt in attempts.items() if attempt in listing.of(slots[number]).ended]

    def read(self, number: int) -> tuple[list[int], list[Any]]:
        """The tasks of a partition and their results. NotResults; FileNotFoundError."""
        path = self.path(number)
        indices, results = self._decoded(path)
        if indices != self.description.indices_of(number):
            raise NotResults(path, "it has the results of other tasks")
        return indices, results

    # -- what failed attempts leave

    def kept(self, number: int, attempt: int) -> Parcel:
        """What the attempts before this one have computed of a partition. What cannot be read is computed again."""
        mine, pairs = set(self.description.indices_of(number)), dict[int, Any]()
        for earlier in range(1, attempt):
            try:
                pairs |= zip(*self._decoded(self._partial(number, earlier)), strict=True)
            except (FileNotFoundError, NotResults):
                continue
        return self.parcel((index, value) for index, value in pairs.items() if index in mine)

    def keep(self, number: int, attempt: int, results: Parcel) -> None:
        """Write what an attempt has computed."""
        if len(results):
            self.run.replace(self._partial(number, attempt), results.encode())

    def forget(self, number: int, attempt: int) -> None:
        """The partition is done: remove what its attempts had kept."""
        for earlier in range(1, attempt + 1):
            self.run.disk.unlink(self._partial(number, earlier))

    def parcel(self, pairs: Iterable[tuple[int, Any]] = ()) -> Parcel:
        """A parcel for results of this store."""
        return parcel_of(self.description.ident, pairs, pickles=self._pickles)

    def _partial(self, number: int, attempt: int) -> str:
        return f"{self.directory}/{FINAL.format(value=number).removesuffix('results')}partial-{attempt}"

    def _decoded(self, path: str) -> tuple[list[int], list[Any]]:
        try:
            data = self.run.disk.read(path, MOST_BYTES)
            if data is None:
                raise FileNotFoundError(path)
            trusted = self._pickles and _is_mine_alone(path) and _is_mine_alone(self.directory)
            ident, indices, results = decode(data, pickles=trusted)
        except FileNotFoundError:
            raise
        except (Unfit, OSError) as error:
            distrusted = self._pickles and isinstance(error, Pickled)
            raise NotResults(path, _DISTRUSTED if distrusted else str(error)) from error
        if ident != self.description.ident:
            raise NotResults(path, f"it has the results of the store {ident!r}")
        return indices, results


def _is_mine_alone(path: str) -> bool:
    """Whoever may write a pickle can run code where it is loaded."""
    status = os.stat(path)
    return status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_MAY_WRITE
