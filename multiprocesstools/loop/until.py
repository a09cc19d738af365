"""When a loop has to be over (`items(until=…)`), and whether one more item would finish before that.

What an item takes is estimated by the 95th percentile (nearest rank) of what was measured: by this instance, and before
it by others, as the ends of the run's journals say. Of fewer than 20 items that is the longest one; of more, a single
outlier does not keep everybody from working. Before anything was measured, an item is begun.

Guarantee: nothing is begun when less time is left than that. Condition: an item in twenty may take longer; then the
signal at the end of the job gives it back. The end is a wall-clock time, which is converted once, at the start of the
loop, to a clock that does not jump.
"""

import math
import os
from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from multiprocesstools.clock import Clock
from multiprocesstools.display.text import duration
from multiprocesstools.errors import BadArgument
from multiprocesstools.run.directory import Run
from multiprocesstools.run.journal import latest_events

Until = datetime | timedelta | float | str | None

WALLTIME = "walltime"
_END_OF_JOB = "SLURM_JOB_END_TIME"
_SET_END = f'`export {_END_OF_JOB}=$(date -d "$(squeue -h -j $SLURM_JOB_ID -o %e)" +%s)`'
_OTHER_SYSTEMS = {"PBS_JOBID": "PBS", "LSB_JOBID": "LSF", "SGE_TASK_ID": "Grid Engine"}
_EARLIEST_SECONDS, _LATEST_SECONDS = 1e9, 1e11  # the years 2001 and 5138; less was meant as a length of time
_SHARE = 0.95
_MOST_MEASURED = 1000
_MOST_JOURNALS, _END_BYTES = 64, 1 << 16


class Limit:
    """The end of a loop. `known`: seconds that items took before."""

    def __init__(self, clock: Clock, end: float, known: Iterable[float] = ()) -> None:
        """`end` is a wall-clock time."""
        self._clock, self._wall = clock, end
        self._end = clock.elapsed() + end - clock.wall()
        self._latest = deque(known, maxlen=_MOST_MEASURED)
        self._sorted = sorted(self._latest)
        self.is_reached = False

    @property
    def seconds(self) -> float | None:
        """What an item takes; None if nothing was measured."""
        if not self._sorted:
            return None
        return self._sorted[math.ceil(_SHARE * len(self._sorted)) - 1]

    def is_near(self) -> bool:
        """Would one more item not finish in time? Once it is so it stays so."""
        if not self.is_reached:
            self.is_reached = self._clock.elapsed() + (self.seconds or 0.0) >= self._end
        return self.is_reached

    def note(self, seconds: float, *, whole: bool) -> None:
        """An item took so long. One that failed says only that it takes at least as long."""
        if not whole and seconds <= (self.seconds or 0.0):
            return
        if len(self._latest) == _MOST_MEASURED:
            self._sorted.remove(self._latest[0])
        self._latest.append(seconds)
        insort(self._sorted, seconds)

    def reason(self) -> str:
        """Why the loop ends, in words."""
        when = datetime.fromtimestamp(self._wall).astimezone().isoformat(" ", "seconds")
        took = "" if self.seconds is None else f": items take about {duration(self.seconds)}"
        return f"ended, because {when} is near{took}; what is left is for others"


def wall_end(until: Until, clock: Clock, environment: Mapping[str, str]) -> float:
    """The end as a wall-clock time. BadArgument says what cannot be one, or where "walltime" was looked for."""
    if isinstance(until, str):
        if until != WALLTIME:
            raise BadArgument("until", until, f"of texts only {WALLTIME!r} is known; give a datetime or a timedelta")
        return _end_of_job(environment)
    if isinstance(until, datetime | timedelta):
        return _moment(until, clock)
    if isinstance(until, bool) or not isinstance(until, int | float):
        raise BadArgument("until", until, f"it must be a datetime, a timedelta, a Unix timestamp or {WALLTIME!r}")
    if not _EARLIEST_SECONDS <= until <= _LATEST_SECONDS:
        raise BadArgument("until", until, "it is no Unix timestamp; for a length of time give timedelta(seconds=...)")
    return float(until)


def _moment(until: datetime | timedelta, clock: Clock) -> float:
    try:
        end = until.timestamp() if isinstance(until, datetime) else clock.wall() + until.total_seconds()
    except (OverflowError, OSError, ValueError) as error:
        raise BadArgument("until", until, f"the system knows no such time ({error})") from error
    if abs(end) > _LATEST_SECONDS:
        raise BadArgument("until", until, "no such time will be seen here; None is for no end")
    return end


def _end_of_job(environment: Mapping[str, str]) -> float:
    """What the batch system says. Slurm alone tells its jobs when they end (sbatch(1), output environment variables),
    and 22.05 does not yet; the others tell a length at most, and not since when."""
    text = environment.get(_END_OF_JOB, "")
    try:
        end = float(text)
    except ValueError:
        end = math.nan
    if _EARLIEST_SECONDS <= end <= _LATEST_SECONDS:
        return end
    found = f"{_END_OF_JOB} is {text!r}, which is no time" if text else f"{_END_OF_JOB} (of Slurm) is not set"
    if not text and "SLURM_JOB_ID" in environment:
        raise BadArgument(
            "until", WALLTIME, f"{found}, as in older versions (22.05); in the job script, {_SET_END} sets it"
        )
    others = [system for variable, system in _OTHER_SYSTEMS.items() if variable in environment]
    where = f"; {others[0]}, in whose job this runs, does not tell it when it ends" if others else ""
    advice = "give a datetime, or a timedelta from now, a little less than the job has left"
    raise BadArgument("until", WALLTIME, f"{found}{where}; PBS, LSF and Grid Engine give no end either: {advice}")


def measured(run: Run, directories: Iterable[str]) -> list[float]:
    """The seconds of items in these directories, as the ends of the latest journals say."""
    prefixes, found = {run.relative(path) if path != run.directory else "" for path in directories}, []
    for path in _latest_journals(run):
        for event in latest_events(path, _END_BYTES):
            item, seconds = event.get("item"), event.get("seconds", -1)
            if event["event"] == "done" and isinstance(item, str) and item.rpartition("/")[0] in prefixes:
                found += [float(seconds)] if _is_length(seconds) else []
    return found[-_MOST_MEASURED:]


def _latest_journals(run: Run) -> Iterator[str]:
    names = [entry.name for entry in run.disk.list(run.logs) if entry.name.endswith(".jsonl")]
    latest = sorted(names, key=lambda name: (len(name), name))[-_MOST_JOURNALS:]
    return (os.path.join(run.logs, name) for name in latest)


def _is_length(seconds: object) -> bool:
    return isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < _LATEST_SECONDS


def limit_of(until: Until, run: Run, directories: Iterable[str]) -> Limit | None:
    """The limit of a loop over finals in these directories. None: there is none. BadArgument."""
    if until is None:
        return None
    end = wall_end(until, run.clock, os.environ)
    return Limit(run.clock, end, measured(run, directories))
