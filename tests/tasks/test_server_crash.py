"""Ten thousand tasks by XML-RPC: a server that is killed and started again, a worker that hangs, one that is late."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from multiprocesstools import tasks
from multiprocesstools.tasks import serving
from multiprocesstools.tasks.calls import Server
from tests.tasks.served import free_port, process, served
from tests.tasks.stores import Crowd, audited
from tests.tasks.test_crowd import (
    PARTITIONS,
    TASKS,
    WORKERS,
    Trivial,
    assert_cheap,
    assert_whole,
    lines,
    plain,
)
from tests.tools import CHECKOUT, wait_until

WORK = """
import sys
from tests.tasks.stores import Audited
Audited(sys.argv[1]).run()
"""


@contextmanager
def workers(url: str, audit: Path, number: int, pause: float) -> Iterator[list[subprocess.Popen[bytes]]]:
    audit.mkdir(exist_ok=True)
    environment = os.environ | {"AUDIT": str(audit), "PAUSE": str(pause)}
    command = [sys.executable, "-c", WORK, url]
    started = [subprocess.Popen(command, env=environment, cwd=CHECKOUT) for _ in range(number)]
    try:
        yield started
    finally:
        for one in started:
            one.kill()
            one.wait()


def end(server: subprocess.Popen[str]) -> None:
    server.kill()
    server.wait()
    server.stdout.close()


def published(run: Path) -> int:
    return len(list(run.glob("partitions/*.results")))


def one_in_mid_partition(started: list[subprocess.Popen[bytes]], audit: Path) -> subprocess.Popen[bytes]:
    """A worker that is; on a busy machine there are moments in which all wait for the server."""
    found: list[subprocess.Popen[bytes]] = []

    def some() -> bool:
        found.extend(one for one in started if lines(audit / str(one.pid)) % 100 not in (0, 99))
        return bool(found)

    wait_until(some, "a worker is in the middle of a partition", 60)
    return found[0]


def test_a_server_killed_in_mid_run_a_worker_that_hangs_and_a_late_result(tmp_path: Path) -> None:
    run, audit, port = tmp_path / "run", tmp_path / "audit", free_port()
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        first = process(run, port)
        stack.callback(end, first)
        late = Server(url).call("get_task", "late")
        started = stack.enter_context(workers(url, audit, WORKERS, pause=0.002))
        wait_until(lambda: published(run) > 20, "some partitions are done", 120)
        hanging = one_in_mid_partition(started, audit)
        hanging.send_signal(signal.SIGSTOP)
        end(first)
        assert first.returncode == -signal.SIGKILL
        before = published(run)
        assert 20 < before < PARTITIONS
        second = process(run, port)
        stack.callback(end, second)
        client = Server(url)
        another = "another has its partition, because nobody renewed the lease"
        wait_until(lambda: late["indices"][0] in Counter(audited(audit)), another, 120)
        assert client.call("renew", late["lease"], 0) is False
        results = [(index // 100 + 1) * (index % 100 + 1) for index in late["indices"]]
        assert client.call("task_done", late["lease"], results, patience_seconds=60.0) in ("accepted", "duplicate")
        assert [one.wait(120) for one in started if one is not hanging] == [0] * (WORKERS - 1)
        assert second.wait(60) == 0
        status, _, whole = second.stdout.read().rpartition("Jobs are done\n")
    assert status.endswith("100 ") and whole == "True 100 100\n", "each partition was given to the fresh store once"
    often = Counter(audited(audit))
    assert set(often) | set(late["indices"]) == set(range(TASKS))
    assert sum(often.values()) <= TASKS + 2 * TASKS // PARTITIONS, "only the hanging and the late one were done twice"


def test_a_server_that_is_killed_again_and_again_counts_no_attempt(tmp_path: Path) -> None:
    run, port = tmp_path / "run", free_port()
    client = Server(f"http://127.0.0.1:{port}")
    with ExitStack() as stack:
        held = None
        for _ in range(5):  # more often than a partition may fail
            server = process(run, port, lease_seconds=60.0)
            stack.callback(end, server)
            held = held or client.call("get_task", "anna")
            assert client.call("renew", held["lease"], 0) is True
            end(server)
        server = process(run, port, lease_seconds=60.0)
        stack.callback(end, server)
        results = [(index // 100 + 1) * (index % 100 + 1) for index in held["indices"]]
        assert client.call("task_done", held["lease"], results) == "accepted"
        assert client.call("status")["failed"] == 0


def test_a_server_that_is_started_again_when_all_is_done_tells_those_who_wait_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They pause for some seconds between two tries; a server that is away for ever is an error for them."""
    run, port = tmp_path / "run", free_port()
    leases, client = run / ".multiprocesstools" / "leases.json", Server(f"http://127.0.0.1:{port}")
    with ExitStack() as stack:
        first = process(run, port)
        stack.callback(end, first)
        assert client.call("get_task", "anna")["state"] == "task"
    assert Trivial(run, progress=False).run().partitions == PARTITIONS and leases.exists()

    monkeypatch.setattr(serving, "_GRACE_SECONDS", 3.0)
    manager = tasks.TaskManager(Crowd(), run)
    second = threading.Thread(target=lambda: manager.serve(port=port, progress=False))
    second.start()
    second.join(1.0)
    assert second.is_alive()
    assert client.call("get_task", "anna", patience_seconds=30.0) == {"state": "over"}
    second.join(30)
    assert not second.is_alive() and not leases.exists(), "it came to its end, so nobody waits for a third one"


