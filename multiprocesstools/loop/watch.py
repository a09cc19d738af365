"""What an instance watches while nothing is left for it to claim. Pure: no disk, no clock.

Guarantee: a directory that was chosen stays chosen until it is over, because silence of an owner is counted in rounds
that follow each other (`claims.peers`); everybody watches at least one; and all waiting instances together ask the
server for about `_OPERATIONS_PER_SECOND`, as long as one directory each is not more than that.
"""

import random
from collections.abc import Collection, Mapping

from multiprocesstools.loop.order import FEW_FOLDERS, listing_cost
from multiprocesstools.plans.finals import Folder

_OPERATIONS_PER_SECOND = 400.0
_MOST_BEATS = 1.5
_CROWDED_SECONDS = 3.0
_COUNTING_PER_SECOND = 100.0
_STILL_BEATS = 4


class Watch:
    """`sizes` are the numbers of items of the directories."""

    def __init__(self, sizes: Mapping[int, int], seed: str, beat_seconds: float) -> None:
        self._sizes, self._beat_seconds = sizes, beat_seconds
        self._rank = {folder: random.Random(f"{seed} {folder}").random() for folder in sizes}
        self._chosen: list[int] = []

    def choose(self, left: Collection[int], instances: int) -> list[int]:
        """The directories to look at in this round, of those that are not over."""
        self._chosen = [folder for folder in self._chosen if folder in left]
        room = _OPERATIONS_PER_SECOND * self._beat_seconds / max(instances, 1) - self.cost()
        for folder in sorted(left, key=self._rank.__getitem__):
            if folder not in self._chosen:
                room -= listing_cost(self._sizes[folder])
                if room < 0 and self._chosen:
                    break
                self._chosen.append(folder)
        return list(self._chosen)

    def first_pause_seconds(self, left: Collection[int], instances: int) -> float:
        """Among very many who wait, the first look can wait too: others will say what they find. Else nothing."""
        self.choose(left, instances)
        fair = self.pause_seconds(0.0, instances)
        return fair if fair > _CROWDED_SECONDS else 0.0

    def cost(self) -> float:
        """Of one round, in operations."""
        return sum(listing_cost(self._sizes[folder]) for folder in self._chosen)

    def pause_seconds(self, wanted: float, instances: int) -> float:
        """How long to wait until the next round: `wanted`, or longer if there are many who wait."""
        fair = self.cost() * instances / _OPERATIONS_PER_SECOND
        return min(max(wanted, fair), max(wanted, _MOST_BEATS * self._beat_seconds))


class Stillness:
    """Which of the directories that are watched may have changed without a sign of it.

    An NFS client that lists between two changes of one tick of the server's clock does not notice the second until a
    third comes, and after the last item of a run none comes. Guarantee: a directory that looks the same for long is
    due, after some beats and then ever more rarely, for each instance at times of its own.
    """

    def __init__(self, seed: str, beat_seconds: float) -> None:
        self._first_seconds = _STILL_BEATS * beat_seconds * (1 + random.Random(seed).random())
        self._most_seconds = 16 * self._first_seconds
        self._known: dict[int, tuple[int, float, float]] = {}

    def is_due(self, folder: int, unsettled: int, now: float) -> bool:
        """The directory was listed, and so many of its items are not settled. Has it to be asked for anew?"""
        before, due, pause = self._known.get(folder, (None, 0.0, 0.0))
        if before != unsettled:
            self._known[folder] = unsettled, now + self._first_seconds, self._first_seconds
            return False
        if now < due:
            return False
        pause = min(2 * pause, self._most_seconds)
        self._known[folder] = unsettled, now + pause, pause
        return True


class Counting:
    """Which directories are listed for the sake of a bar that shows what others do: all, or in turn as many as all
    instances together may ask for."""

    def __init__(self, every_seconds: float) -> None:
        self._operations = _COUNTING_PER_SECOND * every_seconds
        self._turn, self._saved = 0, 0.0

    def choose(self, folders: list[Folder], instances: int) -> list[Folder]:
        if len(folders) < FEW_FOLDERS:
            return folders
        room, chosen = self._saved + self._operations / instances, list[Folder]()
        for folder in folders[self._turn :] + folders[: self._turn]:
            cost = listing_cost(len(folder.names))
            if room < cost:
                break
            room -= cost
            chosen.append(folder)
        self._saved = 0.0 if chosen else room  # until it is enough for one
        self._turn = (self._turn + len(chosen)) % len(folders)
        return chosen
