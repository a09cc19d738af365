"""What all instances are asked for through the run directory: to stop, to pause, to go on.

    .multiprocesstools/stop, pause      a token each; an instance obeys one that it did not find when it started

A request is withdrawn by removing its file. Names are learnt from one listing for both: a name that an NFS client has
found missing it may take for missing again. Guarantee: whoever is at work when a request is made obeys it at its next
beat, and whoever starts later works as usual. A token that is there and cannot be read changes nothing.
"""

from multiprocesstools.claims.disk import Disk
from multiprocesstools.claims.held import Held
from multiprocesstools.run.directory import Run, new_id

STOP, PAUSE = "stop", "pause"
_KINDS = (STOP, PAUSE)
_TICK_SECONDS = 0.02
"""More than a tick of any server's clock: a hundred a second are the fewest that Linux is built with."""


class Requests:
    """The requests of a run as one instance has heard them since it started."""

    def __init__(self, run: Run, home: Held) -> None:
        """`home` is the run's own directory, held open to be listed again and again."""
        self._run, self._home = run, home
        tokens = self._tokens(run.disk)  # an old one that cannot be read for a moment would be a new one later
        self._old = {kind: token or "" for kind, token in tokens.items()}
        self.stop_requested = self.paused = False

    def look(self) -> None:
        """Learn what is asked for now."""
        tokens = self._tokens(self._run.raw)
        self.stop_requested |= self._is_new(tokens, STOP)
        if PAUSE not in tokens:
            self.paused = False
        elif tokens[PAUSE]:
            self.paused = self._is_new(tokens, PAUSE)

    def succeed(self, other: "Requests") -> None:
        """Carry on for an earlier membership: what was asked before it joined anew concerns it too."""
        self._old, self.stop_requested, self.paused = other._old, other.stop_requested, other.paused

    def _is_new(self, tokens: dict[str, str | None], kind: str) -> bool:
        return bool(tokens.get(kind)) and tokens[kind] != self._old.get(kind)

    def _tokens(self, disk: Disk) -> dict[str, str | None]:
        """What is asked for, with its token; None for one that cannot be read now."""
        listed = [entry.name for entry in self._home.list() if entry.name in _KINDS]
        return {kind: read_token(disk, f"{self._run.home}/{kind}") for kind in listed}


def read_token(disk: Disk, path: str) -> str | None:
    """The token of the latest request of a kind; None if there is none that can be read."""
    try:
        return (disk.read(path) or b"").decode("ascii", "replace").strip() or None
    except OSError:
        return None


def request(run: Run, kind: str) -> None:
    """Ask all instances that take part now to stop or to pause, after the item in hand."""
    run.replace(f"{run.home}/{kind}", new_id().encode())
    _stir(run)


def withdraw(run: Run, kind: str) -> bool:
    """Take a request back. False: there was none.

    It lists first: a client of NFS v3 that has removed the name once takes it for missing, and would not even ask.
    """
    there = any(entry.name == kind for entry in run.disk.list(run.home))
    withdrawn = there and run.disk.unlink(f"{run.home}/{kind}")
    if withdrawn:
        _stir(run)
    return withdrawn


def _stir(run: Run) -> None:
    """Change the directory once more, in another tick of the server's clock.

    An NFS client tells by the time of the last change whether its copy of a directory is fresh. If it lists between two
    changes of one tick, it takes what it has for fresh, without the second, until the time changes.
    """
    run.clock.sleep(_TICK_SECONDS)
    path = run.private()
    try:
        run.disk.create(path, b"")
    finally:
        run.disk.unlink(path)
