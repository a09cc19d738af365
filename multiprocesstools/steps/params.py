"""What a protocol can be told from outside: its parameters, and how many threads and processes run its steps here."""

from dataclasses import dataclass, field
from typing import Any

from multiprocesstools.errors import BadArgument

HELPER_OPTIONS = (
    "beat_seconds", "patience_seconds", "max_attempts", "loggers", "durable", "heartbeat", "parameters", "stop_after"
)  # fmt: skip
"""What a protocol hands on to its helper."""
_OF_EVERY_PROTOCOL = frozenset({
    *HELPER_OPTIONS, "working_directory", "name", "protocol_name", "threads", "mpi", "gpus", "check_seconds",
    "check_patience_seconds", "stop_on_failure", "retry_failures", "pickle_arguments",
})  # fmt: skip
_MOST = 4096


@dataclass(slots=True)
class Form:
    """The form that `define_params` fills in."""

    threads: int = 1
    mpi: int = 1
    defaults: dict[str, Any] = field(default_factory=dict)

    def add_parallel_section(self, threads: int = 2, mpi: int = 1) -> None:
        """Steps run in `threads` threads of this process, and in `mpi` processes on this machine, each with as many."""
        self.threads, self.mpi = check_number("threads", threads), check_number("mpi", mpi)

    def add_param(self, name: str, default: Any = None, help: str = "") -> None:
        """A parameter: an attribute of the protocol, as given to its constructor or else this default."""
        if not (isinstance(name, str) and name.isidentifier()):
            raise BadArgument("name", name, "a parameter becomes an attribute, so its name must be an identifier")
        if name in _OF_EVERY_PROTOCOL:
            raise BadArgument("name", name, "every protocol is told something by that name already; choose another")
        self.defaults[name] = default


def check_number(argument: str, value: Any) -> int:
    """The number of threads or processes. BadArgument."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
        raise BadArgument(argument, value, f"it must be a whole number from 1 to {_MOST}")
    return value
