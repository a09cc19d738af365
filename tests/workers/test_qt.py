"""The same classes with signals of the real Qt, without a screen."""

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("QT_API", "pyside6")

from qtpy import QtCore, QtTest

from multiprocesstools.workers.qt import AppRunner, WorkerController
from tests.processes import wait_until
from tests.workers.apps import Broken, Halves
from tests.workers.functions import double, speak

LIMIT = 60_000  # milliseconds


class Receiver(QtCore.QObject):
    """Keeps what it hears, and in which thread."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []
        self.threads: set[int] = set()

    @QtCore.Slot(object, object)
    def hear(self, task: Any, result: Any) -> None:
        self.heard.append((task, result))
        self.threads.add(threading.get_ident())

    @QtCore.Slot(object)
    def hear_one(self, fact: Any) -> None:
        self.hear(fact, None)


@pytest.fixture(scope="module")
def application() -> Iterator[Any]:
    application = QtCore.QCoreApplication.instance() or QtCore.QCoreApplication([])
    yield application
    application.processEvents()


def run_until(application: Any, signal: Any, begin: Any) -> None:
    """Run the event loop until the signal comes."""
    signal.connect(application.quit)
    guard = QtCore.QTimer()
    guard.setSingleShot(True)
    guard.timeout.connect(lambda: application.exit(1))
    guard.start(LIMIT)
    QtCore.QTimer.singleShot(0, begin)
    assert application.exec_() == 0, "the signal did not come"
    guard.stop()


def test_slots_are_called_in_the_thread_of_their_object_by_the_event_loop(application: Any) -> None:
    controller, receiver, functions = WorkerController(2, double), Receiver(), set()
    controller.sig_results.connect(receiver.hear)
    controller.sig_results.connect(lambda *_: functions.add(threading.get_ident()))
    controller.add_tasks(range(20))
    controller.finalize_tasks()
    run_until(application, controller.finished, controller.start)
    assert sorted(receiver.heard) == [(task, 2 * task) for task in range(20)]
    assert receiver.threads == functions == {threading.get_ident()}
    assert controller.join(60)


def test_a_slot_in_another_thread_of_qt_is_called_there(application: Any) -> None:
    controller, receiver, thread = WorkerController(1, double), Receiver(), QtCore.QThread()
    receiver.moveToThread(thread)
    controller.sig_results.connect(receiver.hear)
    thread.start()
    try:
        with controller:
            controller.add_tasks(range(5))
        wait_until(lambda: len(receiver.heard) == 5, "the slot was called for each")
    finally:
        thread.quit()
        assert thread.wait(LIMIT)
    assert len(receiver.heard) == 5 and len(receiver.threads) == 1
    assert receiver.threads.isdisjoint({threading.get_ident()})


def test_a_signal_spy_hears_every_signal(application: Any) -> None:
    controller = WorkerController(2, speak)
    names = ["sig_results", "sig_progress", "sig_message_from_worker", "finished", "sig_finished", "sig_failed"]
    spies = {name: QtTest.QSignalSpy(getattr(controller, name)) for name in names}
    controller.add_tasks(range(3))
    controller.add_task("x")
    controller.finalize_tasks()
    controller.start()
    assert controller.join(60)
    assert {name: spy.count() for name, spy in spies.items()} == {
        "sig_results": 4, "sig_progress": 4, "sig_message_from_worker": 4,
        "finished": 1, "sig_finished": 1, "sig_failed": 0,
    }  # fmt: skip
    assert spies["sig_progress"].at(3) == [1.0]
    said = {spies["sig_message_from_worker"].at(number)[0] for number in range(4)}
    assert said == {"task 0", "task 1", "task 2", "task x"}


def test_a_failed_task_is_a_signal_too(application: Any) -> None:
    controller = WorkerController(1, double, max_attempts=1)
    spy = QtTest.QSignalSpy(controller.sig_failed)
    with controller:
        controller.add_tasks([None, 4])
        assert list(controller) == [(4, 8)]
    assert spy.count() == 1 and spy.at(0)[0] is None and isinstance(spy.at(0)[1], TypeError)


def test_results_are_kept_for_those_who_iterate_unless_somebody_is_connected(application: Any) -> None:
    controller = WorkerController(1, double)
    assert not controller._has_receivers()
    spy = QtTest.QSignalSpy(controller.sig_results)
    assert controller._has_receivers() and spy.isValid()


def test_an_app_runs_beside_the_event_loop_and_its_final_state_reaches_a_slot(application: Any) -> None:
    app, serial, receiver = Halves(), Halves(), Receiver()
    runner = AppRunner(app, 2)
    spy = QtTest.QSignalSpy(runner.sig_results)
    runner.sig_final_app_state.connect(receiver.hear_one)
    run_until(application, runner.finished, runner.start)
    serial.run()
    assert app.state == serial.state
    assert [tuple(spy.at(number)) for number in range(spy.count())] == serial.stored
    assert receiver.heard == [(app, None)] and receiver.threads == {threading.get_ident()}
    assert runner.join(60)


def test_an_app_with_broken_parts_ends_its_event_loop(application: Any) -> None:
    runner, receiver = AppRunner(Broken(), 2, max_attempts=1), Receiver()
    runner.sig_failed.connect(receiver.hear)
    run_until(application, runner.sig_finished, runner.start)
    assert sorted(task for task, _ in receiver.heard) == [3, 5, 7]
    assert runner.join(60)


def test_a_parent_owns_its_controller(application: Any) -> None:
    parent = QtCore.QObject()
    controller = WorkerController(1, double, parent=parent)
    assert controller.parent() is parent
