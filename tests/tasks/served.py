"""A server in a thread of the tests, or in a process of its own."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from multiprocesstools import tasks
from multiprocesstools.errors import MultiProcessError
from multiprocesstools.tasks.calls import Server
from tests.tasks.stores import QUICK
from tests.tools import CHECKOUT

SERVE = """
import sys
from multiprocesstools import tasks
from tests.tasks.stores import QUICK, Crowd
store = Crowd()
manager = tasks.TaskManager(store, sys.argv[1], **QUICK)
say = lambda url: print(url, flush=True)
print(manager.serve(port=int(sys.argv[2]), lease_seconds=float(sys.argv[3]), ready=say, progress=False), flush=True)
expected = {index: (index // 100 + 1) * (index % 100 + 1) for index in range(10_000)}
print(store.given == expected, len(store.firsts), len(set(store.firsts)))
"""


@contextmanager
def served(store: Any, run: Path, token: str | None = None, **options: Any) -> Iterator[Server]:
    """A server of the store that stays, on a free port, while the block runs."""
    manager, ready, said = tasks.TaskManager(store, run, **QUICK), threading.Event(), []
    ended: list[BaseException] = []

    def serve() -> None:
        try:
            manager.serve(
                port=0, stay=True, ready=lambda url: (said.append(url), ready.set()), progress=False, **options
            )
        except BaseException as error:
            ended.append(error)
            ready.set()

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(30)
    if ended:
        thread.join()
        raise ended[0]
    server = Server(said[0], token)
    try:
        yield server
    finally:
        try:
            server.call("exit")
        except MultiProcessError:  # a test has said it
            pass
        thread.join(30)
        assert not thread.is_alive() and not ended, ended


def process(run: Path, port: int, lease_seconds: float = 2.0) -> subprocess.Popen[str]:
    """A server of Crowd in a process of its own, when it listens."""
    command = [sys.executable, "-c", SERVE, str(run), str(port), str(lease_seconds)]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
    assert started.stdout.readline().startswith("http://")
    return started


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
