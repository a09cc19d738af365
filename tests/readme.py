"""The README's blocks, for those who run them."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def block(mark: str) -> str:
    """The first block in which `mark` stands."""
    return next(code for _, code in BLOCKS if mark in code)


SCRIPT = block('MultiProcessHelper("word_count"')


def fill(place: Path) -> Path:
    """Make the data that the README speaks of: `img<n>.txt` has n words, and two wells have three sites."""
    for folder in ("data", "plates"):
        (place / folder).mkdir()
    for number in range(5):
        (place / "data" / f"img{number}.txt").write_text("word " * number)
    for number, site in enumerate(("A1_s1", "A1_s2", "B1_s1"), 1):
        (place / "plates" / f"{site}.txt").write_text(f"{number}\n")
    return place
