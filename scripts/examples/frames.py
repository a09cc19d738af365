"""Frames of one image, each shifted by a known amount, as a microscope whose stage drifts would write them.

    python frames.py FOLDER [NUMBER] [SECONDS]

writes FOLDER/frame-000.png, ... one after the other, SECONDS apart, then FOLDER/truth.csv with the shift of each frame
against the first in whole pixels (down, right), and at last FOLDER/complete. The images are those that scikit-image
brings along inside its wheel; nothing is downloaded.
"""

import csv
import os
import random
import sys
import time
from pathlib import Path

import numpy
from skimage import data
from skimage.io import imsave

SIDE, MOST = 192, 20
IMAGES = (data.camera, data.coins, data.moon, data.page)


def shifts(number: int, seed: int = 7) -> list[tuple[int, int]]:
    """The shift of each frame; the first one has none."""
    draw = random.Random(seed)
    return [(0, 0)] + [(draw.randint(-MOST, MOST), draw.randint(-MOST, MOST)) for _ in range(number - 1)]


def frame(image: numpy.ndarray, shift: tuple[int, int], seed: int) -> numpy.ndarray:
    """What is seen of the image through a window at its middle, when its content has moved by `shift`; with noise."""
    top, left = ((length - SIDE) // 2 - moved for length, moved in zip(image.shape, shift, strict=True))
    tile = image[top : top + SIDE, left : left + SIDE].astype(float)
    noise = numpy.random.default_rng(seed).normal(0, 3, tile.shape)
    return numpy.clip(tile + noise, 0, 255).round().astype(numpy.uint8)


def write(path: Path, tile: numpy.ndarray) -> None:
    """Under another name first: whoever lists the folder finds whole images alone."""
    draft = path.with_name(f".{path.name}")
    imsave(draft, tile, check_contrast=False)
    os.replace(draft, path)


def main(folder: str, number: str = "12", seconds: str = "0", image: str = "0") -> None:
    """Write the frames, then the truth, then the mark that all are there."""
    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    pixels, known = IMAGES[int(image)](), shifts(int(number))
    for index, shift in enumerate(known):
        write(home / f"frame-{index:03d}.png", frame(pixels, shift, index))
        time.sleep(float(seconds))
    with open(home / "truth.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("frame", "down", "right"), *((i, *s) for i, s in enumerate(known))])
    (home / "complete").touch()


if __name__ == "__main__":
    main(*sys.argv[1:])
