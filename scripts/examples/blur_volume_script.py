"""What each process of blur_volume.py runs: a Gaussian filter over a volume."""

from typing import Any

import numpy as np
from scipy import ndimage

from multiprocesstools.workers.script import run
from multiprocesstools.workers.transfer import over_arrays


def blur(data: dict[str, Any]) -> dict[str, Any]:
    """Its radius, the standard deviation, is in millimetres, as is the spacing of the voxels along z, y and x."""
    sigmas = [data["radius"] / spacing for spacing in data["spacing"]]
    return {"volume": ndimage.gaussian_filter(np.asarray(data["volume"]), sigmas)}


if __name__ == "__main__":
    run(over_arrays(blur), raw=True)
