"""What a part of the proof has tried, and how often a promise was broken."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Figures:
    """One line of the table. `tried`: what was done, by name, for instance {"items": 2000, "kills": 312}.

    lost: items that did not end done or failed, or can be claimed by nobody. twice: items that had two owners although
    the first one lived and was not suspected. partial: finals that were incomplete. replaced: finals that changed
    after they had appeared. `notes`: the reason for every number that is not zero, and what was not run.
    """

    part: str
    tried: dict[str, int]
    lost: int = 0
    twice: int = 0
    partial: int = 0
    replaced: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.lost or self.twice or self.partial or self.replaced)


def to_json(figures: Figures) -> str:
    return json.dumps(asdict(figures))


def from_json(line: str) -> Figures:
    return Figures(**json.loads(line))


def table(rows: Iterable[Figures]) -> str:
    """The table as Markdown."""
    lines = ["| part | tried | lost | done twice | partial | replaced |", "|---|---|---|---|---|---|"]
    for row in rows:
        tried = ", ".join(f"{count:,} {what}" for what, count in row.tried.items())
        lines.append(f"| {row.part} | {tried} | {row.lost} | {row.twice} | {row.partial} | {row.replaced} |")
    return "\n".join(lines)
