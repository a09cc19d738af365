"""The log files and journals of all instances as one stream in the order of time, for people and programs.

Guarantee: files of any length and number are read in blocks, none of which stays open; what is torn, foreign or planted
is passed over, and no link or pipe is followed. Condition of the order: the clocks of the machines that wrote, because
each line bears its writer's; log files have local times, which are taken for those of the reader's time zone.
"""

import heapq
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from multiprocesstools.run.directory import Run
from multiprocesstools.run.journal import open_regular, parse_event

_BLOCK_BYTES = 1 << 15
_LINE_LIMIT_BYTES = 1 << 20
_MOST_LINES = 1000  # of one message
_HEAD = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(?P<ms>\d{3}):(?P<place>[^:]*:[^:]*):(?P<logger>[^:]*):"
    r"(?P<level>[^:]*):(?P<text>.*)"
)
_EVENT_LEVELS = {
    "claimed": logging.DEBUG, "placeholder": logging.DEBUG, "failed": logging.ERROR, "lost": logging.WARNING,
    "overdue": logging.WARNING, "taken over": logging.WARNING, "interrupted": logging.WARNING,
    "moved aside": logging.WARNING, "no pacemaker": logging.WARNING,
}  # fmt: skip


@dataclass(slots=True)
class Entry:
    """One message of a log file, with the lines that follow it, or one event of a journal. `time` is the writer's wall
    clock; `level` a number of `logging`; `data` the event as it was written."""

    time: float
    instance: str
    host: str
    level: int
    text: str
    item: str = ""
    more: list[str] = field(default_factory=list)
    data: dict[str, Any] | None = None

    @property
    def level_name(self) -> str:
        return logging.getLevelName(self.level)

    def as_dict(self) -> dict[str, Any]:
        kind = "log" if self.data is None else "event"
        entry = {"kind": kind, "time": self.time, "instance": self.instance, "host": self.host}
        entry |= {"level": self.level_name, "item": self.item, "text": "\n".join([self.text, *self.more])}
        return entry if self.data is None else entry | {"data": self.data}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries: all of these conditions; an empty one is none. `item`: its final relative to the run directory, or
    the last part of that; of log files, messages that name it."""

    item: str = ""
    host: str = ""
    instances: tuple[str, ...] = ()
    level: int = 0

    def has_instance(self, name: str) -> bool:
        return not self.instances or name in self.instances

    def __contains__(self, entry: Entry) -> bool:
        return (
            entry.level >= self.level
            and (not self.host or entry.host == self.host)
            and (not self.item or self._is_of_item(entry))
        )

    def _is_of_item(self, entry: Entry) -> bool:
        if entry.data is None:
            return any(_names(line, self.item) for line in (entry.text, *entry.more))
        return self.item in (entry.item, entry.item.rpartition("/")[2])


class Archive:
    """The files of a run, read from where the last reading ended."""

    def __init__(self, run: Run, selection: Selection, *, events_only: bool = False) -> None:
        self._run, self._selection = run, selection
        self._kinds = {suffix: kind for suffix, kind in _KINDS.items() if kind is _Journal or not events_only}
        self._mention = json.dumps(selection.item.rpartition("/")[2])[1:-1].encode()
        self._files: dict[str, _File] = {}

    def read(self) -> Iterator[Entry]:
        """What is there and was not read yet, in the order of time."""
        for entry in heapq.merge(*(file.entries() for file in self._known()), key=lambda entry: entry.time):
            if entry in self._selection:
                yield entry

    def _known(self) -> list["_File"]:
        for entry in self._run.disk.list(self._run.logs):
            stem, dot, suffix = entry.name.rpartition(".")
            kind = self._kinds.get(suffix) if dot and self._selection.has_instance(stem) else None
            if kind is not None and entry.name not in self._files:
                self._files[entry.name] = kind(self._run.logs, stem, self._mention)
        return [self._files[name] for name in sorted(self._files)]


class _Lines:
    """The lines of a growing file, from where they were read last. What does not end yet is kept for the next time."""

    def __init__(self, path: str) -> None:
        self._path, self._offset, self._rest = path, 0, b""

    def new(self) -> Iterator[bytes]:
        while data := self._block():
            self._offset += len(data)
            *lines, rest = data.split(b"\n")
            if lines:
                lines[0], self._rest = self._rest + lines[0], b""
            yield from (line for line in lines if len(line) <= _LINE_LIMIT_BYTES)
            self._rest = (self._rest + rest)[: _LINE_LIMIT_BYTES + 1]

    def _block(self) -> bytes:
        try:
            descriptor = open_regular(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            return os.pread(descriptor, _BLOCK_BYTES, self._offset)
        except OSError:
            return b""
        finally:
            os.close(descriptor)


class _File:
    """A file of one instance. Of a journal, lines without the bytes `mention` need not be read."""

    def __init__(self, folder: str, instance: str, suffix: str, mention: bytes) -> None:
        self.instance, self.mention = instance, mention
        self.lines = _Lines(f"{folder}/{instance}.{suffix}")

    def entries(self) -> Iterator[Entry]:
        """The new ones."""
        raise NotImplementedError


class _Journal(_File):
    def __init__(self, folder: str, instance: str, mention: bytes) -> None:
        super().__init__(folder, instance, "jsonl", mention)

    def entries(self) -> Iterator[Entry]:
        for line in self.lines.new():
            if self.mention in line and (event := parse_event(line)) is not None:
                yield _entry_of(event, self.instance)


class _Log(_File):
    """Lines that do not begin a message belong to the one before."""

    def __init__(self, folder: str, instance: str, mention: bytes) -> None:
        super().__init__(folder, instance, "log", mention)
        self._host = ""
        self._last: Entry | None = None
        self._first = _Lines(f"{folder}/{instance}.jsonl")

    def entries(self) -> Iterator[Entry]:
        entry = None
        for line in self.lines.new():
            text = line.decode("utf-8", "backslashreplace")
            if (head := _HEAD.fullmatch(text)) and (moment := _moment(head)) is not None:
                if entry is not None:
                    yield entry
                level = logging.getLevelNamesMapping().get(head["level"], logging.INFO)
                words = f"{head['logger']}: {head['text']}"
                entry = self._last = Entry(moment, self.instance, self._writer(), level, words)
            elif entry is None and self._last is not None:  # its message was read before
                entry = replace(self._last, text=text, more=[])
            elif entry is not None and len(entry.more) < _MOST_LINES:
                entry.more.append(text)
        if entry is not None:
            yield entry

    def _writer(self) -> str:
        """The host, which only the journal of the instance names."""
        if not self._host:
            events = (event for line in self._first.new() if (event := parse_event(line)) is not None)
            self._host = next((str(event.get("host", "")) for event in events), "")
        return self._host


_KINDS: dict[str, type[_Journal | _Log]] = {"jsonl": _Journal, "log": _Log}


def _entry_of(event: dict[str, Any], instance: str) -> Entry:
    kind, item, host = event["event"], event.get("item"), event.get("host")
    words = [kind, *(str(event[key]) for key in ("item", "path") if key in event)]
    words += [f"attempt {event['attempt']}"] if "attempt" in event else []
    words += [f"after {event['seconds']} s"] if "seconds" in event else []
    words += [f"({event['reason']})"] if event.get("reason") else []
    words += [f"({event['signal']})"] if "signal" in event else []
    words += [f"from {_who(event['from'])}"] if isinstance(event.get("from"), dict) else []
    level = _EVENT_LEVELS.get(kind, logging.INFO)
    about = item if isinstance(item, str) else event.get("path")
    name = about if isinstance(about, str) else ""
    return Entry(float(event["time"]), instance, str(host or ""), level, " ".join(words), name, data=event)


def _who(owner: dict[str, Any]) -> str:
    return f"{owner.get('name')}-{owner.get('number')} on {owner.get('host')}"


def _moment(head: "re.Match[str]") -> float | None:
    """The time of a message; None where it is none."""
    try:
        return time.mktime(time.strptime(head["time"], "%Y-%m-%d %H:%M:%S")) + int(head["ms"]) / 1000
    except (ValueError, OverflowError):
        return None


def _names(line: str, item: str) -> bool:
    """Does a line name the item, and not only one whose name contains this one's?"""
    return re.search(rf"(?<![\w.-]){re.escape(item)}(?![\w-])", line) is not None
