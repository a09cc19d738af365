"""What steps ask for beside a thread: the interface by which devices (GPUs) are dealt to them."""

from collections.abc import Callable
from typing import Any, Protocol


class Share(Protocol):
    """Devices in the hands of one step."""

    def call(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, called with these devices in its environment and, where it takes them, as an argument."""

    def give_back(self) -> None: ...


class Dealer(Protocol):
    """Deals devices to the threads of a process."""

    def deal(self, thread: int) -> Share | None:
        """A share for a step of thread 0, 1, ...; None: none is free now. It does not wait."""
