"""Runs commands on a node of nfs-lab: one TCP connection is one command.

A request is one line of JSON. The reply is frames: a type (o output, e errors, x exit code), a length of four bytes,
data. When the connection closes, the command's process group is killed, unless it was to be detached. It needs nothing
but the standard library.
"""

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from typing import Any


def main() -> None:
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((sys.argv[1], int(sys.argv[2])))
        door.listen(64)
        while True:
            connection, _ = door.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


def serve(connection: socket.socket) -> None:
    with connection:
        try:
            request = json.loads(connection.makefile("rb").readline())
            code = detach(connection, request) if request["detach"] else run(connection, request)
            if code is not None:
                send(connection, b"x", str(code).encode())
        except (OSError, ValueError) as error:
            sys.stderr.write(f"agent: {error!r}\n")


def send(connection: socket.socket, kind: bytes, data: bytes) -> None:
    connection.sendall(kind + struct.pack(">I", len(data)) + data)


def start(request: dict[str, Any], output: Any, errors: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["bash", "-c", request["command"]],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        env={**os.environ, **request["environment"]},
        cwd="/",
        start_new_session=True,
    )


def detach(connection: socket.socket, request: dict[str, Any]) -> int:
    path = f"/run/spawn.{os.urandom(3).hex()}.log"
    with open(path, "wb") as log:
        process = start(request, log, log)
    threading.Thread(target=process.wait, daemon=True).start()
    send(connection, b"o", f"{process.pid} {path}\n".encode())
    return 0


def run(connection: socket.socket, request: dict[str, Any]) -> int | None:
    """Forward the command's output; its exit code in the manner of a shell, or None if nobody listens any more."""
    process = start(request, subprocess.PIPE, subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    kinds = {process.stdout.fileno(): b"o", process.stderr.fileno(): b"e"}
    try:
        while kinds:
            ended = process.poll() is not None  # asked first: what it wrote before its end is readable then
            readable, _, _ = select.select([*kinds, connection.fileno()], [], [], 0.5)
            if connection.fileno() in readable:
                raise ConnectionError("the client has gone")
            for descriptor in readable:
                data = os.read(descriptor, 65536)
                if data:
                    send(connection, kinds[descriptor], data)
                else:
                    del kinds[descriptor]
            if ended and not readable:
                break  # a grandchild still holds the pipe
    except OSError:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None
    code = process.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    main()
