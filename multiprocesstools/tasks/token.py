"""The token that a server wants from its workers: a file that only its owner can read.

Guarantee: a token is compared in constant time, stands in no message and on no command line, and is taken only from a
regular file of this user with mode 0600 (or less). Condition: over plain http whoever can listen on the network between
can read it; use a tunnel (ssh -L) or a proxy with TLS where that matters.
"""

import hmac
import os
import stat
from ipaddress import ip_address

from multiprocesstools.errors import BadArgument

SCHEME = "Bearer "
_SHORTEST, _LONGEST = 16, 4096
_ADVICE = "make one with: (umask 077; head -c 32 /dev/urandom | base64 > token)"


def read_token(path: str | os.PathLike[str]) -> str:
    """The token in a file, without white space around it. BadArgument."""
    try:
        data = _read(path)
    except OSError as error:
        raise _refused(path, f"it cannot be read ({error.strerror}); {_ADVICE}") from error
    if not _SHORTEST <= len(data) <= _LONGEST or not data.isascii() or b"\n" in data:
        raise _refused(path, f"it must hold one line of {_SHORTEST} to {_LONGEST:,} ASCII characters; {_ADVICE}")
    return data.decode("ascii")


def _read(path: str | os.PathLike[str]) -> bytes:
    with open(path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise _refused(path, "it is no regular file")
        if status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise _refused(path, f"others can read or change it (mode {status.st_mode & 0o777:04o}); say chmod 600")
        return file.read(_LONGEST + 1).strip()


def is_same(token: str, header: str) -> bool:
    """Does the header Authorization give this token? In constant time."""
    return hmac.compare_digest(f"{SCHEME}{token}".encode(), header.encode("utf-8", "surrogateescape"))


def is_loopback(host: str) -> bool:
    """Can only this machine reach an address? Names other than localhost are not looked up."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def required(host: str, token_file: str | os.PathLike[str] | None) -> str | None:
    """The token of a server on this address, None if it needs none. BadArgument."""
    if token_file is not None:
        return read_token(token_file)
    if not is_loopback(host):
        reason = f"other machines can reach {host!r}, so a token is needed: a file of mode 0600; {_ADVICE}"
        raise BadArgument("token_file", None, reason)
    return None


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _refused(path: str | os.PathLike[str], reason: str) -> BadArgument:
    return BadArgument("token_file", os.fspath(path), reason)
