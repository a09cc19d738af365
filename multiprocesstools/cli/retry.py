"""`retry`: make failed items claimable again."""

import click

from multiprocesstools.cli.common import ALL_DONE, open_run
from multiprocesstools.retry import retry as retry_items
from multiprocesstools.text import count, printable


@click.command()
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path())
@click.argument("items", metavar="[ITEM...]", nargs=-1)
def retry(directory: str, items: tuple[str, ...]) -> int:
    """Make failed items of the run in DIR claimable again: all of them, or the ITEMs named (their output's name)."""
    retried = retry_items(open_run(directory), items)
    click.echo(f"{count(len(retried), 'item')} can be claimed again" + (":" if retried else ""))
    for item in retried:
        click.echo(f"  {printable(item)}")
    return ALL_DONE
