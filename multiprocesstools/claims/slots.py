"""The names of all files of one item, and what the listing of a directory says of them.

An item is D/n, its final. Beside it lie, all created once and whole: claims `.n.claim-<k>`, ended-files `.n.ended-<k>`,
retry marks `.n.retry-<k>`, the sign `.n.direct` of a final that is being written in place, what an attempt of that kind
had written (`.n.partial-<k>`), and staging files `.mpt-<token>.n`, whose token starts with the id of their instance.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from multiprocesstools.claims.disk import Entry
from multiprocesstools.claims.noted import Names, Noted, Shown
from multiprocesstools.errors import BadName

NAME_LIMIT_BYTES = 255
ID_CHARACTERS = 32
MOST_ATTEMPTS = 9999  # as many as the names have room for
_PREFIX = ".mpt-"
_LONGEST_TOKEN = ID_CHARACTERS + len("-folder-9999")
_OWN = re.compile(r"\.(?P<name>.+)\.(?P<kind>claim|ended|retry|partial)-(?P<attempt>[1-9][0-9]{0,3})", re.DOTALL)
_SIGN = re.compile(r"\.(?P<name>.+)\.direct", re.DOTALL)
_STAGING = re.compile(rf"\.mpt-(?P<owner>[0-9a-f]{{{ID_CHARACTERS}}})-(?P<rest>[a-z0-9-]+)\.(?P<name>.+)", re.DOTALL)
_CHUNK = re.compile(r"chunk-[0-9a-f]{16}-[0-9]+")
_OURS = (_OWN, _SIGN, _CHUNK)
PRIVATE_SUFFIX = "ended"


def chunk_name(plan: str, number: int) -> str:
    """The name of a chunk: of a plan, by its key, and counted from 0."""
    return f"chunk-{plan[:16]}-{number}"


def check_name(name: str) -> str:
    """The name itself, if a final, a placeholder or a directory may have it. BadName says why not."""
    if not name:
        raise BadName(name, "it is empty")
    if "\0" in name or "\n" in name:
        raise BadName(name, "it contains NUL or a line break")
    if name in (".", "..") or "/" in name:
        raise BadName(name, "it must be a plain name inside its directory")
    if name.startswith((_PREFIX, ".multiprocesstools", ".chunk-")) or any(own.fullmatch(name) for own in _OURS):
        raise BadName(name, "the package uses such names itself")
    if _STAGING.fullmatch(f".{name}.direct"):
        raise BadName(name, "behind a dot, as its claims have it, it would be a staging file")
    longest = len(_PREFIX) + _LONGEST_TOKEN + 1 + len(encode_name(name))
    if longest > NAME_LIMIT_BYTES:
        raise BadName(name, f"with the parts that the package adds it has {longest} of {NAME_LIMIT_BYTES} bytes")
    return name


def is_chunk(name: str) -> bool:
    return _CHUNK.fullmatch(name) is not None


def check_relative(path: str) -> str:
    """The path itself, if it stays inside its directory and every part of it is a name that can be used."""
    if not isinstance(path, str):
        raise BadName(str(path), "a final must be a string")
    if path.startswith("/"):
        raise BadName(path, "it must be relative to its directory")
    *folders, name = path.split("/")
    for folder in folders:
        check_name(folder)
    check_name(name)
    return path


def check_absolute(path: str) -> str:
    """The path itself, if a directory can have it."""
    if "\0" in path or "\n" in path:
        raise BadName(path, "it contains NUL or a line break")
    for folder in path.split("/"):
        if len(encode_name(folder)) > NAME_LIMIT_BYTES:
            raise BadName(folder, f"it has more than {NAME_LIMIT_BYTES} bytes")
    return path


def encode_name(name: str) -> bytes:
    """The bytes of a name on the disk, for names that are not UTF-8 too."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise BadName(name, "it cannot be written as a file name") from error


class Slot(NamedTuple):
    """One item: the directory of its final, and the final's name there.

    `chunk`: the name of the chunk that the item belongs to, if its list is claimed in chunks (see `chunk`). A chunk has
    claims and ended-files like an item of that name, whose final never appears.
    """

    directory: str
    name: str
    chunk: str = ""

    def holder(self, attempt: int) -> "Slot":
        """Whose claim gives the attempt to an instance: the first one at an item of a chunk is the chunk's."""
        return Slot(self.directory, self.chunk) if self.chunk and attempt == 1 else self

    @property
    def final(self) -> str:
        return f"{self.directory}/{self.name}"

    def claim(self, attempt: int) -> str:
        return f"{self.directory}/.{self.name}.claim-{attempt}"

    def ended(self, attempt: int) -> str:
        return f"{self.directory}/.{self.name}.ended-{attempt}"

    def retry(self, attempt: int) -> str:
        return f"{self.directory}/.{self.name}.retry-{attempt}"

    def partial(self, attempt: int) -> str:
        return f"{self.directory}/.{self.name}.partial-{attempt}"

    @property
    def sign(self) -> str:
        return f"{self.directory}/.{self.name}.direct"

    def staging(self, token: str) -> str:
        return f"{self.directory}/{_PREFIX}{token}.{self.name}"


