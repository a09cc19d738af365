"""`status`: what is done, failed, running and by whom."""

import click

from multiprocesstools.cli.common import directory_argument, exit_code, json_option, open_run, print_json, steps_of
from multiprocesstools.report.text import snapshot_text
from multiprocesstools.upkeep.snapshot import take_snapshot


@click.command()
@directory_argument
@json_option
@click.option("--failed", is_flag=True, help="All failed items with their tracebacks.")
@click.option("--running", is_flag=True, help="All items in work.")
def status(directory: str, as_json: bool, failed: bool, running: bool) -> int:
    """Show what is done, failed and running.

    DIR is the working directory of the run (default: here).

    Exit code: 0 all done, 1 failed items, 3 still running or claimable, 4 no run or unreachable.
    """
    run = open_run(directory)
    snapshot, steps = take_snapshot(run), steps_of(run)
    code = exit_code(snapshot, steps)
    if as_json:
        print_json(snapshot.as_dict() | {"code": code} | ({"steps": steps.as_dict()} if steps else {}))
        return code
    click.echo(snapshot_text(snapshot, failed=failed, running=running))
    if steps is not None:
        from multiprocesstools.report.steps import steps_text

        click.echo(steps_text(steps, everything=failed or running))
    return code
