"""The window of a queue, with the real Qt, without a screen."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QT_API", "pyside6")

from qtpy import QtGui

from multiprocesstools.workers import Process, ProcessesLogic
from multiprocesstools.workers.process_widget import ProcessesWidget
from multiprocesstools.workers.programs.process_list import row, size, summary, title
from tests.workers.scripts import Text, write_script

LIMIT_SECONDS = 60
SLOW = "#!/bin/sh\nexec sleep 600\n"
QUICK = "#!/bin/sh\necho done\n"
BROKEN = "#!/bin/sh\nexit 3\n"


@pytest.fixture
def scene(application: Any, tmp_path: Path) -> Iterator["Scene"]:
    with ProcessesLogic(1, kill_seconds=0.5) as logic:
        scene = Scene(application, logic, tmp_path)
        try:
            yield scene
        finally:
            logic.cancel_all()
            scene.widget.close()
            scene.widget.deleteLater()
            application.sendPostedEvents(None, 52)  # QEvent.DeferredDelete
            application.processEvents()


class Scene:
    """A window and its queue."""

    def __init__(self, application: Any, logic: ProcessesLogic, folder: Path) -> None:
        self.application, self.logic, self.folder = application, logic, folder
        self.widget = ProcessesWidget(logic)
        self.widget.show()

    def add(self, body: str, name: str) -> Process:
        process = Text(write_script(self.folder, body, name), name=name)
        self.logic.add_process(process)
        return process

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + LIMIT_SECONDS
        while not condition():
            assert time.monotonic() < end, self.lists()
            self.application.processEvents()
            time.sleep(0.01)

    def lists(self) -> dict[str, list[list[str]]]:
        """What can be read in the window: the titles, and the cells below each."""
        tree = self.widget.tree
        groups = [tree.topLevelItem(number) for number in range(tree.topLevelItemCount())]
        return {
            group.text(0): [
                [group.child(number).text(column) for column in range(tree.columnCount())]
                for number in range(group.childCount())
            ]
            for group in groups
        }

    def names(self) -> dict[str, list[str]]:
        return {title.split(" ")[0]: [cells[0] for cells in rows] for title, rows in self.lists().items() if rows}


def test_the_lists_follow_the_queue_with_time_and_memory(scene: Scene, tmp_path: Path) -> None:
    for body, name in ((QUICK, "quick"), (BROKEN, "broken"), (SLOW, "slow"), (QUICK, "later")):
        scene.add(body, name)
    scene.widget.refresh()
    assert scene.names() == {"Pending": ["quick", "broken", "slow", "later"]}
    scene.logic.run()
    scene.until(lambda: scene.names().get("Running") == ["slow"] and bool(scene.lists()["Running (1)"][0][3]))
    assert scene.names() == {"Pending": ["later"], "Running": ["slow"], "Completed": ["quick"], "Failed": ["broken"]}
    slow, failed = scene.lists()["Running (1)"][0], scene.lists()["Failed (1)"][0]
    assert slow[1].endswith("s") and slow[3].endswith("B") and slow[4].startswith("pid ") and "3" in failed[4]
    scene.until(lambda: scene.lists()["Running (1)"][0][1] != slow[1])  # the clock goes on
    assert scene.widget.summary.text() == "2 of 4 processes are over"
    picture = os.environ.get("PROCESS_WIDGET_PICTURE") or str(tmp_path / "widget.png")
    assert scene.widget.grab().save(picture)
    seen = QtGui.QImage(picture)
    colours = {seen.pixel(x, y) for x in range(0, seen.width(), 2) for y in range(0, seen.height(), 2)}
    assert (seen.width(), seen.height()) == (760, 480) and len(colours) > 10


def test_the_buttons_cancel_and_clear(scene: Scene) -> None:
    widget = scene.widget
    first, second, third = (scene.add(SLOW, f"slow{number}") for number in range(3))
    scene.logic.run()
    scene.until(lambda: scene.names().get("Running") == ["slow0"])
    assert not widget.cancel.isEnabled() and widget.cancel_all.isEnabled() and not widget.clear.isEnabled()
    widget._items[second].setSelected(True)
    assert widget.selected() == [second] and widget.cancel.isEnabled()
    widget.cancel.click()
    scene.until(lambda: scene.names().get("Cancelled") == ["slow1"])
    assert scene.names() == {"Running": ["slow0"], "Pending": ["slow2"], "Cancelled": ["slow1"]}
    widget.cancel_all.click()
    scene.until(lambda: len(scene.names().get("Cancelled", [])) == 3)
    assert [process.state.value for process in (first, second, third)] == ["Cancelled"] * 3
    assert not widget.cancel_all.isEnabled() and not widget.clear.isEnabled()
    widget.with_failed.setChecked(True)
    widget.clear.click()
    assert scene.names() == {} and scene.logic.processes == [] and not widget.clear.isEnabled()


def test_clearing_keeps_what_failed_unless_it_is_asked_for(scene: Scene) -> None:
    scene.add(QUICK, "quick")
    scene.add(BROKEN, "broken")
    scene.logic.run()
    scene.until(lambda: scene.names() == {"Completed": ["quick"], "Failed": ["broken"]})
    scene.widget.clear.click()
    assert scene.names() == {"Failed": ["broken"]}


def test_the_maximum_is_that_of_the_queue_both_ways(scene: Scene) -> None:
    for number in range(3):
        scene.add(SLOW, f"slow{number}")
    scene.logic.run()
    scene.until(lambda: len(scene.names().get("Running", [])) == 1)
    scene.widget.maximum.setValue(2)
    scene.until(lambda: len(scene.names().get("Running", [])) == 2)
    assert scene.names()["Pending"] == ["slow2"]
    scene.logic.maximum_running_processes = 3
    scene.until(lambda: len(scene.names().get("Running", [])) == 3 and scene.widget.maximum.value() == 3)


def test_a_window_that_is_gone_leaves_the_queue_alone(application: Any, tmp_path: Path) -> None:
    with ProcessesLogic(1) as logic:
        scene = Scene(application, logic, tmp_path)
        scene.widget.deleteLater()
        application.sendPostedEvents(None, 52)
        application.processEvents()
        assert len(logic.sig_state_changed) == 0
        process = scene.add(QUICK, "quick")
        logic.run()
        assert logic.wait_for_finished(LIMIT_SECONDS) and process.state == "Completed"


def test_numbers_are_read_with_their_units() -> None:
    shown = {0: "0 B", 999: "999 B", 1000: "1 kB", 51_234_567: "51.2 MB", 999_600_000: "1 GB"}
    assert {count: size(count) for count in shown} == shown
    process = Process("x", name="a\x1b[31mb")
    assert row(process).cells() == ("a\\x1b[31mb", "", "", "", "")
    assert title("Pending", [process]) == "Pending (1)"
    assert summary({"Pending": [process], "Failed": [1, 2]}) == "2 of 3 processes are over"
