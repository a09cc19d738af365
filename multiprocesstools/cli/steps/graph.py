"""`steps graph`: a picture of the steps of a run and what they wait for."""

import click

from multiprocesstools.cli.common import ALL_DONE, FAILED_ITEMS, UNFINISHED, directory_argument, open_run
from multiprocesstools.errors import MisuseError
from multiprocesstools.report.graph import TERMINAL_COLOURS, dot_graph, mermaid_graph, text_graph
from multiprocesstools.steps.overview import Overview, overview
from multiprocesstools.steps.step import ENDED, Status

_FORMATS = {"text": lambda known: text_graph(known, _paint), "mermaid": mermaid_graph, "dot": dot_graph}


@click.command()
@directory_argument
@click.option(
    "--format", "form", type=click.Choice(list(_FORMATS)), default="text", show_default=True,
    help="text: a line for each step. mermaid, dot: for Mermaid, for Graphviz.",
)  # fmt: skip
def graph(directory: str, *, form: str) -> int:
    """Draw the steps of DIR and what they wait for, with their states in colour.

    Exit code: 0 all steps have finished, 1 some have failed or can never start, 3 some are to be done or in work, 4 no
    run or unreachable.
    """
    known = overview(open_run(directory))
    if known is None:
        raise MisuseError(f"{directory}: this run has no steps; steps are what a Protocol inserts")
    click.echo(_FORMATS[form](known))
    return _exit_code(known)


def _exit_code(known: Overview) -> int:
    if any(status not in ENDED for status in known.statuses.values()):
        return UNFINISHED
    return ALL_DONE if known.ok else FAILED_ITEMS


def _paint(text: str, status: Status) -> str:
    return click.style(text, fg=TERMINAL_COLOURS[status])
