"""How long it takes until something happens: importing the package, the command's help, the status of a small run.

Guarantee: every round starts each process once, in turn, so that a slow moment strikes all of them.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts.bench_files.places import CHECKOUT
from scripts.bench_files.table import Table, times

BARE = "the bare interpreter"
_LOOP = """
import sys
from multiprocesstools import MultiProcessHelper
with MultiProcessHelper("small", sys.argv[1]) as helper:
    for item in helper.items(range(20), final="{value}.txt", progress=False):
        with item:
            item.path.write_text("1")
"""


def run(rounds: int) -> list[Table]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for script in ([sys.executable, "-c", _LOOP, folder], [sys.executable, _command(), "status", folder]):
            subprocess.run(script, check=True, cwd=CHECKOUT, stdout=subprocess.DEVNULL, env=_environment())
        commands = {
            BARE: ["-c", "pass"],
            "import multiprocesstools": ["-c", "import multiprocesstools"],
            "from multiprocesstools import MultiProcessHelper": [
                "-c", "from multiprocesstools import MultiProcessHelper",
            ],
            "mpt --help": [_command(), "--help"],
            "mpt status of 20 items": [_command(), "status", folder],
        }  # fmt: skip
        taken: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(max(5, 4 * rounds)):
            for name, arguments in commands.items():
                taken[name].append(_seconds(arguments))
    rows = [(name, values, "" if name == BARE else BARE, "") for name, values in taken.items()]
    return [times("start-up", "Wall time of a new process, and how much of it is ours; medians.", rows)]


def _seconds(arguments: list[str]) -> float:
    began = time.monotonic()
    subprocess.run(
        [sys.executable, *arguments], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd="/",
        env=_environment(),
    )  # fmt: skip
    return time.monotonic() - began


def _environment() -> dict[str, str]:
    """With compiled modules, as users have them."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _command() -> str:
    """The script of the environment that runs this, as users start it."""
    return str(Path(sys.executable).with_name("mpt"))
