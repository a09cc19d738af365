"""`explain`: every state on real directories, by the rule that decided it, and nothing that was not seen."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.claims import ended as ended_files
from multiprocesstools.claims import identity, record
from multiprocesstools.claims.ended import Ended, Outcome
from multiprocesstools.claims.record import Beat, Record
from multiprocesstools.claims.survey import Rule
from multiprocesstools.errors import SeveralItems, UnknownItem
from multiprocesstools.report.explanation import explanation_text, what_next, why
from multiprocesstools.run.directory import Run
from multiprocesstools.upkeep.explain import Explanation, explain
from multiprocesstools.upkeep.lookup import nearest
from multiprocesstools.upkeep.retry import retry
from tests.clocks import HandClock
from tests.processes import Child, events, wait_until
from tests.tools import command, tree

ID = "0123456789abcdef" * 2


def told(run: Path, name: str, *, clock: HandClock | None = None, observe_seconds: float = 3.0) -> Explanation:
    """The explanation, which changes nothing."""
    before = tree(run)
    answer = explain(Run(run, clock=clock or HandClock()), name, observe_seconds=observe_seconds)
    assert tree(run) == before or isinstance(clock, Beating)
    return answer


def begin(run: Path, work: Callable[[Any], None] = lambda item: item.drop(), count: int = 1, **options: Any) -> None:
    """A list of items "0.txt", ... in out, on which a loop works."""
    with MultiProcessHelper("test", run, loggers=[], durable=False) as mph:
        for item in mph.items(
            range(count), final="{value}.txt", directory="out", progress=False, wait=False, **options
        ):
            with item:
                work(item)


def done(item: Any) -> None:
    item.path.write_text("x")


def broken(item: Any) -> None:
    raise ValueError("no \x1b[2J luck\nsecond line")


def end(run: Path, attempt: int, outcome: Outcome, **facts: Any) -> None:
    (run / "out" / f".0.txt.ended-{attempt}").write_bytes(ended_files.encode(Ended(outcome, **facts)))


def remote(run: Path, beat: int = 1) -> Record:
    """The record of an instance on another machine, as its claim of 0.txt and in its place."""
    who = replace(identity.current(), host="elsewhere", machine="other", boot="other", pid=77)
    own = Record(ID, "far", 9, who, 1.0, Beat(beat, beat))
    path = run / ".multiprocesstools" / "instances" / "far-9"
    path.write_bytes(record.encode(own))
    (run / "out" / ".0.txt.claim-1").unlink(missing_ok=True)
    os.link(path, run / "out" / ".0.txt.claim-1")
    return own


class Beating(HandClock):
    """While somebody sleeps, the instance on the other machine beats."""

    def __init__(self, run: Path, own: Record) -> None:
        super().__init__()
        self._path, self._own = run / ".multiprocesstools" / "instances" / "far-9", own

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        count = int(self.now)
        with self._path.open("r+b") as file:
            file.write(record.encode(replace(self._own, beat=Beat(count, count))))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with a list of two items that nobody has tried."""
    run = tmp_path / "run"
    with MultiProcessHelper("test", run) as mph:
        mph.items(range(2), final="{value}.txt", directory="out", progress=False)
    return run


# -- states


def test_an_untried_item_is_free_for_everybody(run: Path) -> None:
    answer = told(run, "out/0.txt")
    assert (answer.state, answer.rule, answer.attempts, answer.owner) == ("free", Rule.UNTRIED, [], None)
    assert answer.lists == ["{value}.txt (2 items of test)"] and "whoever is started next takes it" in what_next(answer)


def test_a_finished_item_is_done_and_its_journal_says_by_whom(run: Path) -> None:
    begin(run, done)
    answer = told(run, "0.txt")
    assert (answer.state, answer.rule, answer.leftovers) == ("done", Rule.FINAL_THERE, False)
    assert [entry.text.split()[0] for entry in answer.events] == ["done"]
    remote(run)
    assert told(run, "0.txt").leftovers and "`multiprocesstools cleanup" in what_next(told(run, "0.txt"))


def test_a_failed_item_shows_every_attempt(run: Path) -> None:
    begin(run, broken)
    answer = told(run, "0.txt")
    assert (answer.state, answer.rule, answer.attempt) == ("failed", Rule.USED_UP, 3)
    assert "3 attempts failed or died" in why(answer) and "multiprocesstools retry" in what_next(answer)
    assert [(a.number, a.outcome, a.counts, a.end and a.end.pid) for a in answer.attempts] == [
        (number, "failed", True, os.getpid()) for number in (1, 2, 3)
    ]
    assert all(a.seconds is not None and a.end and "ValueError" in a.end.traceback for a in answer.attempts)
    text = explanation_text(answer)
    assert r"no \x1b[2J luck" in text and "\x1b" not in text and "second line" not in text.partition("journals:")[0]


