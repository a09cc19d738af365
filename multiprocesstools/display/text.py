"""Words for people: names that cannot harm a terminal, times, counts."""

import os
import shlex

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def printable(text: str) -> str:
    """The text with everything that a terminal could obey, and what is not UTF-8, written as an escape."""
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def duration(seconds: float) -> str:
    """A length of time, as short as it is understood."""
    seconds = max(0.0, seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h" if seconds < 2 * _DAY else f"{seconds / _DAY:.1f} days"


def shown(directory: str) -> str:
    """A directory as it can be pasted behind a command: relative if it lies below the current one, and quoted."""
    here = os.path.relpath(directory)
    return shlex.quote(printable(directory if here.startswith("..") else here))


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")
