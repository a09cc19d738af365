"""`doctor`: what the filesystem under a directory can do, and what the package does there."""

import click

from multiprocesstools.cli.common import ALL_DONE, directory_argument, json_option, print_json
from multiprocesstools.errors import BadArgument, UnsafeFilesystem

UNSAFE = 4


@click.command()
@directory_argument
@json_option
@click.option("--peer", is_flag=True, help="Start it on two machines: also what holds between them (a minute).")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds to wait for the other machine.")
def doctor(directory: str, as_json: bool, peer: bool, timeout: float) -> int:
    """Examine the filesystem under a directory.

    DIR is any directory (default: here); nothing is left in it. Exit code: 0 safe, 4 unsafe or unusable.
    """
    from multiprocesstools.doctor.doctor import examine
    from multiprocesstools.doctor.second_opinion import consult
    from multiprocesstools.report.doctor import consultation_dict, consultation_text

    if not timeout > 0:
        raise BadArgument("--timeout", timeout, "it must be a number of seconds, more than 0")
    try:
        diagnosis = examine(directory)
        opinion = consult(diagnosis.facts.directory, timeout=timeout) if peer and diagnosis.safe else None
    except UnsafeFilesystem as error:
        if not as_json:
            raise
        print_json(
            {"directory": directory, "safe": False, "verdict": f"unsafe: {error.finding}", "advice": error.advice}
        )
        return UNSAFE
    if as_json:
        print_json(consultation_dict(diagnosis, opinion))
    else:
        click.echo(consultation_text(diagnosis, opinion))
    return ALL_DONE if diagnosis.safe and not (opinion and opinion.refused) else UNSAFE
