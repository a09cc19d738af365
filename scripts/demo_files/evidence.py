"""What a run has left behind, read from its journals and files: who did what, who holds what, who took over what."""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Event = dict[str, Any]


@dataclass(frozen=True)
class Journal:
    """What one instance wrote down about its own work, oldest first."""

    name: str
    events: list[Event]

    @property
    def pid(self) -> int | None:
        """The process that wrote it."""
        return next((event["pid"] for event in self.only("started")), None)

    def only(self, kind: str) -> list[Event]:
        """All events of one kind."""
        return [event for event in self.events if event["event"] == kind]


def whole_lines(path: Path) -> Iterator[Event]:
    """The events of a journal; the last line of a killed process may be torn."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


def journals(output: Path) -> list[Journal]:
    """The journals of all instances of a run."""
    paths = sorted((output / "multiprocesstools_logs").glob("*.jsonl"))
    return [Journal(path.stem, list(whole_lines(path))) for path in paths]


def journal_of(output: Path, pid: int) -> Journal | None:
    """The journal of one process, once it has begun one."""
    return next((journal for journal in journals(output) if journal.pid == pid), None)


def claim_file(output: Path, event: Event) -> Path:
    """The placeholder of a claim, beside the output that is expected there."""
    final = output / str(event["item"])
    return final.with_name(f".{final.name}.claim-{event['attempt']}")


def claim_in_hand(output: Path, pid: int, *, after: int) -> Event | None:
    """The claim that a process holds, by its journal and by the files; None before it has done `after` items."""
    journal = journal_of(output, pid)
    if journal is None or len(journal.only("done")) < after or journal.events[-1]["event"] != "claimed":
        return None
    claim = journal.events[-1]
    held = claim_file(output, claim).exists() and not (output / claim["item"]).exists()
    return claim if held else None


def story(output: Path, item: str) -> list[tuple[Journal, Event]]:
    """All that the instances wrote down about one item, oldest first."""
    lines = [(journal, event) for journal in journals(output) for event in journal.events if event.get("item") == item]
    return sorted(lines, key=lambda line: line[1]["time"])


def not_done_once(output: Path, items: list[str]) -> dict[str, int]:
    """The items that do not have exactly one "done" in all journals together, with the number that they have."""
    times = Counter(event["item"] for journal in journals(output) for event in journal.only("done"))
    return {item: times[item] for item in items if times[item] != 1}


def leftovers(output: Path) -> list[Path]:
    """Claims, ended-files and staging files that still lie beside the outputs."""
    return sorted([*output.glob(".*.claim-*"), *(output / "tables").glob(".*")])


def objects_by_image(catalogue: Path) -> Counter[str]:
    """How many objects the catalogue has of each image."""
    with catalogue.open(newline="") as lines:
        return Counter(row["image"] for row in csv.DictReader(lines))