@pytest.mark.parametrize(
    ("ends", "state", "rule"),
    [
        ([Outcome.FATAL], "failed", Rule.FATAL),
        ([Outcome.DIED, Outcome.FAILED, Outcome.DIED], "failed", Rule.USED_UP),
        ([Outcome.INTERRUPTED] * 10, "failed", Rule.INTERRUPTED_OFTEN),
        ([Outcome.SKIPPED], "skipped", Rule.SKIPPED),
        ([Outcome.DROPPED] * 5, "free", Rule.ATTEMPTS_LEFT),
        ([Outcome.INTERRUPTED] * 9, "free", Rule.ATTEMPTS_LEFT),
        ([Outcome.DIED, Outcome.FAILED], "free", Rule.ATTEMPTS_LEFT),
    ],
    ids=["fatal", "used up", "interrupted", "skipped", "dropped", "interrupted seldom", "attempts left"],
)
def test_the_rule_is_the_one_that_decided(run: Path, ends: list[Outcome], state: str, rule: Rule) -> None:
    for number, outcome in enumerate(ends, start=1):
        end(run, number, outcome)
    answer = told(run, "0.txt")
    assert (answer.state, answer.rule, len(answer.attempts)) == (state, rule, len(ends))
    assert [a.outcome for a in answer.attempts] == [outcome.value for outcome in ends]
    counted = sum(outcome in (Outcome.DIED, Outcome.FAILED, Outcome.FATAL) for outcome in ends)
    assert sum(a.counts for a in answer.attempts) == counted and why(answer)


def test_after_a_retry_the_attempts_do_not_count(run: Path) -> None:
    begin(run, broken)
    assert retry(Run(run), (str(run / "out" / "0.txt"),)) == ["out/0.txt"]
    answer = told(run, "0.txt")
    assert (answer.state, answer.rule, answer.last_retry) == ("free", Rule.RETRIED, 3)
    assert not any(a.counts for a in answer.attempts) and "takes it as attempt 4" in what_next(answer)


def test_planted_attempts_are_said_to_be_planted(run: Path) -> None:
    end(run, 9999, Outcome.FAILED)
    assert told(run, "0.txt").rule == Rule.PLANTED


def test_every_rule_has_words(run: Path) -> None:
    answer = told(run, "0.txt")
    texts = {why(replace(answer, rule=rule.value)) for rule in Rule}
    assert len(texts) == len(Rule) and not any("not known why" in text for text in texts)


# -- owners


def test_of_a_process_of_this_machine_it_is_proved_that_it_lives_or_is_gone(run: Path) -> None:
    script = """
    with helper() as mph:
        item = mph.claim("0.txt", directory="out")
        say("ready")
        wait()
    """
    with Child(run, script) as child:
        child.hear("ready")
        wait_until(lambda: events(run, "claimed", number=2), "the journal has the claim, at most a second late")
        clock = HandClock()
        answer = told(run, "0.txt", clock=clock)
        owner = answer.owner
        assert owner is not None and (owner.pid, owner.here, owner.sight) == (child.pid, True, "alive")
        assert answer.state == "running" and clock.slept == [], "a proof needs no watching"
        assert "lives on this machine" in why(answer) and owner.claimed is not None and owner.instance == "test-2"
        child.kill()
    answer = told(run, "0.txt")
    assert answer.state == "stale" and answer.owner is not None and answer.owner.sight == "gone"
    assert "gone, which is proved" in why(answer) and "as attempt 2" in what_next(answer)


def test_of_an_owner_elsewhere_only_what_was_seen_is_said(run: Path) -> None:
    own = remote(run)
    answer = told(run, "0.txt")
    assert answer.state == "running" and answer.owner is not None and not answer.owner.here
    assert "unchanged for 3.0 s of watching" in why(answer) and "after 300 s without a sign of life" in what_next(
        answer
    )
    beating = told(run, "0.txt", clock=Beating(run, own))
    assert beating.state == "running" and "a beat was seen after 0.2 s" in why(beating)
    silent = told(run, "0.txt", observe_seconds=301)
    assert silent.state == "stale" and "longer than the patience" in why(silent)


def test_a_claim_that_nobody_can_read_has_an_unknown_owner(run: Path) -> None:
    (run / "out" / ".0.txt.claim-1").write_bytes(b"garbage")
    answer = told(run, "0.txt")
    assert answer.state == "running" and "does not say whose it is; unchanged for 3.0 s" in why(answer)
    assert "owner: unknown" in explanation_text(answer)


