"""A step that runs a program: its arguments are given to it one by one, without a shell."""

import os
import shlex
import subprocess
from collections.abc import Sequence

from multiprocesstools.errors import BadStep

NAME = "run_job"
_SHOWN = 4000


def check_program(program: object, arguments: object) -> tuple[str, list[str]]:
    """The program and the list of its arguments; a text is taken apart as a shell would. BadStep."""
    if not isinstance(program, str) or not program or "\0" in program:
        raise BadStep(NAME, f"the program is {program!r}; give its name or path as a text")
    try:
        listed = shlex.split(arguments) if isinstance(arguments, str) else list(map(str, arguments))  # type: ignore[call-overload]
    except (ValueError, TypeError) as error:
        raise BadStep(NAME, f"the arguments of {program!r} cannot be understood: {error}") from error
    return program, listed


def run_job(program: str, arguments: Sequence[str], *, gpus: Sequence[int | str] = ()) -> None:
    """Run a program to its end; with `gpus` it sees these alone. RuntimeError, with the end of its error output, if it
    fails; OSError if it cannot start."""
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))} if gpus else None
    done = subprocess.run(
        [program, *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, env=environment
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-_SHOWN:]
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise RuntimeError(f"{program} ended with {how}" + (f": {said}" if said else ""))
