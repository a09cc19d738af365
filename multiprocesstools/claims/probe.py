"""What a filesystem is, by the table of mounts, and what it really does, found out by doing it, once per device.

Guarantee: `Findings.links` is True only where exclusive creation and hard links were seen to exclude, and a link was
seen to be the same file. Condition: what one client can see; what holds between two clients cannot be probed from one,
so that object stores, whose exclusive creation excludes nobody on other machines, are refused by their names.
Source: proc_pid_mountinfo(5).
"""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from multiprocesstools.claims.disk import UNLINKABLE, Disk
from multiprocesstools.errors import UnsafeFilesystem


@dataclass(frozen=True, slots=True)
class Findings:
    """`links`: hard links work and exclude. `identity`: a link shows the inode and the link count of its file."""

    links: bool
    identity: bool


OBJECT_STORES = frozenset(
    {
        "blobfuse", "blobfuse2", "cosfs", "gcsfuse", "geesefs", "goofys", "mountpoint-s3", "obsfs", "ossfs", "rclone",
        "riofs", "s3fs", "s3ql", "yas3fs",
    }
)  # fmt: skip
"""FUSE programs that show the objects of a store as files, by the names under which they mount."""
_MOUNTS = "/proc/self/mountinfo"
_ESCAPE = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """One line of the table of mounts: where, what kind, from where, and with which options."""

    point: str
    kind: str
    source: str
    options: tuple[str, ...]
    device: str

    @property
    def program(self) -> str:
        """The FUSE program behind it: its subtype, or what the source says where there is none; "" for no FUSE."""
        main, _, subtype = self.kind.partition(".")
        if main not in ("fuse", "fuseblk"):
            return ""
        return (subtype or re.split("[:#/]", self.source)[0]).lower()

    def option(self, name: str) -> str | None:
        """The value of an option, "" if it has none; None if it is not there."""
        for option in self.options:
            key, _, value = option.partition("=")
            if key == name:
                return value
        return None


def mount_of(table: str, path: str, device: int) -> Mount | None:
    """The mount of this device (`st_dev`) that a path lies on; None: unknown.

    Of several, or where the table has another number for the device (btrfs), the deepest one above the path counts, and
    of several at one place the last.
    """
    mounts = [mount for line in table.splitlines() if (mount := _parse(line)) is not None]
    number = f"{os.major(device)}:{os.minor(device)}"
    same = [mount for mount in mounts if mount.device == number]
    above = [mount for mount in same or mounts if f"{path}/".startswith(mount.point.rstrip("/") + "/")]
    return (
        max(enumerate(above), key=lambda found: (len(found[1].point), found[0]))[1] if above else next(iter(same), None)
    )


def read_mounts() -> str:
    """The table of mounts of this process; empty where there is none."""
    try:
        with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def refuse_object_store(mount: Mount | None, directory: str) -> None:
    """UnsafeFilesystem for the mount of an object store."""
    if mount is not None and mount.program in OBJECT_STORES:
        raise UnsafeFilesystem(
            directory,
            f"it is an object store ({mount.program} on {mount.point}): two machines can create one name at the same "
            "time, and an output can be replaced",
            "use a directory on NFS or another filesystem of the cluster, and copy the results there when all is done",
        )


def _parse(line: str) -> Mount | None:
    left, separator, right = line.partition(" - ")
    before, after = left.split(" "), right.split(" ")
    if not separator or len(before) < 6 or len(after) < 3:
        return None
    point, source = (_ESCAPE.sub(lambda code: chr(int(code[1], 8)), text) for text in (before[4], after[1]))
    return Mount(point, after[0], source, (*before[5].split(","), *after[2].split(",")), before[2])


def probe(disk: Disk, directory: str, token: str) -> Findings:
    """Try exclusive creation and links in `directory` with two private files. UnsafeFilesystem if nothing excludes.

    Nobody else makes files of these names: one that is said to exist already was made, and the reply was lost, as it
    is when a server restarts.
    """
    one, other = (f"{directory}/.mpt-{token}-{number}.ended" for number in ("probe1", "probe2"))
    try:
        with suppress(FileExistsError):
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
        with suppress(FileExistsError):
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
