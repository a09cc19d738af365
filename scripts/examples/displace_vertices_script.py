"""What each process of displace_vertices.py runs: the vertices of a mesh are moved along their normals by noise."""

from typing import Any

import numpy as np

from multiprocesstools.workers.script import run
from multiprocesstools.workers.transfer import over_arrays


def normals_of(vertices: Any, triangles: Any) -> Any:
    """Of each vertex, of length 1: the sum of those of its triangles, which are as long as these are large."""
    a, b, c = (vertices[triangles[:, corner]].astype(float) for corner in range(3))
    across = np.cross(b - a, c - a)
    normals = np.zeros((len(vertices), 3))
    for corner in range(3):
        np.add.at(normals, triangles[:, corner], across)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def displace(data: dict[str, Any]) -> dict[str, Any]:
    """Normal noise of `millimetres` standard deviation, from a seed."""
    vertices = data["vertices"]
    noise = np.random.default_rng(data["seed"]).normal(0, data["millimetres"], (len(vertices), 1))
    moved = vertices + noise * normals_of(vertices, data["triangles"])
    return {"vertices": moved.astype(np.float32)}


if __name__ == "__main__":
    run(over_arrays(displace), raw=True)
