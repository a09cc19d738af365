"""Two processes on two machines that find one another in a directory, and go on step by step, through files alone.

Guarantee: each meets one other, and `together` returns when both have come to that step. Whoever never meets anybody,
or is left alone, gets an error after a time and leaves nothing behind. Condition: names that one creates are seen by
the other some time after it has changed the directory itself and lists it.
"""

import json
import re
from dataclasses import dataclass

from multiprocesstools.claims import identity
from multiprocesstools.claims.disk import ABSENT, Disk
from multiprocesstools.clock import Clock
from multiprocesstools.errors import RunDirectoryUnusable
from multiprocesstools.run.directory import new_id, unusable

_POLL_SECONDS, _STEP_SECONDS = 0.02, 90.0
_FOLDER = ".mpt-doctor-meeting"


@dataclass(frozen=True, slots=True)
class Partner:
    """The other one: its token, its machine, and whether that is this very machine."""

    token: str
    host: str
    is_here: bool


class Meeting:
    """One side of it."""

    def __init__(self, disk: Disk, clock: Clock, place: str) -> None:
        self.disk, self.clock, self._place = disk, clock, place
        self._folder, self.token = f"{place}/{_FOLDER}", new_id()
        self._partner: Partner | None = None
        self._step = 0

    def find(self, timeout: float) -> Partner:
        """Wait for somebody else. RunDirectoryUnusable after `timeout` seconds."""
        own, end = identity.current(), self.clock.elapsed() + timeout
        try:
            self.disk.make_directory(self._folder)
            hello = {"host": own.host, "boot": own.boot, "namespace": own.namespace}
            self.disk.create(f"{self._folder}/hello-{self.token}", json.dumps(hello).encode())
            greeted: set[str] = set()
            while (token := self._greet(greeted)) is None:
                if self.clock.elapsed() >= end:
                    raise RunDirectoryUnusable(
                        self._place,
                        f"no second doctor came within {timeout:.0f} s: start the same command on another machine at "
                        "the same time. If it runs there already, the two do not see the same directory",
                    )
                self.clock.sleep(_POLL_SECONDS)
        except OSError as error:
            self.leave()
            raise unusable(self._place, error) from error
        except BaseException:
            self.leave()
            raise
        self._partner = self._know(token)
        self.disk.make_directory(f"{self.folder}/steps")
        return self._partner

    @property
    def folder(self) -> str:
        """A directory for these two."""
        assert self._partner is not None
        return f"{self._folder}/pair-{min(self.token, self._partner.token)}"

    @property
    def leads(self) -> bool:
        """Is this the one that begins?"""
        assert self._partner is not None
        return self.token < self._partner.token

    def together(self) -> None:
        """Wait until the other one has come to this step, too. RunDirectoryUnusable when it does not."""
        assert self._partner is not None
        steps, end = self._come(), self.clock.elapsed() + _STEP_SECONDS
        while f"{self._step}-{self._partner.token}" not in self._names(steps):
            if self.clock.elapsed() >= end:
                raise RunDirectoryUnusable(self._place, f"the doctor on {self._partner.host} does not go on")
            self.clock.sleep(_POLL_SECONDS)

    def part(self) -> None:
        """The last step: the one that leads waits for the other, and removes everything."""
        if self.leads:
            self.together()
            self.leave()
        else:
            self._come()

    def _come(self) -> str:
        self._step += 1
        self.disk.create(f"{self.folder}/steps/{self._step}-{self.token}", b"")
        return f"{self.folder}/steps"

    def leave(self) -> None:
        """Remove what is ours and, if nobody else is there, everything. Whoever never answered was killed."""
        try:
            names, known = self._names(self._folder), self._partner.token if self._partner else ""
            others = [name for name in names if re.fullmatch(rf"meet-(?!{known or '!'})[0-9a-f]+-{self.token}", name)]
            if others:
                for name in (name for name in names if self.token in name):
                    self.disk.remove_tree(f"{self._folder}/{name}")
            else:
                self.disk.remove_tree(self._folder)
        except OSError as error:
            if error.errno not in ABSENT:
                raise unusable(self._place, error) from error

    def _greet(self, greeted: set[str]) -> str | None:
        """Answer everybody who is there; the first of those that have answered us."""
        names = self._names(self._folder)
        tokens = sorted(name[6:] for name in names if name.startswith("hello-") and name[6:] != self.token)
        for token in tokens:
            if token not in greeted:
                self.disk.create(f"{self._folder}/meet-{self.token}-{token}", b"")
                greeted.add(token)
        return next((token for token in tokens if f"meet-{token}-{self.token}" in names), None)

    def _know(self, token: str) -> Partner:
        own = identity.current()
        try:
            hello = json.loads(self.disk.read(f"{self._folder}/hello-{token}") or b"{}")
        except (OSError, ValueError):
            hello = {}
        is_here = (hello.get("boot"), hello.get("namespace")) == (own.boot, own.namespace)
        return Partner(token, str(hello.get("host", "?")), is_here)

    def _names(self, directory: str) -> set[str]:
        """A listing by the server: a change of our own makes the client forget what it remembers."""
        stir = f"{directory}/stir-{self.token}"
        self.disk.create(stir, b"")
        self.disk.unlink(stir)
        return {entry.name for entry in self.disk.list(directory)}
