"""`logs`: what all instances have written, in the order of time."""

import json
import logging
from itertools import islice

import click

from multiprocesstools.cli.common import ALL_DONE, directory_argument, open_run
from multiprocesstools.report.text import entry_text
from multiprocesstools.upkeep.archive import Archive, Selection

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_POLL_SECONDS, _BLOCK = 1.0, 500


@click.command()
@directory_argument
@click.option("--item", default="", help="Only about this item: its output, relative to DIR, or the name of that.")
@click.option("--host", default="", help="Only from this machine.")
@click.option("--instance", "instances", multiple=True, help="Only of this instance, like word_count-1; repeatable.")
@click.option("--level", type=click.Choice(_LEVELS, case_sensitive=False), help="This level and above.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print an object a line, for programs.")
def logs(
    directory: str, *, item: str, host: str, instances: tuple[str, ...], level: str | None, follow: bool, as_json: bool
) -> int:
    """Show the logs and journals of all instances, merged by time.

    DIR is the working directory of the run (default: here). Times are those of the machines that wrote: where their
    clocks differ, so does the order; log files are read as local times of this machine. Of events, claims have the
    level DEBUG, losses and take-overs WARNING, failures ERROR, all others INFO.
    """
    run = open_run(directory)
    lowest = logging.getLevelNamesMapping()[level.upper()] if level else 0
    archive = Archive(run, Selection(run.relative(item), host, instances, lowest))
    while True:
        lines = (json.dumps(entry.as_dict()) if as_json else entry_text(entry) for entry in archive.read())
        while block := list(islice(lines, _BLOCK)):  # each write reaches the reader, which costs something
            click.echo("\n".join(block))
        if not follow:
            return ALL_DONE
        run.clock.sleep(_POLL_SECONDS)
