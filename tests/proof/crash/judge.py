"""What lies in a run directory, read without the package, and what is wrong with it."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.proof.crash.place import CAUSE, is_complete
from tests.proof.crash.scenarios import DONE, FAILED, SKIPPED, Scenario

_OURS = re.compile(r"\.(?P<name>.+)\.(?P<kind>claim|ended|retry|partial)-(?P<attempt>\d+)")
_HOME, _LOGS = ".multiprocesstools", "multiprocesstools_logs"
_AT_HOME = re.compile(r"instances|plans|run-\d+\.json|stop")
_PRIVATE = re.compile(r"\.mpt-(?P<owner>[0-9a-f]{32})-")
_COUNTED = ("failed", "died")
_NOBODY, _EMPTY = "an unknown owner", "the ended-file is empty"
BAD = ("lost", "twice", "partial", "replaced")
FORCED = "needs --force"
"""What is no broken promise: an empty file that nobody can be asked about."""


@dataclass(frozen=True)
class Wrong:
    """`kind`: lost, twice, partial, replaced (the columns of the table), or what else should not be."""

    kind: str
    what: str


@dataclass(frozen=True)
class Output:
    """A visible file, or a directory with all its files: the inodes and the content."""

    inodes: tuple[int, ...]
    texts: tuple[str, ...]

    @property
    def is_complete(self) -> bool:
        return bool(self.texts) and all(map(is_complete, self.texts))


@dataclass
class Sight:
    """A run directory at one moment. `ended`: item -> attempt -> what the ended-file says."""

    outputs: dict[str, Output] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)
    home: list[str] = field(default_factory=list)
    ended: dict[str, dict[int, dict[str, str]]] = field(default_factory=lambda: defaultdict(dict))
    claims: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    retries: dict[str, int] = field(default_factory=dict)
    signs: set[str] = field(default_factory=set)
    audit: list[tuple[str, int]] = field(default_factory=list)

    def is_done(self, item: str) -> bool:
        return item in self.outputs and item not in self.signs

    def state(self, item: str, max_attempts: int) -> str:
        """The first rule of the protocol that matches; "free" and "claimed" alike are "open"."""
        if self.is_done(item):
            return DONE
        ended, highest = self.ended[item], max(self.claims[item] | set(self.ended[item]), default=0)
        outcomes = [end["outcome"] for k, end in ended.items() if k > self.retries.get(item, 0)]
        if highest not in ended:
            return "open"
        if "fatal" in outcomes or sum(outcome in _COUNTED for outcome in outcomes) >= max_attempts:
            return FAILED
        return SKIPPED if ended[highest]["outcome"] == SKIPPED and highest > self.retries.get(item, 0) else "open"


def look(run: Path, audit: Path) -> Sight:
    """Read everything that is there now."""
    sight = Sight()
    if (run / _HOME).is_dir():
        sight.home = [name for name in os.listdir(run / _HOME) if not _AT_HOME.fullmatch(name)]
        sight.home += [f"instances/{name}" for name in _listed(run / _HOME / "instances")]
        sight.home += [f"plans/{name}" for name in _listed(run / _HOME / "plans") if name.startswith(".")]
        hints = (run / _HOME / "plans").glob("*.done/*")
        sight.home += [str(path.relative_to(run / _HOME)) for path in hints]
    if audit.exists():
        lines = [line.split() for line in audit.read_text().splitlines()]
        sight.audit = [(name, int(pid)) for name, pid in lines]
    for path in _entries(run):
        _note(sight, path, str(path.relative_to(run)))
    return sight


def _entries(run: Path) -> Iterator[Path]:
    """Whatever lies in the run directory, or in a directory for outputs in it."""
    for name in sorted(_listed(run)):
        if name in (_HOME, _LOGS):
            continue
        if (run / name).is_dir() and not name.startswith("."):
            yield from (run / name / inner for inner in sorted(os.listdir(run / name)))
        else:
            yield run / name


def _listed(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


def _note(sight: Sight, path: Path, place: str) -> None:
    folder = os.path.dirname(place)
    if not path.name.startswith("."):
        sight.outputs[place] = _output(path)
        return
    sight.hidden.append(place)
    if path.name.endswith(".direct"):
        sight.signs.add(os.path.join(folder, path.name[1 : -len(".direct")]))
    elif match := _OURS.fullmatch(path.name):
        item, attempt = os.path.join(folder, match["name"]), int(match["attempt"])
        if match["kind"] == "claim":
            sight.claims[item].add(attempt)
        elif match["kind"] == "retry":
            sight.retries[item] = max(attempt, sight.retries.get(item, 0))
        elif match["kind"] == "ended":
            sight.ended[item][attempt] = _ended(path)


def _ended(path: Path) -> dict[str, str]:
    try:
        line = json.loads(path.read_text())
        return {"outcome": line["outcome"], "exception": line["exception"]}
    except ValueError:
        return {"outcome": "failed", "exception": _EMPTY}


def _output(path: Path) -> Output:
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    places = [path, *files] if path.is_dir() else files
    return Output(tuple(p.lstat().st_ino for p in places), tuple(p.read_text() for p in files))


# -- what is wrong


def wrong_between(scenario: Scenario, before: Sight, after: Sight) -> Iterator[Wrong]:
    """What must not have happened between two moments."""
    for place, output in before.outputs.items():
        if place in before.signs or (place not in scenario.ends and place not in scenario.parts):
            continue
        if not output.is_complete:
            yield Wrong("partial", f"{place} was incomplete")
        if after.outputs.get(place) != output:
            yield Wrong("replaced", f"{place} is another one")
    settled = {os.path.basename(item) for item in scenario.ends if _is_settled(before, item)}
    for name, pid in after.audit[len(before.audit) :]:
        if name in settled:
            yield Wrong("twice", f"{name} was settled, and process {pid} worked on it again")


def _is_settled(sight: Sight, item: str) -> bool:
    ended = sight.ended[item]
    decided = ended and not sight.retries and ended[max(ended)]["outcome"] in ("skipped", "fatal")
    return sight.is_done(item) or bool(decided)


def wrong_at_the_end(scenario: Scenario, sight: Sight, killed: Iterable[int], error: str | None) -> Iterator[Wrong]:
    """What must not lie there when everything is over. `error`: what else than its own nature may make an item fail."""
    yield from unsettled(scenario, sight)
    for place, output in sight.outputs.items():
        if place not in scenario.ends and place not in scenario.parts:
            yield Wrong("litter", place)
        elif not output.is_complete:
            yield Wrong("partial", f"{place} is incomplete")
    for place in scenario.parts:
        if place not in sight.outputs:
            yield Wrong("lost", f"{place} is missing")
    for place in sight.hidden:
        if not _may_stay(scenario, sight, place):
            yield Wrong("litter", place)
    for name in sight.home:
        yield Wrong("litter", f"{_HOME}/{name}")
    for item in scenario.ends:
        yield from _untrue(sight, item, _causes(scenario, killed, error))


def unsettled(scenario: Scenario, sight: Sight) -> Iterator[Wrong]:
    """The items that have not ended as they must."""
    for item, allowed in scenario.ends.items():
        state = sight.state(item, scenario.max_attempts)
        if state not in allowed.split():
            yield Wrong("lost", f"{item} is {state}")


def _may_stay(scenario: Scenario, sight: Sight, place: str) -> bool:
    folder, name = os.path.split(place)
    match = _OURS.fullmatch(name)
    if match is None:
        return False
    item = os.path.join(folder, match["name"])
    if match["kind"] == "partial":
        return folder == "direct"
    return sight.state(item, scenario.max_attempts) in (FAILED, SKIPPED)


def _causes(scenario: Scenario, killed: Iterable[int], error: str | None) -> dict[str, list[str]]:
    """Outcome -> what it may say, because it is true. Where links are missing, a crash may leave empty files."""
    whole = scenario.links == "everywhere"
    died = [f"(process {pid} " for pid in killed] + ([] if whole else [_NOBODY])
    failed = [CAUSE] + ([error] if error else []) + ([_EMPTY] if scenario.links == "nowhere" else [])
    return {"died": died, "failed": failed, "fatal": failed}


def _untrue(sight: Sight, item: str, causes: dict[str, list[str]]) -> Iterator[Wrong]:
    """Ended-files that say what did not happen."""
    for attempt, end in sight.ended[item].items():
        outcome, words = end["outcome"], end["exception"]
        if outcome in causes and not any(cause in words for cause in causes[outcome]):
            yield Wrong("untrue", f"{item}, attempt {attempt}: {outcome}, {words}")


def is_a_run(run: Path) -> bool:
    """Are all directories of a run there? The last one is that of the logs."""
    return (run / _LOGS).is_dir()


def nobody_can_be_asked(run: Path) -> bool:
    """Is there a claim, record or private file without content, or a private file whose owner has no record?"""
    records = run / _HOME / "instances"
    known = " ".join((records / name).read_text() for name in _listed(records))
    folders = [records, *(path for path in run.iterdir() if path.is_dir() and path.name != _LOGS)]
    for path in (folder / name for folder in folders for name in _listed(folder)):
        empty = path.is_file() and not path.stat().st_size
        if empty and (path.parent == records or re.search(r"\.claim-|\.tmp$", path.name)):
            return True
        if (private := _PRIVATE.match(path.name)) and (empty or private["owner"] not in known):
            return True
    return False
