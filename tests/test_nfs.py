"""On real NFS clients, each a kernel of its own: nothing is done twice or lost, whatever dies, stalls or misreads time.

One lab for each NFS version, with default mount options. What happened is judged by the audit of `labs/workload.py` and
by the files on the server's disk; the journals of the package are only asked what the package believed.
"""

import fnmatch
import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.labs import workload
from tests.labs.nfs import SHARED, Finished, NfsLab, Running, require_nfs_lab, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

BEAT_SECONDS = 2
PATIENCE_SECONDS = 15
LEASE_SECONDS = 10
"""Below patience, as in life (90 s and 300 s): after a stop longer than the lease, a client of v4 may need one more.
Ten is the least that the kernel accepts."""
HOUR_SECONDS = timedelta(hours=1).total_seconds()
LITTER = (".*.claim-*", ".*.ended-*", ".*.retry-*", ".*.direct", ".*.partial-*", ".mpt-*", "*/.mpt-*")


@pytest.fixture(scope="module", params=["4.2", "3"], ids=["v4.2", "v3"])
def lab(request: pytest.FixtureRequest) -> Iterator[NfsLab]:
    require_nfs_lab()
    with NfsLab(nodes=4, version=request.param, lease_seconds=LEASE_SECONDS) as lab:
        lab.assert_lease()
        yield lab


@dataclass(frozen=True)
class Work:
    """One line of the audit."""

    what: str
    item: int
    host: str
    pid: int
    wall_clock: float


def audit(text: str) -> list[Work]:
    fields = [line.split() for line in text.splitlines()]
    return [Work(what, int(item), host, int(pid), float(clock)) for what, item, host, pid, clock in fields]


@dataclass(frozen=True)
class Run:
    """A run directory as the server had it on its disk."""

    folder: Path

    @cached_property
    def work(self) -> list[Work]:
        return [line for file in sorted(self.folder.glob("audit/*.log")) for line in audit(file.read_text())]

    @cached_property
    def starts(self) -> Counter[int]:
        return Counter(line.item for line in self.work if line.what == "start")

    @cached_property
    def ends(self) -> Counter[int]:
        return Counter(line.item for line in self.work if line.what == "end")

    @cached_property
    def journal(self) -> list[dict[str, Any]]:
        files = sorted(self.folder.glob("multiprocesstools_logs/*.jsonl"))
        lines = [line for file in files for line in file.read_text().splitlines(keepends=True)]
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def events(self, *names: str) -> list[dict[str, Any]]:
        return [line for line in self.journal if line["event"] in names]

    def records_of(self, host: str) -> list[str]:
        """The records of instances on this host that still lie in the run directory."""
        files = self.folder.glob(".multiprocesstools/instances/*")
        return [file.name for file in files if json.loads(file.read_text())["host"] == host]

    @property
    def litter(self) -> list[str]:
        names = [str(path.relative_to(self.folder)) for path in self.folder.rglob("*")]
        return sorted(name for name in names if is_litter(name))

    def assert_all_done(self, items: int) -> None:
        """Every final is there and complete."""
        finals = {int(path.stem): path.read_text() for path in self.folder.glob("[0-9]*.txt")}
        assert sorted(finals) == list(range(items))
        assert [item for item, text in finals.items() if text != workload.content(item)] == []

    def assert_worked_on_once(self, items: int) -> None:
        """By the audit every item was begun once and ended once, and by the journals it was."""
        assert self.starts == dict.fromkeys(range(items), 1)
        assert self.ends == self.starts
        assert len(self.events("done")) == items

    def assert_nobody_taken_for_dead(self) -> None:
        """No journal tells of a takeover or a loss, and no attempt is a second one: nothing was written off as died."""
        assert self.events("taken over", "lost") == []
        assert {line["attempt"] for line in self.events("claimed")} == {1}


def is_litter(name: str) -> bool:
    return any(fnmatch.fnmatch(part, pattern) for pattern in LITTER for part in (name, name.rpartition("/")[2]))


def start_loop(lab: NfsLab, node: str, run: str, *options: object) -> Running:
    timing = ["--beat", str(BEAT_SECONDS), "--patience", str(PATIENCE_SECONDS)]
    script = Path(workload.__file__)
    return lab.start(node, [lab.python, script, SHARED / run, *timing, *map(str, options)])


def finish(loops: list[Running], timeout: float = 60) -> None:
    for loop in loops:
        loop.wait(timeout).check()


def audit_on_server(lab: NfsLab, run: str) -> list[Work]:
    return audit(lab.read_on_server(f"{run}/audit/*.log"))


