"""Carrying out one step: call it, and make sense of what it returns.

Guarantee: a step is finished only if its function returned and the files that it named exist; sys.exit is a failure.
"""

import os
from collections.abc import Callable
from typing import Any

from multiprocesstools.errors import CannotRunHere, FilesMissing, StepExited
from multiprocesstools.run.directory import Run
from multiprocesstools.steps.functions import Made, decode_arguments, why_not_json
from multiprocesstools.steps.step import Step


def perform(run: Run, step: Step, call: Callable[..., Any]) -> tuple[Any, list[str]]:
    """The result and the files of a step. Whatever the function raises; StepExited, FilesMissing, TypeError for a
    result that JSON cannot hold."""
    try:
        returned = call(*decode_arguments(step.arguments))
    except SystemExit as error:
        raise StepExited(repr(error.code) if error.code is not None else "") from error
    result, files = take_apart(returned)
    paths = {str(file): _find(run, os.fspath(file)) for file in files}
    if missing := [file for file, path in paths.items() if path is None]:
        raise FilesMissing(missing)
    if (reason := why_not_json(result)) is not None:
        raise TypeError(f"the step returned what cannot be kept: {reason}; return numbers, texts, lists, dicts or None")
    return result, [run.relative(path) for path in paths.values() if path]


def take_apart(returned: Any) -> tuple[Any, list[str | os.PathLike[str]]]:
    """The result and the files in what a step returned. A path, or a list of paths and texts, names files."""
    if isinstance(returned, Made):
        files = returned.files
        return returned.result, [files] if isinstance(files, str | os.PathLike) else list(files)
    if isinstance(returned, os.PathLike):
        return None, [returned]
    if isinstance(returned, list | tuple) and returned and all(isinstance(v, str | os.PathLike) for v in returned):
        return None, list(returned)
    return returned, []


def _find(run: Run, file: str) -> str | None:
    """The absolute path of a file that exists, relative to the current or to the run directory. It is looked for in
    its directory, because an NFS client remembers for a while that a name was missing."""
    for base in (os.getcwd(), run.directory):
        path = os.path.normpath(os.path.join(base, file))
        if os.path.lexists(path) or _is_listed(*os.path.split(path)):
            return path
    return None


def _is_listed(folder: str, name: str) -> bool:
    try:
        return name in os.listdir(folder)
    except OSError:
        return False


def refuse(step: Step, reason: str) -> Callable[..., Any]:
    """A call that says why this instance cannot run a step."""

    def call(*arguments: Any) -> Any:
        raise CannotRunHere(step.title, step.function, reason)

    return call
