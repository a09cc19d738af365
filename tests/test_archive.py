"""`logs`: log files and journals of all instances as one stream, whatever lies there."""

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.run.directory import Run
from multiprocesstools.upkeep.archive import Archive, Selection
from tests.tools import CHECKOUT, command

ALL = Selection()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path).prepare()


def write(run: Run, name: str, *lines: str | bytes) -> Path:
    path = Path(run.logs) / name
    path.write_bytes(b"".join(line if isinstance(line, bytes) else f"{line}\n".encode() for line in lines))
    return path


def event(moment: float, kind: str, **facts: Any) -> str:
    return json.dumps({"time": moment, "at": 0.0, "event": kind, **facts, "host": "node"})


def message(moment: float, text: str, level: str = "INFO") -> str:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
    return f"{stamp},{round(moment % 1 * 1000):03d}:script.py:main:a:{level}:{text}"


def texts(run: Run, selection: Selection = ALL) -> list[str]:
    return [entry.text for entry in Archive(run, selection).read()]


def test_all_files_are_merged_by_the_time_of_their_writers(run: Run) -> None:
    write(run, "a-1.jsonl", event(100, "started"), event(400, "done", item="x", attempt=1, seconds=2))
    write(run, "a-1.log", message(200.25, "hello"), message(500, "bye"))
    write(run, "b-1.jsonl", event(50, "started"), event(300, "claimed", item="y", attempt=2))
    assert texts(run) == [
        "started", "started", "a: hello", "claimed y attempt 2", "done x attempt 1 after 2 s", "a: bye",
    ]  # fmt: skip


def test_the_lines_of_a_traceback_belong_to_their_message(run: Run) -> None:
    trace = ["Traceback (most recent call last):", "ValueError: 2026-01-01 is no time:x:y:z:ERROR:"]
    write(run, "a-1.jsonl", event(1.5, "failed", item="x", attempt=1))
    write(run, "a-1.log", "a line without a message", message(1, "broken", "ERROR"), *trace, message(2, "next"))
    first, second, third = Archive(run, ALL).read()
    assert (first.text, first.more, first.level_name, first.host) == ("a: broken", trace, "ERROR", "node")
    assert (second.text, third.text, third.more) == ("failed x attempt 1", "a: next", [])


def test_they_are_filtered(run: Run) -> None:
    write(
        run, "a-1.jsonl", event(1, "started"), event(2, "claimed", item="d/x.csv"), event(3, "failed", item="d/x.csv")
    )
    write(run, "a-1.log", message(4, "d/x.csv failed", "ERROR"), message(5, "x.csv2 is other"))
    write(run, "b-1.jsonl", event(6, "done", item="d/xx.csv").replace("node", "other"))
    about_x = ["claimed d/x.csv", "failed d/x.csv", "a: d/x.csv failed"]
    assert texts(run, Selection(item="d/x.csv")) == texts(run, Selection(item="x.csv")) == about_x
    assert texts(run, Selection(level=logging.ERROR)) == about_x[1:]
    assert texts(run, Selection(host="other")) == texts(run, Selection(instances=("b-1",))) == ["done d/xx.csv"]
    assert texts(run, Selection(item="y")) == []


