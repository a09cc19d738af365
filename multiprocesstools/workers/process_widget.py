"""ProcessesWidget: a queue of processes in a window of Qt: lists by state, the maximum, and buttons.

    widget = ProcessesWidget(logic)
    widget.show()

Guarantee: it follows the queue by its signals and, for elapsed time, twice a second; it holds no state of its own.
Hooks, slots and the callback of the queue stay in the queue's own thread. Condition: the extra `[qt]`, or another
binding that qtpy knows; made and used in the main thread, with its event loop running.
"""

from functools import partial
from typing import Any

from qtpy import QtCore, QtWidgets

from multiprocesstools.workers.process import Process, ProcessState
from multiprocesstools.workers.processes import ProcessesLogic
from multiprocesstools.workers.programs.process_list import HEADINGS, row, summary, title

_LOOK_MILLISECONDS, _SOON_MILLISECONDS, _MOST_RUNNING = 500, 50, 100_000
_SIGNALS = ("sig_state_changed", "sig_usage", "sig_finished")


class _Ear(QtCore.QObject):
    """Has what it hears in any thread said in the thread of the window."""

    heard = QtCore.Signal()

    def hear(self, *_: object) -> None:
        self.heard.emit()


class ProcessesWidget(QtWidgets.QWidget):
    """Shows a `ProcessesLogic`. It can be closed at any time; the queue goes on."""

    def __init__(self, logic: ProcessesLogic, parent: Any = None) -> None:
        super().__init__(parent)
        self.logic = logic
        self._items: dict[Process, Any] = {}
        self.setWindowTitle("Processes")
        self._make()
        self._ear = _Ear(self)
        self._soon = self._timer(_SOON_MILLISECONDS, single=True)
        self._ear.heard.connect(self._look_soon)
        for name in _SIGNALS:
            getattr(logic, name).connect(self._ear.hear)
        self.destroyed.connect(partial(_stop_hearing, logic, self._ear.hear))
        self._timer(_LOOK_MILLISECONDS).start()
        self.refresh()

    # -- how it is made

    def _make(self) -> None:
        self.maximum = QtWidgets.QSpinBox()
        self.maximum.setRange(1, _MOST_RUNNING)
        self.maximum.setValue(self.logic.maximum_running_processes)
        self.maximum.valueChanged.connect(self._set_maximum)
        self.summary = QtWidgets.QLabel()
        self.tree = QtWidgets.QTreeWidget()
        self.tree.setHeaderLabels(HEADINGS)
        self.tree.setSelectionMode(QtWidgets.QAbstractItemView.SelectionMode.ExtendedSelection)
        self.tree.itemSelectionChanged.connect(self._offer)
        self._groups = {state.value: QtWidgets.QTreeWidgetItem(self.tree) for state in ProcessState}
        for group in self._groups.values():
            group.setExpanded(True)
            group.setFlags(QtCore.Qt.ItemFlag.ItemIsEnabled)
        self.cancel = self._button("Cancel", self._cancel_selected)
        self.cancel_all = self._button("Cancel all", self.logic.cancel_all)
        self.with_failed = QtWidgets.QCheckBox("with failed and cancelled ones")
        self.with_failed.toggled.connect(self._offer)
        self.clear = self._button("Clear completed", self._clear)
        self._lay_out()

    def _lay_out(self) -> None:
        above, below, whole = QtWidgets.QHBoxLayout(), QtWidgets.QHBoxLayout(), QtWidgets.QVBoxLayout(self)
        part: Any
        for part in (QtWidgets.QLabel("At most running:"), self.maximum, self.summary):
            above.addWidget(part)
        above.addStretch(1)
        for part in (self.cancel, self.cancel_all):
            below.addWidget(part)
        below.addStretch(1)
        for part in (self.clear, self.with_failed):
            below.addWidget(part)
        whole.addLayout(above)
        whole.addWidget(self.tree)
        whole.addLayout(below)
        self.tree.setColumnWidth(0, 200)
        self.resize(760, 480)

    def _button(self, text: str, act: Any) -> Any:
        button = QtWidgets.QPushButton(text)
        button.clicked.connect(partial(self._act, act))
        return button

    def _timer(self, milliseconds: int, *, single: bool = False) -> Any:
        timer = QtCore.QTimer(self)
        timer.setInterval(milliseconds)
        timer.setSingleShot(single)
        timer.timeout.connect(self.refresh)
        return timer

    # -- what it does

    def _act(self, act: Any, *_: object) -> None:
        act()
        self.refresh()

    def selected(self) -> list[Process]:
        """The processes whose rows are selected."""
        return [process for process, item in self._items.items() if item.isSelected()]

    def refresh(self) -> None:
        """Show what is known now."""
        states = self.logic.state()
        shown = {process for found in states.values() for process in found}
        for process in [process for process in self._items if process not in shown]:
            item = self._items.pop(process)
            item.parent().removeChild(item)
        for state, found in states.items():
            group = self._groups[state]
            group.setText(0, title(state, found))
            for process in found:
                self._show(process, group)
        self.summary.setText(summary(states))
        if self.maximum.value() != self.logic.maximum_running_processes:
            self.maximum.setValue(self.logic.maximum_running_processes)
        self._offer()

    def _show(self, process: Process, group: Any) -> None:
        item = self._items.get(process)
        if item is None:
            item = self._items[process] = QtWidgets.QTreeWidgetItem(group)
        elif item.parent() is not group:
            selected = item.isSelected()
            item.parent().removeChild(item)
            group.addChild(item)
            item.setSelected(selected)
        elif process.state is ProcessState.PENDING:
            return  # nothing of it changes
        for column, text in enumerate(row(process).cells()):
            if item.text(column) != text:
                item.setText(column, text)
                item.setToolTip(column, text)

    def _offer(self) -> None:
        """Only what can be done."""
        states = self.logic.state()
        over = len(states["Completed"])
        if self.with_failed.isChecked():
            over += len(states["Failed"]) + len(states["Cancelled"])
        self.clear.setEnabled(over > 0)
        self.cancel_all.setEnabled(bool(states["Pending"] or states["Running"]))
        self.cancel.setEnabled(any(not process.state.is_over for process in self.selected()))

    def _look_soon(self) -> None:
        if not self._soon.isActive():
            self._soon.start()

    def _set_maximum(self, most: int) -> None:
        self.logic.maximum_running_processes = most

    def _cancel_selected(self) -> None:
        for process in self.selected():
            self.logic.cancel(process)

    def _clear(self) -> None:
        self.logic.clear_completed(failed=self.with_failed.isChecked())


def _stop_hearing(logic: ProcessesLogic, slot: Any, *_: object) -> None:
    for name in _SIGNALS:
        getattr(logic, name).disconnect(slot, missing_ok=True)