def private(directory: str, token: str) -> str:
    """A file of one instance that is about to become another one by a link."""
    return f"{directory}/{_PREFIX}{token}.{PRIVATE_SUFFIX}"


@dataclass(slots=True)
class Files:
    """What one listing says of one item: the numbers of its attempts, claims with their inodes."""

    final: bool = False
    sign: bool = False
    claims: dict[int, int] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    retries: set[int] = field(default_factory=set)
    partials: set[int] = field(default_factory=set)

    @property
    def done(self) -> bool:
        return self.final and not self.sign

    @property
    def highest(self) -> int:
        """The highest attempt, 0 if there was none."""
        return max(max(self.claims, default=0), max(self.ended, default=0))

    @property
    def has_gap(self) -> bool:
        """Does an attempt follow one without an end? Then the listing has overlapped both: the end is made before."""
        return any(attempt not in self.ended for attempt in range(self.last_retry + 1, self.highest))

    @property
    def last_retry(self) -> int:
        return max(self.retries, default=0)


def with_chunk(own: Files, chunk: Files) -> Files:
    """The files of an item of a chunk: attempt 1 is the chunk's, and over with it, unless the item has an end of its
    own."""
    if own.highest > 1:
        return replace(own, ended=own.ended | {1})
    return own if own.highest else replace(own, claims=chunk.claims, ended=chunk.ended)


@dataclass(frozen=True, slots=True)
class Staged:
    """A staging or private file: its name, the id of its instance, and the item's name."""

    file_name: str
    owner: str
    name: str


@dataclass(slots=True)
class Listing:
    """A directory, read once. `names` are the entries, or those that were asked for; `items` those that have files of
    the protocol."""

    directory: str
    names: Noted
    items: dict[str, Files]
    staged: list[Staged]

    def files(self, name: str) -> Files:
        """What is known of one item; for most items only whether the final is there."""
        files = self.items.get(name)
        return files if files is not None else Files(final=name in self.names)

    def of(self, slot: Slot) -> Files:
        """What is known of one item, its chunk included."""
        own = self.files(slot.name)
        return with_chunk(own, self.files(slot.chunk)) if slot.chunk else own

    def is_done(self, name: str) -> bool:
        files = self.items.get(name)
        return name in self.names if files is None else files.done


def read_listing(directory: str, entries: Iterable[Entry], names: Noted | None = None) -> Listing:
    """Sort the names of a directory by item, as they come. Names that are doubled or concurrent do no harm.

    `names` notes the finals; all of them and their inodes, unless it is given.
    """
    listing = Listing(directory, Names() if names is None else names, {}, [])
    for entry in listing.names.gather(entries):
        _sort(listing, entry.name, entry)
    for name, files in listing.items.items():
        files.final = name in listing.names
    return listing


def read_settled(first: Listing, read: Callable[[], Listing]) -> Listing:
    """A listing in which a final counts only if it was complete, where finals are written in place.

    A sign is there from before the first byte of a final until it is complete, or until what was written was moved
    aside. So a final was complete if a second listing, begun after one that showed it, shows no sign, and a third one
    shows the same file still in its place.
    """
    if isinstance(first.names, Shown):
        first = read()
    second, third = read(), read()
    before, after = first.names, third.names
    assert not isinstance(before, Shown) and not isinstance(after, Shown), "inodes are needed here"
    for name in list(after):
        signed = name in second.items and second.items[name].sign
        if signed or name not in before or before.inode(name) != after.inode(name):
            _uncount(third, name)
    return third


def _uncount(listing: Listing, name: str) -> None:
    """Nothing is known of this final yet."""
    listing.names.discard(name)
    if name in listing.items:
        listing.items[name].final = False


def _sort(listing: Listing, name: str, entry: Entry) -> None:
    if staged := _STAGING.fullmatch(name):
        listing.staged.append(Staged(name, staged["owner"], staged["name"]))
    elif own := _OWN.fullmatch(name):
        files = listing.items.setdefault(own["name"], Files())
        _note(files, own["kind"], int(own["attempt"]), entry)
    elif sign := _SIGN.fullmatch(name):
        listing.items.setdefault(sign["name"], Files()).sign = True


def _note(files: Files, kind: str, attempt: int, entry: Entry) -> None:
    if kind == "claim":
        files.claims[attempt] = entry.inode()
    else:
        {"ended": files.ended, "retry": files.retries, "partial": files.partials}[kind].add(attempt)
