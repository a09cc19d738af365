"""`explain`: why an item is in its state, and what will happen next."""

import click

from multiprocesstools.cli.common import ALL_DONE, item_named, json_option, open_run, print_json, steps_of
from multiprocesstools.report.explanation import explanation_text, sign_of_life, what_next, why
from multiprocesstools.run.directory import Run
from multiprocesstools.upkeep.explain import OBSERVE_SECONDS
from multiprocesstools.upkeep.explain import explain as explain_item


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

    ITEM is its output: relative to the working directory DIR, absolute, or its name alone if no other item has it. A
    step is named by its id.
    Shown are the rule that decided, every attempt, whose it is and what was seen of the owner, and what comes next.

    Exit code: 0 explained, 2 no such item (the nearest names are shown), 4 no run or unreachable.
    """
    run = open_run(directory)
    if (code := explain_step(run, item, as_json=as_json)) is not None:
        return code
    told = explain_item(run, item_named(run, item), observe_seconds=observe_seconds)
    if as_json:
        seen = sign_of_life(told.owner, told) if told.owner is not None else ""
        print_json(told.as_dict() | {"why": why(told), "sign_of_life": seen, "next": what_next(told)})
    else:
        click.echo(explanation_text(told))
    return ALL_DONE


def explain_step(run: Run, name: str, *, as_json: bool) -> int | None:
    """Say of a step what it waits for and why it cannot start. None: no step is meant, or there is more to say of its
    item, which follows."""
    steps = steps_of(run) if name.removeprefix("#").isdigit() else None
    if steps is None:
        return None
    from multiprocesstools.report.steps import step_text

    step = steps.plan[int(name.removeprefix("#"))]
    begun = step.id in steps.outcomes
    if as_json and not begun:
        print_json(next(line for line in steps.as_dict()["steps"] if line["id"] == step.id))
    elif not as_json:
        click.echo(step_text(steps, step))
    return None if begun else ALL_DONE
