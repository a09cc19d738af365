"""The journal of an instance: one JSON object a line, what it did and when, by its own clock.

Events: started, interrupted (with the `signal`), claimed, placeholder, done, failed, dropped, skipped, taken over,
lost, overdue, lock taken over and lock lost (with the `lock`), no pacemaker (with the `reason`), moved aside, litter,
swept, ended. Every line has `time` (the owner's wall clock), `at` (seconds since it started), `event` and `host`; lines
of an item also `item`, `attempt`, and at its end `seconds` and `rss` (highest memory so far in bytes, at most a second
old).

Guarantee: one writer; lines are gathered and written in one call, at most one call a second, so a killed process loses
its last second at most; a reader skips what is torn. A full disk stops the journal and never the work.
"""

import errno
import json
import os
import resource
import stat
import sys
import threading
from collections.abc import Iterator
from json.encoder import encode_basestring_ascii as _text
from queue import SimpleQueue
from typing import Any

from multiprocesstools.claims.instance import Instance

FLUSH_SECONDS = 1.0
_MOST_LINES = 10_000
_LINE_LIMIT_BYTES = 1 << 20
_MOST_PARTS = 64
_LATEST_SECONDS = 1e12  # about 30,000 years; also false of NaN


class Journal:
    """The writer. The file exists already: it was created with the number of the instance."""

    def __init__(self, path: str, instance: Instance) -> None:
        self._descriptor = _open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._clock, self._pid, self._host = instance.clock, instance.pid, instance.record.identity.host
        self._started, self._host_text = instance.started, json.dumps(self._host)
        self._peak, self._peak_at = 0, float("-inf")
        self._lines: list[bytes] = []
        self._written = float("-inf")
        self._lock = threading.RLock()
        self.wakes: SimpleQueue[None] = SimpleQueue()  # reentrant, unlike an Event: signal handlers note events

    def add(self, event: str, **facts: Any) -> None:
        """Note an event; written at once if the last write is a second ago."""
        if not self._is_inherited():
            told = "".join([f', "{name}": {json.dumps(value, default=str)}' for name, value in facts.items()])
            self._add(event, told, self._clock.elapsed())

    def add_claimed(self, item: str, attempt: int) -> None:
        """Note that an attempt begins. For the process that owns the journal only."""
        self._add("claimed", f', "item": {_text(item)}, "attempt": {attempt}', self._clock.elapsed())

    def add_end(self, event: str, item: str, attempt: int, began: float, reason: str = "") -> None:
        """Note how an attempt ended that `began` at that time (elapsed clock). For the owner of the journal only."""
        now = self._clock.elapsed()
        if now - self._peak_at >= FLUSH_SECONDS:  # the system adds it up, which takes it a while
            self._peak, self._peak_at = peak_memory_bytes(), now
        told = f', "item": {_text(item)}, "attempt": {attempt}, "seconds": {now - began:.3f}, "rss": {self._peak}'
        self._add(event, f'{told}, "reason": {_text(reason)}' if reason else told, now)

    def _add(self, event: str, told: str, now: float) -> None:
        line = (
            f'{{"time": {self._clock.wall():.3f}, "at": {now - self._started:.3f}, "event": "{event}"{told},'
            f' "host": {self._host_text}}}\n'
        )
        with self._lock:
            self._lines.append(line.encode())
            if now - self._written >= FLUSH_SECONDS:
                self.flush()
            elif len(self._lines) == 1:
                self.wakes.put(None)

    def flush(self) -> None:
        """Write what was gathered, in one call."""
        if self._is_inherited():
            return
        with self._lock:
            if self._lines and self._descriptor >= 0:
                lines, self._lines = self._lines, []  # first, because a signal may come and flush in between
                if rest := self._write(b"".join(lines)):
                    self._lines = [*rest.splitlines(keepends=True)[-_MOST_LINES:], *self._lines]
                    self.wakes.put(None)

    def flush_if_due(self) -> bool:
        """Write what was gathered, unless the last write was a moment ago."""
        if self.due_in_seconds() > 0:
            return False
        self.flush()
        return True

    def due_in_seconds(self) -> float:
        """How long the next write should wait."""
        return max(0.0, self._written + FLUSH_SECONDS - self._clock.elapsed())

    def _write(self, data: bytes) -> bytes:
        """Write in one call; what a full disk does not take is returned, to be kept for the next time."""
        self._written = self._clock.elapsed()
        try:
            return data[os.write(self._descriptor, data) :]
        except OSError:
            return data

    def _is_inherited(self) -> bool:
        """A forked child writes nothing of its parent's, and must not wait for a lock that no thread of it holds."""
        return os.getpid() != self._pid

    def close(self) -> None:
        if self._is_inherited():
            return
        with self._lock:
            self.flush()
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def peak_memory_bytes() -> int:
    """The highest memory of this process so far (getrusage(2): kilobytes on Linux, bytes on macOS)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def read_journal(path: str) -> Iterator[dict[str, Any]]:
    """The lines of a journal that may be torn, growing or foreign; what is no event is skipped."""
    try:
        with open(path, "rb", opener=_open_regular) as file:
            parts = 0  # of a line that does not end: a file of such a line, however large, is no journal
            while (line := file.readline(_LINE_LIMIT_BYTES)) and parts < _MOST_PARTS:
                parts = parts + 1 if len(line) == _LINE_LIMIT_BYTES else 0
                if not parts and (event := _parse(line)) is not None:
                    yield event
    except OSError:
        return


def _open_regular(path: str, flags: int) -> int:
    """A descriptor of a regular file; a planted link or pipe is an OSError."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event: dict[str, Any] = json.loads(line)
        known = isinstance(event["event"], str) and all(abs(event[key]) < _LATEST_SECONDS for key in ("time", "at"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return event if known else None
