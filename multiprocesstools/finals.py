"""From sources to finals: templates, and the checks that no output leaves its directory or meets another one.

A template has the fields {stem} {name} {suffix} {parent} {value} {shard} {index} and, for a dict source, its keys;
a callable gets the source and returns the path. Both give a path relative to the directory of the call.
"""

import os
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from multiprocesstools.claims.slots import NAME_LIMIT_BYTES, check_name, encode_name
from multiprocesstools.digest import sha256
from multiprocesstools.errors import BadArgument, BadName, DuplicateFinal, NoSources

Final = str | Callable[[Any], str]
FIELDS = ("stem", "name", "suffix", "parent", "value", "shard", "index")


@dataclass(slots=True)
class WorkList:
    """Sources and their finals: `finals[i]` is the absolute path of a final, `others[i]` of the files before it."""

    sources: Sequence[Any]
    finals: list[str]
    others: list[tuple[str, ...]] | None

    def __len__(self) -> int:
        return len(self.finals)

    def resolved(self) -> "WorkList":
        """The same with the one true path of each directory, so that one file never has two names. DuplicateFinal."""
        real = {directory: os.path.realpath(directory) for directory in self.directories()}
        if all(directory == path for directory, path in real.items()):
            return self
        columns = [list(column) for column in zip(*self.others, strict=True)] if self.others else []
        columns = [[_under(real, final) for final in column] for column in (*columns, self.finals)]
        _check_different(self.sources, columns, [""] * len(columns))
        others = list(zip(*columns[:-1], strict=True)) if len(columns) > 1 else None
        return WorkList(self.sources, columns[-1], others)

    def directories(self) -> list[str]:
        """The directories that hold finals, in the order of their first item."""
        seen = dict.fromkeys(os.path.dirname(final) for final in self.finals)
        for others in self.others or ():
            seen |= dict.fromkeys(map(os.path.dirname, others))
        return list(seen)


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
    columns = [_finals(listed, template, directory) for template in templates]
    _check_different(listed, columns, templates)
    others = list(zip(*columns[:-1], strict=True)) if len(columns) > 1 else None
    return WorkList(listed, columns[-1], others)


def template_text(final: Final | Sequence[Final]) -> str:
    """A template as it is written in the plan."""
    if isinstance(final, str):
        return final
    if callable(final):
        return f"{getattr(final, '__module__', '?')}.{getattr(final, '__qualname__', type(final).__qualname__)}()"
    return " + ".join(template_text(part) for part in final)


def uses_index(final: Final | Sequence[Final]) -> bool:
    if isinstance(final, str):
        return "index" in _fields(final)
    return not callable(final) and any(uses_index(part) for part in final)


def tell_apart(template: Final) -> str:
    """A template like this one whose outputs also differ by the folder of the source; empty if there is none."""
    if not isinstance(template, str) or "{parent}" in template or "{stem}" not in template:
        return ""
    return template.replace("{stem}", "{parent}_{stem}")


def source_identity(source: Any, run_directory: str, known: dict[str, str]) -> str:
    """What tells two sources apart, the same on machines that mount the share elsewhere if it lies beside the run.

    `known` remembers directories between calls.
    """
    source = os.fsdecode(source) if isinstance(source, bytes) else source
    if isinstance(source, os.PathLike) or (isinstance(source, str) and os.sep in source):
        folder, name = os.path.split(os.fspath(source))
        if not isinstance(folder, str):
            folder, name = os.fsdecode(folder), os.fsdecode(name)
        if folder not in known:
            known[folder] = os.path.relpath(os.path.abspath(folder), run_directory)
        return f"{known[folder]}/{name}"
    if isinstance(source, Mapping):
        return repr(sorted((str(key), str(value)) for key, value in source.items()))
    return str(source)


def check_relative(path: str) -> str:
    """The path itself, if it stays inside its directory and every part of it is a name that can be used."""
    if not isinstance(path, str):
        raise BadName(str(path), "a final must be a string")
    if path.startswith("/"):
        raise BadName(path, "it must be relative to its directory")
    *folders, name = path.split("/")
    for folder in folders:
        check_name(folder)
    check_name(name)
    return path


def check_absolute(path: str) -> str:
    """The path itself, if a directory can have it."""
    if "\0" in path or "\n" in path:
        raise BadName(path, "it contains NUL or a line break")
    for folder in path.split("/"):
        if len(encode_name(folder)) > NAME_LIMIT_BYTES:
            raise BadName(folder, f"it has more than {NAME_LIMIT_BYTES} bytes")
    return path


def _listed(sources: Iterable[Any]) -> Sequence[Any]:
    """The sources as a sequence. One string or path is a mistake: its characters are no sources."""
    if isinstance(sources, str | bytes | os.PathLike) or not hasattr(sources, "__iter__"):
        raise BadArgument("sources", sources, "it must be a list, or another iterable; for one source write [source]")
    return sources if isinstance(sources, Sequence) else list(sources)


def _finals(sources: Sequence[Any], template: Final, directory: str) -> list[str]:
    make = _formatter(template) if isinstance(template, str) else lambda source, _: template(source)
    return [f"{directory}/{check_relative(make(source, index))}" for index, source in enumerate(sources)]


def _formatter(template: str) -> Callable[[Any, int], str]:
    fields = _fields(template)

    def make(source: Any, index: int) -> str:
        try:
            return template.format_map(_values(source, fields, index))
        except KeyError as error:
            known = ", ".join(sorted({*FIELDS, *(source if isinstance(source, Mapping) else ())}, key=str))
            raise BadArgument("final", template, f"{{{error.args[0]}}} is unknown; there are {known}") from error
        except (ValueError, TypeError, AttributeError, IndexError, ArithmeticError) as error:
            raise BadArgument("final", template, f"it cannot be filled for {source!r}: {error}") from error

    return make


def _fields(template: str) -> frozenset[str]:
    try:
        names = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise BadArgument("final", template, str(error)) from error
    if bad := [name for name in names if not name.isidentifier()]:
        raise BadArgument("final", template, f"{{{bad[0]}}} is no field name")
    return frozenset(names)


def _values(source: Any, fields: frozenset[str], index: int) -> dict[str, Any]:
    from pathlib import PurePath

    source = os.fsdecode(source) if isinstance(source, bytes) else source
    values: dict[str, Any] = {"value": source, "index": index}
    if not fields <= {"value", "index"}:
        path = PurePath(os.fsdecode(source)) if isinstance(source, str | os.PathLike) else PurePath(str(source))
        values |= {"stem": path.stem, "name": path.name, "suffix": path.suffix, "parent": path.parent.name}
        values["shard"] = sha256(os.fsencode(path.name))[:2] if "shard" in fields else ""
    return values | dict(source) if isinstance(source, Mapping) else values


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
                first, second = str(sources[seen[final]]), str(sources[index])
                raise DuplicateFinal(final, first, second, tell_apart(template) if first != second else "")
            seen[final] = index
