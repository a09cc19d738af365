#!/usr/bin/env python3
"""How well does each of the 200 patches of scikit-image's lfw_subset predict each other one? 200 x 199 tasks.

    pip install '.[demo]'
    scripts/examples/pairwise_faces.py OUTPUT [--workers N] [--by files|xmlrpc]

The first hundred patches are faces, the others are not. The score is the part of the variance of one patch that a
linear function of the other explains (R squared), at the best of nine shifts by at most one pixel. OUTPUT/run is the
run directory: more workers may be started at any time, on any machine that sees it, by

    multiprocesstools tasks work scripts/examples/pairwise_faces.py:Predictor OUTPUT/run

By xmlrpc a server hands out the work to workers that need not see the directory; the url that it says takes its place.

It ends with the matrix, OUTPUT/scores.npz, and its picture, OUTPUT/scores.png. Started again on the same OUTPUT it goes
on where it was.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy

from multiprocesstools import tasks

PATCHES, MARGIN, PIXELS_PER_CELL = 200, 1, 4
COLOURS = numpy.array([(13, 8, 60), (84, 15, 109), (187, 55, 84), (249, 142, 9), (252, 255, 164)], dtype=float)


class Faces(tasks.TaskStore):
    """One task for each ordered pair of different patches; the scores as a matrix, NaN where there is none."""

    dimensions = {"predicting": PATCHES, "predicted": PATCHES - 1}  # noqa: RUF012

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.scores = numpy.full((PATCHES, PATCHES - 1), numpy.nan)

    def get(self, index: int | None, *params: int) -> dict[str, int]:
        """The two patches, counted from 0; the second subscript leaves out the patch itself."""
        predicting, other = params[0] - 1, params[1] - 1
        return {"predicting": predicting, "predicted": other + (other >= predicting)}

    def update_results(self, task_index: list[int], results: list[float]) -> None:
        rows, columns = self.ind2sub(numpy.array(task_index))
        self.scores[rows - 1, columns - 1] = results  # subscripts count from 1, arrays from 0

    def matrix(self) -> Any:
        """The scores in a square, with NaN on the diagonal."""
        square = numpy.full((PATCHES, PATCHES), numpy.nan)
        square[~numpy.eye(PATCHES, dtype=bool)] = self.scores.ravel()
        return square


class Predictor(tasks.Worker):
    """Scores one pair."""

    store = Faces

    def setup(self) -> None:
        from skimage.data import lfw_subset

        patches = lfw_subset().astype(float)
        inside = slice(MARGIN, -MARGIN)
        self.targets = standardised(patches[:, inside, inside])
        size, steps = patches.shape[1] - 2 * MARGIN, range(2 * MARGIN + 1)
        shifted = [standardised(patches[:, y : y + size, x : x + size]) for y in steps for x in steps]
        self.sources = numpy.stack(shifted, axis=1)

    def compute(self, index: int, task: dict[str, Any]) -> float:
        correlations = self.sources[task["predicting"]] @ self.targets[task["predicted"]]
        return float((correlations**2).max())


def standardised(patches: Any) -> Any:
    """Each patch as a vector of mean 0 and length 1, so that a product of two is their correlation.

    A patch without any variance (some are of one colour) is 0: it explains nothing, and nothing of it is explained.
    """
    flat = patches.reshape(len(patches), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    lengths = numpy.linalg.norm(flat, axis=1, keepdims=True)
    return flat / numpy.where(lengths > 0, lengths, 1)


def paint(matrix: Any, path: Path) -> None:
    """The matrix as a picture, dark for 0 and light for 1."""
    from skimage.io import imsave

    places = numpy.linspace(0, 1, len(COLOURS))
    values = numpy.nan_to_num(matrix, nan=0.0)
    picture = numpy.stack([numpy.interp(values, places, channel) for channel in COLOURS.T], axis=-1)
    cells = picture.astype("uint8").repeat(PIXELS_PER_CELL, axis=0).repeat(PIXELS_PER_CELL, axis=1)
    imsave(path, cells, check_contrast=False)


def work_by_files(output: Path, workers: int) -> Faces:
    """Start workers and collect what they publish, while they run."""
    store, run = Faces(), output / "run"
    manager = tasks.TaskManager(store, run)
    started = start(str(run), workers)
    try:
        manager.collect(follow=True)
    finally:
        codes = [process.wait() for process in started]
    return checked(manager, store, codes)


def work_by_xmlrpc(output: Path, workers: int) -> Faces:
    """Serve, and start workers when the server listens."""
    store, started = Faces(), list[subprocess.Popen[bytes]]()
    manager = tasks.TaskManager(store, output / "run")

    def ready(url: str) -> None:
        print(f"serving at {url}", file=sys.stderr)
        started.extend(start(url, workers))

    try:
        manager.serve(port=0, ready=ready)
    finally:
        codes = [process.wait() for process in started]
    return checked(manager, store, codes)


def start(place: str, workers: int) -> "list[subprocess.Popen[bytes]]":
    command = [sys.executable, "-m", "multiprocesstools", "tasks", "work", f"{__file__}:Predictor", place]
    return [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(workers)]


def checked(manager: tasks.TaskManager, store: Faces, codes: list[int]) -> Faces:
    print(manager.status())
    if any(codes) or numpy.isnan(store.scores).any():
        raise SystemExit(f"not all scores are there; the workers ended with {codes}")
    return store


def report(store: Faces, output: Path) -> None:
    matrix, half = store.matrix(), PATCHES // 2
    numpy.savez(output / "scores.npz", scores=matrix)
    paint(matrix, output / "scores.png")
    kinds = {"faces": slice(0, half), "others": slice(half, PATCHES)}
    for name, rows in kinds.items():
        for other, columns in kinds.items():
            print(f"{name} predict {other}: {numpy.nanmean(matrix[rows, columns]):.3f} of the variance")
    best = numpy.unravel_index(numpy.nanargmax(matrix), matrix.shape)
    print(f"best: patch {best[0]} predicts patch {best[1]}: {matrix[best]:.3f}")
    print(f"{output / 'scores.npz'} and {output / 'scores.png'} have the matrix")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("output", type=Path, help="a directory, made if it is missing")
    parser.add_argument("--workers", type=int, default=2, help="processes on this machine (default: 2)")
    parser.add_argument(
        "--by", choices=("files", "xmlrpc"), default="files", help="what workers share (default: files)"
    )
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    work = work_by_files if options.by == "files" else work_by_xmlrpc
    report(work(options.output, options.workers), options.output)


if __name__ == "__main__":
    main()
