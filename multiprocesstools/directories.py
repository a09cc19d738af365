"""The directories of a helper: by name or path, made when needed, and checked for what their filesystem can do."""

import os

from multiprocesstools.claims.slots import Slot, check_absolute, check_relative
from multiprocesstools.crew.crew import Crew
from multiprocesstools.errors import BadArgument
from multiprocesstools.plans.plan import Plan
from multiprocesstools.plans.plans import Plans
from multiprocesstools.run.directory import unusable

Path = str | os.PathLike[str]
"""Bytes are understood too, as everywhere in `os`."""


class Directories:
    """Names and paths of the directories that hold finals."""

    def __init__(self, crew: Crew, plans: Plans) -> None:
        self._crew, self._plans = crew, plans
        self._root = crew.run.directory
        self._ready: set[str] = set()
        self._planned: set[tuple[str, bool]] = set()
        self.chunked: dict[str, list[Plan]] = {}
        self.by_name: dict[str, str] = {"working_directory": self._root}
        self.make_ready(self._root)

    def create(self, name: Path) -> str:
        """Make a directory inside the working directory; its path. One that is there is fine."""
        text = os.fsdecode(name)
        path = f"{self._root}/{check_relative(text)}"
        self.make_ready(path)
        self.by_name[text] = path
        return path

    def get(self, name: Path) -> str:
        """The path of a directory that is there, by its name or its path. BadArgument if there is none."""
        path = self.resolve(name)
        if path not in self.by_name.values() and not os.path.isdir(path):
            raise BadArgument("path", os.fspath(name), f"there is no such directory; known are {sorted(self.by_name)}")
        return path

    def resolve(self, name: Path | None) -> str:
        """A name that was created, an absolute path, or a path inside the working directory; None for that itself."""
        if name is None:
            return self._root
        text = os.fsdecode(name)
        if text in self.by_name:
            return self.by_name[text]
        if os.path.isabs(text):
            return check_absolute(os.path.normpath(text))
        return f"{self._root}/{check_relative(text.rstrip('/'))}"

    def make_ready(self, directory: str) -> None:
        """Make a directory and find out what its filesystem can do, once. RunDirectoryUnusable, UnsafeFilesystem."""
        member = self._crew.member()
        if directory in self._ready:
            return
        try:
            member.instance.disk.make_directory(directory)
        except OSError as error:
            raise unusable(directory, error) from error
        member.check_filesystem(directory)
        self._ready.add(directory)

    def make_open(self, directory: str, *, in_place: bool = False) -> str:
        """The same for a directory in which single items are claimed, perhaps written in place; a plan says so to all.
        Returns the one true path of the directory."""
        self.make_ready(directory)
        real = os.path.realpath(directory)
        if (real, in_place) not in self._planned:
            self._plans.record_open(real, in_place=in_place)
            self._planned.add((real, in_place))
        return real

    def single(self, final: str, directory: Path | None) -> Slot:
        """The slot of one item, its directory made."""
        folder, _, name = f"{self.resolve(directory)}/{check_relative(final)}".rpartition("/")
        return self.in_chunk(Slot(self.make_open(folder), name))

    def in_chunk(self, slot: Slot) -> Slot:
        """The same slot with the chunk that it belongs to. Which lists are claimed in chunks is learnt once: later ones
        meet the plan of the open directory, and are not."""
        if slot.directory not in self.chunked:
            self.chunked[slot.directory] = self._plans.chunked_in(slot.directory)
        chunked = self.chunked[slot.directory]
        if not chunked:
            return slot
        return slot._replace(chunk=self._plans.chunk_of(slot.directory, slot.name, chunked, insist=True))
