"""The example on real images: its pairs, its matrix, its picture."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy
import pytest

from tests.tools import CHECKOUT

SCRIPT = CHECKOUT / "scripts" / "examples" / "pairwise_faces.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pairwise_faces", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_its_tasks_are_all_pairs_of_different_patches(example: ModuleType) -> None:
    pairs = {(task["predicting"], task["predicted"]) for _, task in example.Faces()}
    assert pairs == {(one, other) for one in range(200) for other in range(200) if one != other}
    assert len(list(example.Faces().partition())) == 100


def test_each_result_stands_where_its_pair_is_in_the_matrix(example: ModuleType) -> None:
    store = example.Faces()
    for part in store.partition():
        store.update_results(part.indices, [1000 * task["predicting"] + task["predicted"] for _, task in part])
    matrix = store.matrix()
    rows, columns = numpy.indices((200, 200))
    assert numpy.isnan(matrix.diagonal()).all()
    numpy.testing.assert_array_equal(matrix[rows != columns], (1000 * rows + columns)[rows != columns])


def test_a_patch_is_explained_by_itself_and_not_by_one_of_a_single_colour(example: ModuleType) -> None:
    patches = numpy.random.default_rng(0).random((3, 25, 25))
    patches[2] = 0.5
    vectors = example.standardised(patches)
    squares = (vectors @ vectors.T) ** 2
    assert squares[0, 0] == pytest.approx(1) and squares[0, 1] < 0.1 and squares[0, 2] == squares[2, 2] == 0


@pytest.mark.parametrize("by", ["files", "xmlrpc"])
def test_it_runs_and_ends_with_the_matrix_and_its_picture(tmp_path: Path, by: str) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path), "--by", by],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with numpy.load(tmp_path / "scores.npz") as saved:
        assert saved["scores"].shape == (200, 200) and numpy.isnan(saved["scores"]).sum() == 200
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")
    faces, across = (float(line.split(": ")[1].split()[0]) for line in done.stdout.splitlines()[3:5])
    assert faces > 2 * across > 0
