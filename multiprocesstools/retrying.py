"""Trying again for a while: the functions of the original toolkit, for scripts of their own.

Guarantee: what succeeds is a success, however late; a function is tried at least once. Time is counted by a clock that
never jumps and goes on while the machine is suspended.

Neither tenacity nor stamina is used: they would replace six lines over `pauses`, which other rooms need as well, and
these have a clock that is handed in.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, overload

from multiprocesstools.clock import Clock, SystemClock
from multiprocesstools.errors import BadArgument

_FIRST_SECONDS, _LONGEST_SECONDS = 0.05, 2.0

Arguments = Mapping[str, Any] | Sequence[Any]
Value = TypeVar("Value")
Function = TypeVar("Function", bound=Callable[..., Any])


def pauses(clock: Clock, longest_seconds: float = _LONGEST_SECONDS) -> Iterator[None]:
    """Yield at once, and then after pauses that grow from 0.05 s to `longest_seconds`."""
    pause = _FIRST_SECONDS
    while True:
        yield
        clock.sleep(min(pause, longest_seconds))
        pause = min(2 * pause, longest_seconds)


class RunTimeCounter:
    """Counts down `timeout` seconds from when it is made.

    >>> counter = RunTimeCounter(60)
    >>> counter.get_time_left() <= 60
    True
    """

    def __init__(self, timeout: float, *, clock: Clock | None = None) -> None:
        """BadArgument unless `timeout` is a number of seconds, at least 0; infinity is one."""
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or math.isnan(timeout) or timeout < 0:
            raise BadArgument("timeout", timeout, "it must be a number of seconds, at least 0")
        self.timeout = timeout
        self._clock = clock or SystemClock()
        self._start = self._clock.elapsed()

    def get_time_left(self) -> float:
        """The seconds that are left, at least 0."""
        return max(0.0, self.timeout - (self._clock.elapsed() - self._start))

    def check_runtime(self) -> float:
        """The seconds that are left; TimeoutError when there are none."""
        left = self.get_time_left()
        if left <= 0:
            raise TimeoutError(f"the time is up: {self.timeout:g} s have passed")
        return left

    def __repr__(self) -> str:
        return f"RunTimeCounter({self.timeout:g}), {self.get_time_left():.3g} s left"


@overload
def run_func_IO_loop(
    func: Callable[..., Value], func_args: Arguments = ..., timeout: float | None = ..., *, clock: Clock | None = ...
) -> Value: ...
@overload
def run_func_IO_loop(
    func: None = ..., func_args: Arguments = ..., timeout: float | None = ..., *, clock: Clock | None = ...
) -> Callable[[Function], Function]: ...
def run_func_IO_loop(
    func: Callable[..., Any] | None = None, func_args: Arguments = (), timeout: float | None = None, *,
    clock: Clock | None = None,
) -> Any:  # fmt: skip
    """Call `func` until it raises no OSError, for `timeout` seconds, at growing intervals of 0.05 to 2 s.

    func_args: a dict of named arguments, or a list or tuple. Without `func` it is a decorator of a function:

        @run_func_IO_loop(timeout=60)
        def load(path): ...

    What works after the time is up has worked. Raises TimeoutError from the last OSError when the time is up, and what
    else `func` raises at once; BadArgument for a timeout that is none.
    """
    if timeout is None:
        raise BadArgument("timeout", timeout, "say for how many seconds to try: @run_func_IO_loop(timeout=60)")
    seconds = RunTimeCounter(timeout).timeout
    if func is None:
        return lambda function: _decorated(function, seconds, clock)
    if isinstance(func_args, str | bytes) or not isinstance(func_args, Mapping | Sequence):
        raise BadArgument("func_args", func_args, "it must be a dict of named arguments, or a list or tuple")
    if isinstance(func_args, Mapping):
        return _try(functools.partial(func, **func_args), func, seconds, clock)
    return _try(functools.partial(func, *func_args), func, seconds, clock)


def _decorated(function: Callable[..., Any], timeout: float, clock: Clock | None) -> Callable[..., Any]:
    @functools.wraps(function)
    def trying(*arguments: Any, **named: Any) -> Any:
        return _try(functools.partial(function, *arguments, **named), function, timeout, clock)

    return trying


def _try(call: Callable[[], Any], function: Callable[..., Any], timeout: float, clock: Clock | None) -> Any:
    clock = clock or SystemClock()
    counter = RunTimeCounter(timeout, clock=clock)
    for _ in pauses(clock):
        try:
            return call()
        except OSError as error:
            if counter.get_time_left() <= 0:
                name = getattr(function, "__qualname__", repr(function))
                raise TimeoutError(f"{name} did not work within {timeout:g} s; the last error: {error}") from error
    raise AssertionError("pauses never end")
