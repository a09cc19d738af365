"""What can go wrong with steps that wait for others: in the script that inserts them, in the run, and in their work."""

from collections.abc import Sequence

from multiprocesstools.errors.base import MisuseError, RunError, WorkError


class StepsMisuse(MisuseError, ValueError):
    """Steps that no plan can be made of."""


class DuplicateStep(StepsMisuse):
    """Two steps with one id."""

    def __init__(self, step: object, first: str, second: str) -> None:
        super().__init__(step, first, second)
        self.step, self.first, self.second = step, first, second

    def __str__(self) -> str:
        return f"two steps have the id {self.step}: {self.first!r} and {self.second!r}; ids count from 1, each once"


class UnknownStep(StepsMisuse):
    """A prerequisite that is no step of the plan."""

    def __init__(self, step: str, prerequisite: object, known: int) -> None:
        super().__init__(step, prerequisite, known)
        self.step, self.prerequisite, self.known = step, prerequisite, known

    def __str__(self) -> str:
        there = f"there are the steps 1 to {self.known}" if self.known else "there is no step yet"
        return f"{self.step} waits for step {self.prerequisite!r}, which does not exist; {there}"


class CyclicSteps(StepsMisuse):
    """Steps that wait for each other in a circle. `path`: ids, the last one is the first again; `names`: theirs."""

    def __init__(self, path: Sequence[int], names: Sequence[str]) -> None:
        super().__init__(tuple(path), tuple(names))
        self.path, self.names = tuple(path), tuple(names)

    def __str__(self) -> str:
        parts = [f"{step} {name!r}" for step, name in zip(self.path, self.names, strict=True)]
        if len(parts) == 2:
            return f"step {parts[0]} waits for itself, so it could never start; take it out of its prerequisites"
        shown = parts if len(parts) <= 12 else [*parts[:6], f"... ({len(parts) - 11} more)", *parts[-5:]]
        circle = ", which waits for ".join(shown)
        return f"steps wait for each other in a circle, so none of them could start: {circle}"


class BadStep(StepsMisuse):
    """A function or an argument that no step can be made of."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(step, reason)
        self.step, self.reason = step, reason

    def __str__(self) -> str:
        return f"the step {self.step!r} cannot be inserted: {self.reason}"


class StepsDiffer(RunError):
    """Two scripts insert different steps in one place. `recorded` came first, `given` is what this script has."""

    def __init__(self, step: int, recorded: str, given: str, instances: Sequence[str]) -> None:
        super().__init__(step, recorded, given, tuple(instances))
        self.step, self.recorded, self.given, self.instances = step, recorded, given, tuple(instances)

    def __str__(self) -> str:
        there, here = self.recorded or "no step any more", self.given or "no step any more"
        names = ", ".join(map(repr, self.instances))
        return (
            f"step {self.step} is another one in this script than in the one that was first:\n  recorded: {there}\n"
            f"  here:     {here}\nStart the same script everywhere. To go on with a changed script, end the others "
            f"first ({names}): `multiprocesstools stop`, then `multiprocesstools cleanup`"
        )


class AnotherProtocol(RunError):
    """The run directory holds the steps of another protocol."""

    def __init__(self, directory: str, recorded: str, given: str) -> None:
        super().__init__(directory, recorded, given)
        self.directory, self.recorded, self.given = directory, recorded, given

    def __str__(self) -> str:
        return (
            f"{self.directory!r} holds the steps of the protocol {self.recorded!r}, this one is {self.given!r}: give "
            "another directory, or the same name"
        )


class StepTakenOver(RunError):
    """A running step inserted steps after another instance had taken it over; nothing was recorded."""

    def __init__(self, step: str) -> None:
        super().__init__(step)
        self.step = step

    def __str__(self) -> str:
        return (
            f"{self.step} was taken over by another instance, because this one was silent for too long or gave it back;"
            " what it inserts now is refused, the other one inserts it"
        )


class StepFailed(WorkError):
    """Steps failed, or can never start because of that. `reasons` are one line each."""

    def __init__(self, directory: str, reasons: Sequence[str]) -> None:
        super().__init__(directory, tuple(reasons))
        self.directory, self.reasons = directory, tuple(reasons)

    def __str__(self) -> str:
        lines = "".join(f"\n  {reason}" for reason in self.reasons[:20])
        more = f"\n  ... and {len(self.reasons) - 20} more" if len(self.reasons) > 20 else ""
        return f"not all steps of {self.directory!r} are finished:{lines}{more}"


class StepExited(WorkError):
    """A step called sys.exit, which ends no step well."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return f"the step called sys.exit({self.code}); a step is finished when it returns"


class FilesMissing(WorkError):
    """A step returned files that do not exist."""

    def __init__(self, files: Sequence[str]) -> None:
        super().__init__(tuple(files))
        self.files = tuple(files)

    def __str__(self) -> str:
        return (
            f"the step returned files that do not exist: {', '.join(map(repr, self.files))}. A list of paths or texts "
            "names the files that it made; return a dict, or Made(result=[...]), for a list that is a result"
        )


class CannotRunHere(WorkError):
    """A step whose function this instance does not have."""

    def __init__(self, step: str, function: str, reason: str) -> None:
        super().__init__(step, function, reason)
        self.step, self.function, self.reason = step, function, reason

    def __str__(self) -> str:
        return f"{self.step} cannot be run by this instance: its function {self.function!r} {self.reason}"


class SessionReplaced(RunError):
    """Another instance began the steps anew, because it took this one for gone."""

    def __init__(self, directory: str, by: str) -> None:
        super().__init__(directory, by)
        self.directory, self.by = directory, by

    def __str__(self) -> str:
        return (
            f"the steps of {self.directory!r} were begun anew by {self.by!r}, which took this instance for gone; what "
            "this one has finished counts. Start the script again to take part"
        )
