"""A step that runs a program: its arguments are given to it one by one, without a shell.

Guarantee: the program ends (SIGTERM) when the process ends that runs the step, however that ends: else it would still
be running while another instance begins the step again. Conditions: Linux; what the program has started itself is its
own matter.
"""

import ctypes
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache

from multiprocesstools.errors import BadStep

NAME = "run_job"
_SHOWN = 4000
_PR_SET_PDEATHSIG = 1


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
        [program, *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, env=environment,
        preexec_fn=_end_with(os.getpid()),
    )  # fmt: skip
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-_SHOWN:]
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise RuntimeError(f"{program} ended with {how}" + (f": {said}" if said else ""))


def _end_with(parent: int) -> Callable[[], None] | None:
    """For the child, before it becomes the program: let it end with its parent (prctl(2), PR_SET_PDEATHSIG)."""
    if (prctl := _prctl()) is None:
        return None

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it has ended before this could be asked for
            os._exit(1)

    return ask


@lru_cache(1)
def _prctl() -> Callable[..., int] | None:
    """None where the system has no such call."""
    if sys.platform != "linux":
        return None
    found: Callable[..., int] = ctypes.CDLL(None).prctl
    return found
