"""Split the work of a loop over many processes and machines through nothing but a shared directory.

from multiprocesstools import MultiProcessHelper

with MultiProcessHelper("my_analysis", "path/to/output") as mph:
    for item in mph.items(files, final="{stem}.csv"):
        with item:
            analyse(item.source).to_csv(item.path)
"""

import sys

TYPE_CHECKING = False  # what type checkers take for true; `typing` itself would double the cost of this import

if sys.platform == "win32":
    raise ImportError(
        "multiprocesstools needs the filesystem and processes of a Unix system; on Windows it runs inside WSL "
        "(https://learn.microsoft.com/windows/wsl)"
    )

if TYPE_CHECKING:
    from multiprocesstools.calls.summary import Summary
    from multiprocesstools.errors import ClaimLost, MultiProcessError, TooManyFailures
    from multiprocesstools.helper import MultiProcessHelper
    from multiprocesstools.items.item import Item
    from multiprocesstools.items.results import read_result
    from multiprocesstools.retrying import RunTimeCounter, run_func_IO_loop
    from multiprocesstools.upkeep.statuses import Snapshot
    from multiprocesstools.waiting import wait_until_file_exists

    multiprocesshelper = MultiProcessHelper

_ROOMS = {
    "MultiProcessHelper": "helper",
    "Item": "items.item",
    "Snapshot": "upkeep.statuses",
    "Summary": "calls.summary",
    "read_result": "items.results",
    "RunTimeCounter": "retrying",
    "run_func_IO_loop": "retrying",
    "wait_until_file_exists": "waiting",
    "MultiProcessError": "errors",
    "ClaimLost": "errors",
    "TooManyFailures": "errors",
}

__all__ = [
    "ClaimLost",
    "Item",
    "MultiProcessError",
    "MultiProcessHelper",
    "RunTimeCounter",
    "Snapshot",
    "Summary",
    "TooManyFailures",
    "multiprocesshelper",
    "read_result",
    "run_func_IO_loop",
    "wait_until_file_exists",
]


def __getattr__(name: str) -> object:
    name = "MultiProcessHelper" if name == "multiprocesshelper" else name
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
