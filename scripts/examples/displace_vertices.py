"""50 processes each displace the vertices of a mesh, the surface of a brain, by noise that grows from one to the next.

    pip install "multiprocesstools[demo]"
    python scripts/examples/displace_vertices.py [OUTPUT] [--number 50] [--cap 2] [--step 2] [--keep-alive]

OUTPUT/displaced.png shows all of them. It ends with 0 only if all were completed, in order, at most `cap` at once, with
one callback, and if they are what this process computes itself.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from brain import surface
from displace_vertices_script import displace, normals_of
from queue_of_scripts import options, run_and_show

from multiprocesstools.workers import Process
from multiprocesstools.workers.transfer import ArrayProcess

SCRIPT = Path(__file__).with_name("displace_vertices_script.py")
MOST_MILLIMETRES, PIXELS, COLUMNS = 4.0, 160, 10


class Displace(ArrayProcess):
    """One mesh."""

    def __init__(self, seed: int, mesh: tuple[Any, Any], millimetres: float, keep_alive: bool) -> None:
        vertices, triangles = mesh
        data = {"vertices": vertices, "triangles": triangles, "seed": seed, "millimetres": millimetres}
        super().__init__(SCRIPT, data, name=f"mesh {seed}", keep_alive=keep_alive)

    def use_process_output(self, output: bytes) -> None:
        super().use_process_output(output)
        self.displaced = self.output["vertices"]


def picture(vertices: Any, triangles: Any) -> Any:
    """The mesh from the front and above, lit from the left; what is nearer hides what is farther."""
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])  # of z, y, x: about x
    light = np.array([0.64, 0.48, -0.6])
    lit = np.abs(normals_of(vertices, triangles) @ turn.T @ light)
    weights = np.random.default_rng(0).dirichlet((1, 1, 1), 64)  # points on each triangle
    points = np.einsum("wc,tcd->wtd", weights, (vertices @ turn.T)[triangles]).reshape(-1, 3)
    shades = np.einsum("wc,tc->wt", weights, lit[triangles]).ravel()
    low, size = points.min(axis=0), np.ptp(points, axis=0)[1:].max()
    at = ((points - low)[:, 1:] / size * (PIXELS - 1)).astype(int).clip(0, PIXELS - 1)
    shown = np.zeros((PIXELS, PIXELS))
    order = np.argsort(points[:, 0])  # from far to near
    shown[PIXELS - 1 - at[order, 0], at[order, 1]] = 0.1 + 0.9 * shades[order]
    return shown


def sheet(pictures: list[Any]) -> Any:
    """Pictures in rows."""
    columns = min(COLUMNS, len(pictures))
    pictures = pictures + [np.zeros_like(pictures[0])] * (-len(pictures) % columns)
    rows = [np.hstack(pictures[at : at + columns]) for at in range(0, len(pictures), columns)]
    return (255 * np.vstack(rows).clip(0, 1)).astype(np.uint8)


def is_right(process: Process) -> bool:
    """Is it what this process computes itself?"""
    assert isinstance(process, Displace)
    return np.array_equal(process.displaced, displace(process.input)["vertices"])


def main(output: Path, number: int, cap: int, step: int, keep_alive: bool) -> int:
    mesh = surface(step)
    print(f"{number} processes, {len(mesh[0])} vertices and {len(mesh[1])} triangles each")
    noises = np.linspace(0, MOST_MILLIMETRES, number)
    processes = [Displace(seed, mesh, float(noise), keep_alive) for seed, noise in enumerate(noises)]

    def draw() -> Any:
        return sheet([picture(process.displaced, mesh[1]) for process in processes])

    return run_and_show(processes, cap, output / "displaced.png", is_right, draw)


if __name__ == "__main__":
    parser = options("displaced", step=2)
    parser.add_argument("--number", type=int, default=50)
    sys.exit(main(**vars(parser.parse_args())))
