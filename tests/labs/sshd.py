"""Hosts behind ssh as the tests see them: `SshdLab`, a wrapper around the script sshd-lab beside this file.

They share the files of this machine, and nothing by which processes are told apart.
"""

import socket
from pathlib import Path

from .foreground import ForegroundLab


class SshdLab(ForegroundLab):
    """The hosts node1 ... node4; use as a context manager, which takes them down."""

    SCRIPT = Path(__file__).with_name("sshd-lab")
    HOSTS = ("node1", "node2", "node3", "node4")

    def __init__(self) -> None:
        self.ARGUMENTS = _free_ports(len(self.HOSTS))  # type: ignore[misc]
        super().__init__()

    def variables(self) -> dict[str, str]:
        return {}

    def prefix(self, host: str) -> list[str]:
        """The command that runs something there."""
        return ["ssh", "-F", str(self.directory / "ssh_config"), host]


def _free_ports(number: int) -> tuple[str, ...]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = tuple(str(listener.getsockname()[1]) for listener in listeners)
    for listener in listeners:
        listener.close()
    return ports
