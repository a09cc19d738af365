"""`steps`: commands about the steps of a protocol."""

import click

from multiprocesstools.cli.steps.graph import graph


@click.group()
def steps() -> None:
    """Look at steps that wait for others."""


steps.add_command(graph)
