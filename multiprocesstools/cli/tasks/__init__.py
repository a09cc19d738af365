"""`tasks`: task stores over a grid; one file per command. Their rooms are entered when a command runs."""

import click

from multiprocesstools.cli.tasks.collect import collect
from multiprocesstools.cli.tasks.serve import serve
from multiprocesstools.cli.tasks.status import status
from multiprocesstools.cli.tasks.work import work


@click.group()
def tasks() -> None:
    """Task stores: many similar computations in partitions, by workers that share a directory or ask a server."""


for _command in (status, collect, serve, work):
    tasks.add_command(_command)
