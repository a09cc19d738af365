"""The apps of the tests."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from multiprocesstools.workers import BaseApp, shared_array


class Halves(BaseApp):
    """Tasks in an order of their own; the later, the sooner done. Stores by appending, so that the order shows."""

    def __init__(self, n: int = 12) -> None:
        self.n, self.stored, self.calls, self.threads = n, [], [], set()  # type: ignore[var-annotated]

    def multiprocessing_pre_run(self) -> None:
        self.stored = []
        self.calls.append("pre_run")

    def multiprocessing_get_tasks(self) -> list[int]:
        return list(range(self.n, 0, -1))

    def multiprocessing_func(self, index: int) -> float:
        time.sleep(0.01 * (index % 4))
        return index / 2

    def multiprocessing_store_results(self, index: int, *results: Any) -> None:
        self.stored.append((index, *results))
        self.threads.add(threading.current_thread().name)

    def multiprocessing_post_run(self) -> None:
        self.calls.append("post_run")

    @property
    def state(self) -> tuple[Any, ...]:
        return self.stored, self.calls


class Broken(Halves):
    """Part 3 raises, part 5 kills its worker, part 7 cannot be stored."""

    def multiprocessing_func(self, index: int) -> float:
        if index == 3:
            raise ValueError("part 3 is broken")
        if index == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().multiprocessing_func(index)

    def multiprocessing_store_results(self, index: int, *results: Any) -> None:
        if index == 7:
            raise RuntimeError("part 7 has no place")
        super().multiprocessing_store_results(index, *results)


class BadEnd(Halves):
    def multiprocessing_post_run(self) -> None:
        raise RuntimeError("no end")


class BadStart(Halves):
    def multiprocessing_pre_run(self) -> None:
        raise RuntimeError("no start")


class BadTasks(Halves):
    def multiprocessing_get_tasks(self) -> Any:
        yield 1
        raise RuntimeError("no second task")


class Gated(Halves):
    """A part is begun when its gate, a file, is there. Part 2 finds its gate broken."""

    def __init__(self, folder: Path) -> None:
        super().__init__(2)
        self.folder, self.index = folder, 0

    def multiprocessing_pre_cycle(self, index: int) -> None:
        self.index = index

    def multiprocessing_carryon(self) -> bool:
        (self.folder / f"asked-{self.index}").touch()
        return (self.folder / f"gate-{self.index}").exists()

    def multiprocessing_func(self, index: int) -> bool:
        return (self.folder / f"gate-{index}").exists()


class Frames(BaseApp):
    """A stack in shared memory, in and out; each part doubles one frame and returns nothing."""

    def __init__(self, n: int = 4, size: int = 64, wait: str = "") -> None:
        self.n, self.size, self.wait = n, size, wait
        self.frames: Any = None
        self.doubled: Any = None

    def multiprocessing_pre_run(self) -> None:
        self.frames = shared_array((self.n, self.size, self.size), np.float32)
        self.frames[...] = np.arange(self.n)[:, None, None] + 1
        self.doubled = shared_array(self.frames.shape, np.float32)

    def multiprocessing_get_tasks(self) -> range:
        return range(self.n)

    def multiprocessing_func(self, index: int) -> None:
        if self.wait:
            Path(f"{self.wait}-{index}").write_text(str(os.getpid()))
            while not os.path.exists(self.wait):
                time.sleep(0.01)
        self.doubled[index] = 2 * self.frames[index]


class KillsItsFirstWorker(Frames):
    def multiprocessing_func(self, index: int) -> None:
        mark = Path(self.wait)
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        self.doubled[index] = 2 * self.frames[index]


class FirstWaits(Halves):
    """Each part says that it has begun; the first waits for a file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(60)
        self.folder = folder

    def multiprocessing_func(self, index: int) -> int:
        (self.folder / f"begun-{index}").touch()
        while index == self.n and not (self.folder / "go").exists():
            time.sleep(0.01)
        return index
