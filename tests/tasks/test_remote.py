"""Workers by url and clients of their own, honest and not."""

import gzip
import http.client
import io
import json
import os
import pickle
import signal
import socket
import socketserver
import sys
import threading
import time
import xmlrpc.client
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy
import pytest

from multiprocesstools import MultiProcessHelper, cli, tasks
from multiprocesstools.errors import (
    AlreadyCollecting,
    BadArgument,
    RunDirectoryUnusable,
    ServerRefused,
    ServerUnreachable,
    StoresDiffer,
    TooManyFailures,
)
from multiprocesstools.tasks import listener, remote, wire
from multiprocesstools.tasks.calls import Server
from multiprocesstools.tasks.listener import Listener
from multiprocesstools.tasks.parcel import Parcel
from multiprocesstools.tasks.service import Service
from tests.clocks import HandClock
from tests.readme import block
from tests.tasks.served import free_port, served
from tests.tasks.stores import QUICK, Adder, Squares
from tests.tools import Child, command, wait_until

SQUARES = {index: index * index for index in range(10)}
TOKEN = "0123456789abcdefXYZ"


def post(server: Server, body: bytes, **headers: str) -> tuple[int, str, bytes]:
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        connection.request("POST", "/RPC2", body, {"Content-Type": "text/xml"} | headers)
        with connection.getresponse() as response:
            return response.status, response.reason, response.read()
    finally:
        connection.close()


def endings(run: Path) -> str:
    """What is written of the attempts that have ended badly."""
    return "".join(path.read_text() for path in run.rglob("*.ended-*"))


def squares_of(answer: dict[str, Any]) -> list[int]:
    return [index * index for index in answer["indices"]]


# -- the way it goes


def test_a_worker_by_url_does_all_and_the_store_is_fed(tmp_path: Path) -> None:
    store = Adder()
    with served(store, tmp_path) as server:
        worker = Squares(server.url)
        work = worker.run()
        assert (work.partitions, work.tasks, work.failures, worker.set_up) == (3, 10, 0, 1)
        wait_until(lambda: store.given == SQUARES, "the store is fed", 30)
        assert server.call("status")["text"].endswith("3 Jobs are done")
    assert store.calls == 3


def test_workers_by_files_and_by_url_work_on_one_run(tmp_path: Path) -> None:
    store = Adder(10)
    with served(store, tmp_path) as server:
        assert Squares(tmp_path, Adder(10), **QUICK).run(max_partitions=4).partitions == 4
        assert Squares(server.url, Adder(10)).run().partitions == 6
        wait_until(lambda: store.given == SQUARES, "the store is fed", 30)


def test_a_plain_client_drives_it(tmp_path: Path) -> None:
    store = Adder(4)
    with served(store, tmp_path) as server, xmlrpc.client.ServerProxy(server.url, allow_none=True) as plain:
        one, two, three, four = (plain.get_task() for _ in range(4))
        assert plain.get_task()["state"] == "wait"
        assert one["indices"] + two["indices"] + three["indices"] + four["indices"] == list(range(10))
        assert plain.task_done(one["lease"], [None, 0.5]) == "accepted"
        assert plain.task_done(two["lease"], json.dumps([10**30, [1, {"a": None}], "x"])) == "accepted"
        content = io.BytesIO()
        numpy.save(content, numpy.arange(3))
        assert plain.task_done(three["lease"], [xmlrpc.client.Binary(content.getvalue()), 1]) == "accepted"
        assert plain.task_done(four["lease"], squares_of(four)) == "accepted"
        wait_until(lambda: plain.get_task() == {"state": "over"}, "nothing is left", 30)
        wait_until(lambda: store.calls == 4, "the store is fed", 30)
    numpy.testing.assert_array_equal(store.given.pop(5), numpy.arange(3))
    assert store.given == {0: None, 1: 0.5, 2: 10**30, 3: [1, {"a": None}], 4: "x", 6: 1, 7: 49, 8: 64, 9: 81}


