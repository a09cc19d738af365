"""From sources to finals, held in little memory: each name once, sorted by directory.

Guarantee: no two items have one final, and none leaves its directory. An item has two numbers: its *index* is that in
the list of the user, its *position* that in the work list, where the items of one directory follow each other.
"""

import os
from array import array
from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress, count
from operator import attrgetter
from typing import Any

from multiprocesstools.claims.slots import Slot
from multiprocesstools.errors import BadArgument, DuplicateFinal, NoSources
from multiprocesstools.plans.cut import SINGLE, Cut
from multiprocesstools.plans.naming import Final, fields_of, relative_finals

_first = attrgetter("first")
_Group = tuple[list[str], "array[int]"]
"""The names in one directory, and the index of each."""


@dataclass(slots=True)
class Folder:
    """The items of one directory: `names[i]` is that of position `first + i`."""

    path: str
    first: int
    names: list[str]
    _known: set[str] | None = None
    end: int = field(init=False)

    def __post_init__(self) -> None:
        self.end = self.first + len(self.names)

    def known(self) -> set[str]:
        """The names as a set of the caller's own. One is left over from the search for equal names."""
        known, self._known = self._known, None
        return set(self.names) if known is None else known

    def positions(self, some: Container[str]) -> dict[str, int]:
        """The positions of some names; of those that are not here, nothing."""
        here = compress(count(self.first), map(some.__contains__, self.names))
        return {self.names[position - self.first]: position for position in here}

    def places(self) -> dict[str, int]:
        """From each name to its place in `names`. It is large: use it and let it go."""
        return dict(zip(self.names, range(len(self.names)), strict=True))


@dataclass(slots=True)
class WorkList:
    """Sources and their finals. `indices[position]` is the index of an item, and `others[index]` are the absolute paths
    of the files that are published before its final."""

    sources: Sequence[Any]
    folders: list[Folder]
    indices: "array[int]"
    others: list[tuple[str, ...]] | None
    cut: Cut = SINGLE
    _latest: Folder | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def folder(self, position: int) -> Folder:
        """The directory of an item."""
        return self.folders[bisect_right(self.folders, position, key=_first) - 1]

    def slot(self, position: int) -> Slot:
        folder = self._latest
        if folder is None or not folder.first <= position < folder.end:
            folder = self._latest = self.folder(position)
        place = position - folder.first
        chunk = self.cut.chunk(place) if self.cut.items != 1 else ""
        return tuple.__new__(Slot, (folder.path, folder.names[place], chunk))  # a third of the time that Slot() takes

    def in_order(self) -> Sequence[int]:
        """The positions in the order of the list."""
        if all(index == position for position, index in enumerate(self.indices)):
            return range(len(self))
        positions = array("I", bytes(4 * len(self)))
        for position, index in enumerate(self.indices):
            positions[index] = position
        return positions

    def resolved(self) -> "WorkList":
        """The same with the one true path of each directory, so that one file never has two names. DuplicateFinal."""
        real = {directory: os.path.realpath(directory) for directory in self.directories()}
        if all(directory == path for directory, path in real.items()):
            return self
        groups: dict[str, _Group] = {}
        for folder in self.folders:
            names, indices = groups.setdefault(real[folder.path], ([], array("I")))
            names.extend(folder.names)
            indices.extend(self.indices[folder.first : folder.end])
        work = _sorted(self.sources, groups, "")
        if self.others:
            columns = [[_under(real, other) for other in column] for column in zip(*self.others, strict=True)]
            work.add_others(columns, [""] * (1 + len(columns)))
        return work

    def directories(self) -> list[str]:
        """The directories that hold finals, in the order of their first item."""
        seen = dict.fromkeys(folder.path for folder in self.folders)
        for others in self.others or ():
            seen |= dict.fromkeys(map(os.path.dirname, others))
        return list(seen)

    def add_others(self, columns: list[list[str]], templates: Sequence[Final]) -> None:
        """Each item has more files, a column for each template but the last. DuplicateFinal if any two are one."""
        finals = [self.slot(position).final for position in self.in_order()]
        _check_different(self.sources, [*columns, finals], templates)
        self.others = list(zip(*columns, strict=True))


def work_list(sources: Iterable[Any], final: Final | Sequence[Final], directory: str) -> WorkList:
    """Name the outputs of all sources. NoSources, BadName, BadArgument, DuplicateFinal before anything is touched."""
    listed = _listed(sources)
    if not listed:
        raise NoSources
    if not (isinstance(final, str | list | tuple) or callable(final)):
        raise BadArgument("final", final, "it must be a template, a function of the source, or a list of those")
    templates = [final] if isinstance(final, str) or callable(final) else list(final)
    if not templates:
        raise BadArgument("final", final, "an empty list of templates")
    if len(templates) > 1 and len(listed) > 1:
        _check_differing(templates)
    columns = [
        [f"{directory}/{name}" for block in relative_finals(listed, template) for name in block]
        for template in templates[:-1]
    ]
    work = _sorted(listed, _by_folder(relative_finals(listed, templates[-1]), directory), templates[-1])
    if columns:
        work.add_others(columns, templates)
    return work


def _check_differing(templates: Sequence[Final]) -> None:
    """A list as long as that of the sources is a mistake, and would have each source under each name."""
    for template in templates:
        if isinstance(template, str) and not fields_of(template):
            reason = (
                "all sources would be written to it; a list gives each source several files. For a name of its own say "
                'final="{stem}.png", with what the source has, or final=function'
            )
            raise BadArgument("final", template, reason)


