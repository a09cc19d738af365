"""Calling a server: one request after the other over http, asked again with growing pauses while nobody answers.

Guarantee: what a call returns is the server's answer; a server that does not answer for `patience_seconds` is an error
that says so, and so is what it refuses. Condition: a call may be carried out twice when an answer was lost on its way;
all methods of a server bear that.
"""

import http.client
import random
from typing import Any
from urllib.parse import urlsplit
from xmlrpc.client import Fault

from multiprocesstools.clock import Clock, SystemClock
from multiprocesstools.errors import BadArgument, ServerRefused, ServerUnreachable
from multiprocesstools.tasks import wire
from multiprocesstools.tasks.token import SCHEME

ANSWER_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 5.0
"""A worker asks again after so long at most, so a server that is there for longer is found by all."""
_FIRST_PAUSE_SECONDS = 0.1
_MOST_ANSWER_BYTES = 1 << 30


class Server:
    """The server at a url. It may be called by several threads. BadArgument for a url that is none."""

    def __init__(self, url: str, token: str | None = None, *, clock: Clock | None = None) -> None:
        parts = urlsplit(url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise BadArgument("url", url, str(error)) from error
        if parts.scheme not in ("http", "https") or not host or parts.username or parts.query:
            raise BadArgument("url", url, "it must be like http://host:7080, without a user, a token or a query")
        self.url, self._host, self._port, self._path = url, host, port, parts.path if parts.path != "/" else ""
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._headers = {"Content-Type": "text/xml"}
        if token is not None:
            self._headers["Authorization"] = f"{SCHEME}{token}"
        self._clock = clock or SystemClock()

    def call(
        self, method: str, *arguments: Any, patience_seconds: float = 0.0, answer_seconds: float = ANSWER_SECONDS
    ) -> Any:
        """The answer of a method. ServerUnreachable after `patience_seconds` without one; ServerRefused.

        answer_seconds: a single request is given up when nothing moves for so long.
        """
        body, began, pause = wire.call(method, arguments), self._clock.elapsed(), _FIRST_PAUSE_SECONDS
        while True:
            try:
                return self._once(body, answer_seconds)
            except _NoAnswer as error:
                if self._clock.elapsed() - began + pause > patience_seconds:
                    raise ServerUnreachable(self.url, patience_seconds, str(error)) from error
            self._clock.sleep(pause * random.uniform(0.75, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _once(self, body: bytes, answer_seconds: float) -> Any:
        try:
            status, reason, data = self._exchange(body, answer_seconds)
        except (OSError, http.client.HTTPException) as error:
            raise _NoAnswer(f"{type(error).__name__}: {error}") from error
        if status >= 500 and status != http.HTTPStatus.NOT_IMPLEMENTED:
            raise _NoAnswer(f"it said {status} {reason}")
        if status != http.HTTPStatus.OK:
            raise ServerRefused(self.url, f"{status} {reason}")
        try:
            return wire.read_answer(data)
        except Fault as error:
            if error.faultCode == wire.TRY_AGAIN:
                raise _NoAnswer(str(error.faultString)) from error
            raise ServerRefused(self.url, str(error.faultString)) from error
        except wire.Malformed as error:
            raise ServerRefused(self.url, f"its answer is not understood, {error}; is it a server of tasks?") from error

    def _exchange(self, body: bytes, answer_seconds: float) -> tuple[int, str, bytes]:
        connection = self._kind(self._host, self._port, timeout=answer_seconds)
        try:
            connection.request("POST", self._path or "/RPC2", body, self._headers)
            with connection.getresponse() as response:
                data = response.read(_MOST_ANSWER_BYTES)
                if response.length:
                    raise http.client.IncompleteRead(data, response.length)
                return response.status, response.reason, data
        finally:
            connection.close()


class _NoAnswer(Exception):
    """Nobody answered, or could do it now."""
