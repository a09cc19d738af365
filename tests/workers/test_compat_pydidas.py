"""The three examples of pydidas' guide to its multiprocessing run as whole scripts, and print what they promise."""

import os
import subprocess
import sys

import pytest

from multiprocesstools.compat.pydidas import TimerSaveRuntime

LINES = [[task, 2 * task + 5] for task in range(20)]
APP = [[task, 3 * task + 5] for task in range(20)]
EXPECTED = {
    "minimal": [str(LINES[:10]), "alive False"],
    "restart": [str(LINES[:10]), "alive True", str(LINES + [[task, -task] for task in range(20, 30)]), "alive True"],
    "app": [str(APP), str([result for _, result in APP]), str([0] * 20)],
}


@pytest.mark.parametrize("example", EXPECTED)
def test_an_example_prints_what_it_promises(example: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.workers.pydidas_examples", example], check=False, capture_output=True, text=True,
        timeout=120, env=os.environ | {"QT_QPA_PLATFORM": "offscreen", "QT_API": "pyside6"},
    )  # fmt: skip
    assert (done.returncode, done.stdout.splitlines()) == (0, EXPECTED[example]), done.stderr


def test_a_timer_gives_what_was_between_its_ends() -> None:
    with TimerSaveRuntime() as runtime:
        during = runtime()
    assert during == 0 < runtime() == runtime() < 60