def test_what_a_failed_attempt_has_computed_is_not_computed_again(tmp_path: Path) -> None:
    store = Adder(1)
    with served(store, tmp_path) as server:
        first = Squares(server.url, Adder(1))
        first.broken = frozenset({7})
        assert first.run(max_partitions=1).failures == 1
        assert "ZeroDivisionError: nothing goes into 7" in endings(tmp_path) and "in compute" in endings(tmp_path)
        second = Squares(server.url, Adder(1))
        assert second.run().partitions == 1
        assert (first.computed, second.computed) == (list(range(8)), [7, 8, 9])


def test_a_partition_that_fails_always_is_set_aside_and_retried_when_somebody_has_its_results(tmp_path: Path) -> None:
    store = Adder(3)
    with served(store, tmp_path) as server:
        worker = Squares(server.url)
        worker.broken = frozenset({4})
        assert worker.run().failures == 3
        status = server.call("status")
        assert (status["done"], status["failed"]) == (2, 1)
        late = server.call("task_done", "1-1-00000000", [9, 16, 25])
        assert late == "accepted"
        wait_until(lambda: store.given == SQUARES, "the store is fed", 30)


def test_who_is_overtaken_has_not_failed(tmp_path: Path) -> None:
    store = Adder(1)
    with served(store, tmp_path) as server:

        class Overtaken(Squares):
            def compute(self, index: int, task: dict[str, Any]) -> Any:
                if index == 9:
                    assert server.call("task_done", "0-1-00000000", list(SQUARES.values())) == "accepted"
                return super().compute(index, task)

        work = Overtaken(server.url, Adder(1)).run()
        assert (work.partitions, work.tasks, work.failures) == (0, 10, 0)
        wait_until(lambda: store.given == SQUARES, "the store is fed", 30)
    assert store.calls == 1


def test_a_script_that_always_fails_ends_after_ten(tmp_path: Path) -> None:
    with served(Adder(10), tmp_path) as server:
        worker = Squares(server.url, Adder(10))
        worker.broken = frozenset(range(10))
        with pytest.raises(TooManyFailures, match="nothing goes into"):
            worker.run()


# -- leases


def test_a_lease_that_is_not_renewed_goes_to_another_and_a_late_result_counts_once(tmp_path: Path) -> None:
    store = Adder(1)
    with served(store, tmp_path, lease_seconds=0.3) as server:
        slow = server.call("get_task", "slow")
        other: dict[str, Any] = {}

        def handed_out_again() -> bool:
            other.update(server.call("get_task", "other"))
            return other["state"] == "task"

        wait_until(handed_out_again, "the lease is over", 30)
        assert "LeaseExpired: worker slow gave no sign of life for 0.3 s" in endings(tmp_path)
        assert other["indices"] == slow["indices"] and other["lease"] != slow["lease"]
        assert server.call("renew", slow["lease"], 1) is False
        assert server.call("task_done", slow["lease"], squares_of(slow)) == "accepted"
        assert server.call("task_done", slow["lease"], squares_of(slow)) == "accepted", "its answer may have been lost"
        assert server.call("task_done", other["lease"], squares_of(other)) == "duplicate"
        wait_until(lambda: store.given == SQUARES, "the store is fed", 30)
        time.sleep(0.5)  # a second feeding would come by now
    assert store.calls == 1


def test_a_lease_is_renewed_while_a_long_task_runs(tmp_path: Path) -> None:
    class Slow(Squares):
        def compute(self, index: int, task: dict[str, Any]) -> Any:
            time.sleep(1.5 if index == 0 else 0)
            return super().compute(index, task)

    with served(Adder(1), tmp_path, lease_seconds=0.6) as server:
        assert Slow(server.url, Adder(1)).run().partitions == 1
        assert server.call("status")["done"] == 1
        assert "LeaseExpired" not in endings(tmp_path)


def test_a_worker_that_hangs_in_a_task_loses_its_partition_with_a_limit_for_tasks(tmp_path: Path) -> None:
    with served(Adder(1), tmp_path, lease_seconds=30.0, task_seconds=0.5) as server:
        held = server.call("get_task", "hangs")
        taken: list[str] = []

        def another_has_it() -> bool:
            server.call("renew", held["lease"], 0)
            taken.append(server.call("get_task", "other")["state"])
            return taken[-1] == "task"

        wait_until(another_has_it, "it hangs", 30)
        assert taken[0] == "wait"


