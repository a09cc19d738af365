"""The command `multiprocesstools` (short: `mpt`): one file per command, options -> one library call -> rendering.

Exit codes: 0 all done, 1 failed items, 2 usage, 3 still running or claimable, 4 unsafe or unreachable filesystem,
130 interrupted. Only this room prints and exits.
"""

import sys

import click

from multiprocesstools.cli.cleanup import cleanup
from multiprocesstools.cli.doctor import doctor
from multiprocesstools.cli.explain import explain
from multiprocesstools.cli.logs import logs
from multiprocesstools.cli.pause import pause
from multiprocesstools.cli.process import process
from multiprocesstools.cli.resume import resume
from multiprocesstools.cli.retry import retry
from multiprocesstools.cli.status import status
from multiprocesstools.cli.steps import steps
from multiprocesstools.cli.stop import stop
from multiprocesstools.cli.tasks import tasks
from multiprocesstools.display.text import printable
from multiprocesstools.errors import (
    MisuseError,
    MultiProcessError,
    RunDirectoryUnusable,
    ServerUnreachable,
    UnsafeFilesystem,
)

UNUSABLE, INTERRUPTED, USAGE = 4, 130, 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="multiprocesstools")
def commands() -> None:
    """Look at, clean up and steer a run that is shared by many machines through its directory."""


for _command in (status, cleanup, retry, stop, pause, resume, explain, logs, doctor, process, steps, tasks):
    commands.add_command(_command)


def main() -> None:
    """Run a command; the errors of the package become one line and an exit code."""
    try:
        code = commands.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (RunDirectoryUnusable, ServerUnreachable, UnsafeFilesystem) as error:
        _fail(error, UNUSABLE)
    except (MisuseError, MultiProcessError) as error:
        _fail(error, USAGE)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        _fail(error, UNUSABLE)


def _fail(error: Exception, code: int) -> None:
    click.echo(f"multiprocesstools: {printable(str(error))}", err=True)
    sys.exit(code)