def count(lab: NfsLab, run: str, what: str, *hosts: str) -> int:
    return sum(line.what == what and line.host in hosts for line in audit_on_server(lab, run))


def wait_for_starts(lab: NfsLab, run: str, number: int, *hosts: str) -> None:
    """Wait until each of these hosts has begun this number of items."""
    wait_until(
        lambda: all(count(lab, run, "start", host) >= number for host in hosts),
        30,
        f"{number} starts on each of {hosts}",
    )


def release(lab: NfsLab, run: str, *nodes: str) -> None:
    for node in nodes:
        lab.run(node, ["touch", workload.release_file(run)]).check()


def test_a_node_is_heard_although_the_network_has_a_new_port(lab: NfsLab) -> None:
    """The lab itself: the boot of another node brings a port with a new address, which may be the lowest."""
    namespace = (lab.directory / "ns" / "pid").read_text().strip()
    port = ["nsenter", "-t", namespace, "-n", "ip", "link", "set", "c14", "address"]
    subprocess.run([*port, "00:16:3e:00:00:02"], check=True)
    says = lab.start("n1", "echo hello; sleep 3; echo done")
    wait_until(lambda: says.output == "hello\n", 20, "the node has said hello")
    subprocess.run([*port, "00:16:3e:00:00:01"], check=True)
    assert says.wait(30).check().output == "hello\ndone\n"


def test_a_thousand_items_on_four_nodes_are_done_once_each(lab: NfsLab, tmp_path: Path) -> None:
    loops = [start_loop(lab, node, "many", "--items", 1000, "--sleep", 0.01) for node in lab.nodes]
    wait_until(
        lambda: any(is_litter(name) for name in lab.list_on_server("many")),
        30,
        "a claim can be seen while items are worked on",
    )
    finish(loops)

    seen = assert_done_once_each_by_living_owners(lab, "many", 1000, tmp_path)
    assert {line.host for line in seen.work} == set(lab.nodes), "one node did not take part"


def test_pause_and_resume_reach_the_loops_on_other_clients_in_a_moment(lab: NfsLab, tmp_path: Path) -> None:
    """The name that a resume removes is learnt from a listing: a client may remember it for up to a minute."""
    mpt = [lab.python, "-m", "multiprocesstools"]
    loops = [start_loop(lab, node, "paused", "--items", 2000, "--sleep", 0.05) for node in ("n1", "n2")]
    wait_for_starts(lab, "paused", 1, "n1", "n2")
    for turn in (1, 2):
        lab.run("n3", [*mpt, "pause", SHARED / "paused"]).check()
        wait_until(lambda: noted(lab, "paused") == 2 * turn, 10 * BEAT_SECONDS, "both are paused")  # noqa: B023
        assert "at the next beat" in lab.run("n4", [*mpt, "resume", SHARED / "paused"]).check().output
        wait_until(lambda: noted(lab, "resumed") == 2 * turn, 10 * BEAT_SECONDS, "both go on")  # noqa: B023
    lab.run("n3", [*mpt, "stop", SHARED / "paused"]).check()
    finish(loops)
    seen = Run(lab.snapshot("paused", tmp_path / "seen"))
    assert seen.starts == seen.ends and set(seen.starts.values()) == {1} and seen.litter == []


def test_a_request_is_heard_although_a_listing_fell_between_two_changes_of_one_tick(lab: NfsLab) -> None:
    """The lab's server counts time in ticks of 10 ms. A client that lists after the first of two changes in one tick
    takes its listing for fresh until the directory changes in another. The listener answers in a file, whose size tells
    of each answer: in a directory two answers of one tick would be such changes themselves."""
    lab.run("n1", [lab.python, "-c", _A_RUN, SHARED / "ticks", SHARED / "heard"]).check()
    listening = lab.start("n1", [lab.python, "-c", _HEAR, SHARED / "ticks", SHARED / "heard"])
    asking = [lab.python, "-c", _ASK, SHARED / "ticks", SHARED / "heard", REQUESTS]
    told = lab.run("n2", asking, timeout=180).check().output
    assert told.split() == ["heard"] * REQUESTS
    assert json.loads(listening.wait(60).check().output) == {"asked": REQUESTS, "taken back": REQUESTS}