def test_a_worker_that_asks_twice_has_one_partition(tmp_path: Path) -> None:
    """The first answer may have been lost."""
    with served(Adder(3), tmp_path) as server:
        first = server.call("get_task", "anna")
        assert server.call("get_task", "anna") == first
        assert server.call("get_task", "bert")["lease"] != first["lease"]


def test_rescheduling_hands_out_again_what_is_leased_and_loses_nothing(tmp_path: Path) -> None:
    store = Adder(2)
    with served(store, tmp_path) as server:
        before = [server.call("get_task", name) for name in ("anna", "bert")]
        assert server.call("reschedule") == [0, 1] and server.call("reschedule") == []
        after = [server.call("get_task", name) for name in ("carl", "dora")]
        assert sorted(one["partition"] for one in after) == [0, 1]
        said = [server.call("task_done", one["lease"], squares_of(one)) for one in (*before, *after)]
        assert said == ["accepted"] * 2 + ["duplicate"] * 2
        wait_until(lambda: store.given == SQUARES, "the store is fed", 30)
    assert store.calls == 2


def test_a_manager_beside_the_server_can_reschedule_what_is_leased(tmp_path: Path) -> None:
    store = Adder(1)
    with served(store, tmp_path) as server:
        before, after = server.call("get_task", "anna"), dict[str, Any]()
        assert server.call("get_task", "bert")["state"] == "wait"
        assert tasks.TaskManager(Adder(1), tmp_path).reschedule() == [0]

        def handed_out_again() -> bool:
            after.update(server.call("get_task", "bert"))
            return after["state"] == "task"

        wait_until(handed_out_again, "the server has noticed", 30)
        assert server.call("renew", before["lease"], 1) is False
        assert server.call("task_done", before["lease"], squares_of(before)) == "accepted"
        assert server.call("task_done", after["lease"], squares_of(after)) == "duplicate"
        wait_until(lambda: store.given == SQUARES, "the store is fed", 30)
    assert store.calls == 1


def test_after_a_stop_what_is_in_hand_is_handed_in_and_the_server_ends(tmp_path: Path) -> None:
    with served(Adder(2), tmp_path) as server:
        held, other = server.call("get_task", "anna"), server.call("get_task", "bert")
        command("stop", tmp_path)
        wait_until(lambda: server.call("get_task", "carl") == {"state": "over"}, "it is known", 30)
        assert server.call("give_back", other["lease"]) is True
        time.sleep(0.5)  # some looks of the server at what it was asked for
        assert server.call("renew", held["lease"], 1) is True
        assert server.call("task_done", held["lease"], squares_of(held)) == "accepted"
        assert [server.call("get_task", name) for name in ("bert", "anna")] == [{"state": "over"}] * 2
        wait_until(lambda: not answers(server), "it ends", 30)
    store = Adder(2)
    assert tasks.TaskManager(store, tmp_path).collect().done == 1 and sorted(store.given) == held["indices"]


def answers(server: Server) -> bool:
    try:
        return bool(server.call("describe"))
    except ServerUnreachable:
        return False


def test_a_worker_that_ends_early_gives_its_partition_back(tmp_path: Path) -> None:
    class Interrupted(Squares):
        def compute(self, index: int, task: dict[str, Any]) -> Any:
            if index == 5:
                raise KeyboardInterrupt
            return super().compute(index, task)

    with served(Adder(1), tmp_path) as server:
        with pytest.raises(KeyboardInterrupt):
            Interrupted(server.url, Adder(1)).run()
        other = Squares(server.url, Adder(1))
        assert other.run().partitions == 1 and other.computed == [5, 6, 7, 8, 9]


