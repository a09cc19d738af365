"""Every test of pools leaves nothing behind."""

import multiprocessing
import os
import threading
from collections.abc import Iterator

import pytest

from tests.processes import wait_until


def descriptors() -> set[str]:
    """What is open, by what it is."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(f"{name} {os.readlink(f'/proc/self/fd/{name}')}")
        except OSError:
            continue
    return found


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []
    wait_until(lambda: not _threads(), "threads end")


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("multiprocesstools")]