REQUESTS = 20
_A_RUN = """
import sys
from multiprocesstools.run.directory import Run
Run(sys.argv[1]).prepare()
open(sys.argv[2], "x").close()
"""
_ASK = """
import sys, time
from multiprocesstools.run.directory import Run
from multiprocesstools.run.requests import PAUSE, request, withdraw

DEAF_SECONDS = 10  # a busy machine may keep the listener waiting for half a second; what is hidden stays so

def heard(what):
    limit = time.monotonic() + DEAF_SECONDS
    while what not in open(sys.argv[2]).read().splitlines():
        if time.monotonic() > limit:
            return False
        time.sleep(0.05)
    return True

run = Run(sys.argv[1])
for number in range(1, int(sys.argv[3]) + 1):
    request(run, PAUSE)
    asked = heard(f"asked {number}")
    taken_back = withdraw(run, PAUSE) and heard(f"taken back {number}")
    print("heard" if asked and taken_back else "deaf")
    if not (asked and taken_back):
        break
run.replace(f"{run.home}/over", b"1")
time.sleep(0.3)
run.replace(f"{run.home}/over", b"2")
"""
_HEAR = """
import json, sys
from multiprocesstools.claims.held import Held
from multiprocesstools.run.directory import Run
home = Held(Run(sys.argv[1]).home)
heard, before = {"asked": 0, "taken back": 0}, False
while "over" not in (names := {entry.name for entry in home.list()}):
    if ("pause" in names) != before:
        before = not before
        what = "asked" if before else "taken back"
        heard[what] += 1
        with open(sys.argv[2], "a") as answers:
            print(what, heard[what], file=answers)
print(json.dumps(heard))
"""


def noted(lab: NfsLab, event: str) -> int:
    """How often the journals have an event."""
    return lab.read_on_server("paused/multiprocesstools_logs/nfs-*.jsonl").count(f'"event": "{event}"')


def test_the_items_of_a_killed_node_are_finished_by_the_others_after_patience(lab: NfsLab, tmp_path: Path) -> None:
    items = 300
    common = ("--items", items, "--sleep", 0.02)
    doomed = start_loop(lab, "n2", "killed", *common, "--hold-at", 20)
    wait_for_starts(lab, "killed", 20, "n2")  # before the others, who might leave it too little
    others = [start_loop(lab, node, "killed", *common) for node in ("n1", "n3", "n4")]
    wait_for_starts(lab, "killed", 1, "n1", "n3", "n4")
    try:
        killed = time.monotonic()
        lab.kill("n2")
        assert doomed.wait(10).code == NfsLab.LOST
        [held] = held_items(audit_on_server(lab, "killed"), "n2")
        wait_until(lambda: starts_of(lab, "killed", held) == 2, 45, "the dead node's item begun by another")
        silence = time.monotonic() - killed
        finish(others)
    finally:
        lab.boot("n2")

    # The last beat that was seen may have been written one beat before the machine died.
    assert PATIENCE_SECONDS - BEAT_SECONDS - 0.5 < silence < 3 * PATIENCE_SECONDS
    run = Run(lab.snapshot("killed", tmp_path / "before"))
    run.assert_all_done(items)
    assert run.ends == dict.fromkeys(range(items), 1)
    assert run.starts - run.ends == {held: 1}, "an item whose owner lived was worked on twice"
    # Two may write the end of one attempt: the second when the first has done the item and cleared up already.
    assert {(line["item"], line["attempt"]) for line in run.events("taken over")} == {(f"{held}.txt", 1)}
    assert [name for name in run.litter if name.startswith(".mpt-")], "the dead node left no staging file to clean up"

    assert run.records_of("n2"), "the dead node's record cannot be seen"

    said = cleanup(lab, "killed").output
    swept = Run(lab.snapshot("killed", tmp_path / "swept"))
    assert swept.litter == []
    assert swept.records_of("n2"), "silence on another machine is no proof, yet the record was removed"
    assert "on n2" in said and "--force" in said, "what waits for --force is not named"
    cleanup(lab, "killed", "--force").check()
    forced = Run(lab.snapshot("killed", tmp_path / "forced"))
    assert forced.records_of("n2") == []
    forced.assert_all_done(items)


def cleanup(lab: NfsLab, run: str, *options: str) -> Finished:
    return lab.run("n1", [lab.python, "-m", "multiprocesstools", "cleanup", SHARED / run, *options])


def held_items(lines: list[Work], host: str) -> list[int]:
    states = {line.item: line.what for line in lines if line.host == host}
    return [item for item, what in states.items() if what == "start"]


def starts_of(lab: NfsLab, run: str, item: int) -> int:
    return sum(line.what == "start" and line.item == item for line in audit_on_server(lab, run))


