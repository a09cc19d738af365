"""`tasks collect`: give the results of the partitions to a store."""

import click

from multiprocesstools.cli.common import json_option
from multiprocesstools.cli.tasks.common import directory_argument, show, store_argument


@click.command()
@store_argument
@directory_argument
@click.option("--follow", "-f", is_flag=True, help="Stay while workers run, until all is done or set aside.")
@click.option("--save", metavar="FILE.npz", help="Write the arrays of the store, relative to DIR.")
@json_option
def collect(store: str, directory: str, *, follow: bool, save: str | None, as_json: bool) -> int:
    """Call update_results of a fresh STORE once for each partition that is done.

    STORE is a TaskStore class (or object, or function that makes one) of MODULE, DIR the run directory (default: here;
    made if it is missing).

    Exit code: 0 all done, 1 failed partitions, 3 in work or waiting.
    """
    from multiprocesstools.cli.tasks.named import named
    from multiprocesstools.tasks.manager import TaskManager
    from multiprocesstools.tasks.store import TaskStore

    manager = TaskManager(named(store, TaskStore), directory)
    status = manager.collect(follow=follow)
    code = show(status, as_json=as_json)
    if save is not None:
        click.echo(f"saved: {manager.save2file(save)}", err=True)
    return code
