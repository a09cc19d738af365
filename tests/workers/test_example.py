"""The example on real frames does what it says."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from skimage.io import imread

CHECKOUT = Path(__file__).parents[2]


def test_real_frames_lose_noise_and_both_ways_leave_the_same_state(tmp_path: Path) -> None:
    command = [sys.executable, "scripts/examples/denoise_frames.py", str(tmp_path / "out"), "2", "4"]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=200, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "4 frames" in done.stdout and "100%" in done.stdout and "0 failures" in done.stdout
    assert "the same both ways" in done.stdout
    before, after, removed = np.split(imread(tmp_path / "out" / "denoised.png").astype(float), 3, axis=1)
    assert after.std() > 10, "the galaxies are there"
    assert 0 < np.abs(np.diff(after)).mean() < 0.7 * np.abs(np.diff(before)).mean(), "the noise is not"
    assert abs(removed.mean() - 127.5) < 10, "what was taken away is as often bright as dark"
