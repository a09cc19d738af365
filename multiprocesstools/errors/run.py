"""The run directory, or what other instances wrote there, does not allow what was asked."""

from typing import Any

from multiprocesstools.errors.base import RunError


class RunDirectoryUnusable(RunError):
    """The working directory, or a directory of outputs, cannot be used."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"the directory {self.path!r} cannot be used: {self.reason}"


class UnsafeFilesystem(RunError):
    """The filesystem cannot keep the promises of the package."""

    def __init__(self, path: str, finding: str, advice: str = "") -> None:
        super().__init__(path, finding, advice)
        self.path, self.finding, self.advice = path, finding, advice

    def __str__(self) -> str:
        return f"the filesystem of {self.path!r} is not safe: {self.finding}{'; ' if self.advice else ''}{self.advice}"


class NewerFormat(RunError):
    """A file of the run was written by a newer version of the package, or is none of its files."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path!r} cannot be understood: {self.reason}; was it written by a newer multiprocesstools?"


class SettingsDiffer(RunError):
    """Other settings than those of the run, while other instances live or may live."""

    def __init__(self, given: dict[str, Any], recorded: dict[str, Any], instances: list[str]) -> None:
        super().__init__(given, recorded, instances)
        self.given, self.recorded, self.instances = given, recorded, instances

    def __str__(self) -> str:
        names = ", ".join(map(repr, self.instances))
        return (
            f"this run has the settings {self.recorded}, you gave {self.given}, these instances may be at work: "
            f"{names}. Use the same settings, or wait until they have ended (`multiprocesstools cleanup` helps)"
        )


class ListChanged(RunError):
    """A template with {index} needs a list that does not change."""

    def __init__(self, template: str, before: int, now: int) -> None:
        super().__init__(template, before, now)
        self.template, self.before, self.now = template, before, now

    def __str__(self) -> str:
        return (
            f"the template {self.template!r} numbers the items, but the list of sources is not the one of an earlier "
            f"start ({self.before} items then, {self.now} now), so the numbers would name other items; use {{stem}}"
        )


class ChunksDiffer(RunError):
    """Two lists over the same outputs, one of which is claimed in chunks, while another instance lives or may live."""

    def __init__(self, template: str, place: int, there: str, here: str, instances: list[str]) -> None:
        super().__init__(template, place, there, here, instances)
        self.template, self.place, self.there, self.here, self.instances = template, place, there, here, instances

    def __str__(self) -> str:
        there, here = (repr(name) if name else "nothing" for name in (self.there, self.here))
        return (
            f"the outputs of {self.template!r} are claimed in chunks, which are cut from the whole list, and this list "
            f"is another one: at place {self.place} it has {here}, the other list has {there}. Start everywhere with "
            f"the same list, or end the others first ({', '.join(self.instances)}): `multiprocesstools stop`, then "
            "`multiprocesstools cleanup`"
        )


class UnknownItem(RunError, LookupError):
    """No item of that name in this run."""

    def __init__(self, name: str, nearest: list[str]) -> None:
        super().__init__(name, nearest)
        self.name, self.nearest = name, nearest

    def __str__(self) -> str:
        nearest = f"; nearest: {', '.join(self.nearest)}" if self.nearest else ""
        return f"no item {self.name!r} of this run was set aside{nearest}"


class FinalOfAnotherKind(RunError):
    """A final exists, but as something that no item of this package can be."""

    def __init__(self, final: str, kind: str) -> None:
        super().__init__(final, kind)
        self.final, self.kind = final, kind

    def __str__(self) -> str:
        return f"{self.final!r} exists, but as {self.kind}, which cannot be the output: move it away"


class ClaimLost(RunError):
    """Direct mode: another instance has taken the item over; the final was left as it is."""

    def __init__(self, final: str) -> None:
        super().__init__(final)
        self.final = final

    def __str__(self) -> str:
        return f"the claim of {self.final!r} was taken over by another instance; its output was left alone"


class NoResult(RunError, ValueError):
    """A file that holds no result of an item."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path!r} is no result of items(..., results=True): {self.reason}"


class LimitDiffers(RunError):
    """A limit of that name has another size, and somebody is using it."""

    def __init__(self, name: str, given: int, recorded: int, holders: list[str]) -> None:
        super().__init__(name, given, recorded, holders)
        self.name, self.given, self.recorded, self.holders = name, given, recorded, holders

    def __str__(self) -> str:
        return (
            f"limit({self.name!r}, {self.given}): this run has limit({self.name!r}, {self.recorded}), which is in use "
            f"by {'; '.join(self.holders)}. Use the same number everywhere, another name, or wait until nobody has it"
        )