def test_what_is_torn_planted_or_foreign_is_passed_over(run: Run, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(event(1, "secret") + "\n")
    for name in ("l-1.jsonl", "l-1.log"):
        os.symlink(secret, f"{run.logs}/{name}")
        os.mkfifo(f"{run.logs}/p-{name}")
        os.mkdir(f"{run.logs}/d-{name}")
    half = event(2, "torn")[:-5].encode()
    write(
        run, "a-1.jsonl", b"\xff\x00\n", b"[1]\n", b'{"event": 1}\n', event(1, "good"), b"x" * (3 << 20) + b"\n", half
    )
    write(run, "a-1.log", b"\xff\xfe\n", message(3, "good"), b"9999-99-99 99:99:99,999:a:b:c:INFO:odd\n")
    write(run, "notes.txt", "nothing")
    assert texts(run) == ["good", "a: good"]


def test_a_hostile_line_reaches_the_terminal_escaped(run: Run) -> None:
    write(run, "a-1.jsonl", event(1, "\x1b[2J", item="\x1b]0;x\x07", host2=1), event(1e11, "far", reason="\u202e"))
    write(run, "a-1.log", message(2, "a\x1b[31m"), "\x1b[31mmore")
    for arguments in ([], ["--json"]):
        done = command("logs", run.directory, *arguments)
        assert done.returncode == 0 and "\x1b" not in done.stdout and "\u202e" not in done.stdout
        assert "2J" in done.stdout and "more" in done.stdout


def test_the_command_shows_a_real_run(tmp_path: Path) -> None:
    with MultiProcessHelper("test", tmp_path, loggers=["a"]) as mph:
        for item in mph.items(["x", "y"], final="{value}.csv", directory="d", progress=False, order="given"):
            with item:
                logging.getLogger("a").info("working on %s", item.source)
                if item.source == "y":
                    item.fail("of no use", retry=False)
                item.path.touch()
    lines = command("logs", tmp_path).stdout.splitlines()
    assert lines[0].partition(" test-1@")[2] and "started" in lines[0] and lines[-1].endswith("ended")
    assert any(" INFO a: working on x" in line for line in lines) and any("done d/x.csv" in line for line in lines)
    failed = command("logs", tmp_path, "--level", "error", "--item", tmp_path / "d" / "y.csv").stdout
    assert "MarkedFailed: of no use" in failed and "d/x.csv" not in failed
    entries = [json.loads(line) for line in command("logs", tmp_path, "--json").stdout.splitlines()]
    assert {entry["kind"] for entry in entries} == {"log", "event"} and len(entries) >= len(lines) - 20
    assert command("logs", tmp_path / "no").returncode == 4
    assert command("logs", tmp_path, "--level", "loud").returncode == 2


def test_a_reading_goes_on_where_the_last_one_ended(run: Run) -> None:
    path = write(run, "a-1.log", message(1, "one"))
    journal = write(run, "a-1.jsonl", event(0, "started"), event(2, "done")[:10].encode())
    archive = Archive(run, ALL)
    assert [entry.text for entry in archive.read()] == ["started", "a: one"]
    with path.open("a") as log, journal.open("a") as events:
        log.write("  more of it\n" + message(3, "two") + "\n")
        events.write(event(2, "done")[10:] + "\n")
    write(run, "b-1.jsonl", event(2.5, "new"))
    assert [entry.text for entry in archive.read()] == ["  more of it", "done", "new", "a: two"]
    assert list(archive.read()) == []


def test_follow_shows_what_comes_and_ends_with_ctrl_c(run: Run) -> None:
    journal = write(run, "a-1.jsonl", event(1, "started"))
    command_line = [sys.executable, "-m", "multiprocesstools", "logs", "--follow", run.directory]
    with subprocess.Popen(command_line, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as child:
        assert child.stdout is not None
        assert "started" in child.stdout.readline()
        with journal.open("a") as file:
            file.write(event(2, "later") + "\n")
        assert "later" in child.stdout.readline()
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 130


def test_very_many_events_of_many_instances_need_little_room(run: Run) -> None:
    """More files than may be open at once, and a long one."""
    for number in range(300):
        write(run, f"a-{number}.jsonl", *(event(turn, "done", item=str(number)) for turn in range(20)))
    write(run, "long-1.jsonl", *(event(turn / 1000, "done", item="x" * 50) for turn in range(100_000)))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    script = f"""
import resource
from multiprocesstools.upkeep.archive import Archive, Selection
from multiprocesstools.run.directory import Run
resource.setrlimit(resource.RLIMIT_NOFILE, (64, {hard}))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
times = [entry.time for entry in Archive(Run({run.directory!r}), Selection()).read()]
print(len(times), times == sorted(times), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    count, ordered, kilobytes = done.stdout.split()
    assert (count, ordered) == ("106000", "True") and soft >= 64
    assert int(kilobytes) < 50_000, "300 blocks of 32 KiB, and the list of times"