def test_clocks_that_are_an_hour_off_and_jump_change_nothing(lab: NfsLab, tmp_path: Path) -> None:
    """n2 is ahead, n3 behind, then the other way round, while both hold an item and the others watch for patience."""
    items = 200
    common = ("--items", items, "--sleep", 0.02)
    with lab.skewed({"n2": HOUR_SECONDS, "n3": -HOUR_SECONDS}):
        loops = [start_loop(lab, node, "clocks", *common, "--hold-at", 15) for node in ("n2", "n3")]
        wait_for_starts(lab, "clocks", 15, "n2", "n3")  # before the others, who might leave them too little
        loops += [start_loop(lab, node, "clocks", *common) for node in ("n1", "n4")]
        with lab.skewed({"n2": -2 * HOUR_SECONDS, "n3": 2 * HOUR_SECONDS}):
            wait_until(
                lambda: count(lab, "clocks", "end", *lab.nodes) == items - 2, 30, "only the two held items are left"
            )
            time.sleep(PATIENCE_SECONDS + 1.5 * BEAT_SECONDS)  # the watchers' patience runs out, if they are wrong
            release(lab, "clocks", "n2", "n3")
            finish(loops)

    seen = assert_done_once_each_by_living_owners(lab, "clocks", items, tmp_path)
    true = [line.wall_clock for line in seen.work if line.host == "n1"]
    for host, signs in {"n2": [1, -1], "n3": [-1, 1]}.items():
        mine = [line.wall_clock for line in seen.work if line.host == host]
        shifts = [round((clock - true[0]) / HOUR_SECONDS) for clock in (mine[0], mine[-1])]
        assert shifts == signs, "the clocks were not wrong as intended"


def test_a_server_that_stops_for_longer_than_patience_makes_no_live_owner_look_dead(
    lab: NfsLab, tmp_path: Path
) -> None:
    """Two loops at once: in one all nodes work when the server stops, in the other two watch what two others hold."""
    items = 400
    watch = [start_loop(lab, node, "watch", "--items", 4, "--hold-at", 1) for node in ("n2", "n3")]
    wait_for_starts(lab, "watch", 1, "n2", "n3")
    watch += [start_loop(lab, node, "watch", "--items", 4) for node in ("n1", "n4")]
    load = [start_loop(lab, node, "load", "--items", items, "--sleep", 0.05) for node in lab.nodes]
    wait_until(lambda: count(lab, "watch", "end", "n1", "n4") == 2, 30, "only the two held items are left")
    wait_for_starts(lab, "load", 10, *lab.nodes)

    lab.server_stop()
    time.sleep(1.4 * PATIENCE_SECONDS)
    with lab.paused("n2", "n3"):  # the owners' network recovers later than the watchers'
        lab.server_start()
        assert count(lab, "load", "end", *lab.nodes) < items, "the load was over before the server stopped"
        time.sleep(
            2 * BEAT_SECONDS
        )  # the watchers look at the claims, and would take them over if they counted the stop
    finish(load)
    release(lab, "watch", "n2", "n3")
    finish(watch)

    assert_done_once_each_by_living_owners(lab, "load", items, tmp_path)
    assert_done_once_each_by_living_owners(lab, "watch", 4, tmp_path)


def test_a_server_that_crashes_with_its_replies_costs_no_item_and_no_worker(lab: NfsLab, tmp_path: Path) -> None:
    """What it had carried out stays, every reply of its last moment is lost, and with v4 every node has to reclaim.

    So every worker asks again for what was done already. One whose claim it was may overlook it, and the item has
    another attempt then; the work itself is done once.
    """
    items, crashes = 800, 2
    load = [start_loop(lab, node, "crash", "--items", items, "--sleep", 0.02) for node in lab.nodes * 2]
    for crash in range(1, crashes + 1):
        wait_for_starts(lab, "crash", 10 * crash, *lab.nodes)
        with lab.deaf(*lab.nodes):
            time.sleep(0.5)
            assert count(lab, "crash", "end", *lab.nodes) < items, "the load was over before the server crashed"
            lab.server_crash()
        lab.server_boot()
    finish(load, timeout=90)
    seen = Run(lab.snapshot("crash", tmp_path / "crash"))
    seen.assert_worked_on_once(items)
    seen.assert_all_done(items)
    assert seen.events("taken over", "lost") == []
    overlooked = [line for line in seen.events("claimed") if line["attempt"] > 1]
    assert len(overlooked) <= crashes * len(load), "each worker has one request under way when the server crashes"
    assert seen.litter == []


def assert_done_once_each_by_living_owners(lab: NfsLab, run: str, items: int, tmp_path: Path) -> Run:
    seen = Run(lab.snapshot(run, tmp_path / run))
    seen.assert_worked_on_once(items)
    seen.assert_all_done(items)
    seen.assert_nobody_taken_for_dead()
    assert seen.litter == []
    return seen
