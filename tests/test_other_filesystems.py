"""On sshfs and GlusterFS, mounted twice: nothing is done twice or lost, whatever crashes or stalls.

And what they answer that no local filesystem would, on disks that answer so.
"""

import errno
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.claims import identity
from multiprocesstools.claims.record import Beat, Record, encode
from multiprocesstools.claims.sweep import Report
from multiprocesstools.run.directory import Run
from multiprocesstools.upkeep.sweeper import clean_up
from tests.disks import Remembering
from tests.labs.mounts import require_mount_lab
from tests.proof.network import mounts as network_mounts
from tests.proof.network.worker import raises_always

ID = "0123456789abcdef" * 2


@pytest.mark.lab
@pytest.mark.timeout(600)
def test_nothing_is_lost_done_twice_partial_or_replaced_on_sshfs_and_glusterfs() -> None:
    for kind in network_mounts.KINDS:
        require_mount_lab(kind)
    rows = network_mounts.run(short=True)
    assert [row.part for row in rows] == ["sshfs", "glusterfs"]
    for row in rows:
        assert row.clean, row.notes
        assert row.tried["taken over from the dead"] > 0 and row.tried["repeated after a suspicion"] > 0, row
        assert row.tried["set aside as planned"] == sum(map(raises_always, range(row.tried["items"]))), row
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


@pytest.mark.parametrize("swept", [True, False], ids=["its claim was removed", "its owner crashed before that"])
def test_one_cleanup_is_enough_where_a_listing_is_out_of_a_cache_and_lacks_the_final(
    tmp_path: Path, swept: bool
) -> None:
    with MultiProcessHelper("test", tmp_path, beat_seconds=0.1, patience_seconds=0.5) as mph:
        for item in mph.items(["done"], final="{value}.txt", directory="out", progress=False):
            with item:
                item.path.touch()
    (tmp_path / "out" / "done.txt").unlink()
    client, out = Remembering(), tmp_path / "out"
    silent = Record(ID, "silent", 1, replace(identity.current(), host="other", boot="other"), 1.0, Beat())
    record = tmp_path / ".multiprocesstools" / "instances" / "silent-1"
    record.write_bytes(encode(silent))
    os.link(record, out / ".done.txt.claim-1")
    (out / f".mpt-{ID}-1.done.txt").touch()
    assert len(client.list(str(out))) == 2
    (out / "done.txt").touch()  # another client has finished it
    if swept:
        (out / ".done.txt.claim-1").unlink()
    report = clean_up(Run(tmp_path, disk=client), observe=lambda seconds, report: None)
    assert os.listdir(out) == ["done.txt"]
    assert [waiting.path for waiting in report.doubtful] == [str(record)], "nobody has proved its end"


def test_an_observer_that_is_held_up_once_goes_on_until_patience_is_over(tmp_path: Path) -> None:
    with MultiProcessHelper("test", tmp_path, beat_seconds=0.1, patience_seconds=0.5):
        pass
    silent = Record(ID, "silent", 1, replace(identity.current(), host="other", boot="other"), 1.0, Beat())
    record = tmp_path / ".multiprocesstools" / "instances" / "silent-1"
    record.write_bytes(encode(silent))
    waits = iter([0.25] * 4)

    def observe(seconds: float, report: Report) -> None:
        time.sleep(next(waits, 0.0))  # a gap of more than two beats begins the count anew

    report = clean_up(Run(tmp_path), observe=observe)
    assert [(waiting.path, waiting.decided) for waiting in report.waiting] == [(str(record), True)]


@pytest.mark.parametrize("answer", [errno.ENOENT, errno.ESTALE])
def test_a_plan_that_another_client_replaces_while_it_is_read_on_glusterfs_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int
) -> None:
    def open(path: str | Path, *arguments: Any, open: Any = os.open, **named: Any) -> int:
        descriptor: int = open(path, *arguments, **named)
        opened[descriptor] = str(path)
        return descriptor

    def close(descriptor: int, *, close: Any = os.close) -> None:
        close(descriptor)
        if opened.pop(descriptor, "").endswith(".json"):
            refused.append(answer)
            raise OSError(answer, os.strerror(answer))

    opened: dict[int, str] = {}
    refused: list[int] = []
    for sources in (["a"], ["a", "b"]):
        with MultiProcessHelper("test", tmp_path) as mph:
            monkeypatch.setattr(os, "open", open)
            monkeypatch.setattr(os, "close", close)
            for item in mph.items(sources, final="{value}.txt", progress=False):
                with item:
                    item.path.touch()
            monkeypatch.undo()
    assert refused and {path.name for path in tmp_path.glob("*.txt")} == {"a.txt", "b.txt"}


def test_a_claim_that_is_cleared_up_while_it_is_being_filled_on_sshfs_is_of_a_finished_item_and_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, final = tmp_path / ".a.txt.claim-1", tmp_path / "a.txt"

    def link(source: str, target: str, *, link: Any = os.link, **named: Any) -> None:
        if target == str(claim):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), target)
        link(source, target, **named)

    def fstat(descriptor: int, *, fstat: Any = os.fstat) -> os.stat_result:
        if claim.exists():  # another instance has finished the item, and removes the claim of whoever comes too late
            final.write_text("another's")
            claim.unlink()
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        status: os.stat_result = fstat(descriptor)
        return status

    with MultiProcessHelper("test", tmp_path) as mph:
        monkeypatch.setattr(os, "link", link)
        monkeypatch.setattr(os, "fstat", fstat)
        done = []
        for item in mph.items(["a", "b"], final="{value}.txt", progress=False):
            with item:
                item.path.touch()
            done.append(item.source)
        monkeypatch.undo()
    assert done == ["b"] and final.read_text() == "another's"
    assert sorted(path.name for path in tmp_path.glob("*.txt*")) == ["a.txt", "b.txt"]


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
