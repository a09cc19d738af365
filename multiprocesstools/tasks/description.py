"""What a run directory knows of its task store: one file, written by whoever comes first, the same for everybody.

    <run>/.multiprocesstools/store.json    {"format": 1, "ident", "num_tasks", "num_partitions", "indices", "id"}

Guarantee: it is written once, whole, and never changed; a store of another ident or size, or a manager that would cut
it otherwise, is refused (StoresDiffer). A worker goes by the cut and the indices that are recorded. The id tells a
run from a later one in the same directory.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from multiprocesstools.claims.whole import read_json
from multiprocesstools.errors import NewerFormat, RunDirectoryUnusable, StoresDiffer
from multiprocesstools.run.directory import Run, check_instance_name, new_id
from multiprocesstools.tasks.store import TaskStore, bounds, number_of

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT, NAME = 1, "store.json"
MOST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Description:
    """A task store as all who work on it must know it."""

    ident: str
    num_tasks: int
    num_partitions: int
    indices: tuple[int, ...] | None
    id: str = field(default="", compare=False)

    @property
    def selected(self) -> "Sequence[int]":
        """The indices of its tasks, in order."""
        return range(self.num_tasks) if self.indices is None else self.indices

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        return number_of(len(self.selected), self.num_partitions)

    def indices_of(self, number: int) -> list[int]:
        """The tasks of a partition."""
        first, end = bounds(len(self.selected), self.partitions, number)
        return list(self.selected[first:end])

    def as_dict(self) -> dict[str, Any]:
        """As `TaskStore.from_dict` takes it."""
        return {key: value for key, value in asdict(self).items() if key != "id"}


def describe(store: TaskStore) -> Description:
    """The description of a store. BadArgument, BadName for one that cannot be."""
    store.selected()
    next(store.partition())
    return _description(store.to_dict() | {"ident": check_instance_name(store.ident)})


def recorded(run: Run) -> Description | None:
    """What is recorded, or None. NewerFormat."""
    path = f"{run.home}/{NAME}"
    if run.disk.look(path) is None:
        return None
    try:
        content = read_json(run.disk, run.clock, path, MOST_BYTES)
        if content["format"] != FORMAT:
            raise NewerFormat(path, f"its format is {content['format']!r}")
        return _description(content)
    except (ValueError, KeyError, TypeError) as error:
        raise NewerFormat(path, f"it does not describe a task store ({error!r})") from error


def agree(run: Run, store: TaskStore, say: Callable[[str], None], *, follow: bool = False) -> Description:
    """The description of the store of this run, which is recorded if there is none. StoresDiffer.

    With `follow` another cut and other indices are not refused: those that are recorded count. `say` is told if there
    are fewer tasks than partitions were asked for, by whoever comes first.
    """
    mine = describe(store)
    line = json.dumps({"format": FORMAT, **mine.as_dict(), "id": new_id()}) + "\n"
    found = recorded(run)
    if found is None:
        if run.create(f"{run.home}/{NAME}", line.encode()) and mine.partitions < mine.num_partitions:
            say(f"{mine.ident}: {mine.partitions} tasks make {mine.partitions} partitions, not {mine.num_partitions}")
        found = recorded(run)
    if found is None:
        raise RunDirectoryUnusable(run.directory, f"{NAME} is created in it and cannot be read")
    refuse_others(run, found, mine, follow=follow)
    return found


def refuse_others(run: Run, found: Description, mine: Description, *, follow: bool = False) -> None:
    """StoresDiffer if a store is not the recorded one; with `follow` the cut and the indices may differ."""
    alike = (found.ident, found.num_tasks) == (mine.ident, mine.num_tasks) if follow else found == mine
    if not alike:
        raise StoresDiffer(run.directory, found.as_dict(), mine.as_dict())


def _description(content: dict[str, Any]) -> Description:
    indices = content["indices"]
    return Description(
        str(content["ident"]), int(content["num_tasks"]), int(content["num_partitions"]),
        None if indices is None else tuple(map(int, indices)), str(content.get("id", "")),
    )  # fmt: skip
