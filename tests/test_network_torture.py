"""Random faults on real NFS clients break no promise; and a detector that could not fire would prove nothing."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from multiprocesstools.items.failure import Failure
from tests.labs.nfs import require_nfs_lab
from tests.proof.figures import Figures
from tests.proof.network import nfs
from tests.proof.network import observer as network_observer
from tests.proof.network import report as network_report
from tests.proof.network.judge import Deaths, Execution, Finals, Silence, Verdict, judge, read_finals, read_silences
from tests.proof.network.observer import Watch
from tests.proof.network.report import gather, litter, report
from tests.proof.network.schedule import Kind, long_plans, short_plans
from tests.proof.network.worker import (
    OUTPUTS,
    REFUSALS,
    Lines,
    Process,
    Refusals,
    content,
    is_complete,
    raises_always,
)

FAULTS = [Kind.CRASH, Kind.PAUSE, Kind.CUT, Kind.SHORT_PAUSE, Kind.CLOCK, Kind.KILL, Kind.SERVER_CRASH]


@pytest.mark.lab
@pytest.mark.timeout(600)
def test_nothing_is_lost_done_twice_partial_or_replaced_on_nfs_under_random_faults() -> None:
    require_nfs_lab()
    rows = nfs.run(short=True)
    assert [row.part for row in rows] == ["NFS v4.2", "NFS v3"]
    for row in rows:
        assert row.clean, "\n".join(row.notes)
        assert [fault for fault in FAULTS if not row.tried.get(fault)] == []
        assert row.tried["items"] <= row.tried["executions"]
        assert row.tried["set aside as planned"] == sum(map(raises_always, range(row.tried["items"])))
        assert row.tried["litter beside finished items"] == 0, row.notes
    assert sum(row.tried["taken over from the dead"] for row in rows) > 0


def test_long_plans_hold_every_fault_and_are_the_same_for_the_same_seed() -> None:
    plans = long_plans(1, ("n1", "n2", "n3", "n4"), 20.0, 400.0)
    assert {fault.kind for plan in plans.values() for fault in plan} == set(Kind)
    assert (
        plans
        == long_plans(1, ("n1", "n2", "n3", "n4"), 20.0, 400.0)
        != long_plans(2, ("n1", "n2", "n3", "n4"), 20.0, 400.0)
    )
    assert {fault.kind for plan in short_plans(10.0).values() for fault in plan} == {*FAULTS} - {Kind.PAUSE}


# -- the judge

ME, OTHER = Process("n1", "boot1", 1), Process("n2", "boot2", 2)
FIRST = Execution(ME, 5, 1, began=10.0, until=12.0)
SECOND = Execution(OTHER, 5, 2, began=3.0)


def verdict(*executions: Execution, silences: tuple[Silence, ...] = (), deaths: Deaths | None = None) -> Verdict:
    return judge(executions, silences, deaths or Deaths(), 8.0)


def test_two_owners_of_one_attempt_are_never_excused() -> None:
    twin = Execution(OTHER, 5, 1, began=3.0)
    found = verdict(FIRST, twin, silences=(Silence(ME, 9.0, 30.0),), deaths=Deaths(frozenset({ME, OTHER})))
    assert len(found.twice) == 1 and "two owners" in found.twice[0]


def test_a_second_attempt_without_a_reason_counts_as_twice() -> None:
    assert len(verdict(FIRST, SECOND).twice) == 1


def test_a_second_attempt_after_an_exception_is_right() -> None:
    raised = Execution(ME, 5, 1, began=10.0, until=12.0, raised=True)
    assert verdict(raised, SECOND) == Verdict()


@pytest.mark.parametrize(
    "deaths", [Deaths(processes=frozenset({ME})), Deaths(boots=frozenset({"boot1"}))], ids=["process", "machine"]
)
def test_only_the_item_in_hand_is_taken_over_from_the_dead(deaths: Deaths) -> None:
    last = Execution(ME, 5, 1, began=10.0)
    assert verdict(last, SECOND, deaths=deaths) == Verdict(taken_over=1)
    assert len(verdict(FIRST, SECOND, deaths=deaths).twice) == 1  # it had begun another item after this one


@pytest.mark.parametrize(
    ("silence", "excused"),
    [
        pytest.param(Silence(ME, 11.0, 20.0), True, id="in the middle"),
        pytest.param(Silence(ME, 11.0, 18.0), False, id="too short"),
        pytest.param(Silence(ME, 1.0, 9.9), True, id="between the claim and the work"),
        pytest.param(Silence(ME, 0.5, 8.9), False, id="before it was claimed"),
        pytest.param(Silence(ME, 12.1, 30.0), False, id="after the next one began"),
        pytest.param(Silence(OTHER, 11.0, 20.0), False, id="of another process"),
    ],
)
def test_only_a_long_silence_during_the_work_excuses_a_suspicion(silence: Silence, excused: bool) -> None:
    found = verdict(FIRST, SECOND, silences=(silence,))
    assert (found.suspected, len(found.twice)) == ((1, 0) if excused else (0, 1))


def test_silences_are_read_from_all_parts_of_a_pulse_and_torn_lines_do_not_count(tmp_path: Path) -> None:
    pulse, audit = tmp_path / "pulse", tmp_path / "audit"
    pulse.mkdir()
    audit.mkdir()
    (pulse / f"{ME}.0").write_text("1.0\n2.0\n")
    (pulse / f"{ME}.1").write_text("12.5\n13.")
    silences = [Silence(ME, 1.0, 2.0), Silence(ME, 2.0, 12.5)]
    assert read_silences(pulse, audit) == silences
    (audit / f"{ME}.0").write_text("start 5 1 3.0\nend 5 1 12.0\n")
    assert read_silences(pulse, audit) == silences
    with (audit / f"{ME}.0").open("a") as file:
        file.write("start 6 1 30.0\nend 6 1 31.")
    assert read_silences(pulse, audit) == [*silences, Silence(ME, 12.5, 30.0)]


# -- the observer


def write(directory: Path, item: int, writer: str) -> Path:
    path = directory / f"{item}.txt"
    path.write_text(content(item, writer))
    return path


def said(watch: Watch) -> Finals:
    return read_finals(f"{line}\n" for line in watch.look())


def test_the_observer_sees_a_replaced_a_changed_and_a_vanished_final(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    for item in range(3):
        write(tmp_path, item, "me")
    lines = [f"{line}\n" for line in watch.look()]
    assert (len(lines), watch.look()) == (3, [])
    path = tmp_path / "private"
    path.write_text(content(0, "me"))  # the same content: another file all the same
    path.rename(tmp_path / "0.txt")
    write(tmp_path, 1, "another")  # in place: the inode is the same
    (tmp_path / "2.txt").unlink()
    finals = read_finals([*lines, *(f"{line}\n" for line in watch.look())])
    assert (finals.replaced, finals.partial) == ({0, 1, 2}, set())


def test_a_final_that_is_replaced_while_the_server_is_down_is_noticed(tmp_path: Path) -> None:
    write(tmp_path, 0, "me")
    before = [f"{line}\n" for line in Watch(tmp_path).look()]
    write(tmp_path, 0, "other")
    assert read_finals([*before, *(f"{line}\n" for line in Watch(tmp_path).look())]).replaced == {0}


def test_the_observer_sees_a_partial_final(tmp_path: Path) -> None:
    path = write(tmp_path, 0, "me")
    path.write_bytes(path.read_bytes()[:-1])
    assert said(Watch(tmp_path)).partial == {0}
    assert is_complete(0, content(0, "me").encode()) and not is_complete(1, content(0, "me").encode())


# -- the report


def test_an_item_without_a_final_is_lost_unless_it_was_set_aside(tmp_path: Path) -> None:
    make_run(tmp_path)
    write(tmp_path / OUTPUTS, 0, "me")
    for attempt, outcome in enumerate(["failed", "died", "dropped"], 1):
        (tmp_path / OUTPUTS / f".1.txt.ended-{attempt}").write_text(f'{{"outcome": "{outcome}"}}')
        (tmp_path / OUTPUTS / f".2.txt.ended-{attempt}").write_text('{"outcome": "failed"}')
    row = report("part", {}, gather(tmp_path, 4, Deaths(), 8.0), Finals())
    assert row.lost == 2  # 1 may be tried again, of 3 there is no trace
    assert len([note for note in row.notes if "is lost" in note]) == 2


def make_run(run: Path) -> None:
    for folder in ("audit", "pulse", REFUSALS, OUTPUTS):
        (run / folder).mkdir()


SEEN = SimpleNamespace(
    failures=[
        Failure("out/7.txt", 1, "Planned('as planned')", ""),
        Failure(
            "out/5.txt", 1, "OSError(116, 'Stale file handle')", 'Traceback:\n  File "w.py", line 3, in work\n    x\n'
        ),
    ]
)
"""What a helper has seen fail."""


def test_an_attempt_that_the_filesystem_has_refused_is_over_and_told_with_its_reason(tmp_path: Path) -> None:
    make_run(tmp_path)
    write(tmp_path / OUTPUTS, 5, "me")
    audit = Lines(tmp_path / "audit", ME)
    refusals = Refusals(audit, Lines(tmp_path / REFUSALS, ME))
    for attempt in (1, 2):
        audit.add("start", 5, attempt, "1.0")
        audit.add("end", 5, attempt, "2.0")
        refusals.note(SEEN)  # type: ignore[arg-type]
    row = report("part", {}, gather(tmp_path, 0, Deaths(), 8.0), Finals())
    assert (row.twice, row.tried["executions"], row.tried["failed attempts not planned"]) == (0, 2, 1)
    assert row.notes == [
        f"attempt 1 at item 5 failed on {ME}: OSError(116, 'Stale file handle') (File \"w.py\", line 3, in work)"
    ]


def test_only_what_belongs_to_finished_items_is_litter() -> None:
    names = {"1.txt", ".1.txt.claim-1", ".1.txt.ended-12", ".mpt-0a-1.1.txt", ".2.txt.claim-1", ".mpt-0a-1.2.txt"}
    assert litter(names) == [".1.txt.claim-1", ".1.txt.ended-12", ".mpt-0a-1.1.txt"]


# -- all of it, with real processes on the local disk, whose package is broken on purpose

ITEMS = 30
IMPORTS = """
import os, shutil, time
from multiprocesstools.claims.posix import PosixDisk
from tests.proof.network import worker as network_worker
"""
SABOTAGE = {
    "nothing": "",
    "claims are ignored": """
        def link(disk, source, target, link=PosixDisk.link):
            if not (".claim-" in target and os.path.exists(target)):
                link(disk, source, target)
        PosixDisk.link = link
    """,
    "finals are replaced": """
        def link(disk, source, target, link=PosixDisk.link):
            link(disk, source, target)
            if target.endswith(".txt"):
                time.sleep(0.3)
                shutil.copy(source, source + ".copy")
                os.rename(source + ".copy", target)
        PosixDisk.link = link
    """,
    "finals are partial": """
        network_worker.content = lambda item, writer, content=network_worker.content: content(item, writer)[:-1]
    """,
}


@contextmanager
def observed(run: Path, said: Path) -> Iterator[None]:
    command = [sys.executable, "-m", network_observer.__name__, str(run / OUTPUTS)]
    with said.open("w") as file, subprocess.Popen(command, stdout=file, cwd=network_root()) as observer:
        try:
            yield
        finally:
            observer.kill()


def network_root() -> Path:
    return Path(network_report.__file__).parents[3]


def run_broken(how: str, folder: Path) -> Figures:
    """Three workers on the local disk."""
    code = f"{IMPORTS}{textwrap.dedent(SABOTAGE[how])}\nnetwork_worker.main()\n"
    run = folder / "run"
    command = [sys.executable, "-c", code, str(run), "--items", str(ITEMS), "--beat", "1", "--patience", "30"]
    with observed(run, folder / "said"):
        workers = [
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=network_root())
            for _ in range(3)
        ]
        codes = [worker.wait(60) for worker in workers]
    assert codes == [0, 0, 0]
    last = [f"{line}\n" for line in Watch(run / OUTPUTS).look()]
    finals = read_finals([*(folder / "said").read_text().splitlines(keepends=True), *last])
    return report(how, {}, gather(run, ITEMS, Deaths(), 28.0), finals)


def test_workers_of_an_unbroken_package_are_found_to_break_nothing(tmp_path: Path) -> None:
    row = run_broken("nothing", tmp_path)
    assert row.clean and row.notes == []
    assert row.tried["executions"] > ITEMS and row.tried["set aside as planned"] == 1


def some_run_broken(how: str, folder: Path) -> Iterator[Figures]:
    """Up to five runs: on a busy machine workers may start one after the other, and never meet."""
    for number in range(5):
        place = folder / str(number)
        place.mkdir()
        yield run_broken(how, place)


def test_claims_that_exclude_nobody_are_noticed(tmp_path: Path) -> None:
    row = next(row for row in some_run_broken("claims are ignored", tmp_path) if row.twice > 0)
    assert any('"event": ' in note for note in row.notes)  # what the journals say of it


def test_finals_that_replace_others_are_noticed(tmp_path: Path) -> None:
    assert any(row.replaced > 0 for row in some_run_broken("finals are replaced", tmp_path))


def test_finals_that_are_published_half_written_are_noticed(tmp_path: Path) -> None:
    row = run_broken("finals are partial", tmp_path)
    assert row.partial >= ITEMS - 2 and not row.twice
