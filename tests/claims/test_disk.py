"""The contract of every disk, and what PosixDisk refuses to follow."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from multiprocesstools.claims.disk import Disk, PosixDisk
from multiprocesstools.claims.steady import SteadyDisk
from multiprocesstools.claims.whole import same_file
from multiprocesstools.clock import SystemClock
from tests.disks import Faulty, OnlyWithinDirectories

DISKS: dict[str, Callable[[], Disk]] = {
    "posix": PosixDisk,
    "steady": lambda: SteadyDisk(PosixDisk(), SystemClock(), 1.0),
    "faulty": Faulty,
    "within directories": OnlyWithinDirectories,
}


@pytest.fixture(params=DISKS, ids=list(DISKS))
def disk(request: pytest.FixtureRequest) -> Disk:
    return DISKS[request.param]()


def test_create_writes_the_whole_content_and_refuses_an_existing_name(disk: Disk, tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    disk.create(path, b"one", durable=True)
    with pytest.raises(FileExistsError):
        disk.create(path, b"two")
    assert disk.read(path) == b"one"


def test_link_gives_a_second_name_and_refuses_an_existing_one(disk: Disk, tmp_path: Path) -> None:
    one, two = str(tmp_path / "a"), str(tmp_path / "b")
    disk.create(one, b"x")
    disk.link(one, two)
    assert same_file(disk, one, two)
    with pytest.raises(FileExistsError):
        disk.link(one, two)
    stamp = disk.look(two)
    assert stamp is not None and stamp.links == 2


def test_linking_what_is_missing_says_so(disk: Disk, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        disk.link(str(tmp_path / "missing"), str(tmp_path / "b"))


def test_what_is_missing_is_an_answer(disk: Disk, tmp_path: Path) -> None:
    path = str(tmp_path / "missing")
    assert disk.look(path) is None
    assert disk.read(path) is None
    assert disk.unlink(path) is False
    disk.remove_tree(path)
    with pytest.raises(FileNotFoundError):
        disk.list(path)


def test_unlink_says_whether_it_removed_something(disk: Disk, tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    disk.create(path, b"")
    assert disk.unlink(path) is True
    assert disk.look(path) is None


def test_listing_shows_names_and_inodes(disk: Disk, tmp_path: Path) -> None:
    disk.create(str(tmp_path / "a"), b"")
    (tmp_path / "folder").mkdir()
    entries = {entry.name: entry for entry in disk.list(str(tmp_path))}
    assert entries.keys() == {"a", "folder"}
    assert entries["a"].inode() == os.lstat(tmp_path / "a").st_ino
    assert entries["folder"].is_dir(follow_symlinks=False)


def test_a_directory_is_not_renamed_onto_one_with_content(disk: Disk, tmp_path: Path) -> None:
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    with pytest.raises(OSError) as caught:
        disk.rename(str(tmp_path / "new"), str(tmp_path / "old"))
    assert caught.value.errno in (errno.ENOTEMPTY, errno.EEXIST)
    assert os.listdir(tmp_path / "old") == ["old"]


def test_a_kept_file_is_rewritten_in_place(disk: Disk, tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    disk.create(path, b"beat 0000 end")
    kept = disk.keep(path)
    stamp = kept.write(5, b"0001")
    kept.close()
    assert disk.read(path) == b"beat 0001 end"
    assert stamp.inode == os.stat(path).st_ino


def test_sync_takes_files_and_whole_directories_and_nothing_else(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "d" / "inner").mkdir(parents=True)
    (tmp_path / "d" / "inner" / "f").touch()
    (tmp_path / "d" / "dangling").symlink_to("nowhere")
    assert disk.sync(str(tmp_path / "d")).kind == "directory"
    assert disk.sync(str(tmp_path / "d" / "inner" / "f")).kind == "file"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="neither a regular file nor a directory"):
        disk.sync(str(tmp_path / "pipe"))


def test_reading_refuses_links_pipes_directories_and_too_much(tmp_path: Path) -> None:
    disk = PosixDisk()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to("secret")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "."):
        with pytest.raises(OSError):
            disk.read(str(tmp_path / name))
    with pytest.raises(OSError, match="more than 3 bytes"):
        disk.read(str(tmp_path / "secret"), 3)
    assert disk.read(str(tmp_path / "secret")) == b"secret"


def test_creating_and_keeping_never_follow_a_planted_link(tmp_path: Path) -> None:
    disk = PosixDisk()
    (tmp_path / "victim").write_text("untouched")
    (tmp_path / "link").symlink_to("victim")
    (tmp_path / "dangling").symlink_to("created elsewhere")
    with pytest.raises(FileExistsError):
        disk.create(str(tmp_path / "link"), b"x")
    with pytest.raises(FileExistsError):
        disk.create(str(tmp_path / "dangling"), b"x")
    with pytest.raises(OSError):
        disk.keep(str(tmp_path / "link"))
    assert (tmp_path / "victim").read_text() == "untouched"
    assert not (tmp_path / "created elsewhere").exists()


def test_removing_a_tree_removes_a_link_and_not_its_target(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    (tmp_path / "link").symlink_to("kept")
    PosixDisk().remove_tree(str(tmp_path / "link"))
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "kept" / "file").exists()


def test_what_the_package_writes_can_be_read_by_whoever_can_enter(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        PosixDisk().create(str(tmp_path / "a"), b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644
