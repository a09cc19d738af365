"""Every test of pools leaves nothing behind."""

import multiprocessing
import os
import threading
from collections.abc import Iterator
from typing import Any

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


@pytest.fixture(scope="session")
def application() -> Iterator[Any]:
    """The one application of Qt that a process can have, without a screen."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("QT_API", "pyside6")
    from qtpy import QtWidgets

    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
    yield application
    application.processEvents()
