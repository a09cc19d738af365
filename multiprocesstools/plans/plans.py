"""Plans: what the loops of a run work on, written down so that totals, ETA and cleanup need no script.

    plans/<key>.json    name, template, directories, number and hash of the sources; the highest `sequence` of one
                        template and directory counts in the totals
    plans/<key>.names   final and source of each item, compressed
    plans/<key>.cut     how many items a chunk has, where that was measured

An *open* plan (no template) names a directory in which single items are claimed: `claim`, `once`, direct mode; the
latter has one of its own, `in_place`, which is there before the first final of that kind is begun.

Guarantee: one final never has two sources, in any plan of the run. How a list is cut into chunks is recorded once, and
while instances live, no list over the same finals is claimed in another way. Apart from that plans decide nothing about
claims.
"""

import itertools
import json
import os
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from multiprocesstools.claims.whole import Torn, read_json, readings
from multiprocesstools.errors import DuplicateFinal, ListChanged, NewerFormat
from multiprocesstools.plans.agreement import Agreement
from multiprocesstools.plans.cut import MOST_ITEMS, SINGLE, Cut
from multiprocesstools.plans.plan import FORMAT, Plan, decode, encode, is_number
from multiprocesstools.run.digest import sha256
from multiprocesstools.run.directory import Run

if TYPE_CHECKING:
    from multiprocesstools.plans.inventory import Block, Inventory

_NAMES_LIMIT_BYTES = 1 << 28


