"""What scripts do wrong, and what is done to them: a Failed process each, never a hang, never a process left behind."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from multiprocesstools.workers import Process, ProcessesLogic
from multiprocesstools.workers.programs.errand import Errand, Outcome
from tests.processes import wait_until
from tests.workers.scripts import DOUBLE, ENV, Text, alive, run_all, write_script


def failed(process: Process, words: str, **options: object) -> None:
    assert run_all([process], **options) == ["Failed"], process.output
    assert words in str(process.error)


def test_a_script_that_does_not_exist(tmp_path: Path) -> None:
    failed(Text(tmp_path / "nowhere"), "cannot be started: No such file")
    failed(Text(tmp_path / "nowhere.py"), "exit code 2")


def test_a_script_that_is_not_executable(tmp_path: Path) -> None:
    script = write_script(tmp_path, "#!/bin/sh\n")
    script.chmod(0o644)
    failed(Text(script), "chmod +x")


def test_a_script_without_an_interpreter_and_a_directory_that_does_not_exist(tmp_path: Path) -> None:
    failed(Text(write_script(tmp_path, "#!/nowhere/python\n")), "#!")
    (tmp_path / "binary").write_bytes(b"\x01\x02")
    (tmp_path / "binary").chmod(0o755)
    failed(Text(tmp_path / "binary"), "Exec format error")
    failed(Text(write_script(tmp_path, "#!/bin/sh\n"), cwd=tmp_path / "nowhere"), "working directory")
    failed(Text(tmp_path / "script.sh", args=["a\0b"]), "cannot be started")
    failed(Text(tmp_path), "is a directory")


def test_more_programs_than_files_may_be_open_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pipe", full)
    failed(Text(write_script(tmp_path, "#!/bin/sh\n")), "maximum_running_processes")


def test_an_exit_code_and_a_signal(tmp_path: Path) -> None:
    process = Text(write_script(tmp_path, "#!/bin/sh\necho why >&2\nexit 3\n"))
    failed(process, "exit code 3")
    assert process.exit_code == 3 and process.stderr == "why\n" and "why" in str(process.error)
    process = Text(write_script(tmp_path, "#!/bin/sh\nkill -KILL $$\n"))
    failed(process, "SIGKILL")
    assert process.exit_code == -signal.SIGKILL


def test_output_that_is_no_pickle_and_none_at_all(tmp_path: Path) -> None:
    process = Process(write_script(tmp_path, "#!/bin/sh\necho hello\n"))
    failed(process, "no pickle")
    assert process.failed_output == b"hello\n"
    failed(Process(write_script(tmp_path, "#!/bin/sh\n")), "is empty")


def test_output_of_a_process_that_then_fails_is_not_used(tmp_path: Path) -> None:
    script = write_script(tmp_path, "#!/bin/sh\necho result\nexit 1\n")
    process = Text(script)
    failed(process, "exit code 1")
    assert process.output is None and process.failed_output == b"result\n"


def test_hooks_that_raise(tmp_path: Path) -> None:
    script = write_script(tmp_path, "#!/bin/sh\ncat\n")

    class NoInput(Text):
        def prepare_process_input(self) -> bytes:
            raise RuntimeError("no data")

    class NoUse(Text):
        def use_process_output(self, output: bytes) -> None:
            raise SystemExit("no use")

    class NoBytes(Text):
        def prepare_process_input(self) -> bytes:
            return 3  # type: ignore[return-value]

    failed(NoInput(script), "no data")
    failed(NoUse(script, "x"), "no use")
    failed(NoBytes(script), "type int")
    failed(Process(script, {"lock": threading.Lock()}), "cannot be pickled")


def test_a_name_that_is_a_number_harms_nobody(tmp_path: Path) -> None:
    script = write_script(tmp_path, "#!/bin/sh\necho why >&2\ncat\n")
    processes = [Text(script, "x", name=5), Text(script, "y")]  # type: ignore[arg-type]
    processes[1].name = 6  # type: ignore[assignment]
    assert run_all(list(processes), log_directory=tmp_path / "logs") == ["Completed"] * 2
    assert [Path(str(process.log)).name for process in processes] == ["0001-5.log", "0002-6.log"]
    assert processes[0].name == "5"


def test_a_callback_and_a_slot_that_raise_do_not_harm_the_queue(tmp_path: Path) -> None:
    script, called = write_script(tmp_path, "#!/bin/sh\ncat\n"), []

    def callback() -> None:
        called.append(1)
        raise RuntimeError("callback")

    processes = [Text(script) for _ in range(3)]
    with ProcessesLogic(2, callback) as logic:
        logic.sig_state_changed.connect(lambda *_: 1 / 0)
        logic.add_processes(processes)
    assert [process.state.value for process in processes] == ["Completed"] * 3
    assert called == [1]


def test_an_input_of_a_gigabyte(tmp_path: Path) -> None:
    size = 1 << 30
    script = write_script(tmp_path, "#!/bin/sh\nexec wc -c\n")

    class Big(Text):
        def prepare_process_input(self) -> bytes:
            return bytes(size)

    process = Big(script)
    assert run_all([process]) == ["Completed"]
    assert int(process.output) == size


def test_stdin_that_is_closed_early(tmp_path: Path) -> None:
    class Big(Text):
        def prepare_process_input(self) -> bytes:
            return bytes(1 << 24)

    process = Big(write_script(tmp_path, "#!/bin/sh\nexec <&-\necho done\n"))
    assert run_all([process]) == ["Completed"]
    assert process.output == "done\n"


def test_a_child_that_ignores_sigterm(tmp_path: Path) -> None:
    script = write_script(tmp_path, "#!/bin/sh\ntrap '' TERM\necho on >&2\nwhile :; do sleep 600; done\n")
    process = Text(script, timeout=0.3)
    failed(process, "within 0.3 s", kill_seconds=0.2)
    assert process.exit_code == -signal.SIGKILL
    wait_until(lambda: alive(str(script)) == [], "nothing is left")


def test_a_grandchild_that_holds_the_pipe(tmp_path: Path) -> None:
    script = write_script(tmp_path, "#!/bin/sh\ncat\nsetsid sleep 600 &\n")
    process = Text(script, "in", env={"MARKED": str(tmp_path)})
    failed(process, "left something running")
    wait_until(lambda: alive(str(tmp_path)) == [], "nothing is left")
    quiet = Text(
        write_script(tmp_path, "#!/bin/sh\ncat\nsleep 600 >/dev/null 2>&1 &\n"), "in", env={"MARKED": str(tmp_path)}
    )
    assert run_all([quiet]) == ["Completed"]
    wait_until(lambda: alive(str(tmp_path)) == [], "nothing is left")


@pytest.mark.parametrize("listens", [False, True])
def test_a_hundred_megabytes_on_stderr(tmp_path: Path, listens: bool) -> None:
    script = write_script(tmp_path, "#!/bin/sh\nhead -c 100000000 /dev/zero | tr '\\0' 'e' >&2\necho done\n")
    process, heard = Text(script), [0]
    with ProcessesLogic(1, log_directory=tmp_path / "logs") as logic:
        if listens:
            logic.sig_stderr.connect(lambda one, text: heard.__setitem__(0, heard[0] + len(text)))
        logic.add_process(process)
    assert process.state == "Completed" and process.output == "done\n"
    assert process.log is not None and os.path.getsize(process.log) == 100_000_000
    assert len(process.stderr) == 1 << 16
    assert heard == [100_000_000 * listens]


def test_a_child_that_stops_itself(tmp_path: Path) -> None:
    script = write_script(tmp_path, "#!/bin/sh\nkill -STOP $$\nsleep 600\n")
    failed(Text(script), "stopped", stopped_seconds=0.1)
    wait_until(lambda: alive(str(script)) == [], "nothing is left")


def test_a_stopped_child_can_be_cancelled(tmp_path: Path) -> None:
    script = write_script(tmp_path, "#!/bin/sh\ntrap '' TERM\necho on >&2\nkill -STOP $$\nsleep 600\n")
    process, said = Text(script), threading.Event()
    with ProcessesLogic(1, kill_seconds=0.2) as logic:
        logic.sig_stderr.connect(lambda *_: said.set())
        logic.add_process(process)
        logic.run()
        assert said.wait(20)
        logic.cancel(process)
        assert logic.wait_for_finished(20)
    assert process.state == "Cancelled"
    wait_until(lambda: alive(str(script)) == [], "nothing is left")


def test_a_host_that_does_not_answer_is_a_failed_process(tmp_path: Path) -> None:
    """An ssh of our own, which is told how long it may try; 192.0.2.1 belongs to nobody (RFC 5737)."""
    ssh = write_script(
        tmp_path,
        '#!/bin/sh\ncase "$*" in *ConnectTimeout=*192.0.2.1*) echo "timed out" >&2; exit 255;; esac\nexec sleep 600',
        "ssh",
    )
    process = Text(write_script(tmp_path, "#!/bin/sh\n"), prefix=[str(ssh), "192.0.2.1"])
    failed(process, "exit code 255")
    assert "timed out" in process.stderr


def test_nothing_is_left_when_the_program_of_the_queue_is_killed(tmp_path: Path) -> None:
    script = write_script(tmp_path, "#!/bin/sh\nsleep 600 & setsid sleep 602 & sleep 601\n")
    program = write_script(
        tmp_path,
        f"""
        from multiprocesstools.workers import Process, ProcessesLogic
        logic = ProcessesLogic(2)
        logic.add_processes(Process({str(script)!r}, env={{"MARKED": {str(tmp_path)!r}}}) for _ in range(2))
        logic.run()
        print("on", flush=True)
        logic.wait_for_finished()
        """,
        "program.py",
    )
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, env=os.environ | ENV) as own:
        assert own.stdout is not None and own.stdout.readline() == b"on\n"
        wait_until(lambda: len(alive(str(tmp_path))) == 9, "all run")
        own.kill()
    wait_until(lambda: alive(str(tmp_path)) == [], "nothing is left")


def test_cancelling_a_script_that_has_a_queue_of_its_own_ends_what_that_has_started(tmp_path: Path) -> None:
    inner = write_script(tmp_path, "#!/bin/sh\nsetsid sleep 600 & echo on >&2\nwait\n")
    script = write_script(
        tmp_path,
        f"""
        import sys
        from multiprocesstools.workers import Process, ProcessesLogic
        with ProcessesLogic(1) as logic:
            logic.sig_stderr.connect(lambda _, text: print(text, file=sys.stderr))
            logic.add_process(Process({str(inner)!r}))
        """,
    )
    process, said = Text(script, env=ENV | {"MARKED": str(tmp_path)}), threading.Event()
    with ProcessesLogic(1, kill_seconds=0.0) as logic:
        logic.sig_stderr.connect(lambda *_: said.set())
        logic.add_process(process)
        logic.run()
        assert said.wait(20)
        wait_until(lambda: len(alive(str(tmp_path))) == 3, "all run")
        logic.cancel(process)
    wait_until(lambda: alive(str(tmp_path)) == [], "nothing is left")


def test_a_program_that_ends_without_waiting_leaves_nothing(tmp_path: Path) -> None:
    script = write_script(tmp_path, "#!/bin/sh\nsleep 600\n")
    code = (
        "from multiprocesstools.workers import Process, ProcessesLogic\nlogic = ProcessesLogic(2)\n"
        f"logic.add_process(Process({str(script)!r}))\nlogic.run()\n"
        "import time\nwhile logic.processes[0].pid is None: time.sleep(0.01)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | ENV, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    wait_until(lambda: alive(str(script)) == [], "nothing is left")


def test_a_program_that_is_kept_alive_and_dies_is_started_again_with_its_message(tmp_path: Path) -> None:
    script = write_script(
        tmp_path,
        """
        import os, signal
        from multiprocesstools.workers.script import run
        def handler(data):
            if data["die"] and not os.path.exists(data["die"]):
                open(data["die"], "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            if data["die"] == "/dev/null":
                os._exit(3)
            if data["x"] == 3:
                raise RuntimeError("no three")
            print("noise")
            return os.getpid(), data["x"]
        run(handler)
        """,
    )
    inputs = [{"x": 0, "die": ""}, {"x": 1, "die": str(tmp_path / "died")}, {"x": 2, "die": ""}, {"x": 3, "die": ""},
              {"x": 4, "die": ""}, {"x": 5, "die": "/dev/null"}]  # fmt: skip
    processes = [Process(script, data, env=ENV, keep_alive=True, max_attempts=2) for data in inputs]
    states = run_all(processes, 1)
    assert states == ["Completed", "Completed", "Completed", "Failed", "Completed", "Failed"]
    assert [process.attempt for process in processes] == [1, 2, 1, 1, 1, 2]
    assert [process.output[1] for process in processes if process.output] == [0, 1, 2, 4]
    pids = [process.output[0] for process in processes if process.output]
    assert pids[0] != pids[1] == pids[2] == pids[3]
    assert "no three" in str(processes[3].error) and "exit code 3" in str(processes[5].error)
    wait_until(lambda: alive(str(script)) == [], "nothing is left")


def test_a_program_is_kept_over_several_runs_and_ended_at_the_end(tmp_path: Path) -> None:
    script = write_script(
        tmp_path, "import os\nfrom multiprocesstools.workers.script import run\nrun(lambda _: os.getpid())\n"
    )
    with ProcessesLogic(1) as logic:
        pids = []
        for _ in range(3):
            process = Process(script, env=ENV, keep_alive=True)
            logic.add_process(process)
            logic.run()
            assert logic.wait_for_finished(20)
            pids.append(process.output)
        assert len(set(pids)) == 1 and pids[0] is not None
        other = Process(script, env=ENV | {"OTHER": "1"}, keep_alive=True)
        logic.add_process(other)
        logic.run()
        assert logic.wait_for_finished(20)
        assert other.output not in pids
        wait_until(lambda: len(alive(str(script))) == 1, "the cap is for programs that wait, too")
    wait_until(lambda: alive(str(script)) == [], "nothing is left")


def test_a_program_waits_for_more_before_anybody_hears_of_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the queue, which looks whether there is one, would now and then end it after the last answer."""
    seen, ended = [], ProcessesLogic._ended

    def note(logic: ProcessesLogic, errand: Errand, outcome: Outcome) -> None:
        assert logic._pump is not None
        seen.append(logic._pump.keeps)
        ended(logic, errand, outcome)

    monkeypatch.setattr(ProcessesLogic, "_ended", note)
    process = Process(write_script(tmp_path, DOUBLE), {"x": 1}, env=ENV, keep_alive=True)
    assert run_all([process]) == ["Completed"]
    assert seen == [True]


def test_a_kept_program_that_reads_all_of_its_input_and_does_not_call_run(tmp_path: Path) -> None:
    script = write_script(tmp_path, "import sys\nsys.stdin.buffer.read()\n")
    process = Process(script, {"x": bytes(1 << 20)}, keep_alive=True)
    failed(process, "not called multiprocesstools.workers.script.run", stopped_seconds=0.1)
    wait_until(lambda: alive(str(script)) == [], "nothing is left")


def test_a_kept_program_that_takes_its_time_before_and_after_it_calls_run_is_waited_for(tmp_path: Path) -> None:
    script = write_script(
        tmp_path,
        "import time\nfrom multiprocesstools.workers.script import run\ntime.sleep(0.3)\n"
        "run(lambda seconds: time.sleep(seconds))\n",
    )
    process = Process(script, 0.3, env=ENV, keep_alive=True)
    assert run_all([process], stopped_seconds=0.1) == ["Completed"], process.error


def test_the_last_words_of_a_kept_program_are_heard(tmp_path: Path) -> None:
    script = write_script(
        tmp_path,
        "import sys\nfrom multiprocesstools.workers.script import run\nrun(lambda x: x)\nprint('good', 'bye')\n",
    )
    process, heard = Process(script, env=ENV, keep_alive=True), []
    with ProcessesLogic(1) as logic:
        logic.sig_stderr.connect(lambda _, text: heard.append(text))
        logic.add_process(process)
    assert "".join(heard) == process.stderr == "good bye\n"


def test_a_kept_program_that_does_not_speak_the_protocol(tmp_path: Path) -> None:
    failed(Process(write_script(tmp_path, "#!/bin/sh\necho hello; cat\n"), keep_alive=True), "script.run")
    failed(
        Process(write_script(tmp_path, "#!/bin/sh\nexec >&-\nsleep 600\n"), keep_alive=True, max_attempts=1), "SIGTERM"
    )


def test_cancelling_one_message_ends_its_program_and_the_next_gets_a_new_one(tmp_path: Path) -> None:
    script = write_script(
        tmp_path, "import time\nfrom multiprocesstools.workers.script import run\n"
        "def handler(x):\n    print('on')\n    time.sleep(x)\n    return x\nrun(handler)\n",
    )  # fmt: skip
    first, second = (Process(script, x, env=ENV, keep_alive=True) for x in (600, 0))
    said = threading.Event()
    with ProcessesLogic(1) as logic:
        logic.sig_stderr.connect(lambda *_: said.set())
        logic.add_processes([first, second])
        logic.run()
        assert said.wait(20)
        logic.cancel(first)
        assert logic.wait_for_finished(20)
    assert [first.state.value, second.state.value] == ["Cancelled", "Completed"]
    assert second.output == 0


def test_print_and_prints_in_c_and_input_corrupt_nothing(tmp_path: Path) -> None:
    script = write_script(
        tmp_path,
        """
        import os, subprocess, sys
        from multiprocesstools.workers.script import run
        def handler(data):
            print("printed")
            sys.stdout.write("written")
            os.write(1, b"raw\\n")
            subprocess.run(["echo", "from a child"], check=True)
            try:
                input()
            except EOFError:
                return "nothing to read"
        run(handler)
        """,
    )
    for keep_alive in (False, True):
        process = Process(script, env=ENV, keep_alive=keep_alive)
        assert run_all([process]) == ["Completed"]
        assert process.output == "nothing to read"
        assert all(word in process.stderr for word in ("printed", "written", "raw", "from a child"))
    failed(Process(write_script(tmp_path, DOUBLE), {}, env=ENV), "KeyError")


def test_what_was_printed_before_run_was_called_and_is_not_flushed_goes_to_stderr(tmp_path: Path) -> None:
    script = write_script(tmp_path, "print('early')\n" + textwrap.dedent(DOUBLE))
    process = Process(script, {"x": 1}, env=ENV | {"PYTHONUNBUFFERED": ""})
    assert run_all([process]) == ["Completed"], process.error
    assert (process.output, process.stderr) == ({"x": 2}, "early\n")


def test_what_is_printed_is_heard_in_whole_lines_also_where_python_does_not_buffer(tmp_path: Path) -> None:
    body = (
        "from multiprocesstools.workers.script import run\nrun(lambda x: [print('a', 'b', 'c') for _ in range(50)])\n"
    )
    process, heard = Process(write_script(tmp_path, body), env=ENV | {"PYTHONUNBUFFERED": "1"}), []
    with ProcessesLogic(1) as logic:
        logic.sig_stderr.connect(lambda _, text: heard.append(text))
        logic.add_process(process)
    assert "".join(heard) == "a b c\n" * 50
    assert [text for text in heard if not text.endswith("\n")] == []


def test_without_the_means_of_linux_to_hear_of_an_end_programs_are_asked_from_time_to_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pidfd_open", "waitid"):
        monkeypatch.delattr(os, name)
    plain, kept = Text(write_script(tmp_path, "#!/bin/sh\ncat\n"), "in"), Process(
        write_script(tmp_path, DOUBLE), {"x": 1}, env=ENV, keep_alive=True
    )  # fmt: skip
    assert run_all([plain, kept]) == ["Completed"] * 2, [plain.error, kept.error]
    assert (plain.output, kept.output) == ("in", {"x": 2})
    failed(Text(write_script(tmp_path, "#!/bin/sh\nexit 3\n", "wrong")), "exit code 3")
