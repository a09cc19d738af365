"""Trying again for a while, and waiting for a file: the functions of the original toolkit."""

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

import multiprocesstools
from multiprocesstools import RunTimeCounter, run_func_IO_loop, wait_until_file_exists
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.errors import BadArgument
from tests.clocks import HandClock


class Flaky:
    """Fails with an OSError so many times, and then gives its arguments back. A call takes `seconds`."""

    def __init__(self, clock: HandClock, failures: int, seconds: float = 0.0) -> None:
        self.clock, self.failures, self.seconds, self.calls = clock, failures, seconds, 0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.calls += 1
        self.clock.now += self.seconds
        if self.calls <= self.failures:
            raise OSError(errno.EIO, "the server is away")
        return arguments, named


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def test_a_counter_counts_down_and_raises_when_the_time_is_up(clock: HandClock) -> None:
    counter = RunTimeCounter(10, clock=clock)
    clock.now += 4
    assert counter.get_time_left() == 6 == counter.check_runtime()
    clock.now += 7
    assert counter.get_time_left() == 0
    with pytest.raises(TimeoutError, match="10 s have passed"):
        counter.check_runtime()
    assert RunTimeCounter(float("inf"), clock=clock).check_runtime() == float("inf")


@pytest.mark.parametrize("timeout", [-1, float("nan"), "5", None, True])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(timeout: Any, tmp_path: Path) -> None:
    for call in (RunTimeCounter, lambda t: run_func_IO_loop(len, ([],), t), lambda t: run_func_IO_loop(timeout=t)):
        with pytest.raises(BadArgument, match="timeout"):
            call(timeout)


def test_what_fails_for_a_while_is_tried_until_it_works(clock: HandClock) -> None:
    flaky = Flaky(clock, 3)
    assert run_func_IO_loop(flaky, {"a": 1}, 60, clock=clock) == ((), {"a": 1})
    assert flaky.calls == 4 and clock.slept == [0.05, 0.1, 0.2]
    assert run_func_IO_loop(flaky, [1, 2], 60, clock=clock) == ((1, 2), {})


def test_it_is_a_decorator_too(clock: HandClock) -> None:
    flaky = Flaky(clock, 2)

    @run_func_IO_loop(timeout=5, clock=clock)
    def load(*arguments: Any, **named: Any) -> Any:
        """Loads."""
        return flaky(*arguments, **named)

    assert load(1, b=2) == ((1,), {"b": 2})
    assert (load.__name__, load.__doc__) == ("load", "Loads.")
    flaky.failures, flaky.calls = 10**6, 0
    for _ in range(2):  # each call has the whole time
        began = clock.now
        with pytest.raises(TimeoutError, match=r"load did not work within 5 s; the last error: .*the server is away"):
            load()
        assert 5 <= clock.now - began < 10


def test_a_late_success_is_a_success_and_a_first_try_is_always_made(clock: HandClock) -> None:
    assert run_func_IO_loop(Flaky(clock, 0, seconds=100), (), 1, clock=clock) == ((), {})
    assert run_func_IO_loop(Flaky(clock, 1, seconds=0.7), (), 1, clock=clock) == ((), {})  # over during the second
    with pytest.raises(TimeoutError) as caught:
        run_func_IO_loop(Flaky(clock, 1), (), 0, clock=clock)
    assert isinstance(caught.value.__cause__, OSError) and caught.value.__cause__.errno == errno.EIO


def test_other_exceptions_are_raised_at_once(clock: HandClock) -> None:
    with pytest.raises(ZeroDivisionError):
        run_func_IO_loop(lambda: 1 / 0, (), 60, clock=clock)
    assert clock.slept == []


@pytest.mark.parametrize("arguments", ["text", b"bytes", 3, None])
def test_arguments_that_are_neither_names_nor_a_list_are_refused(arguments: Any) -> None:
    with pytest.raises(BadArgument, match="func_args"):
        run_func_IO_loop(print, arguments, 1)


def test_a_file_is_waited_for_until_it_is_listed(tmp_path: Path) -> None:
    maker = threading.Timer(0.1, (tmp_path / "a").touch)
    maker.start()
    assert wait_until_file_exists(tmp_path / "a", 20) is True
    maker.join()


class Forgetful(PosixDisk):
    """An NFS client that remembers for ever that names are missing; only a listing asks the server."""

    def look(self, path: str) -> Any:
        raise AssertionError("a name was looked up")


def test_a_file_that_does_not_come_is_a_timeout_and_no_name_is_looked_up(tmp_path: Path, clock: HandClock) -> None:
    (tmp_path / "there").touch()
    disk = Forgetful()
    assert wait_until_file_exists(tmp_path / "there", 0, disk=disk, clock=clock)
    for path in (tmp_path / "missing", tmp_path / "no" / "folder", tmp_path / "there" / "below"):
        with pytest.raises(TimeoutError, match="did not appear within 3 s"):
            wait_until_file_exists(path, 3, disk=disk, clock=clock)


def test_a_relative_path_is_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkdir("folder")
    assert wait_until_file_exists("folder", 0)


def test_they_are_at_the_front_door() -> None:
    assert {"RunTimeCounter", "run_func_IO_loop", "wait_until_file_exists"} <= set(multiprocesstools.__all__)
