"""`pause`: ask all instances to begin nothing new for a while."""

import click

from multiprocesstools.cli.common import ALL_DONE, ask_all, directory_argument, open_run
from multiprocesstools.display.text import shown
from multiprocesstools.run.requests import PAUSE


@click.command()
@directory_argument
def pause(directory: str) -> int:
    """Have all instances finish the item in hand and begin nothing new, on all machines.

    Obeyed by the instances of the run in DIR that take part now, at their next beat, until `resume` (or `stop`). They
    go on giving signs of life; claim(), once() and create_temp_file() wait. What is left of a chunk is given back.
    Instances that are started later work as usual, so that a corrected script can be tried while the others wait.
    """
    run = open_run(directory)
    if ask_all(run, PAUSE):
        click.echo(f"`multiprocesstools resume {shown(run.directory)}` lets them go on")
    return ALL_DONE
