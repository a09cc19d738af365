"""The command of a process: its program here, or behind a prefix on another machine.

Guarantee: equal commands are equal objects, so that a program that is kept alive is found by its command. A word of a
command arrives as one word also behind ssh, whose far side is a shell.
"""

import base64
import json
import os
import shlex
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from multiprocesstools.workers.process import Process
from multiprocesstools.workers.programs import far
from multiprocesstools.workers.programs.frames import KEEP_ALIVE

_SSH = {
    "ConnectTimeout": "15", "BatchMode": "yes", "ServerAliveInterval": "15", "ServerAliveCountMax": "4",
    "ControlMaster": "no",
}  # fmt: skip
"""A host that does not answer, or asks for a password that nobody could give, or vanishes, is an error and no wait. A
connection that is shared already is used, but none is shared that would be ended with one of several processes."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is executed here."""

    words: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    cwd: str | None
    keep_alive: bool
    is_far: bool = False


def command_of(process: Process) -> Command:
    """The command of a process, as it is now."""
    here = local_words(process)
    env = dict(process.env)
    if process.keep_alive:
        env[KEEP_ALIVE] = "1"
    if not process.prefix:
        return Command(here, tuple(sorted(env.items())), process.cwd, process.keep_alive)
    spec = json.dumps({"command": here, "env": env, "cwd": process.cwd, "mark": ""})
    words = _behind(process.prefix, (process.python, "-c", _launcher(), spec))
    return Command(words, (), None, process.keep_alive, is_far=True)


def local_words(process: Process) -> tuple[str, ...]:
    """What runs the script on the machine where it runs."""
    script = os.path.abspath(process.script)
    if process.script.endswith(".py"):
        return (process.python, script, *process.args)
    return (script, *process.args)


def _behind(prefix: tuple[str, ...], words: tuple[str, ...]) -> tuple[str, ...]:
    place = next((number for number, word in enumerate(prefix, 1) if os.path.basename(word) == "ssh"), None)
    if place is None:
        return (*prefix, *words)
    given = " ".join(prefix).lower()
    options = [f"-o{name}={value}" for name, value in _SSH.items() if name.lower() not in given]
    return (*prefix[:place], *options, *prefix[place:], shlex.join(words))


@cache
def _launcher() -> str:
    """The program of `far` as one word without a line break, which also a csh takes as it is."""
    packed = base64.b64encode(zlib.compress(Path(far.__file__).read_bytes(), 9)).decode()
    return f'import zlib,base64;exec(zlib.decompress(base64.b64decode("{packed}")))'
