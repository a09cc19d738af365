"""What a filesystem can do is found out by doing it."""

import errno
import os
from pathlib import Path

import pytest

from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.claims.probe import Findings, probe, refuse_without_links
from multiprocesstools.errors import UnsafeFilesystem
from tests.disks import Faulty, WithoutLinks, fail_once

TOKEN = "0" * 32


class Replacing(PosixDisk):
    """A filesystem on which exclusive creation is a lie."""

    def create(self, path: str, data: bytes, *, durable: bool = False) -> None:
        Path(path).write_bytes(data)


def test_an_ordinary_filesystem_has_links_with_identity(tmp_path: Path) -> None:
    assert probe(PosixDisk(), str(tmp_path), TOKEN) == Findings(links=True, identity=True)
    assert os.listdir(tmp_path) == []


def test_a_filesystem_without_links_is_refused_unless_publishing_by_rename(tmp_path: Path) -> None:
    findings = probe(WithoutLinks(), str(tmp_path), TOKEN)
    assert findings == Findings(links=False, identity=False)
    with pytest.raises(UnsafeFilesystem, match='publish="rename"'):
        refuse_without_links(findings, str(tmp_path), "link")
    refuse_without_links(findings, str(tmp_path), "rename")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("verb", ["create", "link"])
def test_a_lost_reply_is_no_refusal(verb: str, tmp_path: Path) -> None:
    disk = Faulty()
    fail_once(disk, verb, FileExistsError(errno.EEXIST, "exists"), moment="after")
    assert probe(disk, str(tmp_path), TOKEN) == Findings(links=True, identity=True)
    assert os.listdir(tmp_path) == []


def test_a_filesystem_that_creates_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFilesystem, match="exclusive creation"):
        probe(Replacing(), str(tmp_path), TOKEN)


def test_a_lie_about_the_link_count_means_no_identity(tmp_path: Path) -> None:
    class Lying(Faulty):
        def look(self, path: str):  # type: ignore[no-untyped-def]

            stamp = super().look(path)
            return stamp and stamp._replace(links=1)

    assert probe(Lying(), str(tmp_path), TOKEN) == Findings(links=True, identity=False)
