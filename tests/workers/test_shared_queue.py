"""Queues that share their processes through a run directory."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import IO

import pytest

from multiprocesstools.errors import BadArgument, ListChanged, RunDirectoryUnusable, UntrustedResult, WrongState
from multiprocesstools.workers import Process, ProcessesLogic
from multiprocesstools.workers.pools.trusted import open_trusted
from multiprocesstools.workers.programs import share
from tests.processes import wait_until
from tests.workers.scripts import ENV, Text, alive, write_script

OPTIONS = {"durable": False, "beat_seconds": 0.2, "patience_seconds": 5}
NOTE = '#!/bin/sh\nread number\necho "$number" >> "$1/begun"\necho "$number by $2"\n'
PROGRAM = """
    import sys
    from multiprocesstools.workers import ProcessesLogic
    from tests.workers.scripts import Text
    script, folder = sys.argv[1:]
    with ProcessesLogic(2, run_directory=folder, name="shared", run_options={options!r}) as logic:
        logic.add_processes(Text(script, f"{{x}}\\n", name=f"p{{x}}", args=[folder, "me"]) for x in range(4))
"""


def queue(folder: Path, **options: object) -> ProcessesLogic:
    more = OPTIONS | options
    return ProcessesLogic(2, run_directory=folder, name="shared", run_options=more)


def texts(script: Path, folder: Path, count: int) -> list[Text]:
    return [Text(script, f"{x}\n", name=f"p{x}", args=[str(folder), "me"]) for x in range(count)]


def test_two_queues_do_each_process_once_and_both_get_all_outputs(tmp_path: Path) -> None:
    script = write_script(tmp_path, NOTE + "sleep 0.02\n")
    folder, count = tmp_path / "run", 24
    first, second = texts(script, folder, count), texts(script, folder, count)
    called: list[int] = []
    with queue(folder) as one, queue(folder) as two:
        for logic, processes in ((one, first), (two, second)):
            logic.completed_callback = partial(called.append, 1)
            logic.add_processes(processes)
            logic.run()
        assert one.wait_for_finished(60) and two.wait_for_finished(60)
    assert [process.output for process in first] == [f"{x} by me\n" for x in range(count)]
    assert [process.output for process in second] == [f"{x} by me\n" for x in range(count)]
    assert sorted(map(int, (folder / "begun").read_text().split())) == list(range(count))
    assert 0 < sum(process.attempt for process in first) < count
    assert sum(process.attempt for process in [*first, *second]) == count
    assert called == [1, 1]


def test_a_later_start_uses_what_is_done_and_other_processes_are_refused(tmp_path: Path) -> None:
    script, folder = write_script(tmp_path, NOTE), tmp_path / "run"
    for _ in range(2):
        processes = texts(script, folder, 3)
        with queue(folder) as logic:
            logic.add_processes(processes)
        assert [process.output for process in processes] == [f"{x} by me\n" for x in range(3)]
    assert len((folder / "begun").read_text().split()) == 3
    others = texts(script, folder, 3)
    others[1].name = "another"
    with queue(folder) as logic:
        logic.add_processes(others)
    assert {type(process.error) for process in others} == {ListChanged}


def test_what_fails_is_tried_again_and_then_set_aside_for_all(tmp_path: Path) -> None:
    script, folder = write_script(tmp_path, '#!/bin/sh\necho x >> "$1/begun"\necho why >&2\nexit 3\n'), tmp_path / "run"
    processes = texts(script, folder, 1)
    with queue(folder, max_attempts=2) as logic:
        logic.add_processes(processes)
    assert processes[0].state == "Failed" and "exit code 3" in str(processes[0].error)
    assert processes[0].attempt == 2 == len((folder / "begun").read_text().split())
    later = texts(script, folder, 1)
    with queue(folder, max_attempts=2) as logic:
        logic.add_processes(later)
    assert later[0].state == "Failed" and "why" in str(later[0].error)
    assert later[0].attempt == 0


def test_what_a_killed_queue_had_is_done_by_another(tmp_path: Path) -> None:
    script = write_script(tmp_path, NOTE + '[ -e "$1/go" ] || exec sleep 600\n')
    folder = tmp_path / "run"
    program = write_script(tmp_path, PROGRAM.format(options=OPTIONS), "program.py")
    with subprocess.Popen([sys.executable, str(program), str(script), str(folder)], env=os.environ | ENV) as dying:
        try:
            wait_until(
                lambda: (folder / "begun").exists() and (folder / "begun").stat().st_size == 4, "two are in work"
            )
        finally:
            dying.kill()
    (folder / "go").touch()
    processes = texts(script, folder, 4)
    with queue(folder) as logic:
        logic.add_processes(processes)
    assert [process.output for process in processes] == [f"{x} by me\n" for x in range(4)]
    assert [process.attempt for process in processes] == [1] * 4
    assert len((folder / "begun").read_text().split()) == 6


def test_cancelling_all_gives_the_items_back(tmp_path: Path) -> None:
    body = '#!/bin/sh\nread number\n[ -e "$1/go" ] || { echo on >&2; exec sleep 600; }\necho "$number"\n'
    script = write_script(tmp_path, body)
    folder = tmp_path / "run"
    processes = texts(script, folder, 3)
    with queue(folder, max_attempts=1) as logic:
        logic.add_processes(processes)
        logic.run()
        with pytest.raises(WrongState, match="add all before"):
            logic.add_process(Text(script))
        wait_until(lambda: sum(process.stderr == "on\n" for process in processes) == 2, "two are in work")
        logic.cancel_all()
        assert logic.wait_for_finished(30)
    assert [process.state.value for process in processes] == ["Cancelled"] * 3
    wait_until(lambda: alive(str(script)) == [], "nothing is left")
    (folder / "go").touch()
    again = texts(script, folder, 3)
    with queue(folder, max_attempts=1) as logic:
        logic.add_processes(again)
    assert [process.output for process in again] == ["0\n", "1\n", "2\n"]


def test_an_output_that_somebody_else_could_have_written_is_not_used(tmp_path: Path) -> None:
    script, folder = write_script(tmp_path, NOTE), tmp_path / "run"
    with queue(folder) as logic:
        logic.add_processes(texts(script, folder, 2))
    os.chmod(folder / "shared" / "1.out", 0o666)
    processes = texts(script, folder, 2)
    with queue(folder) as logic:
        logic.add_processes(processes)
    assert [process.state.value for process in processes] == ["Completed", "Failed"]
    assert isinstance(processes[1].error, UntrustedResult)


def test_an_output_that_is_seen_late_is_waited_for_and_one_that_never_is_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NFS, where a client may not know for a while what others have written."""
    script, folder, asked = write_script(tmp_path, NOTE), tmp_path / "run", []
    with queue(folder) as logic:
        logic.add_processes(texts(script, folder, 2))

    def late(path: str) -> IO[bytes]:
        asked.append(path)
        if len(asked) <= 3 or path.endswith("1.out"):
            raise FileNotFoundError(path)
        return open_trusted(path)

    monkeypatch.setattr(share, "open_trusted", late)
    monkeypatch.setattr(share, "_MISSING_SECONDS", 1.0)
    processes = texts(script, folder, 2)
    with queue(folder) as logic:
        logic.add_processes(processes)
    assert [process.state.value for process in processes] == ["Completed", "Failed"]
    assert "no output could be read" in str(processes[1].error)


