"""A pool in a real notebook: functions and classes of its cells, and an interrupted cell."""

from pathlib import Path

import psutil

from tests.notebooks import Notebook, errors, said

DEFINE = """
from multiprocesstools.workers import WorkerController

class Point:
    def __init__(self, x):
        self.x = x

def move(point, by):
    return Point(point.x + by)

controller = WorkerController(2, move, (10,))
"""


def test_functions_and_classes_of_cells_are_sent_and_an_interrupted_cell_leaves_no_worker(tmp_path: Path) -> None:
    with Notebook(tmp_path) as notebook:
        notebook.run_well(DEFINE)
        cell = notebook.run_well("""
            with controller:
                controller.add_tasks(map(Point, range(5)))
                print(sorted(result.x for point, result in controller if type(result) is Point))
        """)
        assert "[10, 11, 12, 13, 14]" in said(cell)
        mark = tmp_path / "begun"
        waiting = notebook.begin("""
            import pathlib, time
            def wait(task):
                pathlib.Path("begun").touch()
                time.sleep(1000)
            with WorkerController(2, wait) as other:
                other.add_tasks([1, 2])
                list(other)
        """)
        interrupted = notebook.interrupt(waiting, mark.exists)
        assert errors(interrupted) == ["KeyboardInterrupt"]
        children = [child.name() for child in psutil.Process(notebook.pid).children(recursive=True)]
        assert len([name for name in children if name.startswith("python")]) <= 1, "the resource tracker may stay"
