"""Names of outputs from templates, thousands at a time, and the check that a name stays inside its directory.

A template has the fields {stem} {name} {suffix} {parent} {value} {shard} {index} and, for a dict source, its keys;
a callable gets the source and returns the path. Guarantee: naming many sources at once gives what naming each by
itself gives; what the fast ways do not know for certain (`_Careful`) is named, or refused, one by one.
"""

import os
import re
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any
from zlib import crc32

from multiprocesstools.claims.slots import check_relative
from multiprocesstools.errors import BadArgument

Final = str | Callable[[Any], str]
FIELDS = ("stem", "name", "suffix", "parent", "value", "shard", "index")
BLOCK = 4096
"""So many sources are named at a time."""

_SHARDS = [f"{number:02x}" for number in range(256)]
_PART = r"(?!mpt-)[A-Za-z0-9_][A-Za-z0-9_.+=, @~%()-]{0,180}+"
_PATH = rf"{_PART}(?:/{_PART})*+"
_ORDINARY, _ALL_ORDINARY = re.compile(_PATH), re.compile(rf"{_PATH}(?:\n{_PATH})*+")


_UNFIT = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
"""What formatting says of a value that does not fit its field."""


class _Careful(Exception):
    """These sources have to be looked at one by one. Never leaves this room."""


def blocks(sources: Sequence[Any]) -> Iterator[list[Any]]:
    """The sources in their order, `BLOCK` at a time."""
    iterator = iter(sources)
    while block := list(islice(iterator, BLOCK)):
        yield block


def relative_finals(sources: Sequence[Any], final: Final) -> Iterator[list[str]]:
    """The paths of the outputs, relative to their directory, in blocks. BadArgument, BadName."""
    make = _Template(final).names if isinstance(final, str) else lambda block, _: [final(source) for source in block]
    first = 0
    for block in blocks(sources):
        names = make(block, first)
        _check_all(names)
        yield names
        first += len(block)


def fields_of(template: str) -> frozenset[str]:
    """The fields that a template names. BadArgument if it is none."""
    return frozenset(name for _, name, _, _ in _parse(template) if name is not None)


def _check_all(paths: list[str]) -> None:
    """Ordinary names are recognised together; whatever is not ordinary is checked by itself."""
    try:
        text = "\n".join(paths)
    except TypeError:
        text = ""
    if text.count("\n") == len(paths) - 1 and _ALL_ORDINARY.fullmatch(text):
        return
    for path in paths:
        if not isinstance(path, str) or not _ORDINARY.fullmatch(path):
            check_relative(path)


class _Template:
    """A template, taken apart once."""

    def __init__(self, text: str) -> None:
        self._text, self._fields = text, fields_of(text)
        parts = _parse(text)
        self._columns = [name for _, name, _, _ in parts if name is not None]
        self._pattern = "".join(_numbered(parts))
        self._around = _around(parts)
        self._is_nested = any("{" in spec for *_, spec, _ in parts if spec)

    def names(self, sources: list[Any], first: int) -> list[str]:
        """The outputs of these sources, the first of which is number `first` of the list."""
        if not self._is_nested:
            try:
                return self._together(sources, first)
            except (_Careful, *_UNFIT):  # a source of another kind, or one that cannot be formatted: which, and why?
                pass
        return [self._name(source, index) for index, source in enumerate(sources, first)]

    def _together(self, sources: list[Any], first: int) -> list[str]:
        if not self._columns:
            return [self._pattern.format()] * len(sources)
        known = _Columns(sources, first)
        if self._around and set(map(type, values := known.column(self._columns[0]))) == {str}:
            before, after = self._around
            names = (before + f"{after}\n{before}".join(values) + after).split("\n")
            return names if len(names) == len(values) else [before + value + after for value in values]
        return list(map(self._pattern.format, *[known.column(name) for name in self._columns]))

    def _name(self, source: Any, index: int) -> str:
        try:
            return self._text.format_map(_values(source, self._fields, index))
        except KeyError as error:
            known = ", ".join(sorted({*FIELDS, *(source if isinstance(source, Mapping) else ())}, key=str))
            reason = f"{{{error.args[0]}}} is unknown; there are {known}"
            raise BadArgument("final", self._text, reason) from error
        except _UNFIT as error:
            raise BadArgument("final", self._text, f"it cannot be filled for {source!r}: {error}") from error


