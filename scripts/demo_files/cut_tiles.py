"""Cuts two images that scikit-image brings along into overlapping tiles.

    python cut_tiles.py OUTPUT

writes OUTPUT/images/<image>.png and OUTPUT/tiles/<image>-<top>-<left>.png. The images are the Hubble eXtreme Deep Field
(NASA, public domain) and a section of colonic glands stained with DAB and haematoxylin (Center for Microscopy and
Molecular Imaging, no known copyright restrictions). Both lie inside the wheel: nothing is downloaded.
"""

import sys
from pathlib import Path

from skimage import data
from skimage.io import imsave

SIDE = 64
STRIDE = 24  # an object of up to SIDE - STRIDE = 40 pixels is seen whole in at least one tile
IMAGES = {"hubble": data.hubble_deep_field, "tissue": data.immunohistochemistry}


def starts(length):
    """Where the tiles begin along one axis; the last one ends flush with the image."""
    last = length - SIDE
    return [*range(0, last, STRIDE), last]


def cut(name, image, folder):
    """Write the tiles of one image and return their number."""
    height, width = image.shape[:2]
    corners = [(top, left) for top in starts(height) for left in starts(width)]
    for top, left in corners:
        tile = image[top : top + SIDE, left : left + SIDE]
        imsave(folder / f"{name}-{top:04d}-{left:04d}.png", tile, check_contrast=False)
    return len(corners)


def main():
    """Write both images and their tiles."""
    if len(sys.argv) != 2:
        sys.exit("usage: cut_tiles.py OUTPUT")
    images, tiles = Path(sys.argv[1]) / "images", Path(sys.argv[1]) / "tiles"
    images.mkdir(parents=True, exist_ok=True)
    tiles.mkdir(exist_ok=True)
    for name, load in IMAGES.items():
        image = load()
        imsave(images / f"{name}.png", image)
        print(f"{name}: {cut(name, image, tiles):,} tiles of {SIDE} x {SIDE} pixels, one every {STRIDE}")


if __name__ == "__main__":
    main()
