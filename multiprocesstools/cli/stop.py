"""`stop`: ask all instances to end after the item in hand."""

import click

from multiprocesstools.cli.common import ALL_DONE, ask_all, directory_argument, open_run
from multiprocesstools.run.requests import STOP


@click.command()
@directory_argument
def stop(directory: str) -> int:
    """End all instances politely, on all machines.

    Every instance of the run in DIR that takes part now ends at its next beat, after the item in hand. Instances that
    are started later work as usual.
    """
    ask_all(open_run(directory), STOP)
    return ALL_DONE
