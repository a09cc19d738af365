"""Sends commands to nodes of nfs-lab, from the host: nfs_client.py LAB_DIR [OPTION]... NODE=ADDRESS COMMAND ...

-d detaches the command, -e K=V sets a variable, -t SECONDS limits a silence, -p puts the node's name before each line.
The exit code is the highest of the commands', 124 after a time limit, 255 where a node was lost. Standard library only.
"""

import json
import os
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

LOST = 255
TIME_LIMIT = 124


@dataclass
class Options:
    lab: Path
    detach: bool = False
    prefix: bool = False
    silence_seconds: float | None = None
    environment: dict[str, str] = field(default_factory=dict)


class Printer:
    """Passes output through as it is, or line by line behind a node's name."""

    lock = threading.Lock()

    def __init__(self, name: str, prefix: bool) -> None:
        self.prefix = b"[" + name.encode() + b"] " if prefix else b""
        self.rest = {b"o": b"", b"e": b""}

    def put(self, kind: bytes, data: bytes) -> None:
        if self.prefix:
            *lines, self.rest[kind] = (self.rest[kind] + data).split(b"\n")
            data = b"".join(self.prefix + line + b"\n" for line in lines)
        stream = sys.stdout.buffer if kind == b"o" else sys.stderr.buffer
        with self.lock:
            stream.write(data)
            stream.flush()

    def finish(self) -> None:
        for kind, rest in self.rest.items():
            if rest:
                self.put(kind, b"\n")


def main() -> int:
    arguments = sys.argv[1:]
    options = Options(lab=Path(arguments.pop(0)))
    while arguments and arguments[0].startswith("-"):
        match arguments.pop(0):
            case "-d":
                options.detach = True
            case "-p":
                options.prefix = True
            case "-e":
                key, _, value = arguments.pop(0).partition("=")
                options.environment[key] = value
            case "-t":
                options.silence_seconds = float(arguments.pop(0))
            case other:
                sys.exit(f"nfs-lab: unknown option {other}")
    codes: dict[str, int] = {}

    def one(node: str, address: str, command: str) -> None:
        codes[node] = ask(node, address, command, options)

    threads = [
        threading.Thread(target=one, args=(*target.split("=", 1), command), daemon=True)
        for target, command in zip(arguments[::2], arguments[1::2], strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(codes.values(), default=0)


def ask(node: str, address: str, command: str, options: Options) -> int:
    printer = Printer(node, options.prefix)
    limit = options.silence_seconds
    request = {
        "command": command,
        "environment": {**options.environment, "LAB_NODE": node},
        "detach": options.detach,
    }
    try:
        with socket.create_connection((address, 7777), min(5.0, limit or 5.0)) as connection:
            connection.settimeout(limit)
            threading.Thread(target=hang_up_when_killed, args=(options.lab / node, connection), daemon=True).start()
            connection.sendall(json.dumps(request).encode() + b"\n")
            reply = connection.makefile("rb")
            while len(head := reply.read(5)) == 5:
                data = reply.read(struct.unpack(">I", head[1:])[0])
                if head[:1] == b"x":
                    return int(data)
                printer.put(head[:1], data)
        printer.put(b"e", b"nfs-lab: the connection to the node is lost\n")
    except TimeoutError:
        printer.put(b"e", b"nfs-lab: time limit\n")
        return TIME_LIMIT
    except (OSError, ValueError) as error:
        printer.put(b"e", f"nfs-lab: {node}: {error}\n".encode())
    finally:
        printer.finish()
    return LOST


def hang_up_when_killed(folder: Path, connection: socket.socket) -> None:
    """A killed kernel closes no connection: notice that its process has gone."""
    try:
        stat = Path("/proc", (folder / "pid").read_text().strip(), "stat")
        while stat.read_text().rsplit(")", 1)[1].split()[0] not in "ZX":
            time.sleep(0.2)
    except (OSError, IndexError):
        pass
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
