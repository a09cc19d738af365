"""A shell that waits for the death of this process, and ends what the programs of a queue have left behind then.

Guarantee: when this process ends without `close`, however it ends, SIGKILL goes to all that has a mark of this guard in
its environment, in whatever session it is. Condition: Linux, with /bin/sh and grep; no fork of this process lives on.
"""

import logging
import os
import subprocess

from multiprocesstools.workers.programs.far import MARK

_log = logging.getLogger("multiprocesstools.workers")
_ROUNDS = "1 2 3"  # what starts others meanwhile leaves them the mark
_SHELL = f"""
read -r word && exit
for round in {_ROUNDS}; do
    for file in $(grep -lsaF "{MARK}=$0." /proc/[0-9]*/environ); do
        pid=${{file#/proc/}}
        kill -KILL "${{pid%/environ}}"
    done
done
"""


class Guard:
    """Waits from the moment when it is made. `close` it when nothing is left to be ended."""

    def __init__(self) -> None:
        self._own = os.urandom(8).hex()
        self._shell: subprocess.Popen[bytes] | None = None
        try:
            self._shell = subprocess.Popen(
                ["/bin/sh", "-c", _SHELL, self._own], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, start_new_session=True, bufsize=0,
                env={"PATH": os.environ.get("PATH", os.defpath)},  # no mark of a queue that runs this process
            )  # fmt: skip
        except OSError as error:
            _log.warning("what leaves its session would outlive the death of this program: /bin/sh: %s", error)

    def mark(self) -> str:
        """For one program; no other has the same."""
        return f"{self._own}.{os.urandom(4).hex()}"

    def close(self) -> None:
        """It waits no longer."""
        if self._shell is not None:
            self._shell.communicate(b"\n")
