"""The session of IPython that this process may be the kernel of: its shell, and a place in the output of a cell.

Guarantee: IPython is never imported by this room; whoever runs in one of its sessions has imported it.
"""

import os
import sys
from typing import Any


def shell() -> Any | None:
    """The shell that runs the cells, or the prompts, of this process. None in a script."""
    found = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return None if found is None else found()


def place() -> "Place | None":
    """A place in the output of the cell that runs now. None where outputs cannot be replaced: a terminal, a script."""
    found = shell()
    return None if found is None or not hasattr(found, "kernel") else Place(found.display_pub)


class Place:
    """One output of a cell whose content is replaced by what is shown next, also in the notebook that is saved."""

    def __init__(self, publisher: Any) -> None:
        self._publisher, self._id, self._shown = publisher, os.urandom(16).hex(), False

    def show(self, text: str, html: str) -> None:
        """Show `html`, or `text` where there is no browser."""
        self._publisher.publish(
            {"text/plain": text, "text/html": html}, transient={"display_id": self._id}, update=self._shown
        )
        self._shown = True
