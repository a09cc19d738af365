"""`tasks serve`: hand out the partitions to workers that share no files."""

import click

from multiprocesstools.cli.common import json_option
from multiprocesstools.cli.tasks.common import directory_argument, show, store_argument


@click.command()
@store_argument
@directory_argument
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on; 0.0.0.0 for all.")
@click.option("--port", default=7080, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--token-file", type=click.Path(), help="What workers must know: a file of mode 0600.")
@click.option(
    "--lease", default=60.0, show_default=True, metavar="SECONDS", help="Silent for so long: it goes to another."
)
@click.option("--task-limit", type=float, metavar="SECONDS", help="No task finished for so long: handed out again.")
@click.option("--stay", is_flag=True, help="Serve on when all is done, until somebody calls exit.")
@click.option("--save", metavar="FILE.npz", help="At the end, write the arrays of the store, relative to DIR.")
@json_option
def serve(
    store: str, directory: str, *, host: str, port: int, token_file: str | None, lease: float,
    task_limit: float | None, stay: bool, save: str | None, as_json: bool,
) -> int:  # fmt: skip
    """Hand out the partitions of STORE over XML-RPC and collect the results, until all is done.

    Workers: multiprocesstools tasks work MODULE:WORKER http://HOST:PORT, and as many by files as you like. Started
    again after a crash, it goes on where it was. Other machines reach it only with --host, which needs --token-file.

    Exit code: 0 all done, 1 failed partitions, 3 in work or waiting.
    """
    from multiprocesstools.cli.tasks.named import named
    from multiprocesstools.tasks.manager import TaskManager
    from multiprocesstools.tasks.store import TaskStore

    manager = TaskManager(named(store, TaskStore), directory)
    status = manager.serve(
        host, port, token_file=token_file, lease_seconds=lease, task_seconds=task_limit, stay=stay,
        ready=lambda url: click.echo(f"serving {manager.store.ident} at {url}", err=True),
    )  # fmt: skip
    code = show(status, as_json=as_json)
    if save is not None:
        click.echo(f"saved: {manager.save2file(save)}", err=True)
    return code
