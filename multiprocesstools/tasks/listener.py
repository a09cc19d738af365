"""The door of a server: http on the standard library's XML-RPC server, with a lock and a limit on everything.

Guarantee: a request is refused before it is read if it has no or a wrong token, no length, a length over `most_bytes`,
another path, method or content type (no page in a browser can send ours without asking first; nor from a name that
was made to mean this machine, because without a token only a loopback address is served). It is never unpacked further
than `most_bytes`. At most MOST_CONNECTIONS are served at once, of which MOST_LARGE send more than 1 MiB. One that is
silent for SILENT_SECONDS, does not say within HEAD_SECONDS what it wants, or is slower than SLOWEST_BYTES_PER_SECOND
is closed. What goes wrong inside is logged here, and the client is told that it did. At the end those who are being
answered get their answer, for up to LAST_SECONDS.
"""

import logging
import math
import threading
import time
from contextlib import nullcontext, suppress
from http import HTTPStatus
from socket import SHUT_RDWR
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import urlsplit
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

from multiprocesstools.errors import HelperClosed, MultiProcessError, RunDirectoryUnusable
from multiprocesstools.tasks import wire
from multiprocesstools.tasks.service import Refused, Service
from multiprocesstools.tasks.token import is_loopback, is_same

MOST_CONNECTIONS, MOST_LARGE, SILENT_SECONDS = 64, 4, 30.0
LARGE_BYTES, SLOWEST_BYTES_PER_SECOND = 1 << 20, 16 << 10
HEAD_SECONDS, DRAIN_SECONDS, LAST_SECONDS = 10.0, 1.0, 2.0

_log = logging.getLogger("multiprocesstools.tasks")


