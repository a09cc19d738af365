"""Cleaning up a whole run: one sweep, or several while silent owners on other machines are observed.

Guarantee: the one of `claims.sweep`. The sweeper takes part as an instance with a beat, because only an instance can
tell silence from its own trouble; a dry run takes no part and changes nothing.
"""

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import TypeGuard

from multiprocesstools.claims import identity
from multiprocesstools.claims.identity import Identity
from multiprocesstools.claims.instance import Instance, Rules
from multiprocesstools.claims.sweep import Report, Waiting, anybody_gone, sweep
from multiprocesstools.claims.tokens import free_from, held_by_the_gone
from multiprocesstools.crew.member import Member
from multiprocesstools.plans.hints import folders_of_hints, forlorn
from multiprocesstools.plans.plans import Plans
from multiprocesstools.run.directory import Run, private_owner
from multiprocesstools.run.journal import read_journal
from multiprocesstools.run.settings import Settings
from multiprocesstools.upkeep.onlooker import onlooker

NAME = "cleanup"
_MOST_COUNTS = 3
"""How often silence is counted for a whole patience. A gap between two rounds, on a busy machine or server, begins the
count anew; more than some of them, and the rounds are too long to count at all."""

Watcher = Callable[[float, Report], None]
"""Told while owners are observed: seconds so far, and what still waits."""


def preview(run: Run, *, force: bool = False) -> Report:
    """What a sweep would do now, without observing anybody. Nothing is changed."""
    return _pass(run, onlooker(run.find(), NAME), force=force, dry_run=True)


def clean_up(
    run: Run, *, force: bool = False, observe: Watcher | None = None, say: Callable[[str], None] = lambda text: None
) -> Report:
    """Sweep the run. With `observe` it stays until every silent owner has beaten once or was silent past patience."""
    looker = onlooker(run.find(), NAME)
    if not anybody_gone(looker, run.instances):  # else it is needed, and a look at everything is spared
        report = _pass(run, looker, force=force, dry_run=True)
        if _is_clean(report):
            return report
    settings = run.settings() or Settings()
    rules = Rules(settings.beat_seconds, settings.patience_seconds, settings.max_attempts)
    member = Member(run, NAME, rules, (), say)
    try:
        report = _pass_anew(run, member, force=force)
        if observe is not None and not force and report.undecided:
            _observe(run, member, settings, report, observe)
            if report.ended or report.doubtful:
                report.carry_on(_pass_anew(run, member))
        for path in (*report.removed, *report.ended, *report.given_back):
            member.journal.add("swept", path=run.relative(path))
        return report
    finally:
        member.leave()


def _observe(run: Run, member: Member, settings: Settings, report: Report, observe: Watcher) -> None:
    """Repeat the pass each beat until nothing is left that observation could decide, or that cannot be done here."""
    began = run.clock.elapsed()
    pause = min(1.0, settings.beat_seconds / 2)
    longest = _MOST_COUNTS * (settings.patience_seconds + 3 * settings.beat_seconds)
    while report.undecided and run.clock.elapsed() - began <= longest:
        run.clock.sleep(pause)
        report.carry_on(_pass(run, member.instance))
        observe(run.clock.elapsed() - began, report)


def _pass_anew(run: Run, member: Member, *, force: bool = False) -> Report:
    """A pass with listings that this client asks the server for. One out of a cache may lack the final of an item, so
    that what is left of it waits, or its last attempt is declared over: then that end is litter, too. Or it may lack
    what is left itself.
    """
    for directory in _directories(run, Plans(run)):
        with contextlib.suppress(OSError):  # then the pass says what is wrong with it
            member.instance.stir(directory)
    return _pass(run, member.instance, force=force)


def _is_clean(report: Report) -> bool:
    return not (report.removed or report.ended or report.given_back or report.undecided)


def _pass(run: Run, me: Instance, *, force: bool = False, dry_run: bool = False) -> Report:
    plans = Plans(run)
    directories, parts = plans.directories(), plans.directories_of_parts()
    placeholders = _placeholders(run, directories) if plans.any_in_place() else set()
    locks = _give_locks_back(run, me, _kinds(run), force=force, dry_run=dry_run)
    report = sweep(
        me, run.instances, _directories(run, plans), placeholders=placeholders, parts=parts, members=plans.members,
        force=force, dry_run=dry_run,
    )  # fmt: skip
    report.given_back += locks.given_back
    report.unreadable += locks.unreadable
    _sweep_hints(run, report, dry_run=dry_run)
    own = [directory for directory in (run.home, run.plans, run.directory) if directory not in directories]
    _sweep_private(run, own, report, force=force, dry_run=dry_run)
    return report


