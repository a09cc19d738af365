"""Registers the frames of a folder to the first one, in parallel, while new ones appear. Start it on as many machines
as you like, all with the same RUN directory on a shared disk:

    python register.py FRAMES RUN

leaves RUN/mean.png and RUN/shifts.csv when the file FRAMES/complete is there. Frames: `frames.py`. Steps: for each
frame one that finds its shift, all of them independent; one that waits for all and closes the set.
"""

import csv
import sys
from pathlib import Path

import numpy
from scipy.ndimage import shift as moved
from skimage.io import imread, imsave
from skimage.registration import phase_cross_correlation

from multiprocesstools.steps import Form, Protocol


class Register(Protocol):
    """Shifts by phase correlation (Guizar-Sicairos et al., Optics Letters 33, 156, 2008), as scikit-image has it."""

    frames: str

    def define_params(self, form: Form) -> None:
        form.add_param("frames", "frames")
        form.add_parallel_section(threads=2)

    def insert_all_steps(self) -> None:
        self.seen: set[str] = set()
        self.close = self.insert_function_step("close_set", prerequisites=None, wait=True)

    def steps_check(self) -> bool:
        complete = (Path(self.frames) / "complete").exists()  # looked at first: what is there then is all there is
        for path in sorted(Path(self.frames).glob("frame-*.png")):
            if path.name not in self.seen:
                self.seen.add(path.name)
                self.insert_function_step("register", path.name, prerequisites=[])
        return not complete

    def register(self, name: str) -> dict[str, list[float]]:
        """How far the content of a frame has moved against the first one."""
        first, frame = (imread(Path(self.frames) / file).astype(float) for file in ("frame-000.png", name))
        back, _, _ = phase_cross_correlation(first, frame, normalization=None)
        return {"frame": name, "moved": [-float(back[0]), -float(back[1])]}

    def close_set(self) -> list[str]:
        """The mean of all frames, each moved back, and the table of shifts."""
        known = self.overview()
        results = [known.outcomes[step.id].result for step in known.plan if step.name == "register"]
        results.sort(key=lambda result: result["frame"])
        tiles = [
            moved(imread(Path(self.frames) / r["frame"]).astype(float), numpy.negative(r["moved"])) for r in results
        ]
        mean, table = Path(self.working_directory) / "mean.png", Path(self.working_directory) / "shifts.csv"
        imsave(mean, numpy.mean(tiles, axis=0).clip(0, 255).astype(numpy.uint8), check_contrast=False)
        with open(table, "w", newline="", encoding="utf-8") as file:
            rows = [(result["frame"], *result["moved"]) for result in results]
            csv.writer(file).writerows([("frame", "down", "right"), *rows])
        return [str(mean), str(table)]


if __name__ == "__main__":
    report = Register(sys.argv[2], frames=sys.argv[1], check_seconds=0.2).run()
    print(report, *report.problems, sep="\n")
    sys.exit(0 if report.ok else 1)
