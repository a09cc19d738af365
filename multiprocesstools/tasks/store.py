"""TaskStore: tasks by a linear index, cut into partitions, and what becomes of their results.

Guarantee: what is wrong with a store (how many tasks, which indices, how many partitions) is said where it is first
used, before anything is claimed. Partitions cover every index of the store once, in order; none is empty, and their
sizes differ by 1 at most.
"""

import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from operator import index as as_integer
from typing import Any, ClassVar, Self

from multiprocesstools.errors import BadArgument, StoresDiffer
from multiprocesstools.tasks import grid

FED = "_fed_partitions"
"""The attribute of a store that holds what it was fed with, by run directory."""


class TaskStore:
    """A set of tasks that a subclass describes, and the place where their results go.

    A subclass gives `dimensions`, such as (48, 47), or by name: {"predicting": 48, "predicted": 47}; then `num_tasks`,
    `sub2ind` and `ind2sub` are there, and with names `get` too. Or it gives these four itself. `update_results` is
    always its own. A class attribute `pickles = True` lets workers hand in what neither JSON nor npz can hold; then
    whoever collects loads pickles, from files of this very user that nobody else may write.

    Parameters
    ----------
    num_partitions: into how many parts the tasks are cut; if there are fewer tasks, as many as tasks.
    indices: only these tasks, in this order, each once; None for all.
    ident: what tells this store from others, so that no worker of another one is used; default the class's name.

    Raises BadArgument.
    """

    dimensions: ClassVar[grid.Dimensions | None] = None
    pickles: ClassVar[bool] = False

    def __init__(
        self, num_partitions: int = 100, indices: Iterable[int] | None = None, ident: str | None = None
    ) -> None:
        self.num_partitions = _whole("num_partitions", num_partitions, 1)
        self.indices = _checked_indices(indices)
        if ident is not None:
            self.ident = ident

    # -- what a subclass may give itself

    @cached_property
    def ident(self) -> str:
        """What tells this store from others."""
        return type(self).__name__

    @cached_property
    def num_tasks(self) -> int:
        """How many tasks there are in all, whatever `indices` says. BadArgument without `dimensions`."""
        if self.dimensions is None:
            raise BadArgument("num_tasks", None, f"{type(self).__name__} must set it, or `dimensions`")
        size = 1
        for part in grid.sizes_of(self.dimensions):
            size *= part
        return size

    def get(self, index: int | None, *params: Any) -> dict[str, Any]:
        """The task with this index, as a dict for `compute`; `params` are its subscripts."""
        if not isinstance(self.dimensions, Mapping):
            raise NotImplementedError(f"{type(self).__name__} needs get(index, *params), or `dimensions` with names")
        found = self.sub2ind(*params) if index is None else index
        return {"index": found, **dict(zip(self.dimensions, params, strict=True))}

    def sub2ind(self, *params: Any) -> Any:
        """The index of the task with these subscripts, which count from 1."""
        return grid.sub2ind(params, self._grid("sub2ind(*params)"))

    def ind2sub(self, index: Any) -> tuple[Any, ...]:
        """The subscripts of the task with this index, which counts from 0."""
        return grid.ind2sub(index, self._grid("ind2sub(index)"))

    def update_results(self, task_index: list[int], results: list[Any]) -> None:
        """Take the results of one partition: the indices of its tasks, and what `compute` returned for each."""
        raise NotImplementedError(f"{type(self).__name__} needs update_results(task_index, results)")

    def _grid(self, method: str) -> grid.Dimensions:
        if self.dimensions is None:
            raise NotImplementedError(f"{type(self).__name__} needs `dimensions`, or {method}")
        return self.dimensions

    # -- what a store does

    def selected(self) -> Sequence[int]:
        """The indices of its tasks, in order. BadArgument for those out of range, and for no or too few tasks."""
        total = _whole("num_tasks", self.num_tasks, 1)
        if self.indices is None:
            return range(total)
        if outside := [index for index in self.indices if not 0 <= index < total]:
            raise BadArgument("indices", outside[0], f"it must be from 0 to {total - 1}, as there are {total} tasks")
        return self.indices

    def partition(self) -> Iterator[Self]:
        """The stores of its partitions: copies with `indices` set, for which no constructor is called."""
        selected = self.selected()
        parts = number_of(len(selected), _whole("num_partitions", self.num_partitions, 1))
        for number in range(parts):
            first, end = bounds(len(selected), parts, number)
            yield self._with(list(selected[first:end]))

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in self.selected():
            yield index, self.task(index)

    def task(self, index: int) -> dict[str, Any]:
        """One task by its index alone."""
        return self.get(index, *self.ind2sub(index))

    def to_dict(self) -> dict[str, Any]:
        """What another process needs to make the same store of an object of the same class."""
        indices = None if self.indices is None else list(self.indices)
        return {
            "ident": self.ident,
            "num_tasks": self.num_tasks,
            "num_partitions": self.num_partitions,
            "indices": indices,
        }

    def from_dict(self, description: Mapping[str, Any]) -> Self:
        """Become the store that `to_dict` has described. StoresDiffer if that is another one."""
        mine = {"ident": self.ident, "num_tasks": self.num_tasks}
        theirs = {key: description.get(key, mine[key]) for key in mine}
        if theirs != mine:
            raise StoresDiffer("what was given", theirs, mine)
        self.num_partitions = _whole("num_partitions", description["num_partitions"], 1)
        self.indices = _checked_indices(description["indices"])
        return self

    def _with(self, indices: list[int]) -> Self:
        part = copy.copy(self)
        part.indices = indices
        part.__dict__.pop(FED, None)
        return part


def number_of(num_tasks: int, num_partitions: int) -> int:
    """How many partitions there are: never more than tasks."""
    return min(num_tasks, num_partitions)


def bounds(num_tasks: int, partitions: int, number: int) -> tuple[int, int]:
    """From which place to before which one partition `number` (from 0 on) goes: pure arithmetic, the same for all."""
    return number * num_tasks // partitions, (number + 1) * num_tasks // partitions


def _whole(argument: str, value: Any, lowest: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < lowest:
        raise BadArgument(argument, value, f"it must be a whole number, at least {lowest}")
    return as_integer(value)


def _checked_indices(indices: Iterable[int] | None) -> list[int] | None:
    if indices is None:
        return None
    try:
        given = [as_integer(index) for index in indices]
    except TypeError as error:
        raise BadArgument("indices", indices, "it must be a list of whole numbers, or None for all tasks") from error
    if not given:
        raise BadArgument("indices", given, "it is empty, so there is nothing to do; None takes all tasks")
    if len(set(given)) != len(given):
        [(twice, _)] = Counter(given).most_common(1)
        raise BadArgument("indices", twice, "it stands twice in the list")
    return given
