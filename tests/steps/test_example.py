"""The example on real images: the shifts found are the true ones to a pixel, also while frames appear."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy
from skimage.io import imread

EXAMPLES = Path(__file__).parents[2] / "scripts" / "examples"


def table(path: Path) -> list[tuple[float, float]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [(float(row["down"]), float(row["right"])) for row in csv.DictReader(file)]


def test_two_machines_register_frames_while_they_appear(tmp_path: Path) -> None:
    machines, frames, run = 2, tmp_path / "frames", tmp_path / "run"
    frames.mkdir()
    register = [sys.executable, EXAMPLES / "register.py", frames, run]
    workers = [subprocess.Popen(register, stdout=subprocess.PIPE, text=True) for _ in range(machines)]
    try:
        subprocess.run([sys.executable, EXAMPLES / "frames.py", frames, "8", "0.2", str(machines)], check=True)
        said = [worker.communicate(timeout=120)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert [worker.returncode for worker in workers] == [0] * machines
    assert ["9 steps: 9 finished"] * machines == [text.splitlines()[0] for text in said]
    found, truth = table(run / "shifts.csv"), table(frames / "truth.csv")
    assert len(truth) == 8
    assert len(set(truth)) > 4
    assert numpy.abs(numpy.subtract(found, truth)).max() <= 1
    mean, first = (imread(path).astype(float) for path in (run / "mean.png", frames / "frame-000.png"))
    inside = (slice(24, -24), slice(24, -24))
    assert numpy.abs(mean[inside] - first[inside]).mean() < 5
