"""The README is tested: every block of Python and shell in it runs, in order, in one directory, and the recipes do what
they say. What needs a cluster or a notebook runs there (`test_notebook`, `labs`)."""

import os
import re
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.readme import BLOCKS, README, ROOT, SCRIPT, block, fill

RUN = [(language, code) for language, code in BLOCKS if language in ("python", "sh")]
STORY, RECIPES = [], []
for each in RUN:
    (STORY if README.index(each[1]) < README.index("\n## Recipes\n") else RECIPES).append(each)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the data that the README speaks of, and the script that it tells to save."""
    place = fill(tmp_path_factory.mktemp("readme"))
    (place / "analysis.py").write_text(SCRIPT)
    (place / "scores.py").write_text(block("class Scores"))
    return place


@pytest.fixture(scope="module")
def said(workplace: Path) -> str:
    """What all blocks have printed; the directory has what they have written. Those of the story run one after the
    other, and meanwhile the recipes, each of which stands alone."""

    def run(blocks: list[tuple[str, str]]) -> str:
        return "".join(finish(start(language, code, workplace)) for language, code in blocks)

    with ThreadPoolExecutor(2) as pool:
        return "".join(pool.map(run, (STORY, RECIPES)))


def start(language: str, code: str, place: Path) -> "subprocess.Popen[str]":
    """Python as a script, because children of multiprocessing read it again."""
    script = place / f"block_{zlib.crc32(code.encode())}.py"
    script.write_text(code)
    command = [sys.executable, script.name] if language == "python" else ["bash", "-euc", code]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # fmt: skip


def finish(process: "subprocess.Popen[str]") -> str:
    with process:
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, output + errors
    return output


def texts(folder: Path) -> dict[str, str]:
    """The visible files in a folder with their content."""
    return {path.name: path.read_text() for path in sorted(folder.glob("[!.]*")) if path.is_file()}


def texts_of_pickles(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("*.pkl")]


def test_every_block_runs(workplace: Path, said: str) -> None:
    standing = sum(README.count(f"\n```{language}\n") for language in ("python", "sh"))
    assert len(STORY) + len(RECIPES) == standing >= 21 and len(RECIPES) >= 8
    assert "5 of 5 done" in said
    assert "4 of 5 done, 1 failed" in said and "ZeroDivisionError: division by zero" in said
    assert "['threshold']: 0.5 -> 0.7" in said and "cells_2" in said
    assert "0.txt: free, attempt 3" in said or "0.txt: failed" in said
    assert "5 items: 5 done\nthis call did 5 in " in said
    assert "90 Jobs are still waiting for execution\n0 Jobs are being processed\n10 Jobs are done\n" in said
    assert said.count("100 Jobs are done\n") == 3
    assert (workplace / "counted" / "img3.csv").read_text().splitlines() == ["file,words", "img3.txt,3"]
    assert (workplace / "output" / "total.csv").read_text() == "0\n1\n2\n3\n4\n"
    assert (workplace / "out" / "my_analysis_results" / "one_analyzed.csv").read_text() == "result"
    assert not list((workplace / "out" / "my_analysis_results").glob("*.tmp"))


NUMBERS = {f"img{number}": str(number) for number in range(5)}


@pytest.mark.usefixtures("said")
class TestRecipes:
    """What the recipes have written."""

    def test_one_output_from_many_inputs(self, workplace: Path) -> None:
        assert texts(workplace / "wells") == {"A1.csv": "1\n2\n", "B1.csv": "3\n"}

    def test_a_directory_as_output(self, workplace: Path) -> None:
        import zarr

        image = zarr.open_group(workplace / "pyramids" / "cell_2.zarr", mode="r")
        assert [(image[str(level)].shape, int(image[str(level)][0, 0])) for level in range(3)] == [
            ((64, 64), 0), ((32, 32), 1), ((16, 16), 2),
        ]  # fmt: skip
        assert (workplace / "pyramids" / "cell_1.zarr").is_dir()

    @pytest.mark.parametrize("folder", ["converted", "downloads"])
    def test_files_of_another_program_and_of_a_server(self, workplace: Path, folder: str) -> None:
        assert texts(workplace / folder) == texts(workplace / "data") != {}

    def test_a_pool_of_functions(self, workplace: Path, said: str) -> None:
        assert "9 729\n1.0\n[]\n" in said
        assert "10 100\n" in said
        assert len(texts_of_pickles(workplace / "shared_squares" / "square")) == 20

    def test_children_of_multiprocessing(self, workplace: Path) -> None:
        assert texts(workplace / "children") == {f"{number}.txt": str(number**2) for number in range(20)}
        assert len(list((workplace / "children" / "multiprocesstools_logs").glob("*.log"))) == 4

    def test_parameters(self, workplace: Path) -> None:
        assert texts(workplace / "longest_3") == {f"{name}.csv": "0\n" for name in NUMBERS}
        other = block("longest_").replace("longest = 3", "longest = 4")
        finish(start("python", other, workplace))
        assert texts(workplace / "longest_4") == {f"{name}.csv": f"{number}\n" for name, number in NUMBERS.items()}
        mixed = start("python", other.replace('f"longest_{longest}"', '"longest_3"'), workplace)
        with mixed:
            errors = mixed.communicate(timeout=60)[1]
        assert mixed.returncode == 1 and "ParametersDiffer" in errors


def test_the_second_stage_has_all_of_the_first_in_every_process(tmp_path: Path) -> None:
    fill(tmp_path)
    for process in [start("python", block("two_stages"), tmp_path) for _ in range(3)]:
        finish(process)
    assert texts(tmp_path / "stages" / "counts") == {f"{name}.count": number for name, number in NUMBERS.items()}
    plans = list((tmp_path / "stages" / ".multiprocesstools" / "plans").glob("*.json"))
    assert len(plans) == 2, "another list of the second stage would be a third one"


def test_the_two_commands_exist() -> None:
    commands = re.findall(r"^\$ (\S+)", README, re.MULTILINE)
    assert commands == ["scripts/demo", "scripts/test"]
    assert all(os.access(ROOT / command, os.X_OK) for command in commands)


def test_the_picture_exists() -> None:
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert pictures and all((ROOT / picture).stat().st_size > 1000 for picture in pictures)


def test_the_places_that_it_points_to_exist() -> None:
    """A heading is named by its words in lower case, without dots and the like."""
    headings = re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    names = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#(.*?)\)", README)) <= names and "recipes" in names
