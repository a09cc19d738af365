"""A stack of real frames is denoised by non-local means, one frame after the other and by an app in processes.

    pip install "multiprocesstools[demo]"
    python scripts/examples/denoise_frames.py [OUTPUT] [N_WORKERS] [N_FRAMES]

The frames are overlapping windows of a photograph of the sky, `skimage.data.hubble_deep_field`, which comes with it.
OUTPUT/denoised.png shows a frame, what became of it, and what was taken away. It ends with 0 only if both ways give the
same.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from skimage import color, data, io, restoration

from multiprocesstools.workers import AppRunner, BaseApp, shared_array

N_FRAMES, SIZE = 24, 256


class Denoise(BaseApp):
    """Each frame is a part. Frames and results lie in shared memory, and only numbers travel."""

    def __init__(self, frames: Any) -> None:
        self.raw = frames
        self.frames: Any = None
        self.denoised: Any = None
        self.noise: list[float] = []

    def multiprocessing_pre_run(self) -> None:
        self.noise = []
        self.frames = shared_array(self.raw.shape, np.float32)
        self.frames[...] = self.raw
        self.denoised = shared_array(self.raw.shape, np.float32)

    def multiprocessing_get_tasks(self) -> range:
        return range(len(self.raw))

    def multiprocessing_func(self, index: int) -> float:
        frame = np.asarray(self.frames[index])
        steps = np.abs(np.diff(frame))  # mostly of the noise, whose sigma they have times the root of 2
        noise = float(np.median(steps)) / (0.6745 * 2**0.5)
        self.denoised[index] = restoration.denoise_nl_means(
            frame, h=0.8 * noise, sigma=noise, patch_size=5, patch_distance=6
        )
        return noise

    def multiprocessing_store_results(self, index: int, *results: Any) -> None:
        self.noise.append(results[0])


def windows(n_frames: int) -> Any:
    """Overlapping windows of the photograph that comes with scikit-image, from 0 to 1."""
    sky = color.rgb2gray(data.hubble_deep_field())
    rows = np.linspace(0, sky.shape[0] - SIZE, 4).astype(int)
    columns = np.linspace(0, sky.shape[1] - SIZE, max(1, n_frames // 4)).astype(int)
    return np.stack([sky[row : row + SIZE, column : column + SIZE] for row in rows for column in columns])


def show_progress(progress: float) -> None:
    bar = "#" * round(30 * progress)
    print(f"\r   [{bar:<30}] {progress:4.0%}", end="" if progress < 1 else "\n", flush=True)


def picture(app: Denoise, index: int) -> Any:
    """The frame, the denoised one, and what was taken away, side by side."""
    before, after = np.asarray(app.frames[index]), np.asarray(app.denoised[index])
    shown = [before, after, 0.5 + 4 * (before - after)]
    brightest = np.quantile(before, 0.995)
    shown = [shown[0] / brightest, shown[1] / brightest, shown[2]]
    return (255 * np.clip(np.hstack(shown), 0, 1)).astype(np.uint8)


def main(output: Path, n_workers: int, n_frames: int) -> int:
    frames = windows(n_frames)
    print(f"{len(frames)} frames of {SIZE} x {SIZE} pixels")
    serial, parallel = Denoise(frames), Denoise(frames)

    began = time.perf_counter()
    serial.run()
    print(f"one after the other: {time.perf_counter() - began:.1f} s")

    began = time.perf_counter()
    runner = AppRunner(parallel, n_workers)
    runner.sig_progress.connect(show_progress)
    with runner:
        pass
    print(f"{n_workers} workers: {time.perf_counter() - began:.1f} s, {len(runner.failures)} failures")

    output.mkdir(parents=True, exist_ok=True)
    io.imsave(output / "denoised.png", picture(parallel, len(frames) // 2), check_contrast=False)
    same = np.array_equal(serial.denoised, parallel.denoised) and serial.noise == parallel.noise
    print(f"{'the same' if same else 'NOT the same'} both ways; see {output / 'denoised.png'}")
    return 0 if same else 1


if __name__ == "__main__":
    output, n_workers, n_frames = [*sys.argv[1:], *["denoised", "2", str(N_FRAMES)][len(sys.argv) - 1 :]]
    sys.exit(main(Path(output), int(n_workers), int(n_frames)))
