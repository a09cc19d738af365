"""Snapshots, sweeps and logs as text. Every name and message is escaped, so that none can command a terminal."""

from collections.abc import Callable, Iterator
from datetime import datetime

from multiprocesstools.claims.sweep import Report
from multiprocesstools.display.text import count, duration, printable, shown
from multiprocesstools.upkeep.archive import Entry
from multiprocesstools.upkeep.statuses import ItemStatus, Snapshot

_MOST_LINES = 20


def snapshot_text(snapshot: Snapshot, *, failed: bool, running: bool) -> str:
    """The state of a run; `failed` adds tracebacks, `running` lists every item in work."""
    return "\n".join(_snapshot_lines(snapshot, failed, running))


def sweep_text(report: Report, *, dry_run: bool, relative: "Relative") -> str:
    """What a sweep did, or would do, and what waits for --force."""
    return "\n".join(_sweep_lines(report, dry_run, relative))


def entry_text(entry: Entry) -> str:
    """One message or event, in the local time of the reader; lines that follow it are indented."""
    where = f"{printable(entry.instance)}@{printable(entry.host)}" if entry.host else printable(entry.instance)
    head = f"{moment(entry.time)} {where} {printable(entry.level_name)} {printable(entry.text)}"
    return "\n".join([head, *(f"    {printable(line)}" for line in entry.more)])


def moment(seconds: float) -> str:
    """A wall-clock time in the local time of the reader."""
    try:
        return datetime.fromtimestamp(seconds).isoformat(" ", "milliseconds")
    except (OverflowError, OSError, ValueError):
        return f"{seconds:.3f}"


class Relative:
    """Paths as they are shown: relative to the run directory."""

    def __init__(self, directory: str) -> None:
        self._prefix = directory + "/"

    def __call__(self, path: str) -> str:
        return printable(path.removeprefix(self._prefix))


def _snapshot_lines(snapshot: Snapshot, failed: bool, running: bool) -> Iterator[str]:
    yield f"{printable(snapshot.directory)}: {snapshot}"
    if snapshot.eta_seconds is not None:
        yield f"{snapshot.rate:.2f} items/s now, about {duration(snapshot.eta_seconds)} left"
    yield from _instance_lines(snapshot)
    if any(instance.paused and not instance.gone for instance in snapshot.instances):
        yield f"paused, until `multiprocesstools resume {shown(snapshot.directory)}`"
    yield from _group("running", snapshot.of("running"), _running_line, everything=running)
    living = any(not instance.gone for instance in snapshot.instances)
    heir = "a running instance takes it over at the end of its list" if living else "start the script, or `cleanup`"
    yield from _group(f"stale, its owner is gone: {heir}", snapshot.of("stale"), _running_line)
    yield from _group("tried before, and free to be tried again", snapshot.of("free"), _failed_line, everything=failed)
    yield from _group("skipped", snapshot.of("skipped"), _failed_line, everything=failed)
    yield from _failed_lines(snapshot.of("failed"), failed, shown(snapshot.directory))
    if snapshot.partials:
        yield f"half written, moved aside ({len(snapshot.partials)}); look at them and delete them yourself:"
        yield from (f"  {printable(path)}" for path in snapshot.partials[:_MOST_LINES])


def _instance_lines(snapshot: Snapshot) -> Iterator[str]:
    if snapshot.instances:
        yield "instances:"
    for instance in snapshot.instances:
        state = " (gone: `cleanup` removes its traces)" if instance.gone else " (paused)" if instance.paused else ""
        done = f"{instance.done:,} done, {instance.failed:,} failed"
        yield f"  {printable(instance.name)} on {printable(instance.host)}, process {instance.pid}: {done}{state}"


def _group(
    title: str, items: list[ItemStatus], line: Callable[[ItemStatus], str], *, everything: bool = False
) -> Iterator[str]:
    if not items:
        return
    yield f"{title}:"
    shown = items if everything else items[:_MOST_LINES]
    yield from (f"  {line(item)}" for item in shown)
    if len(shown) < len(items):
        yield f"  ... and {len(items) - len(shown):,} more"


def _running_line(item: ItemStatus) -> str:
    if not item.instance:
        return f"{printable(item.item)}: attempt {item.attempt}, {printable(item.error)}"
    since = "" if item.seconds is None else f" for {duration(item.seconds)}"
    job = f" ({printable(item.job)})" if item.job else ""
    who = f"{printable(item.instance)} on {printable(item.host)}{job}"
    return f"{printable(item.item)}: attempt {item.attempt}, {who}{since}"


def _failed_line(item: ItemStatus) -> str:
    first = item.error.splitlines()[0] if item.error else ""
    return f"{printable(item.item)}: attempt {item.attempt} on {printable(item.host)}: {printable(first)}"


def _failed_lines(items: list[ItemStatus], tracebacks: bool, where: str) -> Iterator[str]:
    yield from _group("failed", items, _failed_line, everything=tracebacks)
    if not items:
        return
    if not tracebacks:
        yield f"  tracebacks: `multiprocesstools status --failed {where}`"
        yield f"  try again: `multiprocesstools retry {where}`"
        return
    for item in items:
        yield f"--- {printable(item.item)}"
        yield from (printable(line) for line in (item.traceback or item.error).splitlines())


def _sweep_lines(report: Report, dry_run: bool, relative: Relative) -> Iterator[str]:
    would = "would be " if dry_run else ""
    if not any((report.removed, report.ended, report.given_back, report.waiting, report.partials, report.unreadable)):
        yield "nothing to clean up"
    if report.ended:
        attempts = count(len(report.ended), "attempt")
        yield f"{attempts} of dead owners {would}declared over; the items can be claimed again:"
        yield from _paths(report.ended, relative)
    if report.given_back:
        yield f"{count(len(report.given_back), 'lock')} of dead owners {would}given back:"
        yield from _paths(report.given_back, relative)
    if report.removed:
        yield f"{count(len(report.removed), 'file')} {would}removed:"
        yield from _paths(report.removed, relative)
    if report.doubtful:
        yield "left alone:"
        shown = report.doubtful[:_MOST_LINES]
        yield from (f"  {relative(waiting.path)}: {printable(waiting.reason)}" for waiting in shown)
        yield from _more(len(report.doubtful))
    owners = [waiting.owner for waiting in report.waiting if waiting.alive and waiting.owner is not None]
    for name, who in sorted({owner.file_name: owner.identity for owner in owners}.items()):
        yield f"{printable(name)} (process {who.pid} on {printable(who.host)}) is alive; what it holds was left alone"
    if report.partials:
        yield "half written and moved aside; look at them and delete them yourself:"
        yield from _paths(report.partials, relative)
    if report.unreadable:
        yield "could not be looked at or removed:"
        yield from _paths(report.unreadable, relative)


def _paths(paths: list[str], relative: Relative) -> Iterator[str]:
    yield from (f"  {relative(path)}" for path in paths[:_MOST_LINES])
    yield from _more(len(paths))


def _more(number: int) -> Iterator[str]:
    if number > _MOST_LINES:
        yield f"  ... and {number - _MOST_LINES:,} more"