class Listener(ThreadingMixIn, SimpleXMLRPCServer):
    """Accepts connections in a thread of its own, between `with` and its end. OSError for an address in use."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, address: tuple[str, int], service: Service, token: str | None, most_bytes: int) -> None:
        self.service, self.token, self.most_bytes = service, token, most_bytes
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self.large = threading.BoundedSemaphore(MOST_LARGE)
        self._until: dict[Any, float] = {}
        if ":" in address[0]:
            from socket import AF_INET6

            self.address_family = AF_INET6
        try:
            super().__init__(address, _Handler, logRequests=False)
        except OSError as error:
            advice = "is a server running there already? port 0 takes one that is free"
            raise OSError(error.errno, f"{address[0]}:{address[1]}: {error.strerror}; {advice}") from error
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="tasks-server", daemon=True)

    @property
    def url(self) -> str:
        """Where it can be reached; for an address of all interfaces this machine's name stands in it."""
        host, port = self.server_address[:2]
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name in ("0.0.0.0", "::"):
            from socket import gethostname

            name = gethostname()
        return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"

    def __enter__(self) -> "Listener":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self._thread.join()
        end = time.monotonic() + LAST_SECONDS
        for _ in range(MOST_CONNECTIONS):  # all places are free when all were answered
            if not self._places.acquire(timeout=max(0.0, end - time.monotonic())):
                break
        self.server_close()

    def server_bind(self) -> None:
        """Without the name of the host, which http.server would ask a name server for."""
        import socketserver

        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)  # the client tries again
            return
        self.allow(request, HEAD_SECONDS)
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread can be started now
            self._leave(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._leave(request)

    def _leave(self, connection: Any) -> None:
        self._until.pop(connection, None)
        self._places.release()

    def allow(self, connection: Any, seconds: float) -> None:
        """Close the connection when it is still there after so long, unless it is allowed more until then."""
        self._until[connection] = time.monotonic() + seconds

    def service_actions(self) -> None:
        """Between two connections: close those whose time is over."""
        now = time.monotonic()
        for connection, until in list(self._until.items()):
            if now > until:
                with suppress(OSError):  # it has just been closed
                    connection.shutdown(SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or was silent: it will come again."""
        _log.debug("a request of %s ended early", client_address, exc_info=True)

    def _marshaled_dispatch(self, data: Any, dispatch_method: Any = None, path: Any = None) -> Any:
        try:
            return wire.answer(self.service.call(*wire.read_call(data)))
        except HelperClosed:
            return wire.fault(wire.TRY_AGAIN, "the server ends")
        except (OSError, RunDirectoryUnusable) as error:
            _log.warning("a request failed: %s", error)
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            return wire.fault(wire.TRY_AGAIN, f"the server could not do it now: {reason}")
        except (wire.Malformed, Refused, MultiProcessError) as error:
            return wire.fault(wire.REFUSED, str(error))
        except Exception as error:  # the store is the user's code
            _log.exception("a request failed")
            return wire.fault(wire.BROKEN, f"the server met {type(error).__name__}; its log says more")


class _Handler(SimpleXMLRPCRequestHandler):
    """One connection. It answers one request, as HTTP/1.0 does."""

    timeout = SILENT_SECONDS
    server: Listener
    server_version, sys_version = "multiprocesstools", ""

    def do_POST(self) -> None:
        refusal = self._refusal()
        if refusal is not None:
            self.close_connection = True
            self._drain()
            self._refuse(*refusal)
            return
        size = int(self.headers["Content-Length"])
        self.server.allow(self.connection, math.inf)
        with self.server.large if size > LARGE_BYTES else nullcontext():
            self._allow_to_move(size)
            super().do_POST()

    def decode_request_content(self, data: bytes) -> bytes | None:
        self.server.allow(self.connection, math.inf)  # it is here in full, and now is our turn
        encoding = self.headers.get("Content-Encoding", "identity").lower()
        if encoding == "identity":
            return data
        if encoding != "gzip":
            self._refuse(HTTPStatus.NOT_IMPLEMENTED, f"the encoding {encoding!r} is not known; use gzip")
            return None
        try:
            return wire.unpacked(data, self.server.most_bytes)
        except wire.Malformed as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
            return None

    def send_response(self, code: int, message: str | None = None) -> None:
        self._allow_to_move(self.server.most_bytes)
        super().send_response(code, message)

    def log_message(self, format: str, *values: Any) -> None:
        _log.debug(format, *values)

    def _refusal(self) -> tuple[HTTPStatus, str] | None:
        """Why the request is not even read, if it is not."""
        token, length = self.server.token, self.headers.get("Content-Length", "")
        if token is not None and not is_same(token, self.headers.get("Authorization", "")):
            return HTTPStatus.UNAUTHORIZED, "the token is missing or wrong: Authorization: Bearer TOKEN"
        if token is None and not _is_loopback(self.headers.get("Host", "localhost")):
            return HTTPStatus.FORBIDDEN, "without a token it is called by 127.0.0.1 or localhost only"
        if self.path not in ("/", "/RPC2"):
            return HTTPStatus.NOT_FOUND, "the path is /RPC2"
        if self.headers.get_content_type() != "text/xml":
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the content type is text/xml"
        if not (length.isascii() and length.isdigit()):
            return HTTPStatus.LENGTH_REQUIRED, "Content-Length must say how many bytes follow"
        if len(length) > 18 or int(length) > self.server.most_bytes:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request may have {self.server.most_bytes:,} bytes"
        return None

    def _allow_to_move(self, size: int) -> None:
        self.server.allow(self.connection, SILENT_SECONDS + size / SLOWEST_BYTES_PER_SECOND)

    def _drain(self) -> None:
        """Read a small request all the same: the system resets a connection that is closed with something unread, and
        the client would not see the answer."""
        length = self.headers.get("Content-Length", "")
        if length.isascii() and length.isdigit():
            self.connection.settimeout(DRAIN_SECONDS)
            try:
                self.rfile.read(min(int(length[:18]), LARGE_BYTES))
            except OSError:
                pass  # it was announced, and does not come

    def _refuse(self, status: HTTPStatus, words: str) -> None:
        body = f"{words}\n".encode("ascii", "replace")
        self.send_response(status, words.encode("ascii", "replace").decode())
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _is_loopback(host: str) -> bool:
    """Does a header Host name this machine as only this machine can?"""
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
