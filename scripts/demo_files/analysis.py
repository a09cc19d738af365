"""Finds the galaxies of the Hubble Deep Field and the cell nuclei of a tissue section, tile by tile.

    python cut_tiles.py OUTPUT
    for i in 1 2 3; do python analysis.py OUTPUT & done; wait

Start it as often as there are cores, on as many machines as see OUTPUT: they share the tiles among them.
"""

import argparse
import logging
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree
from skimage.color import rgb2hed
from skimage.draw import ellipse_perimeter
from skimage.filters import gaussian, threshold_local
from skimage.io import imread, imsave
from skimage.measure import label, regionprops_table
from skimage.segmentation import clear_border, watershed

from multiprocesstools import MultiProcessHelper

MEASURED = ["centroid", "area", "axis_major_length", "axis_minor_length", "orientation", "solidity", "intensity_mean"]
SHORT = {"centroid-0": "y", "centroid-1": "x", "axis_major_length": "length", "axis_minor_length": "width"}
SMALLEST = {"hubble": 10, "tissue": 30}  # area of an object in pixels
TILE_CENTRE = 32
ZOOM = 2
YELLOW = 255, 255, 0

log = logging.getLogger("segmentation")


def find_galaxies(rgb):
    """Label what is brighter than the sky around it; return the labels and the brightness."""
    light = gaussian(rgb.max(axis=-1) / 255, sigma=1)
    return label(light > threshold_local(light, block_size=41, offset=-0.05)), light


def find_nuclei(rgb):
    """Label the maxima of haematoxylin that stand out from their surroundings; return the labels and the stain."""
    stain = gaussian(rgb2hed(rgb)[..., 0], sigma=2)
    return watershed(-stain, mask=stain > threshold_local(stain, block_size=35, offset=-0.004)), stain


FIND = {"hubble": find_galaxies, "tissue": find_nuclei}


def measure(tile):
    """Return a table of the objects that the tile shows whole; a neighbouring tile has those that its border cuts."""
    image, top, left = tile.stem.split("-")
    labels, intensity = FIND[image](imread(tile))
    table = pd.DataFrame(regionprops_table(clear_border(labels), intensity, MEASURED)).rename(columns=SHORT)
    table.insert(0, "image", image)
    table["off_centre"] = np.hypot(table["y"] - TILE_CENTRE, table["x"] - TILE_CENTRE)
    table["y"] += int(top)
    table["x"] += int(left)
    return table[table["area"] >= SMALLEST[image]]


def most_central_views(table):
    """Several tiles show the same object: keep the view nearest to the middle of its tile."""
    table = table.sort_values("off_centre", kind="stable")
    radius = (table["length"] + table["width"]) / 4 + 1
    positions = table[["y", "x"]].to_numpy()
    repeated = np.zeros(len(table), dtype=bool)
    for view, same in enumerate(cKDTree(positions).query_ball_point(positions, radius)):
        if not repeated[view]:
            repeated[[other for other in same if other > view]] = True
    return table[~repeated].sort_values(["y", "x"])


def merge(tables, path):
    """Make one catalogue of all tables, each object in it once."""
    views = pd.concat([table for table in map(pd.read_csv, tables) if len(table)])
    catalogue = pd.concat([most_central_views(table) for _, table in views.groupby("image")])
    catalogue.drop(columns="off_centre").round(4).to_csv(path, index=False)


def draw(image, catalogue, path):
    """Draw the objects of the catalogue over the image, as ellipses of their size and direction."""
    picture = imread(image).repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
    objects = pd.read_csv(catalogue)
    for seen in objects[objects["image"] == image.stem].itertuples():
        y, x, long, wide = (round(ZOOM * value) for value in (seen.y, seen.x, seen.length / 2, seen.width / 2))
        outline = ellipse_perimeter(y, x, long, max(wide, 1), orientation=-seen.orientation, shape=picture.shape[:2])
        picture[outline] = YELLOW
    imsave(path, picture)


def main():
    """Measure all tiles, merge the tables, draw the objects."""
    parser = argparse.ArgumentParser(description="Find galaxies and cell nuclei in the tiles of OUTPUT/tiles.")
    parser.add_argument("output", type=Path)
    parser.add_argument("--slow", type=float, default=0, metavar="SECONDS", help="play a machine that slow, per tile")
    options = parser.parse_args()
    tiles = sorted((options.output / "tiles").glob("*.png"))
    if not tiles:
        sys.exit(f"no tiles in {options.output / 'tiles'}: run cut_tiles.py {options.output} first")

    with MultiProcessHelper("demo", options.output, loggers=["segmentation"]) as mph:
        mph.create_directory("tables")
        for item in mph.items(tiles, final="{stem}.csv", directory="tables"):
            with item:
                time.sleep(options.slow)
                table = measure(item.source)
                table.to_csv(item.path, index=False)
                log.info("%s: %d objects", item.source.name, len(table))

        tables = [options.output / "tables" / f"{tile.stem}.csv" for tile in tiles]
        catalogue = mph.once("catalogue.csv", partial(merge, tables))
        for image in (options.output / "images").glob("*.png"):
            mph.once(f"{image.stem}-objects.png", partial(draw, image, catalogue))


if __name__ == "__main__":
    main()