def _directories(run: Run, plans: Plans) -> list[str]:
    """What a sweep goes through."""
    return [*plans.directories(), *_kinds(run)]


def _kinds(run: Run) -> list[str]:
    return [f"{run.home}/{kind}" for kind in ("locks", "limits")]


def _give_locks_back(run: Run, me: Instance, kinds: list[str], *, force: bool, dry_run: bool) -> Report:
    """Before the records of the gone are removed. What cannot be given back now is free without its record, too."""
    report = Report()
    for directory in [f"{kind}/{name}" for kind in kinds for name in _folders(run, kind)]:
        try:
            for token, verdict in held_by_the_gone(me, directory, force=force):
                if not dry_run:
                    free_from(me, directory, token, verdict)
                report.given_back.append(f"{directory}/{token.name}")
        except OSError as error:
            report.unreadable.append(f"{directory}: {error.strerror}")
    return report


def _folders(run: Run, directory: str) -> list[str]:
    """The directories in it that are no private ones; none if it is not there, or is a link."""
    stamp = run.disk.look(directory)
    if stamp is None or stamp.kind != "directory":
        return []
    entries = run.disk.list(directory)
    return [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False)]


def _sweep_hints(run: Run, report: Report, *, dry_run: bool) -> None:
    """Hints go when the record of their instance has gone."""
    for place in folders_of_hints(run):
        try:
            for path in forlorn(run, place):
                if not dry_run:
                    run.disk.unlink(path)
                report.removed.append(path)
        except OSError as error:
            report.unreadable.append(f"{place}: {error.strerror}")


def _sweep_private(run: Run, directories: Iterable[str], report: Report, *, force: bool, dry_run: bool) -> None:
    """Private files of the run itself. They may be older than the record of their owner, so their names say whose they
    are: they go when that process is proved gone, and with force also when it is not proved alive."""
    for directory in directories:
        try:
            names = [entry.name for entry in run.disk.list(directory)]
        except OSError as error:
            report.unreadable.append(f"{directory}: {error.strerror}")
            continue
        for name in names:
            if (owner := private_owner(name)) is not None:
                _sweep_private_file(run, f"{directory}/{name}", owner, report, force=force, dry_run=dry_run)


def _sweep_private_file(run: Run, path: str, owner: Identity, report: Report, *, force: bool, dry_run: bool) -> None:
    alive = identity.lives_here(owner)
    if not identity.is_gone(owner) and (alive or not force):
        whose = f"process {owner.pid}, " + ("which is alive" if alive else "which cannot be asked from here")
        report.waiting.append(Waiting(path, f"a private file of {whose}", None, alive, decided=True))
        return
    try:
        if not dry_run:
            run.disk.remove_tree(path)  # of `doctor` it is a folder
        report.removed.append(path)
    except OSError as error:
        report.unreadable.append(f"{path}: {error.strerror}")


def _placeholders(run: Run, directories: Iterable[str]) -> set[str]:
    """What is still there in these directories of the placeholders that journals know of.

    That a journal says how the attempt ended does not mean that its placeholder could be removed.
    """
    found: set[str] = set()
    for entry in run.disk.list(run.logs):
        if entry.name.endswith(".jsonl"):
            events = read_journal(f"{run.logs}/{entry.name}")
            found.update(
                path for event in events if event["event"] == "placeholder" and _is_path(path := event.get("path"))
            )
    folders = {os.path.dirname(path) for path in found}.intersection(directories)
    return {path for folder in folders for name in _names(run, folder) if (path := f"{folder}/{name}") in found}


def _names(run: Run, directory: str) -> list[str]:
    try:
        return [entry.name for entry in run.disk.list(directory)]
    except OSError:
        return []  # the sweep of the directory says so


def _is_path(path: object) -> TypeGuard[str]:
    try:
        return isinstance(path, str) and b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False
