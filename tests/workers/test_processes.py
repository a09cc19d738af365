"""The queue of scripts: order, cap, states, callback, cancelling, what is known of each process."""

import json
import threading
import time
from pathlib import Path

import pytest

from multiprocesstools.errors import BadArgument, WrongState
from multiprocesstools.workers import Process, ProcessesLogic
from multiprocesstools.workers.programs.bounds import Bounds
from tests.processes import wait_until
from tests.workers.scripts import DOUBLE, ENV, Text, alive, run_all, write_script

SLEEP = "#!/bin/sh\nexec sleep 600\n"
CAT = "#!/bin/sh\nexec cat\n"


def test_a_dict_goes_to_the_script_and_its_value_comes_back(tmp_path: Path) -> None:
    script = write_script(tmp_path, DOUBLE)
    processes = [Process(script, {"x": x}, env=ENV) for x in range(3)]
    assert run_all(processes) == ["Completed"] * 3
    assert [process.output for process in processes] == [{"x": 0}, {"x": 2}, {"x": 4}]
    usage = processes[0].usage
    assert usage.cpu_seconds > 0 and usage.elapsed_seconds > 0
    assert usage.peak_memory_bytes is None or usage.peak_memory_bytes > 1 << 20


def test_a_plain_script_gets_text_and_gives_text(tmp_path: Path) -> None:
    script = write_script(tmp_path, "#!/bin/sh\ntr a-z A-Z\n")
    process = Text(script, "hello")
    assert run_all([process]) == ["Completed"]
    assert process.output == "HELLO"


def test_fifty_and_five_run_in_order_with_at_most_the_cap_at_once_and_one_callback_each(tmp_path: Path) -> None:
    script = write_script(tmp_path, CAT)
    for count in (50, 5):
        begun, running, most, called = [], set(), [0], []

        def note(process: Process, state: str, begun=begun, running=running, most=most) -> None:  # type: ignore[no-untyped-def]
            if state == "Running":
                begun.append(process.name)
                running.add(process)
            else:
                running.discard(process)
            most[0] = max(most[0], len(running), len(logic.state()["Running"]))

        with ProcessesLogic(3, lambda called=called: called.append(1)) as logic:
            logic.sig_state_changed.connect(note)
            logic.add_processes(Text(script, name=str(number)) for number in range(count))
            logic.run()
            assert logic.wait_for_finished(60)
            assert [len(found) for found in logic.state().values()] == [0, 0, count, 0, 0]
        assert begun == [str(number) for number in range(count)]
        assert most == [3]
        assert called == [1]


def test_the_callback_comes_once_for_an_empty_queue_and_once_for_each_time_it_was_emptied(tmp_path: Path) -> None:
    called: list[str] = []
    with ProcessesLogic(2, lambda: called.append("called")) as logic:
        logic.sig_finished.connect(lambda: called.append("finished"))
        logic.run()
        assert logic.wait_for_finished(20)
        assert called == ["called", "finished"]
        logic.add_process(Text(write_script(tmp_path, CAT)))
        logic.run()
        logic.run()
        assert logic.wait_for_finished(20)
        assert called == ["called", "finished"] * 2


def test_what_is_added_while_it_runs_and_in_the_callback_runs_too(tmp_path: Path) -> None:
    script, called = write_script(tmp_path, CAT), []
    late = [Text(script, "2"), Text(script, "3")]

    def callback() -> None:
        called.append(1)
        if len(called) == 1:
            logic.add_process(late[1])

    with ProcessesLogic(1, callback) as logic:
        first = Text(script, "1")
        first.use_process_output = lambda output: logic.add_process(late[0])  # type: ignore[method-assign]
        logic.add_process(first)
        logic.run()
        assert logic.wait_for_finished(20)
        assert [process.output for process in late] == ["2", "3"]
        assert called == [1, 1]


def test_raising_the_cap_starts_more_and_lowering_it_starts_none(tmp_path: Path) -> None:
    script = write_script(tmp_path, SLEEP)
    with ProcessesLogic(1) as logic:
        logic.add_processes(Text(script) for _ in range(4))
        logic.run()
        wait_until(lambda: len(logic.state()["Running"]) == 1, "one runs")
        logic.maximum_running_processes = 3
        wait_until(lambda: len(logic.state()["Running"]) == 3, "three run")
        logic.maximum_running_processes = 1
        logic.cancel(logic.processes[0])
        wait_until(lambda: logic.processes[0].state == "Cancelled", "it is cancelled")
        assert [process.state for process in logic.processes[1:]] == ["Running", "Running", "Pending"]
        logic.cancel_all()
        assert logic.wait_for_finished(20)
        assert {process.state.value for process in logic.processes} == {"Cancelled"}
    wait_until(lambda: alive(str(script)) == [], "nothing is left")


