"""The calling script asked for something that cannot be."""

from multiprocesstools.errors.base import MisuseError


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
        return (
            f"the helper {self.name!r} was cleaned up, or built again in this notebook, and cannot be used any more: "
            "make a new MultiProcessHelper"
        )


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


class ItemGivenBack(MisuseError):
    """An item was entered that this instance does not have any more."""

    def __init__(self, final: str) -> None:
        super().__init__(final)
        self.final = final

    def __str__(self) -> str:
        return (
            f"the item {self.final!r} was given back before its `with` block began: its helper has ended, or the "
            "notebook cell that claimed it. Claim it again, and write `with item:` in the same cell"
        )


class LoopEnded(MisuseError):
    """A loop was continued in another cell of a notebook than the one that began it."""

    def __str__(self) -> str:
        return (
            "this loop ended with the notebook cell that began it, so that an idle notebook keeps no item from others; "
            "call items(...) again, it goes on where the loop was left"
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


class ExecutorUnusable(MisuseError, RuntimeError):
    """An executor that takes no work: it was shut down, or is broken."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason, advice)
        self.reason, self.advice = reason, advice

    def __str__(self) -> str:
        return f"the executor cannot be used: {self.reason}; {self.advice}"


class AlreadyHeld(MisuseError, RuntimeError):
    """A thread asked for a lock that it has; it would wait for itself for ever."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"this thread holds {self.name} already and would wait for itself for ever; leave its `with` block first, "
            "or give the inner one another name"
        )


class NotHeld(MisuseError, RuntimeError):
    """A thread released a lock that it does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"this thread does not hold {self.name}, so it cannot release it"


class WrongState(MisuseError, RuntimeError):
    """A pool was asked for what it cannot do in the state that it is in."""

    def __init__(self, call: str, state: str, advice: str) -> None:
        super().__init__(call, state, advice)
        self.call, self.state, self.advice = call, state, advice

    def __str__(self) -> str:
        return f"{self.call} is not possible, because the pool {self.state}: {self.advice}"


class MainGuardMissing(MisuseError, RuntimeError):
    """A worker, which imports the script anew, came to the line that starts the pool."""

    def __str__(self) -> str:
        return (
            "the script starts its pool when it is imported, and so each worker would start workers: write "
            '`if __name__ == "__main__":` above what it does, and indent that'
        )
