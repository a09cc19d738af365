"""What the commands of task stores share: the store and the directory, and what a status says at the end."""

from typing import TYPE_CHECKING

import click

from multiprocesstools.cli.common import ALL_DONE, FAILED_ITEMS, UNFINISHED, print_json
from multiprocesstools.display.text import printable

if TYPE_CHECKING:
    from multiprocesstools.tasks.state import StoreStatus

store_argument = click.argument("store", metavar="MODULE:STORE")
directory_argument = click.argument("directory", metavar="[DIR]", default=".", type=click.Path())


def show(status: "StoreStatus", *, as_json: bool) -> int:
    """Print it; the exit code: 0 all done, 1 failed partitions, 3 still in work or waiting."""
    code = _exit_code(status)
    if as_json:
        print_json(status.as_dict() | {"code": code})
        return code
    click.echo(str(status))
    for item in status.failures:
        click.echo(f"  {printable(item.item)}: {printable(item.error.partition(chr(10))[0])}")
    if status.failures:
        click.echo(f"their tracebacks: multiprocesstools status --failed {printable(status.directory)}")
    return code


def _exit_code(status: "StoreStatus") -> int:
    if status.waiting or status.running:
        return UNFINISHED
    return FAILED_ITEMS if status.failed else ALL_DONE
