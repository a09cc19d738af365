"""Where a scenario takes place, as one process sees it, and what that process writes there."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from multiprocesstools import MultiProcessHelper
from tests.proof.crash.calls import Calls

CAUSE = "this item always fails"
_FILL = "x" * 500 + "\n"
_BEGINNING = "made by process "


@dataclass
class Place:
    """`calls` is None for processes that are not struck. `again`: the struck process tries a second time, unharmed."""

    base: Path
    options: dict[str, Any] = field(default_factory=dict)
    calls: Calls | None = None
    again: bool = False
    _helper: MultiProcessHelper | None = None

    @property
    def shared(self) -> Path:
        return self.base / "shared"

    @property
    def run(self) -> Path:
        return self.shared / "run"

    @property
    def audit(self) -> Path:
        return self.base / "audit"

    @property
    def is_child(self) -> bool:
        """Is this the process that is struck, at its first try?"""
        return self.calls is not None and not self.again

    def armed(self) -> Any:
        """The part of a script that is struck."""
        return self.calls.counted() if self.calls is not None else nullcontext()

    def helper(self, **options: Any) -> MultiProcessHelper:
        """The helper of this process; a second try has the one of the first, if that is still open."""
        if self.is_closed:
            self._helper = MultiProcessHelper("crash", self.run, loggers=("crash",), **self.options | options)
        return self._helper  # type: ignore[return-value]

    @property
    def is_closed(self) -> bool:
        return self._helper is None or self._helper._crew.closed

    def beat(self) -> None:
        """Let the helper do what it does at each beat, for instance write what could not be written before."""
        if not self.is_closed:
            self._helper._crew.member()._tend()  # type: ignore[union-attr]

    def close(self) -> None:
        if self._helper is not None:
            self._helper.cleanup()

    def items(self, names: str = "ab", **options: Any) -> Iterator[Any]:
        """A loop over items that are named by letters, walked in order."""
        wanted = {"final": "{value}.txt", "directory": "out", "progress": False, "order": "given"} | options
        return iter(self.helper().items(list(names), **wanted))

    @contextmanager
    def work(self, item: Any) -> Iterator[Any]:
        with item:
            self.begin(item.final)
            yield item

    def begin(self, final: str | os.PathLike[str]) -> None:
        """Note in the audit, which lies outside the run, that the work on an item begins."""
        descriptor = os.open(self.audit, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.write(descriptor, f"{os.path.basename(final)} {os.getpid()}\n".encode())
        os.close(descriptor)


def write(path: str | os.PathLike[str], halves: int = 2) -> None:
    """Write an output in two calls, or only the first half of it."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666)
    try:
        os.write(descriptor, f"{_BEGINNING}{os.getpid()}\n".encode())
        if halves == 2:
            os.write(descriptor, f"{_FILL}end\n".encode())
    finally:
        os.close(descriptor)


def is_complete(text: str) -> bool:
    """Is this what `write` writes in the end?"""
    first, _, rest = text.partition("\n")
    return first.startswith(_BEGINNING) and rest == f"{_FILL}end\n"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
