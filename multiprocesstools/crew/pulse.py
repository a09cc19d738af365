"""The program of the process that beats for an instance (`pacemaker` starts it): it stands alone, and imports little.

It beats while the instance's process runs and only then: not when that has ended, not while it is stopped (SIGSTOP, a
debugger). It ends when the instance tells it to or is gone: the pipe from it closes, or this process gets another
parent. A suspended machine suspends it too. Condition: a stopped parent is noticed where there is a /proc.

Arguments: the path of the record, its inode, where the beat lies in it, the count of the beats so far, when the
instance started (elapsed clock), seconds between beats, pid of the instance's process. Standard input is the pipe from
the instance; on standard output it says a line for each beat that reached the disk (see `_report`).
"""

import errno
import os
import select
import sys
import time

_LONGEST_WAIT_SECONDS = 1.0
_ABSENT = (errno.ENOENT, errno.ESTALE)
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def main(arguments: list[str]) -> None:
    """Beat until there is nobody to beat for."""
    path, inode, offset, count, started, beat_seconds, parent = arguments
    record = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    if os.fstat(record).st_ino != int(inode):
        return
    os.set_blocking(sys.stdout.fileno(), False)
    beats, seconds, due = int(count), float(beat_seconds), time.monotonic()
    while not _is_told_to_end(min(_LONGEST_WAIT_SECONDS, max(0.0, due - time.monotonic()))):
        if os.getppid() != int(parent):
            return
        if time.monotonic() < due:
            continue
        stopped = _is_stopped(parent)
        due = time.monotonic() + (min(seconds, _LONGEST_WAIT_SECONDS) if stopped else seconds)
        beats += not stopped
        if not (stopped or _beat(record, int(offset), beats, float(started))):
            return


def _is_told_to_end(timeout_seconds: float) -> bool:
    """Wait for a word of the instance, or for the end of its pipe, which says the same."""
    return bool(select.select([0], [], [], timeout_seconds)[0])


def _is_stopped(parent: str) -> bool:
    try:
        with open(f"/proc/{parent}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (OSError, IndexError):
        return False


def _beat(record: int, offset: int, beats: int, started: float) -> bool:
    """False: the record was removed, so there is nobody to beat for."""
    began = time.clock_gettime(_CLOCK)
    try:
        os.pwrite(record, b"%012d %012d" % (beats, int(began - started)), offset)
        os.fsync(record)
    except OSError as error:
        return error.errno not in _ABSENT  # nothing is reported, so the instance knows that it is silent
    _report(began, time.clock_gettime(_CLOCK))
    return True


def _report(began: float, arrived: float) -> None:
    """Say when a beat began and when it was on the disk (elapsed clock).

    An instance that has not listened for some thousand beats misses some.
    """
    try:
        os.write(1, b"%.6f %.6f\n" % (began, arrived))
    except OSError:
        return


if __name__ == "__main__":
    main(sys.argv[1:])
