"""`cleanup`: remove what dead instances left."""

import sys
from dataclasses import asdict

import click

from multiprocesstools.claims.sweep import Report
from multiprocesstools.cli.common import ALL_DONE, UNFINISHED, directory_argument, json_option, open_run, print_json
from multiprocesstools.report.text import Relative, sweep_text
from multiprocesstools.run.directory import Run
from multiprocesstools.run.settings import Settings
from multiprocesstools.upkeep.sweeper import clean_up, preview


@click.command()
@directory_argument
@json_option
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
@click.option("--force", is_flag=True, help="Also what belongs to owners that are not known to live (shown first).")
@click.option("--no-wait", is_flag=True, help="Do not observe silent owners on other machines.")
def cleanup(directory: str, as_json: bool, dry_run: bool, force: bool, no_wait: bool) -> int:
    """Remove what dead instances left.

    DIR is the working directory of the run (default: here). What provably dead instances left is removed at once.
    Owners on other machines that give no sign of life are observed for the run's patience; --force takes the user's
    word that they are dead. Never touched: a live claim, a final. Exit code: 0 clean, 3 something is left: it waits for
    --force, or could not be looked at or removed (it is named).
    """
    run = open_run(directory)
    relative = Relative(run.directory)
    if dry_run:
        report = preview(run, force=force)
    else:
        if force and not as_json:
            click.echo(sweep_text(preview(run, force=True), dry_run=True, relative=relative))
        observe = not no_wait and not force
        report = _with_bar(run) if observe else clean_up(run, force=force, say=_say)
    if as_json:
        print_json(_as_dict(report))
    else:
        click.echo(sweep_text(report, dry_run=dry_run, relative=relative))
        if report.doubtful and not force:
            click.echo("if you know that these owners are dead: --force (after a look with --dry-run --force)")
    return UNFINISHED if report.doubtful or report.unreadable else ALL_DONE


def _with_bar(run: Run) -> Report:
    """Clean up; while owners are observed a bar shows how long it may take."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    patience = (run.settings() or Settings()).patience_seconds
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("observing silent owners", total=patience, visible=False)

        def watch(seconds: float, report: Report) -> None:
            bar.update(task, completed=seconds, visible=True)

        return clean_up(run, observe=watch, say=_say)


def _say(text: str) -> None:
    click.echo(f"multiprocesstools: {text}", err=True)


def _as_dict(report: Report) -> dict[str, object]:
    waiting = [
        {"path": w.path, "reason": w.reason, "owner": asdict(w.owner) if w.owner else None} for w in report.waiting
    ]
    return asdict(report) | {"waiting": waiting}
