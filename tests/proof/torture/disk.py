"""The run directory of a round, on a small filesystem of its own, which can be filled."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class SmallDisk:
    """The run directory, on a filesystem of its own that can be filled; or, without root, on an ordinary one."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path, self.kind = path, kind
        self.full = False
        self.full_seconds = 0.0
        self._since = 0.0

    @property
    def can_be_filled(self) -> bool:
        return self.kind != "ordinary"

    def fill(self) -> None:
        """Take all room that is left, again and again while it is full."""
        if not self.full:
            self.full, self._since = True, time.monotonic()
        with open(self.path / ".fill", "ab", buffering=0) as file:
            for size in (1 << 20, 1 << 16, 1 << 12, 1):
                with suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass

    def free(self) -> None:
        if self.full:
            self.full, self.full_seconds = False, self.full_seconds + time.monotonic() - self._since
            (self.path / ".fill").unlink()


@contextmanager
def small_disk(path: Path, image: Path, kind: str) -> Iterator[SmallDisk]:
    """An ext4 on a loop device, else a tmpfs, else an ordinary directory, by what this machine allows."""
    path.mkdir()
    kinds = {"ext4": lambda: _mount_ext4(path, image), "tmpfs": lambda: _mount_tmpfs(path)}
    order = [kind, *(other for other in ("tmpfs",) if other != kind)]
    mounted = next((name for name in order if os.geteuid() == 0 and kinds[name]()), "ordinary")
    try:
        yield SmallDisk(path, mounted)
    finally:
        if mounted != "ordinary":
            subprocess.run(["umount", "--lazy", str(path)], check=True)


def _mount_ext4(path: Path, image: Path) -> bool:
    with open(image, "wb") as file:
        file.truncate(160 << 20)
    return _succeeds("mkfs.ext4", "-q", "-m", "0", "-N", "40000", str(image)) and _succeeds(
        "mount", "-o", "loop", str(image), str(path)
    )


def _mount_tmpfs(path: Path) -> bool:
    return _succeeds("mount", "-t", "tmpfs", "-o", "size=96m", "torture", str(path))


def _succeeds(*command: str) -> bool:
    return (
        shutil.which(command[0]) is not None
        and not subprocess.run(command, capture_output=True, check=False).returncode
    )
