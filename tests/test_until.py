"""`items(until=…)`: nothing is begun that would not finish, and what is left is for others."""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.errors import BadArgument, OutOfTime, StopRequested
from multiprocesstools.loop.until import Limit, measured, wall_end
from multiprocesstools.run.directory import Run
from tests.clocks import HandClock
from tests.tools import tree

NOW = HandClock().wall()


def work(
    run: Path, clock: HandClock, seconds: Callable[[int], float], until: Any, count: int = 10, **options: Any
) -> list[int]:
    """Which items a loop does that take so many seconds each, by a clock that is moved by hand."""
    done = []
    with MultiProcessHelper("until", run, durable=False) as mph:
        mph._run.clock = mph._crew.latest_member.instance.clock = clock
        options = {"progress": False, "order": "given", "final": "{value}.txt"} | options
        for item in mph.items(range(count), until=until, **options):
            with item:
                clock.now += seconds(item.source)
                done.append(item.source)
                item.path.write_text("x")
    return done


def test_nothing_is_begun_that_would_not_finish(tmp_path: Path) -> None:
    clock = HandClock()
    assert work(tmp_path, clock, lambda n: 10, timedelta(seconds=45)) == [0, 1, 2, 3]
    assert clock.now == 1040.0, "a fifth one would have ended after the end"
    assert work(tmp_path, clock, lambda n: 10, None) == [4, 5, 6, 7, 8, 9], "what is left is for others"


def test_the_first_item_is_begun_before_anything_was_measured(tmp_path: Path) -> None:
    assert work(tmp_path, HandClock(), lambda n: 100, timedelta(seconds=45)) == [0]


def test_after_the_end_nothing_is_begun(tmp_path: Path) -> None:
    assert work(tmp_path, HandClock(), lambda n: 1, timedelta(seconds=-1)) == []
    assert work(tmp_path, HandClock(), lambda n: 1, timedelta(seconds=1000)) == list(range(10))


def test_what_the_journals_have_measured_counts_before_the_first_item(tmp_path: Path) -> None:
    with MultiProcessHelper("until", tmp_path) as mph:
        journal = mph._crew.member().journal
        for seconds in (100, 200):
            journal.add("done", item="results/a.txt", attempt=1, seconds=seconds)
        journal.add("done", item="elsewhere/a.txt", attempt=1, seconds=9000)
        journal.add("failed", item="results/b.txt", attempt=1, seconds=9000)
        journal.add("done", item="results/b.txt", attempt=1, seconds="long")
        journal.flush()
    run = Run(tmp_path)
    assert measured(run, [f"{run.directory}/results"]) == [100, 200]
    options = {"directory": "results"}
    assert work(tmp_path, HandClock(), lambda n: 1, timedelta(seconds=199), **options) == []
    assert work(tmp_path, HandClock(), lambda n: 1, timedelta(seconds=203), count=2, **options) == [0, 1]


def test_an_outlier_among_many_does_not_keep_everybody_from_working() -> None:
    clock = HandClock()
    limit = Limit(clock, clock.wall() + 50, [1.0] * 18 + [1000.0])
    assert limit.seconds == 1000 and limit.is_near()
    limit = Limit(clock, clock.wall() + 50, [1.0] * 99 + [1000.0])
    assert limit.seconds == 1 and not limit.is_near()


def test_a_failure_says_only_that_an_item_takes_as_long_at_least() -> None:
    limit = Limit(HandClock(), NOW + 50)
    assert limit.seconds is None
    limit.note(7, whole=False)
    limit.note(1, whole=False)
    assert limit.seconds == 7
    for _ in range(2000):
        limit.note(2, whole=True)
    assert limit.seconds == 2, "only the latest count"


def test_a_clock_that_is_set_while_the_loop_runs_changes_nothing() -> None:
    clock = HandClock()
    limit = Limit(clock, clock.wall() + 50, [1.0])
    clock.offset += 86_400
    assert not limit.is_near()
    clock.now += 49.5
    assert limit.is_near()


def test_a_chunk_that_would_not_finish_is_given_back(tmp_path: Path) -> None:
    assert work(tmp_path, HandClock(), lambda n: 10, timedelta(seconds=35), chunk=10) == [0, 1, 2]
    assert work(tmp_path, HandClock(), lambda n: 10, None, chunk=10) == list(range(3, 10))


