"""What somebody may put in the place of a file, what a user may do then, and watchers of what must not happen.

The doors are called in this process, so that an exception that is none of the package's fails the test.
"""

import ctypes
import json
import os
import shutil
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from multiprocesstools import MultiProcessHelper
from multiprocesstools.claims import identity, record
from multiprocesstools.claims.record import Beat, Record
from multiprocesstools.cli import main
from multiprocesstools.errors import MultiProcessError

ID = "0123456789abcdef" * 2
DEAD = 2**22 + 1
"""A process that cannot be: Linux gives no such number."""
RAPID: dict[str, Any] = {"beat_seconds": 0.1, "patience_seconds": 2.0, "durable": False}

COMMANDS = (
    *(["status"], ["status", "--failed", "--running"], ["status", "--json"], ["retry"], ["stop"]),
    *(["cleanup", "--dry-run", "--force"], ["cleanup", "--no-wait"], ["cleanup", "--no-wait", "--json"]),
    *(["cleanup", "--force"], ["status"]),
)  # fmt: skip
SECRET = b"SECRET that belongs to somebody else\n"


def forged(**changes: Any) -> bytes:
    """A record as a hostile writer makes it; as it stands, of a process of this machine that is gone."""
    own = Record(ID, "forged", 7, identity.current(), 1.0, Beat(3, 60))
    return json.dumps(json.loads(record.encode(own)) | {"pid": DEAD} | changes).encode()


# -- the outside


def make_outside(folder: Path) -> Path:
    """Files that no door of the package may touch."""
    outside = folder / "outside"
    (outside / "folder").mkdir(parents=True)
    (outside / "secret").write_bytes(SECRET)
    (outside / "folder" / "precious").write_bytes(SECRET)
    (outside / "record").write_bytes(forged())
    for path in outside.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (1e9, 1e9))
    return outside


def state_of(folder: Path) -> dict[str, object]:
    """Content, mode, owner and time of everything in a folder."""
    found: dict[str, object] = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        found[str(path.relative_to(folder))] = (content, status.st_mode, status.st_uid, status.st_mtime_ns)
    return found


# -- plants