def test_cancelling_ends_what_the_script_has_started(tmp_path: Path) -> None:
    script = write_script(tmp_path, "#!/bin/sh\nsleep 600 & setsid sleep 601 & echo on >&2\nwait\n")
    with ProcessesLogic(1) as logic:
        process, said = Text(script, env={"MARKED": str(tmp_path)}), threading.Event()
        logic.sig_stderr.connect(lambda *_: said.set())
        logic.add_process(process)
        logic.run()
        assert said.wait(20)
        wait_until(lambda: len(alive(str(tmp_path))) == 3, "all three run")
        logic.cancel(process)
        assert logic.wait_for_finished(20)
        assert process.state == "Cancelled"
        wait_until(lambda: alive(str(tmp_path)) == [], "nothing is left")


def test_the_list_can_be_cleared_read_as_json_and_a_name_may_stand_twice_in_it(tmp_path: Path) -> None:
    script, wrong = write_script(tmp_path, CAT), write_script(tmp_path, "#!/bin/sh\nexit 3\n", "wrong")
    with ProcessesLogic(1, log_directory=tmp_path / "logs") as logic:
        logic.add_processes([Text(script, name="twin"), Text(script, name="twin"), Text(wrong, name="bad")])
        logic.run()
        assert logic.wait_for_finished(20)
        found = json.loads(logic.as_json())
        assert [(one["name"], one["state"], one["exit_code"]) for one in found] == [
            ("twin", "Completed", 0), ("twin", "Completed", 0), ("bad", "Failed", 3),
        ]  # fmt: skip
        logic.clear_completed()
        assert [process.name for process in logic.processes] == ["bad"]
        logic.clear_completed(failed=True)
        assert logic.processes == []


def test_usage_is_known_while_it_runs(tmp_path: Path) -> None:
    script = write_script(
        tmp_path, "import sys, time\nx = bytearray(60_000_000)\nwhile time.process_time() < 0.3: pass\nsys.stdin.read()"
    )
    seen: list[tuple[str, float]] = []
    process = Text(script)
    with ProcessesLogic(1) as logic:
        logic.sig_usage.connect(lambda one: seen.append((one.state.value, one.usage.elapsed_seconds)))
        logic.add_process(process)
    assert process.state == "Completed", process.error
    assert process.usage.cpu_seconds >= 0.3
    assert process.usage.peak_memory_bytes is not None and process.usage.peak_memory_bytes > 60_000_000
    assert seen[0][0] == "Running" and seen[0][1] > 0


def test_stderr_is_heard_live_kept_in_its_end_and_whole_in_the_log(tmp_path: Path) -> None:
    script = write_script(tmp_path, "#!/bin/sh\necho first >&2\ncat\necho last >&2\n")
    heard: list[str] = []
    with ProcessesLogic(1, log_directory=tmp_path / "logs") as logic:
        process = Text(script, "in")
        logic.sig_stderr.connect(lambda one, text: heard.append(text))
        logic.add_process(process)
    assert process.stderr == "".join(heard) == "first\nlast\n"
    assert process.log is not None and Path(process.log).read_text() == "first\nlast\n"
    assert process.output == "in"


def test_waiting_has_a_timeout_and_says_when_it_would_never_end(tmp_path: Path) -> None:
    with ProcessesLogic(1) as logic:
        assert logic.wait_for_finished()
        process = Text(write_script(tmp_path, SLEEP))
        logic.add_process(process)
        with pytest.raises(WrongState, match="run"):
            logic.wait_for_finished()
        logic.run()
        assert not logic.wait_for_finished(0.01)
        logic.cancel(process)
        assert logic.wait_for_finished(20)


def test_an_exception_in_the_with_block_cancels_all(tmp_path: Path) -> None:
    script = write_script(tmp_path, SLEEP)
    processes = [Text(script) for _ in range(3)]
    with pytest.raises(ZeroDivisionError), ProcessesLogic(2) as logic:
        logic.add_processes(processes)
        logic.run()
        raise ZeroDivisionError
    assert [process.state.value for process in processes] == ["Cancelled"] * 3
    wait_until(lambda: alive(str(script)) == [], "nothing is left")


@pytest.mark.parametrize(
    ("bounds", "running", "allowed"),
    [
        (Bounds(2), 1, True),
        (Bounds(2), 2, False),
        (Bounds(9, free_memory=100, memory_now=lambda: 99), 1, False),
        (Bounds(9, free_memory=100, memory_now=lambda: 99), 0, True),
        (Bounds(9, free_memory=100, memory_now=lambda: 100), 1, True),
        (Bounds(9, load=2.0, load_now=lambda: 2.1), 1, False),
        (Bounds(9, load=2.0, load_now=lambda: 1.9), 1, True),
    ],
)
def test_bounds_by_number_memory_and_load(bounds: Bounds, running: int, allowed: bool) -> None:
    assert bounds.allow(running) is allowed


