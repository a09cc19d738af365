"""The contract of every disk, and what PosixDisk refuses to follow."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools.claims.disk import UNLINKABLE, Disk
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.claims.steady import SteadyDisk
from multiprocesstools.claims.whole import same_file
from multiprocesstools.clock import SystemClock
from tests.disks import Faulty, OnlyWithinDirectories
from tests.proof.simulated.clients import Ways
from tests.proof.simulated.disk import AtOnce
from tests.proof.simulated.server import start

DISKS: dict[str, Callable[[], Disk]] = {
    "posix": PosixDisk,
    "steady": lambda: SteadyDisk(PosixDisk(), SystemClock(), 1.0),
    "faulty": Faulty,
    "within directories": OnlyWithinDirectories,
    "simulated": lambda: AtOnce(start()).disk(),
    "simulated, forgetful clients": lambda: AtOnce(start(), Ways(stale=True, ageing=True, torn=True)).disk(),
}


@pytest.fixture(params=DISKS, ids=list(DISKS))
def disk(request: pytest.FixtureRequest) -> Disk:
    return DISKS[request.param]()


@pytest.fixture
def root(disk: Disk, tmp_path: Path) -> str:
    """An empty directory on the disk."""
    path = f"{tmp_path}/root"
    disk.make_directory(path)
    return path


def test_create_writes_the_whole_content_and_refuses_an_existing_name(disk: Disk, root: str) -> None:
    path = f"{root}/a"
    disk.create(path, b"one", durable=True)
    with pytest.raises(FileExistsError):
        disk.create(path, b"two")
    assert disk.read(path) == b"one"


def test_a_draft_is_there_with_its_beginning_and_is_written_to_its_end(disk: Disk, root: str) -> None:
    path = f"{root}/a"
    draft = disk.draft(path, b"one")
    with pytest.raises(FileExistsError):
        disk.draft(path, b"other")
    assert disk.read(path) == b"one"
    draft.append(b" two")
    draft.append(b" three")
    draft.sync()
    draft.close()
    assert disk.read(path) == b"one two three"


def test_the_beginning_of_a_file_can_be_read_whatever_its_size(disk: Disk, root: str) -> None:
    disk.create(f"{root}/a", b"0123456789")
    assert disk.read(f"{root}/a", 4, whole=False) == b"0123"
    assert disk.read(f"{root}/a", 100, whole=False) == b"0123456789"
    assert disk.read(f"{root}/missing", 4, whole=False) is None


def test_nothing_is_made_in_a_directory_that_is_missing(disk: Disk, root: str) -> None:
    with pytest.raises(FileNotFoundError):
        disk.create(f"{root}/missing/a", b"")


def test_link_gives_a_second_name_and_refuses_an_existing_one(disk: Disk, root: str) -> None:
    one, two = f"{root}/a", f"{root}/b"
    disk.create(one, b"x")
    disk.link(one, two)
    assert same_file(disk, one, two)
    with pytest.raises(FileExistsError):
        disk.link(one, two)
    stamp = disk.look(two)
    assert stamp is not None and stamp.links == 2


def test_linking_what_is_missing_says_so(disk: Disk, root: str) -> None:
    with pytest.raises(FileNotFoundError):
        disk.link(f"{root}/missing", f"{root}/b")


def test_a_directory_has_no_second_name(disk: Disk, root: str) -> None:
    disk.make_directory(f"{root}/folder")
    with pytest.raises(OSError) as caught:
        disk.link(f"{root}/folder", f"{root}/b")
    assert caught.value.errno in UNLINKABLE


def test_what_is_missing_is_an_answer(disk: Disk, root: str) -> None:
    path = f"{root}/missing"
    assert disk.look(path) is None
    assert disk.read(path) is None
    assert disk.unlink(path) is False
    disk.remove_tree(path)
    for verb in (disk.list, disk.sync, disk.keep):
        with pytest.raises(FileNotFoundError):
            verb(path)


def test_unlink_says_whether_it_removed_something(disk: Disk, root: str) -> None:
    disk.create(f"{root}/a", b"")
    assert disk.unlink(f"{root}/a") is True
    assert disk.look(f"{root}/a") is None


def test_a_file_lives_as_long_as_it_has_a_name(disk: Disk, root: str) -> None:
    disk.create(f"{root}/a", b"x")
    disk.link(f"{root}/a", f"{root}/b")
    disk.unlink(f"{root}/a")
    assert disk.read(f"{root}/b") == b"x"


def test_unlink_refuses_a_directory_and_remove_tree_takes_it_with_its_content(disk: Disk, root: str) -> None:
    disk.make_directory(f"{root}/folder/inner")
    disk.create(f"{root}/folder/inner/a", b"")
    with pytest.raises(IsADirectoryError):
        disk.unlink(f"{root}/folder")
    disk.remove_tree(f"{root}/folder")
    assert disk.list(root) == []


def test_listing_shows_names_and_inodes(disk: Disk, root: str) -> None:
    disk.create(f"{root}/a", b"")
    disk.make_directory(f"{root}/folder/inner")
    disk.make_directory(f"{root}/folder")
    entries = {entry.name: entry for entry in disk.list(root)}
    stamp = disk.look(f"{root}/a")
    assert entries.keys() == {"a", "folder"}
    assert stamp is not None and entries["a"].inode() == stamp.inode
    assert entries["folder"].is_dir(follow_symlinks=False) and not entries["a"].is_dir(follow_symlinks=False)
    assert entries["a"].is_file(follow_symlinks=False) and not entries["a"].is_symlink()


def test_scanning_shows_what_listing_shows_and_answers_with_what_was_seen(disk: Disk, root: str) -> None:
    disk.create(f"{root}/a", b"")
    disk.make_directory(f"{root}/folder")
    listed = {entry.name: entry.inode() for entry in disk.list(root)}
    assert disk.scan(root, lambda entries: {entry.name: entry.inode() for entry in entries}) == listed
    with pytest.raises(FileNotFoundError):
        disk.scan(f"{root}/missing", list)


def test_a_file_that_is_renamed_replaces_another_and_is_itself_gone(disk: Disk, root: str) -> None:
    disk.create(f"{root}/new", b"new")
    disk.create(f"{root}/old", b"old")
    disk.rename(f"{root}/new", f"{root}/old")
    assert disk.read(f"{root}/old") == b"new"
    assert [entry.name for entry in disk.list(root)] == ["old"]
    with pytest.raises(FileNotFoundError):
        disk.rename(f"{root}/new", f"{root}/other")


def test_a_directory_is_renamed_with_its_content_onto_an_empty_one(disk: Disk, root: str) -> None:
    disk.make_directory(f"{root}/new")
    disk.create(f"{root}/new/a", b"x")
    disk.make_directory(f"{root}/old")
    disk.rename(f"{root}/new", f"{root}/old")
    assert disk.read(f"{root}/old/a") == b"x"
    assert disk.look(f"{root}/new") is None


def test_a_directory_is_not_renamed_onto_one_with_content(disk: Disk, root: str) -> None:
    for name in ("new", "old"):
        disk.make_directory(f"{root}/{name}")
        disk.create(f"{root}/{name}/{name}", b"")
    with pytest.raises(OSError) as caught:
        disk.rename(f"{root}/new", f"{root}/old")
    assert caught.value.errno in (errno.ENOTEMPTY, errno.EEXIST)
    assert [entry.name for entry in disk.list(f"{root}/old")] == ["old"]


def test_files_and_directories_do_not_replace_each_other(disk: Disk, root: str) -> None:
    disk.make_directory(f"{root}/folder")
    disk.create(f"{root}/a", b"")
    with pytest.raises(IsADirectoryError):
        disk.rename(f"{root}/a", f"{root}/folder")
    with pytest.raises(NotADirectoryError):
        disk.rename(f"{root}/folder", f"{root}/a")
    with pytest.raises(OSError):
        disk.read(f"{root}/folder")


def test_a_kept_file_is_rewritten_in_place(disk: Disk, root: str) -> None:
    path = f"{root}/a"
    disk.create(path, b"beat 0000 end")
    disk.link(path, f"{root}/b")
    kept = disk.keep(path)
    kept.write(5, b"0001")
    found = disk.look(path)
    kept.close()
    assert disk.read(f"{root}/b") == b"beat 0001 end"
    assert found is not None and kept.inode == found.inode


def test_a_kept_file_knows_whether_its_name_is_still_there(disk: Disk, root: str) -> None:
    disk.create(f"{root}/a", b"")
    disk.link(f"{root}/a", f"{root}/b")
    kept = disk.keep(f"{root}/a")
    assert kept.is_listed()
    disk.unlink(f"{root}/a")
    assert not kept.is_listed()
    kept.close()


def test_sync_takes_files_and_whole_directories(disk: Disk, root: str) -> None:
    disk.make_directory(f"{root}/d/inner")
    disk.create(f"{root}/d/inner/f", b"x")
    disk.sync(f"{root}/d")
    disk.sync(f"{root}/d/inner/f")
    assert disk.read(f"{root}/d/inner/f") == b"x"
    with pytest.raises(FileNotFoundError):
        disk.sync(f"{root}/missing")


# -- what only a real disk can meet


def test_sync_brings_every_file_and_folder_of_a_directory_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d" / "inner").mkdir(parents=True)
    (tmp_path / "d" / "inner" / "f").touch()
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    PosixDisk().sync(str(tmp_path / "d"))
    assert sorted(synced) == sorted(path.stat().st_ino for path in (tmp_path / "d", *(tmp_path / "d").rglob("*")))


def test_sync_leaves_links_alone_and_refuses_what_is_neither_file_nor_directory(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "dangling").symlink_to("nowhere")
    PosixDisk().sync(str(tmp_path / "d"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="neither a regular file nor a directory"):
        PosixDisk().sync(str(tmp_path / "pipe"))


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


def test_a_name_that_is_gone_already_ends_no_removal_of_a_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one has removed it, or we have, and the reply was lost."""
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    for name in ("folder/a", "folder/b", "folder/inner/c"):
        (tmp_path / name).touch()
    unlink = os.unlink

    def lose_the_reply(path: str, **options: Any) -> None:
        unlink(path, **options)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    monkeypatch.setattr(os, "unlink", lose_the_reply)
    PosixDisk().remove_tree(str(tmp_path / "folder"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("refusal", [errno.ENOTEMPTY, errno.EPERM])
def test_what_a_listing_has_not_shown_is_removed_with_the_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int
) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    rmdir, late = os.rmdir, iter(["folder/inner/late", "folder/late"])

    def somebody_was_faster(path: str, **options: Any) -> None:
        if name := next(late, None):
            (tmp_path / name).touch()
        try:
            rmdir(path, **options)
        except OSError as error:
            raise OSError(refusal, os.strerror(refusal), path) from error

    monkeypatch.setattr(os, "rmdir", somebody_was_faster)
    PosixDisk().remove_tree(str(tmp_path / "folder"))
    assert list(tmp_path.iterdir()) == []


def test_the_removal_of_a_tree_in_which_somebody_goes_on_ends_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    rmdir = os.rmdir

    def somebody_was_faster(path: str, **options: Any) -> None:
        (tmp_path / "folder" / "late").touch()
        rmdir(path, **options)

    monkeypatch.setattr(os, "rmdir", somebody_was_faster)
    with pytest.raises(OSError, match="not empty"):
        PosixDisk().remove_tree(str(tmp_path / "folder"))


def test_what_the_package_writes_can_be_read_by_whoever_can_enter(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        PosixDisk().create(str(tmp_path / "a"), b"")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_a_directory_that_is_held_is_listed_as_it_is_now_also_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    held = PosixDisk().hold(str(tmp_path / "here"))
    assert held.list() == []
    (tmp_path / "here" / "stop").touch()
    assert [entry.name for entry in held.list()] == ["stop"]
    (tmp_path / "here").rename(tmp_path / "there")
    (tmp_path / "here").mkdir()
    assert [entry.name for entry in held.list()] == ["stop"]
    held.close()


def test_a_directory_that_is_held_no_more_is_never_taken_for_another(tmp_path: Path) -> None:
    held = PosixDisk().hold(str(tmp_path))
    held.close()
    other = os.open(tmp_path.parent, os.O_RDONLY)
    with pytest.raises(OSError):
        held.list()
    held.close()
    os.close(other)


def test_what_is_no_directory_or_a_planted_link_is_not_held(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    for name in ("link", "file", "missing"):
        with pytest.raises(OSError):
            PosixDisk().hold(str(tmp_path / name))
