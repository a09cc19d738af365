"""What the commands share: the directory argument, JSON, and the exit code of a state."""

import json
import os
from typing import TYPE_CHECKING, Any

import click

from multiprocesstools.display.text import printable
from multiprocesstools.run.directory import Run
from multiprocesstools.run.requests import request
from multiprocesstools.run.settings import Settings
from multiprocesstools.upkeep.statuses import Snapshot

if TYPE_CHECKING:
    from multiprocesstools.steps.overview import Overview

ALL_DONE, FAILED_ITEMS, UNFINISHED = 0, 1, 3

directory_argument = click.argument("directory", metavar="[DIR]", default=".", type=click.Path())
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def open_run(directory: str) -> Run:
    """The run in a directory. RunDirectoryUnusable if there is none."""
    return Run(directory).find()


def item_named(run: Run, name: str) -> str:
    """The item that is meant; of a run with steps, `7` is step 7."""
    if steps_of(run) is None:
        return name
    from multiprocesstools.steps.overview import item_of

    return item_of(run, name) or name


def print_json(data: dict[str, Any]) -> None:
    click.echo(json.dumps(data, indent=2))


def ask_all(run: Run, kind: str) -> bool:
    """Ask all instances to stop or to pause, and say whom. False: there is nobody."""
    there = run.possibly_alive()
    if not there:
        click.echo(f"no instance is at work: nothing to {kind}")
        return False
    request(run, kind)
    beat_seconds = (run.settings() or Settings()).beat_seconds
    click.echo(f"asked to {kind} at the next beat (every {beat_seconds:g} s), after the item in hand:")
    for name in there:
        click.echo(f"  {printable(name)}")
    return True


def steps_of(run: Run) -> "Overview | None":
    """The steps of a run that has some."""
    if not os.path.isdir(f"{run.home}/steps"):
        return None
    from multiprocesstools.steps.overview import overview

    return overview(run, results=False)


def exit_code(snapshot: Snapshot, steps: "Overview | None" = None) -> int:
    """0 all done, 1 failed items, 3 still running or claimable."""
    if steps is not None:
        from multiprocesstools.report.steps import exit_code_of

        return exit_code_of(steps, snapshot)
    if snapshot.running or snapshot.stale or snapshot.free:
        return UNFINISHED
    return FAILED_ITEMS if snapshot.failed else ALL_DONE