def template_text(final: Final | Sequence[Final]) -> str:
    """A template as it is written in the plan."""
    if isinstance(final, str):
        return final
    if callable(final):
        return f"{getattr(final, '__module__', '?')}.{getattr(final, '__qualname__', type(final).__qualname__)}()"
    return " + ".join(template_text(part) for part in final)


def uses_index(final: Final | Sequence[Final]) -> bool:
    if isinstance(final, str):
        return "index" in fields_of(final)
    return not callable(final) and any(uses_index(part) for part in final)


def tell_apart(template: Final) -> str:
    """A template like this one whose outputs also differ by the folder of the source; empty if there is none."""
    if not isinstance(template, str) or "{parent}" in template or "{stem}" not in template:
        return ""
    return template.replace("{stem}", "{parent}_{stem}")


def source_identities(sources: list[Any], run_directory: str, known: dict[str, str]) -> list[str]:
    """What tells sources apart, the same on machines that mount the share elsewhere if they lie beside the run.

    `known` remembers directories between calls.
    """
    kinds = set(map(type, sources))
    if kinds <= {int}:
        return list(map(str, sources))
    if kinds <= {str} and os.sep not in "".join(sources):
        return sources
    if kinds <= {str}:
        return _beside_all(sources, run_directory, known)
    return list(_identities(sources, run_directory, known))


def _beside(path: str, run_directory: str, known: dict[str, str]) -> str:
    """A path as it is written in plans: from the run directory."""
    return _beside_all([path], run_directory, known)[0]


def _beside_all(paths: list[str], run_directory: str, known: dict[str, str]) -> list[str]:
    """The same for many: each folder is looked at once."""
    try:
        return [
            f"{known[folder]}/{name}" if sep else name
            for path in paths
            for folder, sep, name in (path.rpartition(os.sep),)
        ]
    except KeyError:  # what is asked of every path costs, with a million of them
        for folder in {path.rpartition(os.sep)[0] for path in paths}.difference(known):
            known[folder] = os.path.relpath(os.path.abspath(folder + os.sep), run_directory)
        return _beside_all(paths, run_directory, known)


def _identities(sources: list[Any], run_directory: str, known: dict[str, str]) -> Iterator[str]:
    for source in sources:
        text = os.fsdecode(source) if isinstance(source, bytes | os.PathLike) else source
        if isinstance(text, str) and (os.sep in text or isinstance(source, os.PathLike)):
            yield _beside(text, run_directory, known)
        elif isinstance(text, Mapping):
            yield repr(sorted((str(key), str(value)) for key, value in text.items()))
        else:
            yield str(text)


def _listed(sources: Iterable[Any]) -> Sequence[Any]:
    """The sources as a sequence. One string or path is a mistake: its characters are no sources."""
    if isinstance(sources, str | bytes | os.PathLike) or not hasattr(sources, "__iter__"):
        raise BadArgument("sources", sources, "it must be a list, or another iterable; for one source write [source]")
    return sources if isinstance(sources, Sequence) else list(sources)


def _by_folder(blocks: Iterable[list[str]], directory: str) -> dict[str, _Group]:
    """The names sorted by directory, in which they keep their order."""
    groups: dict[str, _Group] = {}
    index = 0
    for block in blocks:
        if "/" not in "".join(block):
            names, indices = groups.setdefault("", ([], array("I")))
            names.extend(block)
            indices.extend(range(index, index + len(block)))
        else:
            for number, path in enumerate(block, index):
                folder, _, name = path.rpartition("/")
                group = groups.get(folder)
                if group is None:
                    group = groups[folder] = [], array("I")
                group[0].append(name)
                group[1].append(number)
        index += len(block)
    return {f"{directory}/{folder}" if folder else directory: group for folder, group in groups.items()}


def _sorted(sources: Sequence[Any], groups: dict[str, _Group], template: Final) -> WorkList:
    """The work list of these groups, which are used up. DuplicateFinal."""
    work = WorkList(sources, [], array("I"), None)
    for path, (names, indices) in groups.items():
        first = len(work.indices)
        work.indices.extend(indices)
        known = set(names)
        if len(known) != len(names):
            _refuse_equal(sources, path, names, indices, template)
        work.folders.append(Folder(path, first, names, known))
    return work


def _refuse_equal(sources: Sequence[Any], path: str, names: list[str], indices: "array[int]", template: Final) -> None:
    seen: dict[str, int] = {}
    for name, index in zip(names, indices, strict=True):
        if name in seen:
            _refuse(sources, f"{path}/{name}", seen[name], index, template)
        seen[name] = index


def _refuse(sources: Sequence[Any], final: str, one: int, other: int, template: Final) -> None:
    first, second = str(sources[one]), str(sources[other])
    raise DuplicateFinal(final, first, second, tell_apart(template) if first != second else "")


def _under(real: dict[str, str], final: str) -> str:
    directory, _, name = final.rpartition("/")
    return f"{real[directory]}/{name}"


def _check_different(sources: Sequence[Any], columns: list[list[str]], templates: Sequence[Final]) -> None:
    if len(set().union(*columns)) == len(sources) * len(columns):
        return
    seen: dict[str, int] = {}
    for column, template in zip(columns, templates, strict=True):
        for index, final in enumerate(column):
            if final in seen:
                _refuse(sources, final, seen[final], index, template)
            seen[final] = index
