"""A file is created whole, once, whatever happens to the private file on the way."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from multiprocesstools.claims.disk import Disk, HalfCreated
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.claims.whole import Torn, create_whole, read_json, replace_whole
from tests.clocks import HandClock
from tests.disks import Faulty, Lagging, WithoutLinks, fail_once


@pytest.mark.parametrize("make", [PosixDisk, WithoutLinks], ids=["links", "no links"])
def test_create_whole_creates_once_and_leaves_no_private_file(make: Callable[[], Disk], tmp_path: Path) -> None:
    disk, path = make(), str(tmp_path / "a")
    private = lambda: str(tmp_path / "private")  # noqa: E731
    assert create_whole(disk, path, b"one", private)
    assert not create_whole(disk, path, b"two", private)
    assert disk.read(path) == b"one"
    assert os.listdir(tmp_path) == ["a"]


def test_create_whole_recognises_a_lost_reply(tmp_path: Path) -> None:
    disk = Faulty()

    def lose(moment: str, verb: str, arguments: tuple[object, ...]) -> None:
        if moment == "after" and verb == "link":
            raise FileExistsError(errno.EEXIST, "exists", arguments[1])

    disk.hook = lose
    assert create_whole(disk, str(tmp_path / "a"), b"one", lambda: str(tmp_path / "private"))
    disk.hook = lambda *_: None
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_failed_private_file_is_never_taken_for_an_existing_target(moment: str, tmp_path: Path) -> None:
    """EIO at the private file, whether it was made or not: another private name is used, and the target is created."""
    disk, names = Faulty(), iter("pqrs")
    fail_once(disk, "create", HalfCreated(errno.EIO, "passing"), moment=moment)
    assert create_whole(disk, str(tmp_path / "a"), b"one", lambda: str(tmp_path / next(names)))
    assert os.listdir(tmp_path) == ["a"] and disk.read(str(tmp_path / "a")) == b"one"


def test_no_room_for_the_private_file_is_raised_and_leaves_nothing(tmp_path: Path) -> None:
    disk = Faulty()
    fail_once(disk, "create", HalfCreated(errno.ENOSPC, "full"), moment="after")
    with pytest.raises(OSError, match="full"):
        create_whole(disk, str(tmp_path / "a"), b"one", lambda: str(tmp_path / "p"))
    assert os.listdir(tmp_path) == []


def test_without_links_a_file_that_need_not_exclude_is_never_met_half_written(tmp_path: Path) -> None:
    class Watched(WithoutLinks):
        def create(self, path: str, data: bytes, *, durable: bool = False) -> None:
            assert path != target
            super().create(path, data, durable=durable)

    disk, target = Watched(), str(tmp_path / "a")
    private = lambda: str(tmp_path / "private")  # noqa: E731
    assert create_whole(disk, target, b"one", private, exclusive=False)
    assert not create_whole(disk, target, b"two", private, exclusive=False)
    assert disk.read(target) == b"one"
    assert os.listdir(tmp_path) == ["a"]


def test_a_replacement_whose_reply_was_lost_is_recognised(tmp_path: Path) -> None:
    disk, target = Faulty(), str(tmp_path / "a")
    fail_once(disk, "rename", FileNotFoundError(errno.ENOENT, "renamed already"), moment="after")
    replace_whole(disk, target, b"one", lambda: str(tmp_path / "private"))
    assert disk.read(target) == b"one"


def test_a_replacement_that_failed_is_raised_and_leaves_no_private_file(tmp_path: Path) -> None:
    disk, target = Faulty(), tmp_path / "a"
    target.write_bytes(b"earlier")
    fail_once(disk, "rename", FileNotFoundError(errno.ENOENT, "gone"))
    with pytest.raises(FileNotFoundError):
        replace_whole(disk, str(target), b"one", lambda: str(tmp_path / "private"))
    assert target.read_bytes() == b"earlier"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("known", [None, 0, 5])
def test_a_file_whose_end_is_not_to_be_seen_yet_is_read_again_for_some_seconds(
    known: int | None, tmp_path: Path
) -> None:
    path, clock = tmp_path / "file", HandClock()
    path.write_bytes(b'{"a": 1}\n')
    assert read_json(Lagging(known, reads=3), clock, str(path)) == {"a": 1}
    assert len(clock.slept) == 3
    with pytest.raises(Torn) as caught:
        read_json(Lagging(known, reads=99), clock, str(path))
    assert caught.value.data == (None if known is None else b'{"a": 1}\n'[:known])
    assert 5 < sum(clock.slept[3:]) < 10, "longer than clients believe what they know, and not for ever"


def test_what_is_whole_and_no_json_is_refused_at_once(tmp_path: Path) -> None:
    path, clock = tmp_path / "file", HandClock()
    path.write_bytes(b"{]\n")
    with pytest.raises(ValueError, match="line 1") as caught:
        read_json(PosixDisk(), clock, str(path))
    assert not isinstance(caught.value, Torn) and clock.slept == []
