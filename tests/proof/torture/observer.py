"""The observer of a round: it sees the finals and the beats of all instances from outside.

    python -m tests.proof.torture.observer RUN LOCAL ORDERS

The arguments are those of `worker`. It says that it is ready, and watches until standard input is closed.
"""

import ctypes
import json
import os
import select
import struct
import sys
import time
from pathlib import Path
from typing import Any

from tests.proof.torture.story import Orders, content, read_final, shelves
from tests.proof.torture.witnesses import Audit

_WATCH_SECONDS = 0.02


_CREATED, _MOVED_IN, _MOVED_OUT, _REMOVED, _MODIFIED = 0x100, 0x80, 0x40, 0x200, 0x2
_OVERFLOW = 0x4000
_EVENTS = {
    _CREATED: "created", _MOVED_IN: "moved in", _MOVED_OUT: "moved out", _REMOVED: "removed", _MODIFIED: "modified",
}  # fmt: skip
_HEAD = struct.Struct("iIII")


class Watch:
    """Sees every visible name of the output directories when it appears and when anything happens to it (inotify(7)),
    and when each instance's beat was first and last seen to have which value."""

    def __init__(self, run: Path, notes: Audit) -> None:
        self._run, self._notes = run, notes
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor: int = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._folders: dict[int, str] = {}
        self._seen: set[str] = set()
        self._beats: dict[str, list[list[Any]]] = {}

    def add(self, folder: str) -> None:
        number = self._libc.inotify_add_watch(self.descriptor, os.fsencode(self._run / folder), sum(_EVENTS))
        if number < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), folder)
        self._folders[number] = folder

    def look(self) -> None:
        """Read the events that wait."""
        while True:
            try:
                self._read(os.read(self.descriptor, 1 << 16))
            except BlockingIOError:
                return

    def _read(self, data: bytes) -> None:
        while data:
            number, mask, _, length = _HEAD.unpack_from(data)
            name = os.fsdecode(data[_HEAD.size : _HEAD.size + length].rstrip(b"\0"))
            data = data[_HEAD.size + length :]
            if mask & _OVERFLOW:
                self._notes.note("overflow")
            elif not name.startswith("."):
                self._happened(f"{self._folders[number]}/{name}", mask)

    def _happened(self, final: str, mask: int) -> None:
        event = next(text for bit, text in _EVENTS.items() if mask & bit)
        if final in self._seen or event not in ("created", "moved in"):
            self._notes.note("again", final=final, event=event)
            return
        self._seen.add(final)
        path = str(self._run / final)
        appeared = time.monotonic()
        seal, digest = read_final(path)
        try:
            inode = os.lstat(path).st_ino
        except FileNotFoundError:
            inode = 0
        self._notes.note(
            "appears", final=final, at=appeared, whole=seal is not None, content=digest, inode=inode,
            attempt=seal.attempt if seal else 0,
        )  # fmt: skip

    def feel(self) -> None:
        """Look at the beats of all instances."""
        folder = self._run / ".multiprocesstools" / "instances"
        try:
            names = [name for name in os.listdir(folder) if name.startswith("torture-")]
        except FileNotFoundError:
            return
        for name in names:
            before, data = time.monotonic(), content(str(folder / name))
            if data is None or len(data) < 40:
                continue
            beats, beat = (
                self._beats.setdefault(name.removeprefix("torture-"), []),
                data[-28:].decode("ascii", "replace"),
            )
            if beats and beats[-1][0] == beat:
                beats[-1][2] = time.monotonic()
            else:
                beats.append([beat, before, time.monotonic()])

    def report_beats(self) -> None:
        for number, beats in self._beats.items():
            self._notes.note("beats", number=int(number), seen=[beat[1:] for beat in beats])


def watch(run: str, local: str, orders: str) -> int:
    """Watch until standard input is closed."""
    watcher = Watch(Path(run), Audit(Path(local) / "watched"))
    for shelf in shelves(Orders(**json.loads(orders)).items):
        for folder in shelf.folders:
            watcher.add(folder)
    os.write(1, b"ready\n")
    next_feel, ended = 0.0, False
    while not ended:
        ready, _, _ = select.select([watcher.descriptor, 0], [], [], max(0.0, next_feel - time.monotonic()))
        watcher.look()
        if time.monotonic() >= next_feel:
            watcher.feel()
            next_feel = time.monotonic() + _WATCH_SECONDS
        ended = 0 in ready and not os.read(0, 1)
    watcher.look()
    watcher.report_beats()
    return 0


if __name__ == "__main__":
    sys.exit(watch(*sys.argv[1:]))
