"""Serving a run: handing out its partitions to workers that share no files, and feeding the store meanwhile.

Guarantee: one server of a run at a time, which has the right to collect; all that it knows is in the run directory, so
killed and started again it goes on where it was. It ends when all partitions are done or set aside and its workers know
it, unless it was told to stay; after `multiprocesstools stop` when what is in hand was handed in; by `exit` or a signal
at once. Its workers are those that asked
lately, and those of a server that did not end so: they find this one within the longest pause between their tries.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Protocol

from multiprocesstools.errors import BadArgument
from multiprocesstools.helper import MultiProcessHelper
from multiprocesstools.tasks.calls import LONGEST_PAUSE_SECONDS
from multiprocesstools.tasks.desk import Desk
from multiprocesstools.tasks.listener import Listener
from multiprocesstools.tasks.service import Manager, Service
from multiprocesstools.tasks.token import required

MOST_BYTES, LEASE_SECONDS, PORT = 64 << 20, 60.0, 7080
_TICK_SECONDS = 0.2
_GRACE_SECONDS = LONGEST_PAUSE_SECONDS + 1.0


class Following(Protocol):
    """Feeding the store with what is published, and showing how far it is."""

    def goes_on(self) -> bool: ...


def serve(
    manager: Manager, helper: MultiProcessHelper, following: Following, *, host: str, port: int,
    token: str | None, lease_seconds: float, task_seconds: float | None, stay: bool,
    most_bytes: int, ready: Callable[[str], Any] | None,
) -> None:  # fmt: skip
    """Serve until it is over. The arguments are those of `TaskManager.serve`, checked by `check`.

    Items are taken and settled in other threads than this one, whose signal handlers would be counted wrongly.
    """
    desk = Desk(helper, manager.shelf, lease_seconds=lease_seconds, task_seconds=task_seconds)
    service = Service(manager, helper, desk, lease_seconds=lease_seconds, most_bytes=most_bytes)
    with ExitStack() as stack:
        clerk = stack.enter_context(ThreadPoolExecutor(1))
        had_workers = clerk.submit(desk.restore).result()  # before anybody can ask for what is leased
        listener = stack.enter_context(Listener((host, port), service, token, most_bytes))
        earliest = time.monotonic() + (_GRACE_SECONDS if had_workers else 0.0)
        if ready is not None:
            ready(listener.url)
        while not service.ended.is_set():
            clerk.submit(desk.expire).result()
            with service.store_lock:
                more = following.goes_on()
            known = service.is_known_to_all(_GRACE_SECONDS) and time.monotonic() >= earliest
            if helper.stop_requested and known and not len(desk):
                break  # what was in hand is handed in, as workers by files do before they leave
            if not stay and service.is_over(at_once=not more) and known:
                desk.end()
                break
            service.changed.wait(_TICK_SECONDS)
            service.changed.clear()


def check(
    host: Any, port: Any, *, token_file: Any, lease_seconds: Any, task_seconds: Any, most_bytes: Any
) -> str | None:
    """The token, None if none is needed. BadArgument for what cannot be."""
    if not isinstance(host, str) or not host:
        raise BadArgument("host", host, "it must be the address of an interface of this machine, such as 0.0.0.0")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise BadArgument("port", port, "it must be from 0 to 65535; 0 takes one that is free")
    for name, value in (("lease_seconds", lease_seconds), ("task_seconds", task_seconds)):
        if value is None and name == "task_seconds":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise BadArgument(name, value, "it must be a number of seconds above 0")
    if isinstance(most_bytes, bool) or not isinstance(most_bytes, int) or most_bytes < 1024:
        raise BadArgument("most_bytes", most_bytes, "it must be a whole number, at least 1024")
    return required(host, token_file)
