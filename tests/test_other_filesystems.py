"""On sshfs and GlusterFS, mounted twice: nothing is done twice or lost, whatever crashes or stalls.

And what they answer that no local filesystem would, on disks that answer so.
"""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools import MultiProcessHelper
from tests.labs.mounts import require_mount_lab
from tests.proof.network import mounts as network_mounts
from tests.proof.network.worker import raises_always


@pytest.mark.lab
@pytest.mark.timeout(600)
def test_nothing_is_lost_done_twice_partial_or_replaced_on_sshfs_and_glusterfs() -> None:
    for kind in network_mounts.KINDS:
        require_mount_lab(kind)
    rows = network_mounts.run(short=True)
    assert [row.part for row in rows] == ["sshfs", "glusterfs"]
    for row in rows:
        assert row.clean, row.notes
        assert row.tried["taken over from the dead"] > 0 and row.tried["repeated after a suspicion"] > 0
        assert row.tried["set aside as planned"] == sum(map(raises_always, range(row.tried["items"])))
        assert row.tried["litter beside finished items"] == 0, row.notes


def test_a_lab_that_cannot_run_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_mounts, "missing", lambda kind: f"missing: {kind}")
    assert [row.notes for row in network_mounts.run(short=True)] == [
        ["not run: missing: sshfs"],
        ["not run: missing: glusterfs"],
    ]


def test_an_instance_that_starts_at_the_same_time_as_another_one_on_sshfs_gets_the_next_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rivals: list[Path] = []

    def race(path: str, flags: int, *further: Any, open: Any = os.open, **named: Any) -> int:
        if flags & os.O_EXCL and path.endswith("-1.jsonl"):
            rivals.append(Path(path))
            rivals[-1].touch()  # somebody else is faster, and sshfs says so in its own way
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
        return open(path, flags, *further, **named)

    monkeypatch.setattr(os, "open", race)
    with MultiProcessHelper("test", tmp_path) as mph:
        assert mph.instance_number == 2
    assert len(rivals) == 1


def test_a_directory_that_comes_too_late_on_sshfs_is_discarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(source: str, target: str, *, rename: Any = os.rename) -> None:
        try:
            rename(source, target)
        except OSError as error:  # a directory that is not empty
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), source, None, target) from error

    monkeypatch.setattr(os, "rename", rename)
    with MultiProcessHelper("test", tmp_path) as mph:
        for item in mph.items(["image"], final="{value}.zarr", progress=False):
            with item:
                for directory in (item.path, item.final):
                    directory.mkdir()
                    (directory / "0").write_text(directory.name)
        assert mph.failures == []
    assert (tmp_path / "image.zarr" / "0").read_text() == "image.zarr"


MOST_LINKS = 46
"""What was counted on GlusterFS with a brick on ext4, which keeps a note of each link in the file's attributes."""


def test_one_instance_may_skip_or_fail_any_number_of_items_on_glusterfs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: str, target: str, *, link: Any = os.link, **named: Any) -> None:
        if os.stat(source).st_nlink > MOST_LINKS:
            raise OSError(errno.ENOSPC, "No space left on device", source, None, target)
        link(source, target, **named)

    monkeypatch.setattr(os, "link", link)
    with MultiProcessHelper("test", tmp_path, stop_after=None) as mph:
        for item in mph.items(range(2 * MOST_LINKS), final="{value}.txt", directory="out", progress=False):
            with item:
                item.skip("nothing to write")
        assert mph.status().skipped == 2 * MOST_LINKS
