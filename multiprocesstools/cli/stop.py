"""`stop`: ask all instances to end after the item in hand."""

import click

from multiprocesstools.cli.common import ALL_DONE, directory_argument, open_run


@click.command()
@directory_argument
def stop(directory: str) -> int:
    """Ask every instance of the run in DIR that takes part now to end after the item in hand, on all machines.

    It is obeyed at the next beat. Instances that are started later work as usual.
    """
    run = open_run(directory)
    run.request_stop()
    settings = run.settings()
    beat = f" within {settings.beat_seconds:g} s" if settings else ""
    click.echo(f"all instances that take part now will end after the item in hand{beat}")
    return ALL_DONE