class Plans:
    """The plans of a run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._cuts: dict[str, list[tuple[Cut, list[str]]]] = {}

    def all(self) -> list[Plan]:
        """Every plan, oldest first."""
        files = sorted(name for name in self._file_names() if name.endswith(".json") and not name.startswith("."))
        plans = [plan for name in files if (plan := self._read(name)) is not None]
        return sorted(plans, key=lambda plan: plan.sequence)

    def current(self) -> list[Plan]:
        """The plans that count in the totals: the latest of each template and directory."""
        return list({(plan.template, plan.directory): plan for plan in self.all()}.values())

    def directories(self) -> list[str]:
        """All directories that hold finals of the run, absolute."""
        seen = dict.fromkeys(folder for plan in self.all() for folder in plan.directories)
        return [self._run.absolute(folder) for folder in seen]

    def directories_of_parts(self) -> list[str]:
        """Those of them that hold files which are only a part of an item."""
        seen = dict.fromkeys(folder for plan in self.all() if plan.files > 1 for folder in plan.directories)
        return [self._run.absolute(folder) for folder in seen]

    def any_in_place(self) -> bool:
        """Is any directory one in which finals are written in place?"""
        return any(plan.in_place for plan in self.all())

    def items(self, plan: Plan) -> "Iterator[Block]":
        """The items of a plan, as they were written."""
        path = self._path(plan.key, "names")
        try:
            yield from self._items(plan, path)
        except (zlib.error, ValueError, TypeError, RecursionError, OSError) as error:
            raise NewerFormat(path, f"it is no list of items ({error})") from error

    def _items(self, plan: Plan, path: str) -> "Iterator[Block]":
        from multiprocesstools.plans import inventory

        given, torn = 0, Torn(None)
        for data in readings(self._run.disk, self._run.clock, path, _NAMES_LIMIT_BYTES):
            try:
                for block in itertools.islice(inventory.decode(data or b"", plan.count), given, None):
                    yield block
                    given += 1
                return
            except Torn as error:
                torn = error
        raise torn

    def record(
        self, name: str, template: str, directory: str, directories: list[str], items: "Inventory", *,
        numbered: bool = False, files: int = 1, cut: Cut = SINGLE, own: str = "",
    ) -> Plan:  # fmt: skip
        """Write a plan down, if it is new; `files` is the number of files per item, `own` the name of this instance.

        The cut that was recorded first counts. DuplicateFinal, ListChanged, ChunksDiffer.
        """
        known = self.all()
        same = [plan for plan in known if (plan.template, plan.directory) == (template, directory)]
        digest = items.digest(likely_new=not same)
        key = sha256(os.fsencode("\0".join((template, directory, digest))))[:32]
        folders = [self._written(folder) for folder in directories]
        agreement = Agreement(self, items, folders, own)
        agreement.make_way([plan for plan in known if plan.key != key])
        if same and same[-1].key == key:
            return same[-1]
        if numbered and same:
            raise ListChanged(template, same[-1].count, len(items))
        self._refuse_other_sources(known, key, items, template)
        sequence = max((plan.sequence for plan in known), default=0) + 1
        before = next((plan for plan in same if plan.key == key), None)
        cut = Cut(key, before.chunk, before.head) if before else agreement.allowed(cut, known)
        plan = Plan(
            key, name, template, directory, folders, len(items), digest, sequence, numbered, files=files,
            chunk=cut.items, head=cut.head,
        )  # fmt: skip
        plan = self._write(plan, items.compressed, new=before is None)
        others = [p for p in self.all() if p.key not in {before.key for before in known}]
        self._refuse_other_sources(others, key, items, template)
        agreement.check(plan, others)
        return plan

    def record_open(self, directory: str, *, in_place: bool = False) -> None:
        """Note that single items are claimed in a directory (and that finals are written there in place)."""
        key, folder = self._open_key(directory, in_place), self._written(directory)
        if f"{key}.json" not in self._file_names():
            sequence = max((plan.sequence for plan in self.all()), default=0) + 1
            plan = Plan(key, "", "", folder, [folder], 0, "", sequence, in_place=in_place)
            self._write(plan, lambda: zlib.compress(b""), new=False)

    # -- chunks

    def cut(self, plan: Plan) -> Cut:
        """How the list is cut; with 0 items a chunk as long as nobody has measured."""
        return Cut(plan.key, plan.chunk or self._measured(plan), plan.head)

    def propose(self, plan: Plan, items: int) -> Cut:
        """Record what was measured, or learn that somebody was first. With 0 items: only look."""
        if items and not self._measured(plan):
            data = json.dumps({"format": FORMAT, "chunk": items}) + "\n"
            self._run.create(self._path(plan.key, "cut"), data.encode())
        return self.cut(plan)

    def _measured(self, plan: Plan) -> int:
        path = self._path(plan.key, "cut")
        if f"{plan.key}.cut" not in self._file_names():
            return 0
        try:
            items = read_json(self._run.disk, self._run.clock, path)["chunk"]
        except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
            if isinstance(error, Torn) and not error.data:
                return 0  # without links a crash may have left it empty
            raise NewerFormat(path, f"it is no cut ({error})") from error
        if not is_number(items) or items > MOST_ITEMS:
            raise NewerFormat(path, "it is no cut")
        return int(items)

    def chunked_in(self, directory: str) -> list[Plan]:
        """The lists that are claimed in chunks and have finals in a directory."""
        return [p for p in self.all() if p.chunk != 1 and directory in map(self._run.absolute, p.directories)]

    def names_in(self, plan: Plan, directory: str) -> list[str]:
        """The names of the finals of a list in one of its directories, in its order."""
        blocks = (block for block in self.items(plan) if self._run.absolute(block.folder) == directory)
        return [name for block in blocks for name in block.names]

    def members(self, directory: str, chunk: str) -> list[str]:
        """The names of the finals of a chunk, by its own name; none if it belongs to no list."""
        if directory not in self._cuts:
            found = [(self.cut(plan), self.names_in(plan, directory)) for plan in self.chunked_in(directory)]
            self._cuts = {directory: found}
        cuts = self._cuts[directory]
        return [name for cut, names in cuts for name in map(names.__getitem__, cut.places_of(chunk, len(names)))]

    def chunk_of(self, directory: str, name: str, chunked: list[Plan], *, insist: bool = False) -> str:
        """The chunk that a final belongs to in one of these lists; empty if it is claimed by itself.

        A list that nobody has measured yet has no chunks. With `insist` it will have none: an item that is claimed by
        itself now could be won with a chunk later.
        """
        for plan in chunked:
            names = self.names_in(plan, directory)
            if name in names:
                cut, place = self.cut(plan), names.index(name)
                if insist and not cut.items and place >= cut.head:
                    cut = self.propose(plan, 1)
                return cut.chunk(place)
        return ""

    def replace(self, plan: Plan) -> None:
        """Write a plan anew. Only while nobody else takes part."""
        self._run.replace(self._path(plan.key, "json"), encode(plan))

    def possibly_alive(self, own: str) -> list[str]:
        """The other instances that are not proved to be gone."""
        return [name for name in self._run.possibly_alive() if name != own]

    def writes_in_place(self, directory: str) -> bool:
        """May some instance write finals of this directory in place? Asked of the disk each time, without waiting.

        Outside the run directory a path may have another name on another machine, so there the answer is yes.
        """
        if directory != self._run.directory and not directory.startswith(self._run.directory + "/"):
            return True
        try:
            names = {entry.name for entry in self._run.raw.list(self._run.plans)}
        except OSError:
            return True
        return f"{self._open_key(directory, True)}.json" in names

    def _open_key(self, directory: str, in_place: bool) -> str:
        kind = "in place" if in_place else "open"
        return sha256(os.fsencode(f"{kind}\0{self._written(directory)}"))[:32]

    def _written(self, directory: str) -> str:
        """A directory as plans have it, the same from every mount point."""
        return "." if directory == self._run.directory else self._run.relative(directory)

    def _file_names(self) -> set[str]:
        return {entry.name for entry in self._run.disk.list(self._run.plans)}

    def _write(self, plan: Plan, names_file: Callable[[], bytes], *, new: bool) -> Plan:
        """Write a plan and return what is recorded: of a `new` one, what somebody else has written first.

        An earlier list that is used again becomes the latest, without a moment in which it is missing. Its names follow
        from its key, so they are written once; an empty file is what a crash without links has left.
        """
        names = self._path(plan.key, "names")
        stamp = self._run.disk.look(names)
        if stamp is None or not stamp.size:
            self._run.replace(names, names_file())
        if not new or not self._run.create(self._path(plan.key, "json"), encode(plan), exclusive=False):
            before = self._read(f"{plan.key}.json") if new else None
            if before is not None:
                return before
            self.replace(plan)
        return plan

    def _refuse_other_sources(self, plans: list[Plan], key: str, items: "Inventory", template: str) -> None:
        for plan in plans:
            if plan.key == key or plan.is_open:
                continue
            if conflict := items.conflict(self.items(plan)):
                from multiprocesstools.plans.finals import tell_apart

                raise DuplicateFinal(*conflict, tell_apart(template))

    def _read(self, file_name: str) -> Plan | None:
        path = f"{self._run.plans}/{file_name}"
        try:
            return decode(read_json(self._run.disk, self._run.clock, path), file_name.removesuffix(".json"))
        except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
            if isinstance(error, Torn) and error.data is None:
                return None  # somebody has removed it
            raise NewerFormat(path, f"it is no plan ({error})") from error

    def _path(self, key: str, suffix: str) -> str:
        return f"{self._run.plans}/{key}.{suffix}"
