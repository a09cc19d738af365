"""`process dump|run`: the input of a process to a file, and its script on that file, by hand."""

import sys
from pathlib import Path
from typing import IO

import click

from multiprocesstools.cli.common import ALL_DONE, FAILED_ITEMS
from multiprocesstools.display.text import printable


@click.group()
def process() -> None:
    """Run the script of a queue by hand, to see what is wrong with it."""


@process.command()
@click.argument("place", metavar="FILE.py:NAME")
@click.argument("target", metavar="[INPUT]", default="", type=click.Path(dir_okay=False))
def dump(place: str, target: str) -> int:
    """Write the input of a process to a file (default: NAME.input).

    NAME is a Process in FILE.py, or a function without arguments that makes one. The file is imported, so what it runs
    must stand under its main guard.
    """
    from multiprocesstools.workers.programs.byhand import find_process

    found = find_process(place)
    path = Path(target or f"{place.rpartition(':')[2]}.input")
    found.dump(path)
    click.echo(f"{path.stat().st_size:,} bytes for {printable(found.script)} in {printable(str(path))}")
    return ALL_DONE


@process.command()
@click.argument("script", type=click.Path(exists=True, dir_okay=False))
@click.argument("source", metavar="[INPUT]", default="-", type=click.File("rb"))
@click.option(
    "--output", "target", type=click.Path(dir_okay=False), help="Write what it writes to stdout to this file."
)
@click.option("--arg", "args", multiple=True, help="A further argument of the script; repeatable.")
@click.option("--timeout", type=float, help="Seconds after which it is ended.")
def run(script: str, source: IO[bytes], target: str | None, args: tuple[str, ...], timeout: float | None) -> int:
    """Run a script on an input, from a file or from stdin, as a queue would.

    Its stderr is shown as it comes. Its output is shown as what was pickled, or as text; with --output it is kept as
    it is, also if the script fails.
    """
    from multiprocesstools.workers.programs.byhand import run_by_hand, shown

    done = run_by_hand(
        script, source.read(), lambda text: click.echo(text, err=True, nl=False), args=args, timeout=timeout
    )  # fmt: skip
    output = done.output if done.output is not None else done.failed_output or b""
    if target is not None:
        Path(target).write_bytes(output)
    elif output:
        sys.stdout.write(shown(output).rstrip("\n") + "\n")
    if done.error is not None:
        reason = getattr(done.error, "reason", str(done.error))
        click.echo(f"multiprocesstools: {printable(reason)}", err=True)
    return ALL_DONE if done.error is None else FAILED_ITEMS