TERMINATED = """
from tests.tasks.stores import Adder, Squares

class Slow(Squares):
    def compute(self, index, task):
        if index == 5:
            say("at 5")
            wait()
        return super().compute(index, task)

Slow(sys.argv[1], Adder(1)).run()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_gives_the_partition_back_at_once_with_what_was_computed(
    tmp_path: Path, number: signal.Signals
) -> None:
    with served(Adder(1), tmp_path) as server, Child(TERMINATED, server.url) as child:
        child.hear()
        child.process.send_signal(number)
        assert child.finish() == -number
        assert server.call("status")["leased"] == 0
        assert "dropped" in endings(tmp_path) and "failed" not in endings(tmp_path), "no attempt is counted"
        other = Squares(server.url, Adder(1))
        assert other.run().partitions == 1 and other.computed == [5, 6, 7, 8, 9]


def test_who_catches_the_signal_hands_in_what_it_has_and_takes_nothing_more(tmp_path: Path) -> None:
    catching = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: say('caught'))\n"
    script = catching + TERMINATED.rpartition("Slow(")[0] + "say(f'{Slow(sys.argv[1]).run()}')"
    with served(Adder(3), tmp_path) as server, Child(script, server.url) as child:
        assert child.hear() == "at 5"
        child.process.send_signal(signal.SIGTERM)
        assert child.hear() == "caught"
        child.go_on()
        assert child.hear() == "2 partitions done, 6 tasks computed"
        status = server.call("status")
        assert (status["done"], status["waiting"], status["failed"]) == (2, 1, 0)


FORKING = """
from tests.tasks.stores import Adder, Squares

class Forking(Squares):
    def compute(self, index, task):
        if index == 5:
            child = os.fork()
            if child == 0:
                raise RuntimeError("in a child")
            os.waitpid(child, 0)
        return super().compute(index, task)

parent = os.getpid()
try:
    work = Forking(sys.argv[1], Adder(1)).run()
finally:
    if os.getpid() != parent:
        os._exit(0)
