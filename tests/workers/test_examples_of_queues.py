"""The examples of queues in a short form: fewer processes, a coarser mesh; each also with scripts that stay alive."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage import io

from tests.processes import CHECKOUT

EXAMPLES_FOLDER = CHECKOUT / "scripts" / "examples"
EXAMPLES = {
    "displace_vertices.py": (["--number", "6", "--step", "6"], "6 Completed", "displaced.png"),
    "blur_volume.py": (["--step", "4"], "5 Completed", "blurred.png"),
}


@pytest.mark.parametrize("keep_alive", [False, True], ids=["started-each-time", "kept-alive"])
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_completes_all_in_order_within_its_cap(tmp_path: Path, example: str, keep_alive: bool) -> None:
    options, said, picture = EXAMPLES[example]
    done = subprocess.run(
        [sys.executable, EXAMPLES_FOLDER / example, tmp_path, *options, *["--keep-alive"] * keep_alive],
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{said} in" in done.stdout and "(cap 2), in order, 1 callback\nthe same as" in done.stdout
    assert np.std(io.imread(tmp_path / picture)) > 10, "the picture is not empty"