def test_a_queue_bound_by_memory_runs_one_at_a_time_and_ends(tmp_path: Path) -> None:
    script, most = write_script(tmp_path, CAT), []
    with ProcessesLogic(4, minimum_free_memory=1 << 60) as logic:
        logic.sig_state_changed.connect(lambda *_: most.append(len(logic.state()["Running"])))
        logic.add_processes(Text(script) for _ in range(4))
    assert max(most) == 1
    assert [process.state.value for process in logic.processes] == ["Completed"] * 4


@pytest.mark.parametrize(
    "make",
    [
        lambda: ProcessesLogic(0), lambda: ProcessesLogic(True), lambda: ProcessesLogic(completed_callback=3),  # type: ignore[arg-type]
        lambda: ProcessesLogic(maximum_load=-1), lambda: ProcessesLogic(kill_seconds=-1),
        lambda: ProcessesLogic().add_process("script.py"),  # type: ignore[arg-type]
        lambda: ProcessesLogic().cancel(Process("x")), lambda: Process("x", args="word"),
        lambda: Process("x", prefix="ssh"), lambda: Process("x", timeout=0), lambda: Process("x", max_attempts=0),
        lambda: Process("x", timeout=float("nan")), lambda: Process("x", args=[3]), lambda: Process("x", env={"N": 3}),  # type: ignore[list-item, dict-item]
        lambda: Process(3), lambda: Process("x", cwd=3), lambda: Process("x", python=None),  # type: ignore[arg-type]
        lambda: ProcessesLogic(kill_seconds=float("nan")),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_an_error_that_names_it(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(BadArgument):
        make()


def test_a_script_is_found_from_here_whatever_its_own_working_directory_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_script(tmp_path, "#!/bin/sh\npwd\n", "where")
    write_script(tmp_path, "import os\nprint(os.getcwd())\n", "where.py")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    processes = [Text(name, cwd="there") for name in ("where", "where.py")]
    assert run_all(list(processes)) == ["Completed"] * 2, processes[0].error
    assert [process.output for process in processes] == [f"{tmp_path}/there\n"] * 2


def test_closing_also_cancels_what_the_callback_adds_and_ends(tmp_path: Path) -> None:
    def callback() -> None:
        called.append(len(logic.processes))
        logic.add_process(Text(script))
        logic.run()

    script, called = write_script(tmp_path, SLEEP), []
    logic = ProcessesLogic(1, callback)
    logic.add_process(Text(script))
    logic.run()
    wait_until(lambda: logic.processes[0].pid is not None, "it runs")
    logic.close()
    assert called == [1]
    assert [process.state.value for process in logic.processes] == ["Cancelled"] * 2
    assert alive(str(script)) == []


def test_a_process_belongs_to_one_queue_once() -> None:
    logic, process = ProcessesLogic(1), Process("x")
    logic.add_process(process)
    with pytest.raises(BadArgument, match="make a new one"):
        logic.add_process(process)


def test_waiting_takes_no_time_of_the_processor(tmp_path: Path) -> None:
    script = write_script(tmp_path, "#!/bin/sh\nexec sleep 1\n")
    process = Text(script)
    with ProcessesLogic(1) as logic:
        logic.add_process(process)
        before = time.process_time()
        logic.run()
        assert logic.wait_for_finished(60)
        used = time.process_time() - before
    assert process.usage.elapsed_seconds >= 1
    assert used < process.usage.elapsed_seconds / 4


def test_waiting_in_the_callback_or_a_hook_is_an_error_and_no_hang(tmp_path: Path) -> None:
    raised: list[Exception] = []

    def wait() -> None:
        try:
            logic.wait_for_finished()
        except WrongState as error:
            raised.append(error)

    with ProcessesLogic(1, wait) as logic:
        logic.add_process(Text(write_script(tmp_path, CAT)))
    assert len(raised) == 1 and "hook" in str(raised[0])


def test_a_process_that_is_cancelled_while_its_input_is_prepared_never_starts(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Text):
        def prepare_process_input(self) -> bytes:
            begun.set()
            assert go_on.wait(20)
            return b""

    process = Slow(write_script(tmp_path, f"#!/bin/sh\ntouch {tmp_path}/started\n"))
    with ProcessesLogic(1) as logic:
        logic.add_process(process)
        logic.run()
        assert begun.wait(20)
        logic.cancel(process)
        go_on.set()
        assert logic.wait_for_finished(20)
    assert process.state == "Cancelled"
    assert not (tmp_path / "started").exists()


def test_an_error_of_the_watching_thread_fails_what_it_had_and_hangs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(pid: int) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("multiprocesstools.workers.programs.pump.consumption_of", broken)
    script = write_script(tmp_path, SLEEP)
    with ProcessesLogic(1) as logic:
        processes = [Text(script), Text(write_script(tmp_path, CAT, "cat"))]
        logic.add_processes(processes)
    assert [process.state.value for process in processes] == ["Failed", "Completed"]
    assert str(processes[0].error) == "broken"
    wait_until(lambda: alive(str(script)) == [], "nothing is left")