say(f"{work}")
"""


def test_a_forked_child_does_not_settle_what_its_parent_has(tmp_path: Path) -> None:
    with served(Adder(1), tmp_path) as server, Child(FORKING, server.url) as child:
        assert child.hear() == "1 partitions done, 10 tasks computed"
        assert endings(tmp_path) == ""


# -- bad input


def test_a_url_that_does_not_answer_is_tried_again_and_then_an_error() -> None:
    clock = HandClock()
    server = Server(f"http://127.0.0.1:{free_port()}", clock=clock)
    with pytest.raises(ServerUnreachable, match=r"within 20 s: ConnectionRefusedError.*tasks serve"):
        server.call("describe", patience_seconds=20.0)
    assert 5 < len(clock.slept) < 30 and sum(clock.slept) <= 20 and clock.slept[4] > 2 * clock.slept[0]


def test_the_command_says_that_nobody_answers_and_ends_with_4(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(remote, "_FIRST_PATIENCE_SECONDS", 0.3)
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setattr("sys.argv", ["multiprocesstools", "tasks", "work", "tests.tasks.stores:Squares", url])
    monkeypatch.setattr("sys.path", list(sys.path))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 4 and "did not answer within 0.3 s" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["http://", "http://user:secret@host", "http://host:99999", "http://host?token=x"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(BadArgument):
        Squares(url).run()


def test_an_option_of_run_directories_is_refused_for_a_url() -> None:
    with pytest.raises(BadArgument, match="max_attempts"):
        Squares("http://127.0.0.1:1", max_attempts=2).run()


def test_a_worker_of_another_store_is_refused(tmp_path: Path) -> None:
    with served(Adder(), tmp_path) as server, pytest.raises(StoresDiffer, match=r"Adder'? -> '?Other"):
        Squares(server.url, Adder(ident="Other")).run()


def test_without_the_token_nothing_is_said(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(TOKEN)
    wrong = tmp_path / "wrong"
    wrong.touch(0o600)
    wrong.write_text(TOKEN[:-1] + "x")
    with served(Adder(), tmp_path / "run", TOKEN, token_file=file) as server:
        for said in ({}, {"token_file": wrong}):
            with pytest.raises(ServerRefused, match="401 the token is missing or wrong"):
                Squares(server.url, **said).run()
        body = wire.call("exit", ())
        assert post(server, body)[0] == 401 and post(server, body, Authorization=f"Basic {TOKEN}")[0] == 401
        headers = [("Authorization", f"Bearer {TOKEN}")]
        with xmlrpc.client.ServerProxy(server.url, headers=headers) as plain:
            assert plain.describe()["ident"] == "Adder"
        assert Squares(server.url, token_file=file).run().partitions == 3


def test_another_address_needs_a_token(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match="a token is needed"):
        tasks.TaskManager(Adder(), tmp_path).serve("0.0.0.0", 0, progress=False)


@pytest.mark.parametrize(
    "options",
    [{"host": ""}, {"port": -1}, {"port": True}, {"port": 70000}, {"lease_seconds": 0}, {"lease_seconds": float("nan")},
     {"task_seconds": -1}, {"most_bytes": 1}, {"most_bytes": None}],
)  # fmt: skip
def test_a_server_that_cannot_be_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(BadArgument, match=next(iter(options))):
        tasks.TaskManager(Adder(), tmp_path).serve(**options)


def test_an_address_in_use_is_an_error_and_nothing_is_lost(tmp_path: Path) -> None:
    store = Adder()
    with served(Adder(), tmp_path / "one") as server:
        manager = tasks.TaskManager(store, tmp_path / "two", **QUICK)
        with pytest.raises(OSError, match=r"127.0.0.1:\d+: Address already in use.*port 0"):
            manager.serve(port=urlsplit(server.url).port, progress=False)
    assert Squares(tmp_path / "two", **QUICK).run().partitions == 3
    assert manager.collect().done == 3 and store.given == SQUARES


def test_two_servers_of_one_run_cannot_be(tmp_path: Path) -> None:
    with served(Adder(), tmp_path), pytest.raises(AlreadyCollecting, match="manager-"):
        tasks.TaskManager(Adder(), tmp_path).serve(port=0, progress=False)


def explode() -> None:
    os.mkdir(os.environ["BOMB"])


class Bomb:
    def __reduce__(self) -> Any:
        return explode, ()


def evil_results() -> dict[str, Any]:
    objects = io.BytesIO()
    numpy.save(objects, numpy.array([Bomb()]), allow_pickle=True)
    import base64

    packed = base64.b64encode(pickle.dumps(Bomb())).decode()
    head = {"format": 1, "ident": "Adder", "indices": list(range(10))}
    marked = head | {"results": [{"__multiprocesstools_pickle__": packed}] * 10}
    other, fewer = Parcel("Other"), Parcel("Adder")
    for index in range(10):
        other.add(index, 0)
    fewer.add(0, 0)
    return {
        "an array of objects": [objects.getvalue()] * 10,
        "a pickle": pickle.dumps(Bomb()),
        "a parcel with pickles": json.dumps(marked).encode(),
        "a dict that says it is a pickle": [{"__multiprocesstools_pickle__": packed}] * 10,
        "too few": [1] * 9,
        "too many": [1] * 11,
        "of another store": other.encode(),
        "of some tasks": fewer.encode(),
        "no list": {"a": 1},
        "no json": "[1",
        "bytes": b"",
        "deep": json.dumps([0] * 9)[:-1] + "," + "[" * 5000 + "]" * 5000 + "]",
    }


@pytest.mark.parametrize("kind", evil_results())
def test_results_that_cannot_be_are_refused_and_the_lease_goes_on(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pickled(Adder):
        pickles = True

    monkeypatch.setenv("BOMB", str(tmp_path / "bomb"))
    store = Pickled(1, ident="Adder")
    with served(store, tmp_path / "run") as server:
        task = server.call("get_task")
        with pytest.raises(ServerRefused):
            server.call("task_done", task["lease"], evil_results()[kind])
        assert server.call("task_done", task["lease"], squares_of(task)) == "accepted"
        wait_until(lambda: store.given == SQUARES, "the store is fed", 30)
    assert not (tmp_path / "bomb").exists()
    pickle.loads(pickle.dumps(Bomb()))
    assert (tmp_path / "bomb").exists(), "it would have been seen"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes small requests, and waits for what does not come for a moment only."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(listener, "DRAIN_SECONDS", 0.1)
        with served(Adder(), tmp_path_factory.mktemp("small"), most_bytes=100_000) as server:
            yield server


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        (b"", {}, "it is no XML-RPC"),
        (b"<methodCall>", {}, "it is no XML-RPC"),
        (wire.call("rm", ()), {}, "there is no method 'rm'"),
        (wire.call("call", ("exit", ())), {}, "there is no method 'call'"),
        (wire.call("__init__", ()), {}, "there is no method"),
        (wire.call("renew", ()), {}, "missing a required argument"),
        (wire.call("get_task", (1, 2, 3)), {}, "too many positional"),
        (wire.call("get_task", (["x"],)), {}, "worker must be a text"),
        (wire.call("renew", ("0-1-aaaaaaaa", -1)), {}, "tasks must be a whole number"),
        (wire.call("task_done", ("x", [])), {}, "is no lease"),
        (wire.call("task_done", ("999-1-aaaaaaaa", [])), {}, "there is no partition 999"),
        (gzip.compress(b"\0" * 50_000_000), {"Content-Encoding": "gzip"}, "400 it holds more than"),
        (b"x" * 20, {"Content-Encoding": "gzip"}, "400 it is no gzip"),
        (b"x", {"Content-Encoding": "br"}, "501 the encoding 'br'"),
        (b"x" * 200_000, {}, "413 a request may have"),
        (b"", {"Content-Length": "99999999999999999999999"}, "413 "),
        (b"", {"Content-Length": "-1"}, "411 "),
        (wire.call("exit", ()), {"Content-Type": "text/plain"}, "415 "),
        (wire.call("exit", ()), {"Host": "rebound.example:7080"}, "403 "),
        (wire.call("exit", ()), {"Host": "[::1"}, "403 "),
    ],
)  # fmt: skip
def test_requests_that_cannot_be_are_refused_in_words(
    small: Server, body: bytes, headers: dict[str, str], said: str
) -> None:
    status, reason, content = post(small, body, **headers)
    if status == 200:
        with pytest.raises(xmlrpc.client.Fault) as caught:
            wire.read_answer(content)
        assert said in caught.value.faultString
    else:
        assert f"{status} {reason}".startswith(said)
    assert small.call("describe")["ident"] == "Adder", "it goes on"


BEGUN = (b"", b"POST /RPC2 HT", b"POST /RPC2 HTTP/1.0\r\nX-Slow: ")


def test_clients_that_never_say_what_they_want_are_closed_and_the_others_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them sends a byte now and then, so that it is not silent; together they have all places."""
    monkeypatch.setattr(listener, "HEAD_SECONDS", 1.5)
    with served(Adder(), tmp_path) as server, ExitStack() as stack:
        address = ("127.0.0.1", urlsplit(server.url).port)
        slow = [stack.enter_context(socket.create_connection(address)) for _ in range(listener.MOST_CONNECTIONS)]
        for number, one in enumerate(slow):
            one.sendall(BEGUN[number % len(BEGUN)])
        with pytest.raises(ServerUnreachable):
            server.call("status")
        end = time.monotonic() + 30.0
        while slow and time.monotonic() < end:
            slow = [one for one in slow if dripped(one)]
            time.sleep(0.1)
        assert slow == []
        assert Squares(server.url).run().partitions == 3


