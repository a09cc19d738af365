"""What a loop is asked to do, checked."""

from dataclasses import dataclass
from typing import Any

from multiprocesstools.errors import BadArgument, check_choice
from multiprocesstools.plans.cut import check_chunk


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of `items` and of the helper that concern a loop."""

    wait: bool = True
    order: str = "spread"
    retry_failed: bool = False
    on_error: str = "continue"
    stop_after: int | None = 10
    chunk: int | str = 1
    results: bool = False
    until: Any = None  # see `until`

    def __post_init__(self) -> None:
        check_choice("order", self.order, ("spread", "given"))
        check_choice("on_error", self.on_error, ("continue", "raise"))
        if not isinstance(self.results, bool):
            raise BadArgument("results", self.results, "it must be True or False")
        check_chunk(self.chunk)
        limit = self.stop_after
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise BadArgument("stop_after", limit, "it must be a whole number, at least 1, or None")
