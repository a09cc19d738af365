"""`tasks status`: how many partitions wait, are in work and are done."""

import click

from multiprocesstools.cli.common import json_option, open_run
from multiprocesstools.cli.tasks.common import directory_argument, show, store_argument


@click.command()
@store_argument
@directory_argument
@json_option
def status(store: str, directory: str, as_json: bool) -> int:
    """How many partitions wait, are in work and are done.

    STORE is a TaskStore class (or object, or function that makes one) of MODULE, DIR the run directory (default: here).
    Nothing is changed.

    Exit code: 0 all done, 1 failed partitions, 3 in work or waiting, 4 no run or unreachable.
    """
    from multiprocesstools.cli.tasks.named import named
    from multiprocesstools.tasks.state import status_of
    from multiprocesstools.tasks.store import TaskStore

    return show(status_of(open_run(directory), named(store, TaskStore)), as_json=as_json)
