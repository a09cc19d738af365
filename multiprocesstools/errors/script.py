"""A process of a queue failed."""

from multiprocesstools.errors.base import WorkError

_TAIL = 2000


class ProcessFailed(WorkError):
    """The program of a process did not do its work. `reason` says how it ended, `stderr` is the end of its errors."""

    def __init__(self, reason: str, stderr: str = "") -> None:
        super().__init__(reason, stderr)
        self.reason, self.stderr = reason, stderr

    def __str__(self) -> str:
        tail = self.stderr.strip()[-_TAIL:]
        return self.reason + (f"; its stderr ends with:\n{tail}" if tail else ", and wrote nothing to stderr")


class NotStarted(ProcessFailed):
    """The program of a process could not be started."""

    def __str__(self) -> str:
        return self.reason


class BadOutput(WorkError, ValueError):
    """The output of a process is not what its hook expects: `head` is its beginning, `size` its length in bytes."""

    def __init__(self, head: bytes, size: int, reason: str) -> None:
        super().__init__(head, size, reason)
        self.head, self.size, self.reason = head, size, reason

    def __str__(self) -> str:
        what = f"is {self.size:,} bytes that are no pickle ({self.reason}); they begin with {self.head[:60]!r}"
        if not self.size:
            what = "is empty"
        return (
            f"the output of the process {what}. The script must write nothing but one pickle to stdout: "
            "multiprocesstools.workers.script.run does that, also if the script prints. For other output, override "
            "use_process_output(bytes)"
        )


class BadInput(WorkError, TypeError):
    """`prepare_process_input` gave what cannot be written to stdin; `kind` is its type."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind

    def __str__(self) -> str:
        return f"prepare_process_input() gave a value of type {self.kind}: give bytes, or text, which is sent as UTF-8"


class NoFrame(WorkError):
    """A program that is kept alive wrote to stdout what is no answer."""

    def __init__(self, head: bytes) -> None:
        super().__init__(head)
        self.head = head

    def __str__(self) -> str:
        return (
            f"the program wrote {self.head[:60]!r} to stdout, which is no answer of "
            "multiprocesstools.workers.script.run: with keep_alive=True the script must call that"
        )
