"""`resume`: let the instances go on that were asked to pause."""

import click

from multiprocesstools.cli.common import ALL_DONE, directory_argument, open_run
from multiprocesstools.run.requests import PAUSE, withdraw
from multiprocesstools.run.settings import Settings


@click.command()
@directory_argument
def resume(directory: str) -> int:
    """Let the instances go on that `pause` has paused, at their next beat, on all machines.

    DIR is the working directory of the run (default: here).
    """
    run = open_run(directory)
    if not withdraw(run, PAUSE):
        click.echo("nothing is paused")
    elif run.possibly_alive():
        beat_seconds = (run.settings() or Settings()).beat_seconds
        click.echo(f"whoever is paused goes on at the next beat (every {beat_seconds:g} s)")
    else:
        click.echo("the request to pause was taken back; no instance is at work")
    return ALL_DONE
