"""Scripts for tests of the queue of processes, and what they leave behind."""

import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import psutil

from multiprocesstools.workers import Process, ProcessesLogic
from tests.processes import CHECKOUT

Write = Callable[..., Path]
ENV = {"PYTHONPATH": str(CHECKOUT)}
DOUBLE = """
    from multiprocesstools.workers.script import run
    def handler(data):
        return {"x": 2 * data["x"]}
    run(handler)
"""


def write_script(folder: Path, body: str, name: str = "") -> Path:
    """A script of Python, or of sh if it begins with #!."""
    body = textwrap.dedent(body).lstrip()
    path = folder / (name or ("script.sh" if body.startswith("#!") else "script.py"))
    path.write_text(body, encoding="utf-8")
    path.chmod(0o755)
    return path


class Text(Process):
    """Text in, text out."""

    def prepare_process_input(self) -> bytes:
        return str(self.input or "").encode()

    def use_process_output(self, output: bytes) -> None:
        self.output = output.decode()


def run_all(processes: list[Process], cap: int = 2, **options: object) -> list[str]:
    """Their states in the end; nothing may hang."""
    with ProcessesLogic(cap, **options) as logic:  # type: ignore[arg-type]
        logic.add_processes(processes)
        logic.run()
        assert logic.wait_for_finished(60)
    return [process.state.value for process in processes]


def alive(word: str) -> list[int]:
    """The processes that have this word in their command or environment and have not ended."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                words = [*process.cmdline(), *process.environ().values()]
                found += [process.pid] * any(word in text for text in words)
        except psutil.Error:
            continue
    return found
