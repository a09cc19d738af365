"""`tasks work`: one worker, until nothing is left."""

import click

from multiprocesstools.cli.common import ALL_DONE, FAILED_ITEMS
from multiprocesstools.display.text import printable
from multiprocesstools.errors import TooManyFailures


@click.command()
@click.argument("worker", metavar="MODULE:WORKER")
@click.argument("place", metavar="DIR|URL")
@click.option("--max-partitions", type=click.IntRange(min=1), help="End after so many partitions.")
@click.option("--token-file", type=click.Path(), help="For a server that wants a token: a file of mode 0600.")
def work(worker: str, place: str, *, max_partitions: int | None, token_file: str | None) -> int:
    """Work on the partitions of a store until nothing is left.

    WORKER is a Worker class of MODULE that names its `store`, or a function worker(place). Start it as often as you
    like, on as many machines.

    Exit code: 0 what it tried was done, 1 something failed.
    """
    from multiprocesstools.cli.tasks.named import named
    from multiprocesstools.tasks.worker import Worker

    options = {} if token_file is None else {"token_file": token_file}
    done = named(worker, Worker, place, **options)
    try:
        report = done.run(max_partitions)
    except TooManyFailures as error:
        click.echo(f"multiprocesstools: {printable(str(error))}", err=True)
        return FAILED_ITEMS
    click.echo(str(report))
    return FAILED_ITEMS if report.failures else ALL_DONE