def dripped(one: socket.socket) -> bool:
    """Could a byte be sent to somebody who still has the connection open?"""
    try:
        one.sendall(b"a")
        one.setblocking(False)
        return one.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def test_connections_for_which_there_is_no_thread_leave_their_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(*request: Any) -> None:
        raise RuntimeError("can't start new thread")

    with served(Adder(), tmp_path) as server:
        with monkeypatch.context() as poor:
            poor.setattr(socketserver.ThreadingMixIn, "process_request", no_thread)
            for _ in range(listener.MOST_CONNECTIONS):
                with pytest.raises(ServerUnreachable):
                    server.call("describe")
        assert server.call("describe")["ident"] == "Adder"


def test_who_disconnects_in_the_middle_leaves_no_trace(tmp_path: Path) -> None:
    store = Adder(1)
    with served(store, tmp_path) as server:
        task = server.call("get_task", "anna")
        body = wire.call("task_done", (task["lease"], squares_of(task)))
        head = f"POST /RPC2 HTTP/1.0\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        for sent in (head[:20], head, head + body[:-9], head + body[: len(body) // 2]):
            with socket.create_connection(("127.0.0.1", urlsplit(server.url).port)) as one:
                one.sendall(sent)
        assert (server.call("status")["done"], server.call("status")["leased"]) == (0, 1)
        with socket.create_connection(("127.0.0.1", urlsplit(server.url).port)) as one:
            one.sendall(head + body)  # whole, but nobody waits for the answer
        wait_until(lambda: store.given == SQUARES, "it counts", 30)
        assert server.call("task_done", task["lease"], squares_of(task)) == "accepted"
    assert store.calls == 1