class _Columns:
    """The values of each field for sources of one kind: dicts, strings, paths or whole numbers. _Careful for others."""

    def __init__(self, sources: list[Any], first: int) -> None:
        self._sources, self._first = sources, first
        self._kinds = set(map(type, sources))
        if self._kinds != {dict} and any(issubclass(kind, Mapping) for kind in self._kinds):
            raise _Careful  # their keys go before the fields
        self._kept: dict[str, Sequence[Any]] = {}

    def column(self, field: str) -> Sequence[Any]:
        if field not in self._kept:
            self._kept[field] = self._make(field)
        return self._kept[field]

    def _make(self, field: str) -> Sequence[Any]:
        if self._kinds == {dict} and (field not in FIELDS or any(field in source for source in self._sources)):
            return [source[field] for source in self._sources]
        if field == "index":
            return range(self._first, self._first + len(self._sources))
        if field == "value":
            if bytes in self._kinds:
                raise _Careful
            return self._sources
        if field in FIELDS:
            return getattr(self, f"_{field}")()  # type: ignore[no-any-return]
        raise _Careful

    def _paths(self) -> list[str]:
        if self._kinds <= {str}:
            return self._sources
        if self._kinds <= {int}:
            return list(map(str, self._sources))
        from pathlib import PurePath

        if all(issubclass(kind, PurePath) for kind in self._kinds):
            return list(map(str, self._sources))
        raise _Careful

    def _name(self) -> list[str]:
        names = [path.rpartition("/")[2] for path in self._paths()]
        if "" in names or "." in names:
            raise _Careful
        return names

    def _stem(self) -> list[str]:
        return [
            stem if stem and suffix and stem[0] != "." else _split(name)[0]
            for name in self.column("name")
            for stem, _, suffix in (name.rpartition("."),)
        ]

    def _suffix(self) -> list[str]:
        return [_split(name)[1] for name in self.column("name")]

    def _parent(self) -> list[str]:
        self.column("name")
        folders = [path.rpartition("/")[0] for path in self._paths()]
        from pathlib import PurePath

        names = {folder: PurePath(folder).name for folder in set(folders)}
        return [names[folder] for folder in folders]

    def _shard(self) -> list[str]:
        return list(map(_shard, self.column("name")))


def _split(name: str) -> tuple[str, str]:
    """Stem and suffix, as pathlib has them for names whose first character is no dot."""
    stem, dot, suffix = name.rpartition(".")
    if stem and suffix and stem[0] != ".":
        return stem, dot + suffix
    if not dot:
        return name, ""
    raise _Careful


def _shard(name: str) -> str:
    return _SHARDS[crc32(os.fsencode(name)) & 0xFF]


def _values(source: Any, fields: frozenset[str], index: int) -> dict[str, Any]:
    from pathlib import PurePath

    source = os.fsdecode(source) if isinstance(source, bytes) else source
    values: dict[str, Any] = {"value": source, "index": index}
    if not fields <= {"value", "index"}:
        path = PurePath(os.fsdecode(source)) if isinstance(source, str | os.PathLike) else PurePath(str(source))
        values |= {"stem": path.stem, "name": path.name, "suffix": path.suffix, "parent": path.parent.name}
        values["shard"] = _shard(path.name) if "shard" in fields else ""
    return values | dict(source) if isinstance(source, Mapping) else values


def _parse(template: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise BadArgument("final", template, str(error)) from error
    if bad := [name for _, name, _, _ in parts if name is not None and not name.isidentifier()]:
        raise BadArgument("final", template, f"{{{bad[0]}}} is no field name")
    return parts


def _numbered(parts: list[tuple[str, str | None, str | None, str | None]]) -> Iterator[str]:
    """The template with numbers in place of its fields."""
    number = 0
    for literal, name, spec, conversion in parts:
        yield literal.replace("{", "{{").replace("}", "}}")
        if name is not None:
            yield f"{{{number}{'!' + conversion if conversion else ''}{':' + spec if spec else ''}}}"
            number += 1


def _around(parts: list[tuple[str, str | None, str | None, str | None]]) -> tuple[str, str] | None:
    """What stands before and after the only field of a template, if it is a plain one."""
    plain = [i for i, (_, name, spec, conversion) in enumerate(parts) if name is not None and not (spec or conversion)]
    if len(plain) != 1 or sum(name is not None for _, name, _, _ in parts) != 1:
        return None
    literals = [literal for literal, *_ in parts]
    return "".join(literals[: plain[0] + 1]), "".join(literals[plain[0] + 1 :])
