"""The work on items failed."""

from multiprocesstools.errors.base import WorkError


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


class FunctionWroteNothing(NothingWritten):
    """A function of `map` came back without having written the path that it was given."""

    def __init__(self, path: str, final: str, returned: str = "", beside: tuple[str, ...] = ()) -> None:
        super().__init__(path, final)
        self.args = (path, final, returned, beside)
        self.returned, self.beside = returned, beside

    def __str__(self) -> str:
        text = f"the function came back and has not written the path that it was given, which becomes {self.final!r}"
        if self.beside:
            names = ", ".join(map(repr, self.beside))
            return f"{text}; it wrote {names} instead (removed): let the final have the suffix that is added"
        if self.returned:
            text += (
                f"; it returned a value of type {self.returned}, which is saved for a function(source) of one parameter"
            )
        return f"{text}; write to exactly that path"


class CannotSave(WorkError, TypeError):
    """A function of `map` returned what cannot be written in the format of the final."""

    def __init__(self, final: str, kind: str, suffix: str, advice: str) -> None:
        super().__init__(final, kind, suffix, advice)
        self.final, self.kind, self.suffix, self.advice = final, kind, suffix, advice

    def __str__(self) -> str:
        return f"{self.final!r}: a value of type {self.kind} cannot be saved as {self.suffix}: {self.advice}"


class FunctionFailed(WorkError):
    """The function of a `map` raised in a worker what cannot be sent from there, or would be mistaken for a broken
    pool: its words and its traceback."""

    def __init__(self, words: str, traceback: str) -> None:
        super().__init__(words, traceback)
        self.words, self.traceback = words, traceback
        self.add_note(traceback)  # where it is printed with its own

    def __str__(self) -> str:
        return self.words


class WorkerDied(WorkError):
    """A worker of an executor ended without a word while it, or another one, had the item."""

    def __init__(self, held: int) -> None:
        super().__init__(held)
        self.held = held

    def __str__(self) -> str:
        others = "" if self.held == 1 else f" or one of the {self.held - 1} others that were in work"
        return f"a worker of the executor was killed (out of memory?), perhaps by this item{others}"


class WorkerKilled(WorkError):
    """The worker that had a task ended without an answer. `code`: its exit code, or minus the signal that ended it."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        if self.code >= 0:
            return f"the task ended its worker, with exit code {self.code}"
        import signal

        name = signal.Signals(-self.code).name if -self.code in list(signal.Signals) else f"signal {-self.code}"
        return f"the worker that had the task was killed by {name}" + " (out of memory?)" * (name == "SIGKILL")


class TaskTimeout(WorkError, TimeoutError):
    """A task took longer than it may; its worker was killed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"the task was not done within {self.seconds:g} s, and was ended; give it more by timeout="


class CannotBeSent(WorkError, TypeError):
    """A task or a result that cannot be pickled."""

    def __init__(self, what: str, kind: str, reason: str) -> None:
        super().__init__(what, kind, reason)
        self.what, self.kind, self.reason = what, kind, reason

    def __str__(self) -> str:
        return (
            f"the {self.what}, of type {self.kind}, cannot be pickled ({self.reason}), and so cannot go from one "
            "process to the other: give what it is made from, or a path"
        )


class UntrustedResult(WorkError):
    """A file with a result that somebody else could have written."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return (
            f"{self.path} belongs to another user, or others may write it, and unpickling runs what it says: it was "
            "not read. If you trust it, make it yours: cp it, and chmod go-w"
        )


class TasksBroken(WorkError):
    """The iterable that gives the tasks raised, so that not all tasks are known. Its error is the cause."""

    def __init__(self, drawn: int, error: str) -> None:
        super().__init__(drawn, error)
        self.drawn, self.error = drawn, error

    def __str__(self) -> str:
        return (
            f"the iterable of tasks raised {self.error} after {self.drawn} tasks: these were done, and what would have "
            "come after them is not known"
        )


class WorkersUnusable(WorkError):
    """The workers of a pool end before they can take a task."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return (
            f"the workers end before they can begin (exit code {self.code}); their error is above. Workers import the "
            'script anew: what starts the pool must stand under `if __name__ == "__main__":`, and the rest of the '
            'script must be importable. start_method="fork" does not import it'
        )


class PoolBroken(WorkError):
    """An executor is broken, and `map` cannot make another one."""

    def __init__(self, held: int) -> None:
        super().__init__(held)
        self.held = held

    def __str__(self) -> str:
        held = f"; {self.held} items were in work, for each of which that counts as a failed attempt" * (self.held > 0)
        return (
            f"a worker of the executor was killed (out of memory?), and the executor takes no more work{held}. All "
            "claims were given back: start again, nothing has to be cleaned up. With a function that makes executors, "
            "map(..., executor=lambda: ProcessPoolExecutor(4)), it makes a new one and goes on"
        )


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


class OutOfTime(StopRequested):
    """A loop ended because its time was near (`until`), so what was waited for would be made of a part of its items."""

    def __init__(self, waited_for: str, reason: str) -> None:
        super().__init__(waited_for)
        self.args = (waited_for, reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"a loop of this script {self.reason}: not all items are done, and {self.waited_for!r} was left alone; "
            "start the script again, or let others finish"
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


class LockTimeout(WorkError, TimeoutError):
    """A lock or limit was not to be had in the time that the caller gave."""

    def __init__(self, name: str, seconds: float, holders: list[str]) -> None:
        super().__init__(name, seconds, holders)
        self.name, self.seconds, self.holders = name, seconds, holders

    def __str__(self) -> str:
        who = "; ".join(self.holders) or "somebody who was quicker each time"
        return f"{self.name} was not to be had within {self.seconds:g} s: held by {who}"


class TaskFailed(WorkError):
    """One task of a partition raised: its index and what it was, and the exception in words (its cause)."""

    def __init__(self, index: int, task: str, words: str) -> None:
        super().__init__(index, task, words)
        self.index, self.task, self.words = index, task, words

    def __str__(self) -> str:
        return f"task {self.index}{' ' if self.task else ''}{self.task}: {self.words}"


class RemoteFailure(WorkError):
    """A worker has told its server that a partition failed: who it was, and what was raised, in words."""

    def __init__(self, worker: str, words: str) -> None:
        super().__init__(worker, words)
        self.worker, self.words = worker, words

    def __str__(self) -> str:
        return f"{self.words} (worker {self.worker or 'without a name'})"


class LeaseExpired(WorkError):
    """A worker that had a partition from a server gave no sign of life, or finished no task, for too long."""

    def __init__(self, worker: str, seconds: float, sign: str) -> None:
        super().__init__(worker, seconds, sign)
        self.worker, self.seconds, self.sign = worker, seconds, sign

    def __str__(self) -> str:
        who = self.worker or "without a name"
        return f"worker {who} gave no {self.sign} for {self.seconds:g} s; a late result counts if it is the first"
