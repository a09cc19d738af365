"""`stop`: ask all instances to end after the item in hand."""

import click

from multiprocesstools.cli.common import ALL_DONE, directory_argument, open_run
from multiprocesstools.requests import STOP, request
from multiprocesstools.settings import Settings
from multiprocesstools.text import printable


@click.command()
@directory_argument
def stop(directory: str) -> int:
    """End all instances politely, on all machines.

    Every instance of the run in DIR that takes part now ends at its next beat, after the item in hand. Instances that
    are started later work as usual.
    """
    run = open_run(directory)
    there = run.possibly_alive()
    if not there:
        click.echo("no instance is at work: nothing to stop")
        return ALL_DONE
    request(run, STOP)
    beat_seconds = (run.settings() or Settings()).beat_seconds
    click.echo(f"asked to stop at the next beat (every {beat_seconds:g} s), after the item in hand:")
    for name in there:
        click.echo(f"  {printable(name)}")
    return ALL_DONE