def test_waiting_for_others_ends_too(tmp_path: Path) -> None:
    with MultiProcessHelper("other", tmp_path) as other:
        assert other.claim("0.txt") is not None
        assert work(tmp_path, HandClock(), lambda n: 1, timedelta(seconds=30), count=2) == [1]


def test_the_loop_says_why_it_ended_and_nothing_is_merged_of_a_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with MultiProcessHelper("until", tmp_path) as mph:
        for item in mph.items(range(3), final="{value}", until=datetime.now(UTC) - timedelta(seconds=1)):
            raise AssertionError(item)
        assert "is near; what is left is for others: 0 done here" in capsys.readouterr().err
        with pytest.raises(OutOfTime, match="'total' was left alone") as caught:
            mph.once("total", lambda path: path.touch())
        assert isinstance(caught.value, StopRequested)
        for item in mph.items(range(3), final="{value}", until=timedelta(hours=1)):
            with item:
                item.path.touch()
        assert mph.once("total", lambda path: path.touch()).exists()


def test_once_returns_what_is_there_also_when_time_was_short(tmp_path: Path) -> None:
    with MultiProcessHelper("until", tmp_path) as mph:
        total = mph.once("total", lambda path: path.touch())
        assert list(mph.items(range(3), final="{value}", until=timedelta(0))) == []
        assert mph.once("total", lambda path: path.unlink()) == total


@pytest.mark.parametrize(
    ("until", "seconds"),
    [
        (timedelta(hours=1), 3600),
        (datetime.fromtimestamp(NOW + 60, UTC), 60),
        (datetime.fromtimestamp(NOW + 60), 60),
        (NOW + 60, 60),
        (int(NOW) + 60, 60),
    ],
    ids=["timedelta", "datetime with a zone", "datetime in local time", "timestamp", "whole timestamp"],
)
def test_an_end_may_be_given_in_several_ways(until: Any, seconds: float) -> None:
    assert wall_end(until, HandClock(), {}) == pytest.approx(NOW + seconds, abs=1)


@pytest.mark.parametrize(
    ("until", "reason"),
    [
        (3600, "timedelta"),
        (True, "must be a datetime"),
        (math.nan, "no Unix timestamp"),
        (math.inf, "no Unix timestamp"),
        ("tomorrow", "walltime"),
        (time.localtime(), "must be a datetime"),
        (datetime.max, "no such time"),
        (timedelta.max, "no such time"),
    ],
    ids=repr,
)
def test_what_is_no_end_is_refused_before_anything_is_recorded(tmp_path: Path, until: Any, reason: str) -> None:
    with MultiProcessHelper("until", tmp_path) as mph:
        before = tree(tmp_path / ".multiprocesstools" / "plans")
        with pytest.raises(BadArgument, match=reason):
            mph.items(range(3), final="{value}", until=until)
        assert tree(tmp_path / ".multiprocesstools" / "plans") == before


def test_the_end_of_a_slurm_job_is_its_walltime() -> None:
    assert wall_end("walltime", HandClock(), {"SLURM_JOB_END_TIME": "1795641404"}) == 1795641404


def test_an_older_slurm_is_helped_by_a_line_in_the_job_script() -> None:
    with pytest.raises(BadArgument, match=r"older versions.*squeue -h -j \$SLURM_JOB_ID"):
        wall_end("walltime", HandClock(), {"SLURM_JOB_ID": "7"})


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "SLURM_JOB_END_TIME (of Slurm) is not set"),
        ({"SLURM_JOB_END_TIME": "UNLIMITED"}, "'UNLIMITED', which is no time"),
        ({"SLURM_JOB_END_TIME": "0"}, "'0', which is no time"),
        ({"PBS_JOBID": "1"}, "PBS, in whose job this runs"),
        ({"LSB_JOBID": "1"}, "LSF, in whose job this runs"),
        ({"SGE_TASK_ID": "1"}, "Grid Engine, in whose job this runs"),
    ],
    ids=str,
)
def test_where_no_walltime_is_found_it_is_said_where_it_was_looked_for(environment: dict[str, str], words: str) -> None:
    with pytest.raises(BadArgument) as caught:
        wall_end("walltime", HandClock(), environment)
    assert words in str(caught.value) and "timedelta from now" in str(caught.value)
