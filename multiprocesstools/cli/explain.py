"""`explain`: why an item is in its state, and what will happen next."""

import click

from multiprocesstools.cli.common import ALL_DONE, json_option, open_run, print_json
from multiprocesstools.explain import OBSERVE_SECONDS
from multiprocesstools.explain import explain as explain_item
from multiprocesstools.report.explanation import explanation_text, sign_of_life, what_next, why


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path())
@click.argument("item", metavar="ITEM")
@click.option(
    "--observe", "observe_seconds", default=OBSERVE_SECONDS, show_default=True, type=click.FloatRange(0, 86_400),
    metavar="SECONDS", help="For how long an owner on another machine is watched for a sign of life.",
)  # fmt: skip
@json_option
def explain(directory: str, item: str, *, observe_seconds: float, as_json: bool) -> int:
    """Say why an item is in its state.

    ITEM is its output: relative to the working directory DIR, absolute, or its name alone if no other item has it.
    Shown are the rule that decided, every attempt, whose it is and what was seen of the owner, and what comes next.

    Exit code: 0 explained, 2 no such item (the nearest names are shown), 4 no run or unreachable.
    """
    told = explain_item(open_run(directory), item, observe_seconds=observe_seconds)
    if as_json:
        seen = sign_of_life(told.owner, told) if told.owner is not None else ""
        print_json(told.as_dict() | {"why": why(told), "sign_of_life": seen, "next": what_next(told)})
    else:
        click.echo(explanation_text(told))
    return ALL_DONE