def test_an_item_that_is_finished_while_it_is_looked_at_is_done(run: Path) -> None:
    own = remote(run)

    class Finishing(Beating):
        def sleep(self, seconds: float) -> None:
            (run / "out" / "0.txt").touch()
            (run / "out" / ".0.txt.claim-1").unlink()

    assert told(run, "0.txt", clock=Finishing(run, own)).state == "done"


# -- chunks, in place, open directories, several lists


def test_an_item_of_a_chunk_is_its_owners_of_the_chunk(tmp_path: Path) -> None:
    script = """
    with helper() as mph:
        for item in items(mph, range(4), chunk=4):
            with item:
                say("at", item.source)
                wait()
                item.path.touch()
    """
    with Child(tmp_path, script) as child:
        child.hear("at 0")
        wait_until(lambda: events(tmp_path, "claimed"), "the journal has the claim, at most a second late")
        first, last = told(tmp_path, "0.txt"), told(tmp_path, "3.txt")
        assert first.state == last.state == "running" and first.chunk == last.chunk != ""
        assert "was not begun until" in what_next(last) and "finishes it" in what_next(first)
        assert "(it holds the chunk)" in explanation_text(last)
        child.send(15)
        child.finish()
    answer = told(tmp_path, "3.txt")
    assert (answer.state, answer.rule, answer.attempts[0].outcome) == ("free", Rule.ATTEMPTS_LEFT, "dropped")


def test_what_is_written_in_place_does_not_count_until_it_is_complete(tmp_path: Path) -> None:
    script = """
    mph = helper()
    mph.create_directory("out")
    assert mph.create_temp_file("x.csv", "x.tmp", "out")
    Path(RUN, "out", "x.csv").write_text("half")
    say("ready")
    wait()
    """
    with Child(tmp_path, script) as child:
        child.hear("ready")
        answer = told(tmp_path, "x.csv")
        assert answer.state == "running" and "is being written in place" in explanation_text(answer)
        child.kill()
    assert "was left half written in place" in explanation_text(told(tmp_path, "x.csv"))
    with Child(tmp_path, script) as child:
        child.hear("ready")
        answer = told(tmp_path, "out/x.csv")
        assert answer.partials == ["out/.x.csv.partial-1"] and "yours to delete" in explanation_text(answer)
        assert [a.outcome for a in answer.attempts] == ["died", "open"]


def test_an_item_of_several_lists_names_all_of_them(run: Path) -> None:
    with MultiProcessHelper("more", run) as mph:
        mph.items(range(1), final="out/{value}.txt", progress=False)
        mph.claim("1.txt", directory="out")
    lists = told(run, "0.txt").lists
    assert {"{value}.txt (2 items of test)", "out/{value}.txt (1 items of more)"} <= set(lists)


# -- which item


@pytest.mark.parametrize("name", ["0.txt", "out/0.txt", "./out/0.txt", "out//0.txt"])
def test_an_item_is_named_in_several_ways(run: Path, name: str) -> None:
    assert told(run, name).item == told(run, str(run / "out" / "0.txt")).item == "out/0.txt"


def test_an_unknown_item_names_the_nearest(run: Path) -> None:
    answer = command("explain", run, "out/0.tx")
    assert answer.returncode == 2 and "no item 'out/0.tx' of this run is known; nearest: out/0.txt" in answer.stderr
    with pytest.raises(UnknownItem) as caught:
        explain(Run(run), "10.txt")
    assert set(caught.value.nearest) == {"out/0.txt", "out/1.txt"}


def test_a_name_that_several_items_have_is_asked_for(run: Path) -> None:
    with MultiProcessHelper("test", run) as mph:
        mph.items(range(1), final="other/{value}.txt", progress=False)
    with pytest.raises(SeveralItems, match=r"items are called '0\.txt'; which one: out/0\.txt, other/0\.txt"):
        explain(Run(run), "0.txt")
    assert told(run, "other/0.txt").item == "other/0.txt"


def test_the_nearest_of_very_many_are_found_quickly() -> None:
    names = [f"results/img{number:06}_words.csv" for number in range(50_000)]
    assert nearest("img012345_word.csv", lambda: names)[0] == "results/img012345_words.csv"
    assert nearest("\x00", lambda: iter(names)) == names[:3]


def test_the_command_tells_it_to_people_and_programs(run: Path) -> None:
    begin(run, broken)
    text = command("explain", run, "0.txt")
    assert text.returncode == 0 and text.stdout.startswith("out/0.txt: failed, attempt 3\n  why: 3 attempts failed")
    facts = json.loads(command("explain", run, "0.txt", "--json").stdout)
    assert facts["rule"] == "used up" and facts["why"] and facts["next"] and facts["attempts"][2]["seconds"] >= 0
    assert command("explain", run / "no", "0.txt").returncode == 4
    assert command("explain", run, "0.txt", "--observe", "-1").returncode == 2
