"""The README is tested: every block of Python and shell in it runs, in order, in one directory."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
RUN = [(language, code) for language, code in BLOCKS if language in ("python", "sh")]
SCRIPT = next(code for language, code in RUN if "word_count" in code)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the data that the README speaks of, and the script that it tells to save."""
    place = tmp_path_factory.mktemp("readme")
    (place / "data").mkdir()
    for number in range(5):
        (place / "data" / f"img{number}.txt").write_text("word " * number)
    (place / "analysis.py").write_text(SCRIPT)
    return place


def run(language: str, code: str, place: Path) -> str:
    command = [sys.executable, "-c", code] if language == "python" else ["bash", "-euc", code]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_block_runs(workplace: Path) -> None:
    outputs = [run(language, code, workplace) for language, code in RUN]
    standing = sum(README.count(f"\n```{language}\n") for language in ("python", "sh"))
    assert len(outputs) == standing >= 10
    everything = "".join(outputs)
    assert "5 of 5 done" in everything
    assert "4 of 5 done, 1 failed" in everything and "ZeroDivisionError: division by zero" in everything
    assert "5 items: 5 done\nthis call did 5 in " in everything
    assert (workplace / "counted" / "img3.csv").read_text().splitlines() == ["file,words", "img3.txt,3"]
    assert (workplace / "output" / "total.csv").read_text() == "0\n1\n2\n3\n4\n"
    assert (workplace / "out" / "my_analysis_results" / "one_analyzed.csv").read_text() == "result"
    assert not list((workplace / "out" / "my_analysis_results").glob("*.tmp"))


def test_the_two_commands_exist() -> None:
    commands = re.findall(r"^\$ (\S+)", README, re.MULTILINE)
    assert commands == ["scripts/demo", "scripts/test"]
    assert all(os.access(ROOT / command, os.X_OK) for command in commands)


def test_the_picture_exists() -> None:
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert pictures and all((ROOT / picture).stat().st_size > 1000 for picture in pictures)
