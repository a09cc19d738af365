"""The run directory, or what other instances wrote there, does not allow what was asked."""

from collections.abc import Sequence
from typing import Any

from multiprocesstools.errors.base import RunError

Change = tuple[str, str, Any, Any]
_MOST_CHANGES, _LONGEST_VALUE = 20, 200


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


class ParametersDiffer(RunError):
    """The run was made with other parameters. `changes` are (place, "added" | "removed" | "changed", recorded, given).

    Also for a run that was begun without any: its results say nothing of the parameters that are given now.
    """

    def __init__(self, directory: str, changes: Sequence[Change], proposal: str, none: bool) -> None:
        super().__init__(directory, changes, proposal, none)
        self.directory, self.changes, self.proposal, self.none = directory, changes, proposal, none

    def __str__(self) -> str:
        shown = [_change(*change) for change in self.changes[:_MOST_CHANGES]]
        more = len(self.changes) - len(shown)
        listed = "".join(f"\n  {line}" for line in shown) + (f"\n  ... and {more} more" if more else "")
        begun = "was begun without parameters" if self.none else "was made with other parameters"
        return (
            f"the run in {self.directory!r} {begun} (recorded -> given):{listed}\n"
            "Old results would be mixed with new ones: start in a new directory, like "
            f"{self.proposal!r}, or give what was recorded (or nothing)"
        )


def _change(place: str, kind: str, recorded: Any, given: Any) -> str:
    words = {"added": f"not there -> {_short(given)}", "removed": f"{_short(recorded)} -> not there"}
    return f"{place}: {words.get(kind, f'{_short(recorded)} -> {_short(given)}')}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


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
    """No item of that name in this run; `what` is said of those that were looked at."""

    def __init__(self, name: str, nearest: list[str], what: str = "is known") -> None:
        super().__init__(name, nearest, what)
        self.name, self.nearest, self.what = name, nearest, what

    def __str__(self) -> str:
        nearest = f"; nearest: {', '.join(self.nearest)}" if self.nearest else ""
        return f"no item {self.name!r} of this run {self.what}{nearest}"


class SeveralItems(UnknownItem):
    """A name that several items have, in different directories; `nearest` are some of them."""

    def __str__(self) -> str:
        return f"several items are called {self.name!r}; which one: {', '.join(self.nearest)}?"


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


class StoresDiffer(RunError):
    """A task store meets a run directory, or a server, of another one. `recorded` and `given` are what differs."""

    def __init__(self, place: str, recorded: dict[str, Any], given: dict[str, Any]) -> None:
        super().__init__(place, recorded, given)
        self.place, self.recorded, self.given = place, recorded, given

    def __str__(self) -> str:
        changes = [key for key in self.recorded if self.recorded[key] != self.given.get(key)]
        shown = "; ".join(f"{key}: {_short(self.recorded[key])} -> {_short(self.given.get(key))}" for key in changes)
        return (
            f"{self.place!r} belongs to another task store (recorded -> given: {shown}); nothing was changed. Give the "
            "store that it was begun with, or another directory"
        )


class AlreadyCollecting(RunError):
    """Another manager, or a server, collects the results of this run now. `holders` say who, and since when."""

    def __init__(self, directory: str, holders: list[str]) -> None:
        super().__init__(directory, holders)
        self.directory, self.holders = directory, holders

    def __str__(self) -> str:
        who = "; ".join(self.holders) or "somebody who has just begun or ended"
        return (
            f"the results in {self.directory!r} are being collected by {who}; wait for it, or end it first. If its "
            f"machine is gone, this one cannot know that: multiprocesstools cleanup {self.directory}"
        )


class NotResults(RunError, ValueError):
    """A file in the place of a partition's results holds none, or those of others."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return (
            f"{self.path!r} does not hold the results of its partition: {self.reason}. Move it away, and a worker "
            "computes them again"
        )


class ServerUnreachable(RunError, ConnectionError):
    """A server did not answer, however often it was asked in that time."""

    def __init__(self, url: str, seconds: float, reason: str) -> None:
        super().__init__(url, seconds, reason)
        self.url, self.seconds, self.reason = url, seconds, reason

    def __str__(self) -> str:
        return (
            f"{self.url!r} did not answer within {self.seconds:g} s: {self.reason}. Is the server running "
            "(multiprocesstools tasks serve), and can this machine reach it? What it has accepted is safe; start the "
            "worker again when it is there"
        )


class ServerRefused(RunError):
    """A server has answered that it will not do what was asked."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url, self.reason = url, reason

    def __str__(self) -> str:
        return f"{self.url!r} refused: {self.reason}"
