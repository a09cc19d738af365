"""Errors that pass are waited out, within patience; others are not."""

import errno
from pathlib import Path

import pytest

from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.claims.steady import SteadyDisk
from tests.clocks import HandClock
from tests.disks import Faulty, fail_once


@pytest.mark.parametrize("number", [errno.EIO, errno.ETIMEDOUT], ids=["EIO", "ETIMEDOUT"])
@pytest.mark.parametrize("verb", ["link", "look", "list", "read", "unlink", "create", "rename"])
def test_a_passing_error_is_tried_again(verb: str, number: int, tmp_path: Path) -> None:
    disk, clock = Faulty(), HandClock()
    (tmp_path / "a").write_text("x")
    fail_once(disk, verb, OSError(number, "passing"))
    steady = SteadyDisk(disk, clock, 10.0)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    arguments = {"link": (a, b), "rename": (a, b), "create": (b, b"y"), "list": (str(tmp_path),)}.get(verb, (a,))
    getattr(steady, verb)(*arguments)
    assert clock.slept
    assert [name for name, _ in disk.calls].count(verb) == 2


def test_an_error_that_does_not_pass_is_raised_after_patience(tmp_path: Path) -> None:
    disk, clock = Faulty(), HandClock()
    disk.hook = lambda moment, verb, arguments: (_ for _ in ()).throw(OSError(errno.EIO, "broken"))
    with pytest.raises(OSError, match="broken"):
        SteadyDisk(disk, clock, 10.0).look(str(tmp_path))
    assert 10.0 <= sum(clock.slept) < 20.0


def test_other_errors_are_raised_at_once(tmp_path: Path) -> None:
    clock = HandClock()
    with pytest.raises(FileNotFoundError):
        SteadyDisk(PosixDisk(), clock, 10.0).link(str(tmp_path / "a"), str(tmp_path / "b"))
    assert not clock.slept


def test_a_failed_sync_is_never_repeated(tmp_path: Path) -> None:
    disk, clock = Faulty(), HandClock()
    (tmp_path / "a").touch()
    fail_once(disk, "sync", OSError(errno.EIO, "lost data"))
    with pytest.raises(OSError, match="lost data"):
        SteadyDisk(disk, clock, 10.0).sync(str(tmp_path / "a"))
