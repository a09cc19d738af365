"""One log file per instance, shared by the loggers that the user named.

Guarantee: importing configures nothing; what an open changes (handlers, the level of loggers that had none), its close
puts back; every handler is closed. A full disk is said once and does not stop the work.
"""

import errno
import logging
import os
import stat
import sys
from io import TextIOWrapper

from multiprocesstools.display.text import printable

FORMAT = "%(asctime)s:%(filename)s:%(funcName)s:%(name)s:%(levelname)s:%(message)s"


class _Handler(logging.FileHandler):
    """A file handler that complains once."""

    complained = False

    def _open(self) -> TextIOWrapper:
        """A planted link is not followed (OSError)."""
        return TextIOWrapper(open(self.baseFilename, "ab", opener=_open_itself), self.encoding, self.errors)

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.complained:
            self.complained = True
            sys.stderr.write(f"multiprocesstools: {self.baseFilename!r} cannot be written: {sys.exc_info()[1]}\n")


class LogFile:
    """The log file of an instance and the loggers that write to it."""

    def __init__(self, path: str, names: tuple[str, ...]) -> None:
        self._handler = _Handler(path, encoding="utf-8", errors="backslashreplace")
        self._handler.setFormatter(logging.Formatter(FORMAT))
        self.loggers = {name: logging.getLogger(name) for name in names}
        self._closed = False
        self._attached = [*self.loggers.values()]
        self._levelled = [logger for logger in self._attached if logger.level == logging.NOTSET]
        for logger in self._attached:
            logger.addHandler(self._handler)
        for logger in self._levelled:
            logger.setLevel(logging.DEBUG)

    def warn(self, message: str) -> None:
        """A line of the package itself, whichever loggers the user named."""
        self._write(logging.WARNING, message)

    def fail(self, message: str) -> None:
        """The same about something that failed."""
        self._write(logging.ERROR, message)

    def _write(self, level: int, message: str) -> None:
        if not self._closed:
            source, function, text = "multiprocesstools", "run", "\n".join(map(printable, message.split("\n")))
            self._handler.handle(logging.LogRecord(source, level, source, 0, text, None, None, function))

    def close(self) -> None:
        for logger in self._attached:
            logger.removeHandler(self._handler)
        for logger in self._levelled:
            if logger.level == logging.DEBUG:
                logger.setLevel(logging.NOTSET)
        self._attached, self._levelled, self._closed = [], [], True
        try:
            self._handler.close()
        except OSError:
            return  # there is still no room for the last lines; it was said when they came


def _open_itself(path: str, flags: int) -> int:
    """A descriptor of a regular file with no other name; a planted link or pipe is an OSError, and blocks nobody."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a file of its own", path)
    return descriptor
