"""The desk of a server, by a clock that is moved by hand: what happens when the server itself cannot go on."""

import errno
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.run.directory import Run
from multiprocesstools.tasks.description import agree
from multiprocesstools.tasks.desk import KEPT, Desk
from multiprocesstools.tasks.shelf import Shelf
from tests.clocks import HandClock
from tests.tasks.stores import QUICK, Adder
from tests.tools import command, wait_until

LEASE_SECONDS = 60.0


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def helper(tmp_path: Path) -> Iterator[MultiProcessHelper]:
    with MultiProcessHelper("manager", tmp_path, **QUICK) as helper:
        yield helper


@pytest.fixture
def desk(helper: MultiProcessHelper, tmp_path: Path, clock: HandClock) -> Desk:
    run = Run(tmp_path, clock=clock)
    return Desk(helper, Shelf(run, agree(run, Adder(2), print)), lease_seconds=LEASE_SECONDS)


def endings(run: Path) -> str:
    return "".join(path.read_text() for path in run.glob("partitions/.*.ended-*"))


def tick(desk: Desk, clock: HandClock, seconds: int) -> None:
    for _ in range(seconds):
        clock.sleep(1.0)
        desk.expire()


def test_a_server_that_was_stopped_condemns_no_worker_that_it_could_not_hear(
    desk: Desk, clock: HandClock, tmp_path: Path
) -> None:
    held, dead = desk.take("anna").lease, desk.take("bert").lease
    tick(desk, clock, 10)
    clock.sleep(3600.0)  # the machine was suspended, or the disk did not answer
    desk.expire()
    tick(desk, clock, 20)
    assert desk.renew(held.name, 1), "it comes to its renewal now"
    assert "LeaseExpired" not in endings(tmp_path)
    tick(desk, clock, 20)
    assert desk.renew(held.name, 2) and not desk.renew(dead.name, 0)
    assert "LeaseExpired: worker bert" in endings(tmp_path) and "worker anna" not in endings(tmp_path)


def test_what_the_disk_has_no_room_for_is_written_later_and_nothing_stays_in_hand(
    desk: Desk, clock: HandClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = desk.take("anna").lease

    def full(run: Run, path: str, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", path)

    with monkeypatch.context() as without_room:
        without_room.setattr(Run, "replace", full)
        assert desk.give_back(first.name, b"")
        again = [desk.take(name).lease for name in ("bert", "carl")]
        assert sorted(lease.number for lease in again) == [0, 1]
        desk.expire()
    assert caplog.text.count("No space left") == 1
    assert leases(tmp_path) == ["anna"]
    desk.expire()
    assert sorted(leases(tmp_path)) == ["bert", "carl"]


def leases(run: Path) -> list[Any]:
    return [worker for _, worker, *_ in json.loads((run / ".multiprocesstools/leases.json").read_text())["leases"]]


def test_a_late_result_in_a_pause_is_kept_for_later_and_keeps_nobody_waiting(
    desk: Desk, helper: MultiProcessHelper, tmp_path: Path
) -> None:
    late, other = desk.take("anna").lease, desk.take("bert").lease
    assert desk.give_back(late.name, b"")
    command("pause", tmp_path)
    wait_until(lambda: helper.paused, "the pause is known")
    said = list[str]()
    handing = threading.Thread(target=lambda: said.append(desk.accept(late.name, [0, 1, 4, 9, 16])), daemon=True)
    handing.start()
    handing.join(10)
    assert said == [KEPT] and desk.renew(other.name, 1)
    command("resume", tmp_path)
    wait_until(lambda: not helper.paused, "it goes on")
    grant = desk.take("carl")
    assert grant.lease.number == late.number and grant.kept.indices == [0, 1, 2, 3, 4]