def plant_socket(path: Path, _: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    except OSError:
        Path("s").unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("s")
        os.rename("s", path.name)
    finally:
        os.chdir(here)


def plant_folder(path: Path, outside: Path) -> None:
    """A folder whose content leads outside."""
    path.mkdir()
    (path / "link").symlink_to(outside / "folder")
    os.link(outside / "secret", path / "hard link")
    os.mkfifo(path / "pipe")


def plant_huge(path: Path, _: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


Plant = Callable[[Path, Path], object]
PLANTS: dict[str, Plant] = {
    "link to a file": lambda path, outside: path.symlink_to(outside / "secret"),
    "link to a record": lambda path, outside: path.symlink_to(outside / "record"),
    "link to a folder": lambda path, outside: path.symlink_to(outside / "folder"),
    "link to nothing": lambda path, outside: path.symlink_to(outside / "nothing"),
    "link to itself": lambda path, outside: path.symlink_to(path.name),
    "pipe": lambda path, outside: os.mkfifo(path),
    "socket": plant_socket,
    "endless device": lambda path, outside: os.mknod(path, 0o20666, os.makedev(1, 5)),
    "empty folder": lambda path, outside: path.mkdir(),
    "folder that leads outside": plant_folder,
    "hard link": lambda path, outside: os.link(outside / "secret", path),
    "huge file": plant_huge,
    "forged record": lambda path, outside: path.write_bytes(forged()),
}


# -- doors


def work(run: Path, finals: list[str], *, leave_out: str = "", **options: Any) -> dict[str, object]:
    """A loop, single claims, `once` and the documented style. Door -> what came of it."""
    found: dict[str, object] = {}
    try:
        mph = MultiProcessHelper("test", run, **(RAPID | {"loggers": ["planted"]} | options))
    except MultiProcessError as error:
        return {"helper": error}
    with mph:
        for name, door in (("loop", _loop), ("claim", _claim), ("once", _once), ("direct", _direct)):
            try:
                if name != leave_out:
                    found[name] = door(mph, finals)
            except MultiProcessError as error:
                found[name] = error
    return found


def _loop(mph: MultiProcessHelper, finals: list[str]) -> list[str]:
    done = []
    for item in mph.items(finals, final="{value}", directory="out", progress=False, wait=False):
        with item:
            item.path.write_text("result")
            done.append(item.source)
    return done


def _claim(mph: MultiProcessHelper, finals: list[str]) -> list[str]:
    done = []
    for final in finals:
        item = mph.claim(final, directory="out")
        if item is not None:
            with item:
                item.path.write_text("result")
            done.append(final)
    return done


def _once(mph: MultiProcessHelper, finals: list[str]) -> str:
    final = mph.once(finals[0], lambda path: path.write_text("result"), directory="out")
    return "result" if final.lstat().st_size == len("result") else "something else"


def _direct(mph: MultiProcessHelper, finals: list[str]) -> list[str]:
    done = []
    folder = Path(mph.create_directory("out"))
    for final in [*finals, "in place"]:
        if mph.create_temp_file(final, f"{final}.tmp", "out"):
            with open(folder / final, "x", encoding="ascii") as file:
                file.write("result")
            mph.delete_tempfile(temp_file_name=f"{final}.tmp", path="out")
            done.append(final)
    return done


def command(*words: object) -> int:
    """A command in this process; its exit code. Any exception but its end passes."""
    arguments, sys.argv = sys.argv, ["multiprocesstools", *map(str, words)]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = arguments
    raise AssertionError("a command always exits")


def all_commands(run: Path) -> dict[str, int]:
    return {" ".join(words): command(*words, run) for words in COMMANDS}


def remove(path: Path) -> None:
    """Remove what was planted, whatever it is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


# -- watchers


class Opened:
    """Which files of a folder were opened, by inotify(7): no reader can hide from it."""

    def __init__(self, folder: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        opened, created, deleted = 0x20, 0x100, 0x200
        for path in (path for path in [folder, *folder.rglob("*")] if path.is_dir()):
            assert libc.inotify_add_watch(self._descriptor, os.fsencode(path), opened | created | deleted) > 0

    def names(self) -> list[str]:
        """The names since the last call; those of folders too."""
        found = []
        try:
            data = os.read(self._descriptor, 1 << 16)
        except BlockingIOError:
            return []
        while data:
            _, mask, _, length = struct.unpack_from("iIII", data)
            name = data[16 : 16 + length].rstrip(b"\0").decode()
            if name or mask & 0x20:
                found.append(name)
            data = data[16 + length :]
        return found

    def close(self) -> None:
        os.close(self._descriptor)


_COMMANDS_RUN: list[str] = []
_RUNNING_EVENTS = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.startfile", "pty.spawn",
     "pickle.find_class", "marshal.loads", "ctypes.dlopen", "webbrowser.open", "socket.connect", "urllib.Request"}
)  # fmt: skip


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _RUNNING_EVENTS and not _is_import(event):
        _COMMANDS_RUN.append(event)


def _is_import(event: str) -> bool:
    """Does the interpreter load a module, of a room that is entered when it is needed?"""
    return event == "marshal.loads" and sys._getframe(2).f_code.co_filename.startswith("<frozen importlib")


@contextmanager
def commands_run() -> Iterator[list[str]]:
    """The events of sys.audit that run a program or foreign code, or reach for the network."""
    if _hook not in _HOOKED:
        _HOOKED.append(_hook)
        sys.addaudithook(_hook)
    _COMMANDS_RUN.clear()
    yield _COMMANDS_RUN


_HOOKED: list[Callable[..., None]] = []
