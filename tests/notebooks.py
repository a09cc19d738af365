"""Real notebooks: cells that nbclient executes in a real kernel, which can be interrupted as a person does it."""

import asyncio
import os
import signal
import textwrap
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.processes import DEADLINE_SECONDS, wait_until

CHECKOUT = Path(__file__).resolve().parents[1]


class Notebook:
    """`with Notebook(directory) as notebook`: a kernel that works in `directory`.

    The client has an event loop in a thread of its own, so that the test goes on while a cell runs.
    """

    def __init__(self, directory: Path) -> None:
        self.document = nbformat.v4.new_notebook()
        self.client = NotebookClient(
            self.document, timeout=DEADLINE_SECONDS, allow_errors=True, kernel_name="python3",
            resources={"metadata": {"path": str(directory)}},
        )  # fmt: skip
        self._thread, self._runner = ThreadPoolExecutor(1), asyncio.Runner()
        self._setup = self.client.async_setup_kernel(env=os.environ | {"PYTHONPATH": str(CHECKOUT)})

    def __enter__(self) -> "Notebook":
        self._submit(self._setup.__aenter__()).result(DEADLINE_SECONDS)
        return self

    def __exit__(self, *error: object) -> None:
        self._submit(self._setup.__aexit__(None, None, None)).result(DEADLINE_SECONDS)
        self._thread.submit(self._runner.close).result(DEADLINE_SECONDS)
        self._thread.shutdown()

    def _submit(self, work: Coroutine[Any, Any, Any]) -> "Future[Any]":
        return self._thread.submit(self._runner.run, work)

    @property
    def pid(self) -> int:
        """Of the kernel."""
        return self.client.km.provisioner.pid

    @property
    def outputs(self) -> list[Any]:
        """Of the latest cell, so far."""
        return self.document.cells[-1].outputs

    def begin(self, source: str) -> "Future[Any]":
        """Execute one more cell; the future is the cell with its outputs."""
        cell = nbformat.v4.new_code_cell(textwrap.dedent(source).strip())
        self.document.cells.append(cell)
        return self._submit(self.client.async_execute_cell(cell, len(self.document.cells) - 1))

    def run(self, source: str) -> Any:
        """Execute one more cell to its end; its outputs."""
        return self.begin(source).result().outputs

    def run_well(self, source: str) -> Any:
        """The same, and it must not fail."""
        outputs = self.run(source)
        assert errors(outputs) == [], outputs
        return outputs

    def interrupt(self, cell: "Future[Any]", when: Callable[[], Any]) -> Any:
        """What the button with the square does, as soon as `when()` is true; the outputs of the cell."""
        wait_until(when, "the cell has come that far")
        assert not cell.done()
        os.kill(self.pid, signal.SIGINT)
        return cell.result(DEADLINE_SECONDS).outputs


def errors(outputs: list[Any]) -> list[str]:
    """The names of the exceptions that cells have ended with."""
    return [output.ename for output in outputs if output.output_type == "error"]


def said(outputs: list[Any]) -> str:
    """All that was printed, to stdout and stderr."""
    return "".join(output.text for output in outputs if output.output_type == "stream")


def shown(outputs: list[Any], kind: str = "text/plain") -> list[str]:
    """What was displayed, and the values of cells."""
    return [output.data[kind] for output in outputs if output.output_type in ("display_data", "execute_result")]