def test_outputs_are_read_one_by_one_as_they_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script, folder, most = write_script(tmp_path, NOTE), tmp_path / "run", [0]
    with queue(folder) as logic:
        logic.add_processes(texts(script, folder, 5))

    def counted(path: str) -> IO[bytes]:
        most.append(most[-1] + 1)
        return open_trusted(path)

    class Used(Text):
        def use_process_output(self, output: bytes) -> None:
            most.append(most[-1] - 1)

    monkeypatch.setattr(share, "open_trusted", counted)
    processes = [Used(script, name=f"p{x}", args=[str(folder), "me"]) for x in range(5)]
    with queue(folder) as logic:
        logic.add_processes(processes)
    assert [process.state.value for process in processes] == ["Completed"] * 5
    assert (max(most), len(most)) == (1, 11)


def test_stop_lets_what_is_in_work_finish_and_says_nothing_of_the_rest_that_is_true_of_another_list(
    tmp_path: Path,
) -> None:
    body = '#!/bin/sh\necho on >&2\nuntil [ -e "$1/go" ]; do sleep 0.05; done\n'
    script, folder = write_script(tmp_path, body), tmp_path / "run"
    wrong = write_script(tmp_path, "#!/bin/sh\nexit 3\n", "wrong")
    with ProcessesLogic(2, run_directory=folder, name="other", run_options=OPTIONS | {"max_attempts": 1}) as logic:
        logic.add_processes(failed := [Text(wrong, name=f"p{x}") for x in range(3)])
    assert [process.state.value for process in failed] == ["Failed"] * 3
    processes = texts(script, folder, 3)
    with queue(folder) as logic:
        logic.add_processes(processes)
        logic.run()
        wait_until(lambda: sum(process.stderr == "on\n" for process in processes) == 2, "two are in work")
        command = [sys.executable, "-m", "multiprocesstools", "stop", str(folder)]
        subprocess.run(command, env=os.environ | ENV, check=True, capture_output=True, timeout=60)
        assert logic._share is not None and logic._share._helper is not None
        wait_until(lambda: not logic._share._helper._crew.is_undisturbed(), "it has heard of it")
        (folder / "go").touch()
        assert logic.wait_for_finished(20)
    assert sorted(process.state.value for process in processes) == ["Cancelled", "Completed", "Completed"]
    assert [process.error for process in processes] == [None] * 3


def test_a_run_directory_that_cannot_be_and_an_empty_queue(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    process = Process(tmp_path / "x")
    with ProcessesLogic(1, run_directory=tmp_path / "file") as logic:
        logic.add_process(process)
    assert process.state == "Failed" and isinstance(process.error, RunDirectoryUnusable)
    called: list[int] = []
    with ProcessesLogic(1, lambda: called.append(1), run_directory=tmp_path / "run") as logic:
        logic.run()
        assert logic.wait_for_finished(20)
    assert called == [1]
    with pytest.raises(BadArgument, match="name"):
        ProcessesLogic(1, run_directory=tmp_path, name="no name")
