"""Sixteen real processes under torture keep every promise; and a detector that could not fire would prove nothing."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.processes import Child, command, names, run_to_end
from tests.proof.figures import Figures
from tests.proof.torture import rounds as torture
from tests.proof.torture.ends import Beside, read_run, untrue
from tests.proof.torture.judge import Doubles, judge_finals
from tests.proof.torture.observer import Watch
from tests.proof.torture.setting import Setting, accurate, suspicious
from tests.proof.torture.story import Seal, read_final, sealed, shelves
from tests.proof.torture.witnesses import Audit, Beats, Execution, Sightings, sightings

FOREVER = float("inf")
ITEM = "shelf00/0.txt"


@pytest.mark.timeout(400)
def test_nothing_is_lost_done_twice_partial_or_replaced_under_torture() -> None:
    with_zombies, without = torture.run(short=True)
    for row in (with_zombies, without):
        assert row.clean, row.notes
        for what in ("SIGKILL", "SIGTERM", "items that killed their process"):
            assert row.tried[what] > 0, what
        assert row.tried["processes"] > 16
        assert row.tried["seconds of a full disk"] > 0 or "the disk was never full" in " ".join(row.notes)
    assert with_zombies.tried["SIGSTOP past patience"] > 0
    assert without.tried["SIGSTOP within patience"] > 0
    assert without.tried["SIGSTOP past patience"] == without.tried["takeovers after false suspicion"] == 0
    assert saw_takeovers(with_zombies)


def saw_takeovers(row: Figures) -> bool:
    """Were living owners suspected? On a machine so busy that nobody can observe for long, more rounds are needed."""
    takeovers = row.tried["takeovers after false suspicion"]
    for seed in range(100, 104):
        if takeovers:
            break
        (row,) = torture.rows([suspicious(50)], rounds=1, seed=seed)
        assert row.clean, row.notes
        takeovers = row.tried["takeovers after false suspicion"]
    return takeovers > 0


# -- the detectors, with workers that are broken on purpose


def broken(setting: Callable[..., Setting], how: str, **changes: Any) -> torture.Outcome:
    """A small round whose workers break a promise; nobody disturbs them but the items and the command."""
    return torture.play(setting(50, processes=6, broken=how, acts=(("call", 1),), full_seconds=0.0, **changes), seed=1)


@pytest.mark.timeout(400)
def test_finals_that_zombies_replace_are_noticed() -> None:
    """Items stop their processes, which are resumed when the others have taken over and found everything done."""
    slow = {"beat_seconds": 0.6, "patience_seconds": 3.0, "stop_itself_seconds": (60.0, 90.0), "torment_seconds": 60.0}
    outcome = broken(suspicious, "finals are replaced", **slow)
    assert outcome.tried["takeovers after false suspicion"] > 0
    assert outcome.replaced


@pytest.mark.timeout(400)
def test_claims_that_are_ignored_are_noticed_by_both_witnesses() -> None:
    outcome = broken(accurate, "claims are ignored")
    assert outcome.by_audit
    assert outcome.by_lock


@pytest.mark.timeout(400)
def test_finals_that_are_written_in_place_are_noticed() -> None:
    assert broken(accurate, "written in place").partial


@pytest.mark.timeout(400)
def test_items_that_are_set_aside_too_early_are_noticed() -> None:
    lost = broken(accurate, "one failure is enough").lost
    assert {"shelf00/12.txt", "shelf00/17.txt"} <= lost  # these two raise only once


# -- the judge of two owners, with audits that are made up


def execution(attempt: int, starts: float, **facts: Any) -> Execution:
    made = {"who": attempt, "item": ITEM, "asked": starts - 0.1, "process_over": FOREVER} | facts
    return Execution(attempt=attempt, starts=starts, **made)


def beating(silence: tuple[float, float]) -> list[tuple[float, float]]:
    """The spans of beats, five a second, except for one silence."""
    begin, end = silence
    before = [(begin - k / 5, begin - k / 5 + 0.18) for k in range(50, 0, -1)]
    return [*before, (begin, end - 0.02), *((end + k / 5, end + k / 5 + 0.18) for k in range(50))]


def sights(*silences: tuple[int, float, float], appeared: float | None = None, by: int = 1) -> Sightings:
    """Process k is instance k. silences: (instance, from, until) in which its beat stood still."""
    spans = {k: beating((begin, until)) for k, begin, until in silences}
    first = {} if appeared is None else {ITEM: {"at": appeared, "attempt": by, "whole": True}}
    return Sightings(first, {}, Beats(spans, patience_seconds=1.0))


def judged(found: list[Execution], seen: Sightings) -> SimpleNamespace:
    """How many pairs are reported by the audits, by the locks, and explained by a suspicion."""
    double = Doubles(found, {one.who: one.who for one in found}, seen)
    return SimpleNamespace(audit=len(double.by_audit), lock=len(double.by_lock), fine=len(double.suspected))


DONE = {"how": "wrote", "left": 12.0, "fate": "done", "fate_at": 12.1}
CASES = {
    "the first owner is at work": ({"process_over": 20.0}, 15.0, sights(), (1, 0)),
    "the first owner was silent": ({"process_over": 20.0}, 15.0, sights((1, 11.0, 13.0)), (0, 1)),
    "the first owner was silent for too short a time": ({}, 15.0, sights((1, 11.0, 11.8)), (1, 0)),
    "the silence began too late": ({}, 15.0, sights((1, 14.5, 17.0)), (1, 0)),
    "the silence was over before the claim": ({}, 15.0, sights((1, 5.0, 9.0)), (1, 0)),
    "the first owner is dead": ({"process_over": 14.0}, 15.0, sights(), (0, 0)),
    "the first attempt has raised": ({"how": "raised", "left": 12.0}, 15.0, sights(), (0, 0)),
    "the first attempt has raised, later": ({"how": "raised", "left": 16.0}, 15.0, sights(), (1, 0)),
    "the first attempt could not publish": (DONE | {"fate": "failed"}, 15.0, sights(), (0, 0)),
    "the first attempt has published": (DONE, 15.0, sights(), (1, 0)),
    "the first attempt had published before the silence": (DONE, 20.0, sights((1, 13.0, 19.0)), (1, 0)),
    "the silence was over before the first attempt published": (DONE, 20.0, sights((1, 10.1, 11.9)), (0, 1)),
    "the final is there": ({"how": "wrote", "left": 12.0, "process_over": 14.0}, 15.0, sights(appeared=13.0), (1, 0)),
}


@pytest.mark.parametrize(("first", "second_starts", "seen", "expected"), CASES.values(), ids=CASES)
def test_a_second_attempt_is_judged_by_the_end_of_the_first(
    first: dict[str, Any], second_starts: float, seen: Sightings, expected: tuple[int, int]
) -> None:
    answer = judged([execution(1, 10.0, **first), execution(2, second_starts)], seen)
    assert (answer.audit, answer.fine) == expected


def test_no_suspicion_explains_two_executions_of_one_attempt() -> None:
    twice = [execution(1, 10.0), execution(1, 15.0, who=2)]
    assert judged(twice, sights((1, 11.0, 13.0), (2, 11.0, 13.0))).audit == 1


def test_whoever_meets_the_lock_of_an_unsuspected_process_is_reported() -> None:
    met = [execution(1, 10.0, process_over=20.0), execution(2, 15.0, met=[(1, 1)])]
    assert judged(met, sights()).lock == 1
    assert judged(met, sights((1, 11.0, 13.0))).lock == 0


# -- the judge of set-aside items


@pytest.mark.parametrize(
    ("ends", "wrong"),
    [
        (["failed"] * 3, ""),
        (["failed", "failed"], "set aside after"),
        (["failed"] * 4, "set aside after"),
        (["fatal"], ""),
        (["failed", "died", "failed"], "died, but Execution"),
        (["failed", "", "failed", "failed"], "claims [1, 2, 3, 4], but ends [1, 3, 4]"),
    ],
    ids=["three failures", "two", "four", "fatal", "a death of the living", "a gap"],
)
def test_the_account_of_an_item_that_was_set_aside_is_checked(ends: list[str], wrong: str) -> None:
    ended = {k: how for k, how in enumerate(ends, 1) if how}
    claims, written = set(range(1, len(ends) + 1)), dict.fromkeys(ended, 20.0)
    beside = SimpleNamespace(claims=claims, ended=ended, ended_at=written, counted=ends, state="failed")
    known = {
        (ITEM, k): execution(k, 10.0, how="fatal" if how == "fatal" else "raised", process_over=30.0)
        for k, how in ended.items()
    }
    found = untrue(ITEM, beside, known, lambda execution, at: False)
    assert wrong in " ".join(found)
    assert bool(found) == bool(wrong)


def test_only_attempts_after_the_last_retry_count() -> None:
    tried = Beside(claims={1, 2, 3, 4}, ended=dict.fromkeys((1, 2, 3, 4), "failed"), retries={3})
    assert tried.state == "open"


# -- the observer and the end check


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[SimpleNamespace]:
    run, notes = tmp_path / "run", tmp_path / "watched"
    for folder in shelves(50)[0].folders:
        (run / folder).mkdir(parents=True)
    watcher = Watch(run, Audit(notes))
    watcher.add("shelf00")
    yield SimpleNamespace(run=run, final=run / ITEM, look=watcher.look, seen=lambda: sightings(notes, 1.0))
    os.close(watcher.descriptor)


def publish(watched: SimpleNamespace, attempt: int = 1) -> Execution:
    """As the package does it: a link to a complete hidden file. The audit of the writer."""
    staging = watched.final.with_name(f".mpt-{attempt}.0.txt")
    staging.write_bytes(sealed(Seal(ITEM, attempt, attempt, 4711), b"result"))
    inode = staging.stat().st_ino
    if attempt == 1:
        os.link(staging, watched.final)
        staging.unlink()
    else:
        os.replace(staging, watched.final)
    watched.look()
    return execution(attempt, 10.0, how="wrote", left=11.0, fate="done", inodes={ITEM: inode})


def verdict(watched: SimpleNamespace, *found: Execution) -> tuple[int, int]:
    """How many finals are partial, and how many were replaced."""
    watched.look()
    finals = judge_finals(watched.run, 50, list(found), watched.seen())
    assert finals.complaints == []
    return len(finals.partial), len(finals.replaced)


def test_a_final_that_is_published_once_is_fine(watched: SimpleNamespace) -> None:
    assert verdict(watched, publish(watched)) == (0, 0)


def test_a_final_that_another_one_replaces_is_noticed(watched: SimpleNamespace) -> None:
    assert verdict(watched, publish(watched), publish(watched, attempt=2)) == (0, 1)


def test_a_final_that_is_removed_is_noticed(watched: SimpleNamespace) -> None:
    found = publish(watched)
    watched.final.unlink()
    assert verdict(watched, found) == (0, 1)


def test_a_final_that_is_written_to_later_is_noticed(watched: SimpleNamespace) -> None:
    found = publish(watched)
    watched.final.write_bytes(sealed(Seal(ITEM, 1, 1, 4711), b"another result"))
    assert verdict(watched, found) == (0, 1)


def test_a_final_with_another_inode_than_its_writer_says_is_noticed(watched: SimpleNamespace) -> None:
    found = publish(watched)
    found.inodes[ITEM] += 1
    assert verdict(watched, found) == (0, 1)


def test_a_final_of_an_unknown_writer_is_noticed(watched: SimpleNamespace) -> None:
    publish(watched)
    assert verdict(watched) == (0, 1)


def test_half_a_final_is_noticed_even_if_it_is_completed_later(watched: SimpleNamespace) -> None:
    data = sealed(Seal(ITEM, 1, 1, 4711), b"result")
    with open(watched.final, "wb", buffering=0) as file:
        file.write(data[:10])
        watched.look()
        file.write(data[10:])
    found = execution(1, 10.0, how="wrote", fate="done", inodes={ITEM: watched.final.stat().st_ino})
    assert read_final(str(watched.final))[0] is not None
    assert verdict(watched, found)[0] == 1


def test_what_is_left_beside_a_finished_item_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "shelf00").mkdir()
    for name in ("0.txt", ".0.txt.claim-1", ".1.txt.claim-1", ".mpt-00.1.txt"):
        (tmp_path / "shelf00" / name).touch()
    state, litter = read_run(tmp_path, 50)
    assert sorted(litter) == ["shelf00/.0.txt.claim-1", "shelf00/.mpt-00.1.txt"]
    assert (state[ITEM].state, state["shelf00/1.txt"].claims) == ("done", {1})


# -- what torture has brought to light

KILLED_IN_ITS_FIRST_PLAN = """
with helper() as mph:
    os.rename = lambda *names, **options: os.kill(os.getpid(), signal.SIGKILL)
    next(iter(items(mph, [1])))
"""


def test_cleanup_removes_what_a_process_that_was_killed_while_it_wrote_a_plan_has_left(tmp_path: Path) -> None:
    run_to_end(tmp_path, "with helper() as mph:\n    mph.claim('first').give_back()")
    with Child(tmp_path, KILLED_IN_ITS_FIRST_PLAN) as child:
        code = child.finish()
    home = tmp_path / ".multiprocesstools"
    if code != -signal.SIGKILL or not any(name.startswith(".mpt-") for name in names(home)):
        pytest.fail("the process was not killed where it should have been")
    command("cleanup", tmp_path, "--force")
    assert [name for name in names(home) if name.startswith(".mpt-")] == []