def test_a_server_that_ends_answers_those_who_are_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the process would end first, and a worker that does not hear that all is over waits for the next server."""
    asked, ends, close, answered = threading.Event(), threading.Event(), Listener.server_close, list[bool]()
    leave, answer = Listener.shutdown, wire.answer

    def late_answer(value: Any) -> bytes:
        if value == {"late": True}:
            asked.set()
            assert ends.wait(30)
            time.sleep(0.3)
            answered.append(True)
        return answer(value)

    monkeypatch.setattr(Service, "describe", lambda service: {"late": True})
    monkeypatch.setattr(wire, "answer", late_answer)
    monkeypatch.setattr(Listener, "shutdown", lambda self: (leave(self), ends.set()))
    monkeypatch.setattr(Listener, "server_close", lambda self: (answered.append(False), close(self)))
    said = list[Any]()
    with served(Adder(), tmp_path) as server:
        asking = threading.Thread(target=lambda: said.append(server.call("describe")))
        asking.start()
        assert asked.wait(30)
    asking.join(30)
    assert answered == [True, False] and said == [{"late": True}]


def test_a_server_whose_disk_is_full_for_a_while_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, troubles = MultiProcessHelper.claim, [RunDirectoryUnusable(str(tmp_path), "No space left on device")]

    def claim_with_room(helper: MultiProcessHelper, *arguments: Any, **options: Any) -> Any:
        if troubles:
            raise troubles.pop()
        return claim(helper, *arguments, **options)

    with served(Adder(), tmp_path) as server:
        monkeypatch.setattr(MultiProcessHelper, "claim", claim_with_room)
        assert Squares(server.url).run().partitions == 3 and troubles == []


def test_results_that_are_too_large_are_a_clear_error_at_the_worker(tmp_path: Path) -> None:
    class Large(Squares):
        def compute(self, index: int, task: dict[str, Any]) -> Any:
            return "x" * 3000

    with served(Adder(1), tmp_path, most_bytes=20_000) as server:
        worker = Large(server.url, Adder(1))
        assert worker.run(max_partitions=1).failures == 1
        assert "the server takes 20,000; cut the store" in endings(tmp_path)


def test_results_that_cannot_be_written_fail_the_attempt(tmp_path: Path) -> None:
    class Strange(Squares):
        def compute(self, index: int, task: dict[str, Any]) -> Any:
            return object()

    with served(Adder(1), tmp_path) as server:
        assert Strange(server.url, Adder(1)).run(max_partitions=1).failures == 1
        assert "CannotSave: 'the result of task 0'" in endings(tmp_path)


class Matrix(Adder):
    def __init__(self) -> None:
        super().__init__()
        self.matrix = numpy.zeros(10)


@pytest.mark.parametrize(
    "name",
    ["/tmp/x.npz", "../x.npz", "a/../../x.npz", "x", "x.py", ".x.npz", ".multiprocesstools/x.npz", "", "out/x.npz",
     "no/x.npz"],
)  # fmt: skip
def test_a_client_writes_inside_of_the_run_directory_only(tmp_path: Path, name: str) -> None:
    run, outside = tmp_path / "run", tmp_path / "outside"
    outside.mkdir()
    with served(Matrix(), run) as server:
        (run / "out").symlink_to(outside)
        with pytest.raises(ServerRefused):
            server.call("save2file", name)
        assert server.call("save2file", "x.npz") == str(run / "x.npz") and (run / "x.npz").exists()
    assert list(outside.iterdir()) == [] and sorted(path.name for path in tmp_path.iterdir()) == ["outside", "run"]


def test_the_client_of_the_readme_does_all(tmp_path: Path) -> None:
    code = block("xmlrpc.client.ServerProxy")
    store = Adder(10)
    with served(store, tmp_path) as server:
        exec(code.replace("http://127.0.0.1:7080", server.url) + "server('close')()\n", {"print": print})
        wait_until(lambda: store.given == SQUARES, "the store is fed", 30)
