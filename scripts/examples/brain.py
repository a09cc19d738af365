"""A volume of a brain by magnetic resonance, which nibabel ships, and its surface: the input of the examples."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np


def volume(step: int = 1) -> Any:
    """32-bit floats from 0 to 1, axes z (upwards), y (to the front), x, and the millimetres between its voxels; with a
    step only every so-manieth along y and x."""
    path = Path(nibabel.__file__).parent / "tests" / "data" / "example4d.nii.gz"
    image = nibabel.load(path)
    values = np.asarray(image.dataobj[..., 0], dtype=np.float32).transpose(2, 1, 0)[:, ::step, ::step]
    x, y, z = image.header.get_zooms()[:3]
    return np.ascontiguousarray(values / np.quantile(values, 0.999)), (z, y * step, x * step)


def surface(step: int = 2) -> Any:
    """Vertices (n, 3), in millimetres, and triangles (m, 3) of its outside; a larger step gives fewer."""
    from skimage import filters, measure

    values, spacing = volume()
    smooth = np.pad(filters.gaussian(values, 1.0), 1)  # what leaves the volume is closed
    vertices, triangles, _, _ = measure.marching_cubes(smooth, 0.15, spacing=spacing, step_size=step)
    return vertices.astype(np.float32), triangles.astype(np.int32)
