"""The items of a plan as they are written down: final and source of each, in blocks, and compressed.

    [folder, number of items, bytes of the names, bytes of the sources]    one line of JSON
    the names of the finals, a line each
    their sources, a line each; in both a line break within is written \\n, and a backslash twice

Guarantee: writing and reading hold one block at a time, however many there are. What was torn or forged is a ValueError
or zlib.error, after at most one block more than was announced; Torn where the end of the compressed bytes is missing.
"""

import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from multiprocesstools.claims.whole import Torn
from multiprocesstools.plans.finals import WorkList, source_identities
from multiprocesstools.plans.naming import BLOCK

_STEP_BYTES = 1 << 18
_HEAD_LIMIT_BYTES = 1 << 16
_TEXT_LIMIT_BYTES = 1 << 24
_LONGEST_SOURCE = 1000
_FASTEST = 1
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """Some items of one folder, which is relative to the run directory where it lies inside it, and "" for itself."""

    folder: str
    names: list[str]
    sources: list[str]

    def finals(self) -> Iterator[str]:
        return (_join(self.folder, name) for name in self.names)


class Inventory:
    """The items of a work list, as a plan has them. `relative` gives paths as they are written in plans."""

    def __init__(self, work: WorkList, run_directory: str) -> None:
        self._work, self._directory = work, run_directory
        self._folders = {self._relative(folder.path): folder for folder in work.folders}
        self._known: dict[str, str] = {}
        self._compressed = b""

    def __len__(self) -> int:
        return len(self._work)

    def blocks(self) -> Iterator[Block]:
        for text, folder in self._folders.items():
            for first in range(folder.first, folder.end, BLOCK):
                end = min(first + BLOCK, folder.end)
                names = folder.names[first - folder.first : end - folder.first]
                yield Block(text, names, self._sources(self._work.indices[first:end]))

    def digest(self, *, likely_new: bool = False) -> str:
        """What tells this list from every other. `likely_new`: `compressed` will be asked for, and is made too."""
        seen, packer = hashlib.sha256(), zlib.compressobj(_FASTEST)
        parts = []
        for block in self.blocks():
            text = b"".join(encode(block))
            seen.update(text)
            if likely_new:
                parts.append(packer.compress(text))
        self._compressed = b"".join((*parts, packer.flush())) if likely_new else b""
        return seen.hexdigest()

    def compressed(self) -> bytes:
        """The list as it is written down, once it has a digest."""
        if not self._compressed:
            self.digest(likely_new=True)
        return self._compressed

    def conflict(self, others: Iterable[Block]) -> tuple[str, str, str] | None:
        """The first final that another list makes of another source: it, the source there, and the source here."""
        places: dict[str, dict[str, int]] = {}
        for block in others:
            folder = self._folders.get(block.folder)
            if folder is None:
                continue
            if block.folder not in places:
                places[block.folder] = folder.places()
            known = places[block.folder]
            shared = [i for i, name in enumerate(block.names) if name in known]
            if shared:
                mine = self._sources(self._work.indices[folder.first + known[block.names[i]]] for i in shared)
                for i, source in zip(shared, mine, strict=True):
                    if block.sources[i] != source:
                        return _join(block.folder, block.names[i]), block.sources[i], source
        return None

    def shares(self, others: Iterable[Block]) -> bool:
        """Is any final in another list too?"""
        return any(
            not set(block.names).isdisjoint(folder.names)
            for block in others
            if (folder := self._folders.get(block.folder)) is not None
        )

    def difference(self, others: Iterable[Block]) -> tuple[int, str, str]:
        """The first place, from 0, at which another list has another final: it, the final there, and the one here."""
        theirs = (final for block in others for final in block.finals())
        mine = (final for block in self.blocks() for final in block.finals())
        pairs = enumerate(zip_longest(theirs, mine, fillvalue=""))
        return next(((place, there, here) for place, (there, here) in pairs if there != here), (len(self), "", ""))

    def _sources(self, indices: Iterable[int]) -> list[str]:
        sources = list(map(self._work.sources.__getitem__, indices))
        return _bounded(source_identities(sources, self._directory, self._known))

    def _relative(self, path: str) -> str:
        if path == self._directory:
            return ""
        return path.removeprefix(self._directory + "/")


