"""Scipion's names: read a list, register each file in parallel, close the set after all; at once, and streaming."""

from pathlib import Path
from typing import Any

import pytest

from multiprocesstools.compat.scipion import STEPS_PARALLEL, STEPS_SERIAL, Form, Protocol
from multiprocesstools.errors import BadArgument
from multiprocesstools.steps import Protocol as Steps
from tests.processes import Child

QUICK: dict[str, Any] = {"durable": False, "beat_seconds": 0.5}


class RegisterFiles(Protocol):
    """The example of the document, its dots filled in: a file is registered by counting its bytes."""

    stepsExecutionMode = STEPS_PARALLEL

    def _defineParams(self, form: Form) -> None:
        form.addSection(label="Input")
        form.addParam("folder", None, default="", label="Folder", help="where the files are")
        form.addParallelSection(threads=2, mpi=1)

    def _insertAllSteps(self) -> None:
        self._insertFunctionStep("readListStep", self.folder)

    def readListStep(self, folder: str) -> list[str]:
        files = sorted(str(path) for path in Path(folder).glob("*.txt"))
        registered = [self._insertFunctionStep("registerStep", file) for file in files]
        self._insertFunctionStep("closeSetStep", prerequisites=registered)
        return files

    def registerStep(self, file: str) -> list[str]:
        path = Path(self._getExtraPath(Path(file).name + ".size"))
        path.write_text(str(len(Path(file).read_bytes())))
        return [str(path)]

    def closeSetStep(self) -> list[str]:
        sizes = sorted((path.name, path.read_text()) for path in Path(self._getExtraPath()).glob("*.size"))
        out = Path(self._getPath("set.txt"))
        out.write_text("".join(f"{name} {size}\n" for name, size in sizes))
        return [str(out)]


class Streaming(RegisterFiles):
    """The same while files appear: what closes the set is held until the mark that all are there."""

    def _insertAllSteps(self) -> None:
        self.seen: set[str] = set()
        self.close = self._insertFunctionStep("closeSetStep", wait=True)

    def _stepsCheck(self) -> bool:
        complete = (Path(self.folder) / "complete").exists()
        for path in sorted(Path(self.folder).glob("*.txt")):
            if path.name not in self.seen:
                self.seen.add(path.name)
                self._insertFunctionStep("registerStep", str(path), prerequisites=[])
        self.updateSteps()
        if complete:
            self.releaseStep(self.close)
        return not complete


def write(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.txt").write_text(name * 3)


@pytest.mark.parametrize("mode", [STEPS_PARALLEL, STEPS_SERIAL])
def test_a_list_is_read_each_file_registered_and_the_set_closed_after_all(tmp_path: Path, mode: str) -> None:
    write(tmp_path / "in", "a", "bb", "ccc")
    protocol = RegisterFiles(workingDir=tmp_path / "run", folder=str(tmp_path / "in"), **QUICK)
    protocol.stepsExecutionMode = mode
    report = protocol.run().check()
    assert (tmp_path / "run" / "set.txt").read_text() == "a.txt.size 3\nbb.txt.size 6\nccc.txt.size 9\n"
    assert [step.name for step in report.plan] == ["readListStep", *["registerStep"] * 3, "closeSetStep"]
    close = report.outcomes[5].started
    assert all(report.outcomes[step].ended <= close for step in (2, 3, 4))
    assert (protocol.threads, protocol.workingDir) == (2, str(tmp_path / "run"))


def test_files_that_appear_while_it_runs_are_registered_before_the_set_is_closed(tmp_path: Path) -> None:
    write(tmp_path / "in", "a")
    appeared = iter([lambda: write(tmp_path / "in", "b", "c"), (tmp_path / "in" / "complete").touch])

    class Watched(Streaming):
        def registerStep(self, file: str) -> list[str]:
            made = super().registerStep(file)
            next(appeared, lambda: None)()
            return made

    options = QUICK | {"check_seconds": 0.05}
    Watched(workingDir=tmp_path / "run", name="w", folder=str(tmp_path / "in"), **options).run().check()
    assert (tmp_path / "run" / "set.txt").read_text() == "a.txt.size 3\nb.txt.size 3\nc.txt.size 3\n"


def test_two_processes_share_the_example(tmp_path: Path) -> None:
    write(tmp_path / "in", *"abcdefgh")
    script = (
        "from tests.steps.test_scipion import QUICK, RegisterFiles\n"
        "report = RegisterFiles(workingDir=RUN, folder=ARGUMENTS[0], **QUICK).run()\n"
        "say('ok' if report.ok else report.problems)"
    )
    with (
        Child(tmp_path / "run", script, tmp_path / "in") as one,
        Child(tmp_path / "run", script, tmp_path / "in") as two,
    ):
        assert [one.hear(), two.hear()] == ["ok", "ok"]
    assert len((tmp_path / "run" / "set.txt").read_text().splitlines()) == 8


def test_the_names_are_all_there_and_mean_what_they_mean_in_steps(tmp_path: Path) -> None:
    protocol = Protocol(workingDir=tmp_path, **QUICK)
    assert isinstance(protocol, Steps)
    assert protocol.stepsExecutionMode == STEPS_SERIAL
    names = "run _insertAllSteps _insertFunctionStep updateSteps _stepsCheck _defineParams stepsExecutionMode"
    assert [name for name in names.split() if not hasattr(protocol, name)] == []
    protocol._insertRunJobStep("true")
    assert protocol.run().ok


def test_without_a_working_directory_the_error_says_so() -> None:
    with pytest.raises(BadArgument, match="workingDir"):
        Protocol()
