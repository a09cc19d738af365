"""What can go wrong, by whose act it was. Errors carry facts as attributes, render them, and survive pickling.

"Not claimed" is an answer and not an error; an exception in the user's own work is never replaced by one of these.
"""

from typing import Any


class MultiProcessError(Exception):
    """Base of all errors of this package. The facts are `args`, in the order of the constructor."""


class MisuseError(MultiProcessError):
    """The calling script asked for something that cannot be."""


class RunError(MultiProcessError):
    """The run directory, or what other instances wrote there, does not allow what was asked."""


class WorkError(MultiProcessError):
    """The work on items failed."""


class BadArgument(MisuseError, ValueError):
    """An argument has a value that makes no sense."""

    def __init__(self, argument: str, value: object, reason: str) -> None:
        super().__init__(argument, value, reason)
        self.argument, self.value, self.reason = argument, value, reason

    def __str__(self) -> str:
        return f"{self.argument}={self.value!r}: {self.reason}"


def check_choice(argument: str, value: object, choices: tuple[str, ...]) -> None:
    """BadArgument unless the value is one of the choices."""
    if value not in choices:
        raise BadArgument(argument, value, f"it must be one of {', '.join(map(repr, choices))}")


class BadName(MisuseError, ValueError):
    """A file name that cannot be used for an output, a directory or a placeholder."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"the name {self.name!r} cannot be used: {self.reason}"


class DuplicateFinal(MisuseError, ValueError):
    """Two sources would have the same final."""

    def __init__(self, final: str, first: str, second: str, proposal: str = "") -> None:
        super().__init__(final, first, second, proposal)
        self.final, self.first, self.second, self.proposal = final, first, second, proposal

    def __str__(self) -> str:
        if self.first == self.second:
            return (
                f"{self.final!r} would be written twice for the source {self.first!r}: "
                "it stands twice in the list, or two templates give the same name"
            )
        advice = f"; a template like {self.proposal!r} tells them apart" if self.proposal else ""
        return f"two sources would be written to {self.final!r}: {self.first!r} and {self.second!r}{advice}"


class NoSources(MisuseError, ValueError):
    """An empty list of sources: most likely a pattern that matched nothing."""

    def __str__(self) -> str:
        return "the list of sources is empty, so there is nothing to do: does the pattern match the files?"


class HelperClosed(MisuseError):
    """A helper was used after `cleanup()`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"the helper {self.name!r} was cleaned up and cannot be used any more: make a new MultiProcessHelper"


class ItemNotEntered(MisuseError):
    """An item was offered by a loop and never entered by `with`."""

    def __init__(self, final: str) -> None:
        super().__init__(final)
        self.final = final

    def __str__(self) -> str:
        return (
            f"the item {self.final!r} was not used in a `with` block, so nobody could tell whether it is done; "
            "write `with item:` around the work. Its claim was given back"
        )


class ForkedLoop(MisuseError):
    """A forked child went on with the loop of its parent."""

    def __init__(self, final: str) -> None:
        super().__init__(final)
        self.final = final

    def __str__(self) -> str:
        return (
            f"this loop was begun by the parent process, which still works on {self.final!r}; a forked child must end, "
            "or begin a loop of its own (then it takes part as an instance of its own)"
        )


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


class NothingWritten(WorkError):
    """A block ended without an exception and without having written the item's path."""

    def __init__(self, path: str, final: str) -> None:
        super().__init__(path, final)
        self.path, self.final = path, final

    def __str__(self) -> str:
        return (
            f"nothing was written to {self.path}, which becomes {self.final!r}; write it, or call item.skip(reason) "
            "when there is nothing to write"
        )


class NoResult(RunError, ValueError):
    """A file that holds no result of an item."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path!r} is no result of items(..., results=True): {self.reason}"


class MarkedFailed(WorkError):
    """The work called `item.fail(reason)`."""


class ItemFailed(WorkError):
    """An item that the caller needs was set aside."""

    def __init__(self, final: str, reason: str) -> None:
        super().__init__(final, reason)
        self.final, self.reason = final, reason

    def __str__(self) -> str:
        return f"{self.final!r} was set aside: {self.reason}; try it again with `multiprocesstools retry`"


class StopRequested(WorkError):
    """Somebody has asked the run to stop, so what was waited for may never come."""

    def __init__(self, waited_for: str) -> None:
        super().__init__(waited_for)
        self.waited_for = waited_for

    def __str__(self) -> str:
        return (
            "the run was asked to stop (`multiprocesstools stop`), so perhaps not all items are done, and "
            f"{self.waited_for!r} was left alone; start the script again to go on"
        )


class TooManyFailures(WorkError):
    """Many items failed in a row without a single success: most likely the script is broken, not the items."""

    def __init__(self, count: int, last: str) -> None:
        super().__init__(count, last)
        self.count, self.last = count, last

    def __str__(self) -> str:
        return (
            f"{self.count} items failed in a row without a success, the last with {self.last}; most likely the script "
            "is the cause. Correct it and start again: nothing has to be cleaned up"
        )
