"""A program written for the queue of 3D Slicer's extension, in our words."""

import pickle
from pathlib import Path
from typing import Any

from multiprocesstools.compat.slicer import Process, ProcessesLogic
from tests.workers.scripts import write_script

SCRIPT = """
import pickle, sys
data = pickle.loads(sys.stdin.buffer.read())
sys.stdout.buffer.write(pickle.dumps({"moved": [x + data["by"] for x in data["vertices"]]}))
"""


class Displace(Process):
    """Hooks as Slicer calls them."""

    def __init__(self, scriptPath: str, by: int) -> None:
        Process.__init__(self, scriptPath)
        self.by, self.moved = by, []
        self.name = f"Displace {by}"

    def prepareProcessInput(self) -> bytes:
        return pickle.dumps({"vertices": [1, 2], "by": self.by})

    def useProcessOutput(self, processOutput: bytes) -> None:
        self.moved = pickle.loads(processOutput)["moved"]


def test_a_program_for_slicer_runs(tmp_path: Path) -> None:
    calls: list[str] = []
    logic = ProcessesLogic(maximumRunningProcesses=1, completedCallback=lambda: calls.append("completed"))
    processes = [Displace(str(write_script(tmp_path, SCRIPT)), by) for by in range(3)]
    broken = Process(str(write_script(tmp_path, "raise SystemExit(3)", "broken.py")))
    for process in (*processes, broken):
        logic.addProcess(process)
    assert logic.state()["Pending"] == ["Displace 0", "Displace 1", "Displace 2", "broken.py"]
    logic.setMaximumRunningProcesses(2)
    assert logic.maximumRunningProcesses == 2
    logic.run()
    assert logic.waitForFinished(60)
    expected: dict[str, Any] = {state: [] for state in ("Pending", "Running", "Cancelled")}
    expected |= {"Completed": ["Displace 0", "Displace 1", "Displace 2"], "Failed": ["broken.py"]}
    assert logic.state() == expected and calls == ["completed"]
    assert [process.moved for process in processes] == [[1, 2], [2, 3], [3, 4]]
    assert [process.processState for process in (processes[0], broken)] == ["Completed", "Failed"]
    logic.close()


def test_an_empty_queue_calls_back_once_and_the_defaults_pickle(tmp_path: Path) -> None:
    calls: list[str] = []
    logic = ProcessesLogic(None, 2, lambda: calls.append("completed"))
    logic.run()
    assert logic.waitForFinished(60) and calls == ["completed"]
    process = Process(str(write_script(tmp_path, SCRIPT)), input={"vertices": [5], "by": 1})
    logic.addProcess(process)
    logic.run()
    assert logic.waitForFinished(60) and process.output == {"moved": [6]}
    assert process.scriptPath.endswith("script.py") and calls == ["completed"] * 2
    logic.close()
