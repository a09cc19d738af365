"""What a filesystem really does, found out by doing it, once per device.

Guarantee: `Findings.links` is True only where exclusive creation and hard links were seen to exclude, and a link was
seen to be the same file. Condition: what one client can see; what holds between two clients cannot be probed from one.
"""

from dataclasses import dataclass

from multiprocesstools.claims.disk import UNLINKABLE, Disk
from multiprocesstools.errors import UnsafeFilesystem


@dataclass(frozen=True, slots=True)
class Findings:
    """`links`: hard links work and exclude. `identity`: a link shows the inode and the link count of its file."""

    links: bool
    identity: bool


def probe(disk: Disk, directory: str, token: str) -> Findings:
    """Try exclusive creation and links in `directory` with two private files. UnsafeFilesystem if nothing excludes."""
    one, other = (f"{directory}/.mpt-{token}-{number}.ended" for number in ("probe1", "probe2"))
    try:
        disk.create(one, b"probe\n")
        _expect_exclusive(disk, one, directory)
        return _probe_links(disk, one, other, directory)
    finally:
        for path in (one, other):
            disk.unlink(path)


def refuse_without_links(findings: Findings, directory: str, publish: str) -> None:
    """UnsafeFilesystem unless the user chose to publish by rename."""
    if not findings.links and publish != "rename":
        raise UnsafeFilesystem(
            directory,
            "it has no hard links, so an output could replace another one",
            'MultiProcessHelper(publish="rename") accepts that: outputs are complete, but one may be '
            "replaced by another complete one after a false suspicion",
        )


def _expect_exclusive(disk: Disk, path: str, directory: str) -> None:
    try:
        disk.create(path, b"again\n")
    except (FileExistsError, PermissionError):  # sshfs says EPERM to half of those that lose
        return
    raise UnsafeFilesystem(directory, "exclusive creation succeeded twice, so two machines could claim one item")


def _probe_links(disk: Disk, one: str, other: str, directory: str) -> Findings:
    try:
        disk.link(one, other)
    except OSError as error:
        if error.errno in UNLINKABLE:
            return Findings(links=False, identity=False)
        raise
    try:
        disk.link(one, other)
    except (FileExistsError, PermissionError):
        first, second = disk.look(one), disk.look(other)
        same = first is not None and second is not None and first.inode == second.inode and first.links == 2
        return Findings(links=True, identity=same)
    raise UnsafeFilesystem(directory, "a hard link replaced an existing file, so an output could be replaced")