def test_a_killed_worker_loses_its_partition_and_no_more(tmp_path: Path) -> None:
    store = Crowd()
    with (
        served(store, tmp_path / "run", lease_seconds=1.0) as server,
        workers(server.url, tmp_path / "audit", 4, pause=0.0005) as started,
    ):
        wait_until(lambda: lines(tmp_path / "audit" / str(started[0].pid)) > 150, "it has done something", 60)
        started[0].kill()
        assert [one.wait(120) for one in started[1:]] == [0] * 3
        wait_until(lambda: len(store.firsts) == PARTITIONS, "all is fed", 60)
    assert_whole(store)
    assert set(Counter(audited(tmp_path / "audit")).values()) <= {1, 2}


def test_a_task_costs_less_than_a_millisecond_by_url_too(tmp_path: Path) -> None:
    """In partitions of 100 trivial tasks. The best of some rounds, for a machine that has other things to do."""
    rounds = ((by_url(tmp_path / str(turn)) - plain(Crowd())) / TASKS * 1000 for turn in range(3))
    assert_cheap(rounds, "by url")


def by_url(run: Path) -> float:
    with served(Crowd(), run) as server:
        worker = Trivial(server.url)
        began = time.perf_counter()
        assert worker.run().partitions == PARTITIONS
        return time.perf_counter() - began


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_interrupted_gives_back_what_it_holds_and_goes_on_when_started_again(
    tmp_path: Path, number: signal.Signals
) -> None:
    run, port = tmp_path / "run", free_port()
    client = Server(f"http://127.0.0.1:{port}")
    with ExitStack() as stack:
        server = process(run, port, lease_seconds=60.0)
        stack.callback(end, server)
        held = client.call("get_task", "anna")
        server.send_signal(number)
        assert server.wait(30) != 0
        endings = "".join(path.read_text() for path in run.glob("partitions/.0000*.ended-1"))
        assert '"dropped"' in endings
        server = process(run, port, lease_seconds=60.0)
        stack.callback(end, server)
        assert client.call("renew", held["lease"], 0) is True
        results = [(index // 100 + 1) * (index % 100 + 1) for index in held["indices"]]
        assert client.call("task_done", held["lease"], results) == "accepted"