def encode(block: Block) -> tuple[bytes, bytes, bytes]:
    """The bytes of a block."""
    names, sources = _lines(block.names), _lines(block.sources)
    head = json.dumps([block.folder, len(block.names), len(names), len(sources)]) + "\n"
    return head.encode(), names, sources


def decode(data: bytes, count: int) -> Iterator[Block]:
    """The blocks of a compressed list of at most `count` items. ValueError, zlib.error or TypeError for all else."""
    text, left = _Expanded(data), count
    begun: set[tuple[str, str]] = set()
    while line := text.line():
        folder, number, names, sources = json.loads(line)
        if not isinstance(folder, str) or not all(map(_is_size, (number, names, sources))):
            raise ValueError("a block does not say what is in it")
        block = Block(_checked(folder), _texts(text.read(names), number), _texts(text.read(sources), number))
        if "/" in _checked("\n".join(block.names)):
            raise ValueError("a name with a folder")
        beginning = folder, block.names[0]
        left -= number
        if left < 0 or beginning in begun:
            raise ValueError("it names a final twice, or more of them than its plan")
        begun.add(beginning)
        yield block
    text.close()


class _Expanded:
    """Compressed bytes, expanded as they are read."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self._stream, self._text = zlib.decompressobj(), b""

    def line(self) -> bytes:
        """The next line; nothing at the end."""
        while (end := self._text.find(b"\n")) < 0 and self._expand():
            if len(self._text) > _HEAD_LIMIT_BYTES + _STEP_BYTES:
                break
        if end < 0 or end > _HEAD_LIMIT_BYTES:
            if not self._text:
                return b""
            raise self._cut()
        return self.read(end + 1)

    def read(self, size: int) -> bytes:
        if size > _TEXT_LIMIT_BYTES:
            raise ValueError(f"a block of more than {_TEXT_LIMIT_BYTES} bytes")
        parts, there = [self._text], len(self._text)
        while there < size:
            if not self._expand_into(parts):
                raise self._cut()
            there += len(parts[-1])
        text = b"".join(parts)
        self._text = text[size:]
        return text[:size]

    def close(self) -> None:
        if not self._stream.eof:
            raise self._cut()

    def _cut(self) -> ValueError:
        """Why there is not more: the end of the file is missing, or its list was never longer."""
        is_whole = self._stream.eof or self._at < len(self._data)
        return ValueError("it is torn, or no list") if is_whole else Torn(self._data)

    def _expand(self) -> bool:
        parts = [self._text]
        going_on = self._expand_into(parts)
        self._text = b"".join(parts)
        return going_on

    def _expand_into(self, parts: list[bytes]) -> bool:
        """A step further; False at the end."""
        if self._stream.eof:
            return False
        rest = self._stream.unconsumed_tail
        if not rest:
            rest = self._data[self._at : self._at + _STEP_BYTES]
            self._at += len(rest)
        text = self._stream.decompress(rest, _STEP_BYTES)
        parts.append(text)
        return bool(rest or text)


def _lines(texts: list[str]) -> bytes:
    text = "\n".join(texts)
    if "\\" in text or text.count("\n") != len(texts) - 1:
        text = "\n".join(part.replace("\\", "\\\\").replace("\n", "\\n") for part in texts)
    return text.encode("utf-8", "surrogatepass") + b"\n"


def _texts(data: bytes, number: int) -> list[str]:
    if not 0 < number <= BLOCK or data.count(b"\n") != number or data[-1:] != b"\n":
        raise ValueError("a block with another number of lines than it says")
    texts = data[:-1].decode("utf-8", "surrogatepass").split("\n")
    if b"\\" in data:
        return [_ESCAPED.sub(lambda match: "\n" if match[1] == "n" else match[1], text) for text in texts]
    return texts


def _checked(text: str) -> str:
    if b"\0" in os.fsencode(text):
        raise ValueError("a name with NUL")
    return text


def _bounded(sources: list[str]) -> list[str]:
    """The sources; of a very long one its beginning and what tells it from all others."""
    if max(map(len, sources)) <= _LONGEST_SOURCE:
        return sources
    return [_shortened(source) if len(source) > _LONGEST_SOURCE else source for source in sources]


def _shortened(source: str) -> str:
    return f"{source[:_LONGEST_SOURCE]}... {hashlib.sha256(source.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value <= _TEXT_LIMIT_BYTES


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
