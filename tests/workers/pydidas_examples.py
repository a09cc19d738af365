"""The three examples of the developers' guide of pydidas, in our words: what they import and call, in their order.

python -m tests.workers.pydidas_examples minimal | restart | app
"""

import sys
import time
from typing import Any

import numpy as np
from qtpy import QtCore

from multiprocesstools.compat import pydidas
from multiprocesstools.compat.pydidas import QtTest, pydidas_qtcore


def line(task: Any, slope: int, offset: int) -> Any:
    return task * slope + offset


def wait_for_progress(controller: Any) -> None:
    with pydidas.core.utils.TimerSaveRuntime() as runtime:
        while controller.progress < 1:
            time.sleep(0.005)
    assert runtime() > 0


def say(results: Any) -> None:
    print([[int(task), int(result)] for task, result in results])


def minimal() -> None:
    controller = pydidas.multiprocessing.WorkerController(2)
    controller.change_function(line, 2, 5)
    spy = QtTest.QSignalSpy(controller.sig_results)
    controller.add_tasks(np.arange(10))
    controller.finalize_tasks()
    controller.start()
    wait_for_progress(controller)
    say(sorted(spy))
    controller.join(60)
    print("alive", controller.isRunning())


def restart() -> None:
    controller = pydidas.multiprocessing.WorkerController(2)
    controller.change_function(line, 2, 5)
    spy = QtTest.QSignalSpy(controller.sig_results)
    controller.add_tasks(np.arange(10))
    controller.start()
    wait_for_progress(controller)
    say(sorted(spy))
    print("alive", controller.isRunning())
    controller.add_tasks(np.arange(10, 20))
    wait_for_progress(controller)
    controller.suspend()
    controller.change_function(line, -1, 0)
    controller.add_tasks(np.arange(20, 30))
    time.sleep(0.2)
    assert len(spy) == 20, "a suspended controller has worked"
    controller.restart()
    wait_for_progress(controller)
    say(sorted(spy))
    print("alive", controller.isRunning())


class LineApp(pydidas.core.BaseApp):  # type: ignore[misc,name-defined]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pydidas.core.BaseApp.__init__(self, *args, **kwargs)
        self._n = 20
        self.results = np.zeros(self._n)

    def multiprocessing_get_tasks(self) -> Any:
        return np.arange(self._n)

    def multiprocessing_func(self, index: Any) -> Any:
        return 3 * index + 5

    @QtCore.Slot(object, object)
    def multiprocessing_store_results(self, index: Any, *args: Any) -> None:
        self.results[index] = args[0]


class Listener(QtCore.QObject):
    def __init__(self) -> None:
        QtCore.QObject.__init__(self)
        self.app: Any = None
        self.results: list[Any] = []

    @QtCore.Slot(object)
    def store_app(self, app: Any) -> None:
        self.app = app

    @QtCore.Slot(object, object)
    def store_results(self, index: Any, *results: Any) -> None:
        self.results.append([index, results[0]])


def app() -> None:
    application = pydidas_qtcore.PydidasQApplication([])
    listener, test_app = Listener(), LineApp()
    copy = test_app.copy()
    runner = pydidas.multiprocessing.AppRunner(test_app)
    runner.sig_final_app_state.connect(listener.store_app)
    runner.sig_results.connect(listener.store_results)
    runner.finished.connect(application.exit)
    runner.start()
    application.exec_()
    say(listener.results)
    print(test_app.results.astype(int).tolist())
    print(copy.results.astype(int).tolist())
    assert listener.app is test_app


if __name__ == "__main__":
    {"minimal": minimal, "restart": restart, "app": app}[sys.argv[1]]()
