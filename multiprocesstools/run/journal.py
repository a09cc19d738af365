"""The journal of an instance: one JSON object a line, what it did and when, by its own clock.

Events: started, interrupted (with the `signal`), paused, resumed, claimed, placeholder, done, failed, dropped,
skipped, taken over, lost, overdue, lock taken over and lock lost (with the `lock`), no pacemaker (with the `reason`),
moved aside, litter, swept, ended. Every line has `time` (the owner's wall clock), `at` (seconds since it started),
`event` and `host`; lines of an item also `item`, `attempt`, and at its end `seconds` and `rss` (highest memory so far
in bytes, at most a second old). "claimed" is said of what is in work when the journal is written; an attempt that
begins and ends between two writes has its end alone.

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
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from json.encoder import encode_basestring_ascii as _text
from operator import itemgetter
from typing import Any

from multiprocesstools.bell import Bell
from multiprocesstools.claims.identity import own_pid
from multiprocesstools.claims.instance import Instance

FLUSH_SECONDS = 1.0
_MOST_LINES = 10_000
_LINE_LIMIT_BYTES = 1 << 20
_MOST_PARTS = 64
_LATEST_SECONDS = 1e12  # about 30,000 years; also false of NaN
_Note = tuple[float, float, str, str]
"""Elapsed clock, wall clock, event, and what else is told of it: the line without what is the same in all of them."""
_End = tuple[float, float, str, str, int, float, str]
"""What goes into `_END`: of an item there is no more than this."""
_END = '{"time": %.3f, "at": %.3f, "event": "%s", "item": %s, "attempt": %d, "seconds": %.3f, "rss": '
_Line = tuple[float, str]
"""Seconds since the instance started, and the line."""
_when, _words = itemgetter(0), itemgetter(1)


class Journal:
    """The writer. The file exists already: it was created with the number of the instance.

    Noting needs no lock, because handlers of signals note events too: notes are put to a deque, in one step of the
    interpreter. They become lines when they are written.
    """

    def __init__(self, path: str, instance: Instance) -> None:
        self._descriptor = open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._clock, self._pid, self._host = instance.clock, instance.pid, instance.record.identity.host
        self._hands = instance.hands
        self._started, self._tail = instance.started, f', "host": {json.dumps(self._host)}}}\n'
        self._notes: deque[_Note] = deque()
        self._ends: deque[_End] = deque()
        self._unwritten = b""
        self._written = float("-inf")
        self._has_called = False
        self._lock = threading.RLock()
        self.bell = Bell()  # for the heart; handlers of signals note events too

    def add(self, event: str, **facts: Any) -> None:
        """Note an event; written at once if the last write is a second ago."""
        if not self._is_inherited():
            told = "".join([f', "{name}": {json.dumps(value, default=str)}' for name, value in facts.items()])
            now = self._clock.elapsed()
            self._notes.append((now, self._clock.wall(), event, told))
            self._see_to_it(now)

    def see_to_claimed(self) -> None:
        """Something is in work: if it still is when the journal is written next, in a moment, that is noted."""
        if not self._has_called:
            self._call()

    def add_end(self, event: str, item: str, attempt: int, began: float, reason: str = "") -> None:
        """Note how an attempt ended that `began` at that time (elapsed clock). For the owner of the journal only."""
        now = self._clock.elapsed()
        why = f', "reason": {_text(reason)}' if reason else ""
        self._ends.append((self._clock.wall(), now - self._started, event, _text(item), attempt, now - began, why))
        if not self._has_called or now - self._written >= FLUSH_SECONDS:
            self._see_to_it(now)

    def _see_to_it(self, now: float) -> None:
        """Write now, or have it written in a moment."""
        due = now - self._written >= FLUSH_SECONDS
        if not (due and self.flush_if_due()) and not self._has_called:
            self._call()

    def _call(self) -> None:
        """Have the heart write when the time has come."""
        self._has_called = True
        self.bell.ring()

    def flush(self) -> None:
        """Write what was gathered, in one call."""
        if self._is_inherited():
            return
        with self._lock:
            if self._descriptor < 0:
                return
            self._has_called = False
            new = self._new_lines()
            kept, self._unwritten = self._unwritten, b""  # first, because a signal may come and flush in between
            if (kept or new) and (rest := self._write(kept + new)):
                self._unwritten = b"".join(rest.splitlines(keepends=True)[-_MOST_LINES:]) + self._unwritten
                self._call()

    def _new_lines(self) -> bytes:
        """The lines of what was noted since the last write, in the order in which it was."""
        lines = self._ended_lines()
        with suppress(IndexError):
            while self._notes:
                lines.append(self._line(*self._notes.popleft()))
        for claim in self._hands.in_work():  # after the ends: what has ended by now has no beginning of its own
            if claim.name and not (claim.told or claim.given_up or claim.is_chunk):
                claim.told = True
                told = f', "item": {_text(claim.name)}, "attempt": {claim.attempt}'
                lines.append(self._line(claim.began, claim.started, "claimed", told))
        lines.sort(key=_when)
        return "".join(map(_words, lines)).encode()

    def _ended_lines(self) -> list[_Line]:
        """Put together by one step of the interpreter each, because there is one of each item."""
        ends: list[_End] = []
        take, keep = self._ends.popleft, ends.append
        with suppress(IndexError):  # a signal may come and flush in between
            for _ in range(len(self._ends)):
                keep(take())
        if not ends:
            return []
        line = f"{_END}{peak_memory_bytes()}%s{self._tail.replace('%', '%%')}"  # asked once: the system adds it up
        return [(end[1], line % end) for end in ends]

    def _line(self, at: float, time: float, event: str, told: str) -> _Line:
        at -= self._started
        return at, f'{{"time": {time:.3f}, "at": {at:.3f}, "event": "{event}"{told}{self._tail}'

    def sync(self) -> None:
        """Write what was gathered through to the server; an NFS client would keep it to itself for up to a minute."""
        self.flush()
        with self._lock:
            if self._descriptor >= 0 and not self._is_inherited():
                try:
                    os.fsync(self._descriptor)
                except OSError:
                    return  # a full disk stops the journal and never the work

    def flush_if_due(self) -> bool:
        """Write what was gathered, unless the last write was a moment ago, perhaps that of another thread."""
        with self._lock:
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
        return own_pid() != self._pid

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
        with open(path, "rb", opener=open_regular) as file:
            parts = 0  # of a line that does not end: a file of such a line, however large, is no journal
            while (line := file.readline(_LINE_LIMIT_BYTES)) and parts < _MOST_PARTS:
                parts = parts + 1 if len(line) == _LINE_LIMIT_BYTES else 0
                if not parts and (event := parse_event(line)) is not None:
                    yield event
    except OSError:
        return


def latest_events(path: str, limit_bytes: int) -> Iterator[dict[str, Any]]:
    """The events in the last `limit_bytes` of a journal."""
    try:
        with open(path, "rb", opener=open_regular) as file:
            start = max(0, file.seek(0, os.SEEK_END) - limit_bytes)
            file.seek(start)
            lines = file.read(limit_bytes).split(b"\n")
    except OSError:
        return
    yield from (event for line in lines[start > 0 :] if (event := parse_event(line)) is not None)


def open_regular(path: str, flags: int) -> int:
    """A descriptor of a regular file; a planted link or pipe is an OSError."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


def parse_event(line: bytes) -> dict[str, Any] | None:
    """The event in a line; None for what is none."""
    try:
        event: dict[str, Any] = json.loads(line)
        known = isinstance(event["event"], str) and all(abs(event[key]) < _LATEST_SECONDS for key in ("time", "at"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return event if known else None
