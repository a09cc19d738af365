"""`steps graph`: a picture of the steps of a run and what they wait for."""

from typing import TYPE_CHECKING

import click

from multiprocesstools.cli.common import ALL_DONE, FAILED_ITEMS, UNFINISHED, directory_argument, open_run
from multiprocesstools.errors import MisuseError

if TYPE_CHECKING:
    from multiprocesstools.steps.overview import Overview


@click.command()
@directory_argument
@click.option(
    "--format", "form", type=click.Choice(["text", "mermaid", "dot"]), default="text", show_default=True,
    help="text: a line for each step. mermaid, dot: for Mermaid, for Graphviz.",
)  # fmt: skip
def graph(directory: str, *, form: str) -> int:
    """Draw the steps of DIR and what they wait for, with their states in colour.

    Exit code: 0 all steps have finished, 1 some have failed or can never start, 3 some are to be done or in work, 4 no
    run or unreachable.
    """
    from multiprocesstools.steps.overview import overview

    known = overview(open_run(directory))
    if known is None:
        raise MisuseError(f"{directory}: this run has no steps; steps are what a Protocol inserts")
    click.echo(_draw(known, form))
    return _exit_code(known)


def _draw(known: "Overview", form: str) -> str:
    from multiprocesstools.report import graph as pictures

    if form == "text":
        return pictures.text_graph(known, lambda text, status: click.style(text, fg=pictures.TERMINAL_COLOURS[status]))
    return pictures.mermaid_graph(known) if form == "mermaid" else pictures.dot_graph(known)


def _exit_code(known: "Overview") -> int:
    from multiprocesstools.steps.step import ENDED

    if any(status not in ENDED for status in known.statuses.values()):
        return UNFINISHED
    return ALL_DONE if known.ok else FAILED_ITEMS
