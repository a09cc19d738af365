"""Gaussian filters of five radii over a volume of a brain, each in a process of its own.

    pip install "multiprocesstools[demo]"
    python scripts/examples/blur_volume.py [OUTPUT] [--step 1] [--cap 2] [--keep-alive]

OUTPUT/blurred.png shows two slices of the volume and of what became of it. It ends with 0 only if all were completed,
in order, at most `cap` at once, with one callback, and if they are what this process computes itself.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from blur_volume_script import blur
from brain import volume
from queue_of_scripts import options, run_and_show
from skimage import transform

from multiprocesstools.workers import Process
from multiprocesstools.workers.transfer import ArrayProcess

SCRIPT = Path(__file__).with_name("blur_volume_script.py")
RADII = (1.0, 2.0, 4.0, 8.0, 16.0)  # millimetres
PIXELS_PER_MILLIMETRE = 0.75


def slices(values: Any, spacing: Any) -> Any:
    """A horizontal and an upright slice through the middle, one above the other."""
    z, _, x = (length // 2 for length in values.shape)
    shown = []
    for plane, (down, across) in ((values[z, ::-1], spacing[1:]), (values[::-1, :, x], spacing[:2])):
        rows, columns = plane.shape
        size = (round(rows * down * PIXELS_PER_MILLIMETRE), round(columns * across * PIXELS_PER_MILLIMETRE))
        shown.append(transform.resize(plane, size, order=1))
    width = max(plane.shape[1] for plane in shown)
    return np.vstack([np.pad(plane, ((2, 2), (0, width - plane.shape[1]))) for plane in shown])


def is_right(process: Process) -> bool:
    """Is it what this process computes itself?"""
    return np.array_equal(process.output["volume"], blur(process.input)["volume"])


def main(output: Path, step: int, cap: int, keep_alive: bool) -> int:
    values, spacing = volume(step)
    print(f"{len(RADII)} processes over {' x '.join(map(str, values.shape))} voxels")
    processes = [
        ArrayProcess(
            SCRIPT, {"volume": values, "spacing": spacing, "radius": radius},
            name=f"{radius:g} mm", keep_alive=keep_alive,
        )
        for radius in RADII
    ]  # fmt: skip

    def draw() -> Any:
        shown = [slices(what, spacing) for what in (values, *(process.output["volume"] for process in processes))]
        return (255 * np.hstack(shown).clip(0, 1)).astype(np.uint8)

    return run_and_show(processes, cap, output / "blurred.png", is_right, draw)


if __name__ == "__main__":
    sys.exit(main(**vars(options("blurred", step=1).parse_args())))
