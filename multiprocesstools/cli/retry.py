"""`retry`: make failed items claimable again."""

import click

from multiprocesstools.cli.common import ALL_DONE, item_named, open_run
from multiprocesstools.display.text import count, printable
from multiprocesstools.upkeep.retry import retry as retry_items


@click.command()
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path())
@click.argument("items", metavar="[ITEM...]", nargs=-1)
def retry(directory: str, items: tuple[str, ...]) -> int:
    """Make failed items claimable again.

    All failed items of the run in DIR, or the ITEMs named by their output; a step also by its id.
    """
    run = open_run(directory)
    retried = retry_items(run, tuple(item_named(run, item) for item in items))
    if not retried:
        click.echo("nothing was set aside as failed: 0 items to try again")
        return ALL_DONE
    click.echo(f"{count(len(retried), 'item')} can be claimed again:")
    for item in retried:
        click.echo(f"  {printable(item)}")
    return ALL_DONE
