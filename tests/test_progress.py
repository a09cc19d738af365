"""What a loop says: a bar in a real terminal, lines elsewhere, one line per failure, tallies for a function."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from multiprocesstools import MultiProcessHelper
from multiprocesstools.display.progress import Lines, Tally, Voice, closing, opening, waiting

LOOP = """
import sys
from multiprocesstools import MultiProcessHelper
with MultiProcessHelper("talk", sys.argv[1]) as mph:
    for item in mph.items(range(30), final="{value}.txt"):
        with item:
            if item.source == 13:
                raise ValueError("unlucky")
            item.path.write_text("x")
"""


def in_terminal(directory: Path) -> str:
    """Run the loop with a terminal as its stderr, and return all that was written there."""
    master, slave = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", LOOP, str(directory)], stderr=slave, env=os.environ | {"TERM": "xterm"}
    )
    os.close(slave)
    written = read_to_end(master)
    assert child.wait(30) == 0
    return written


def read_to_end(master: int) -> str:
    """All that is written to a terminal until nobody has it open any more."""
    written = b""
    try:
        while part := os.read(master, 1 << 16):
            written += part
    except OSError:
        pass  # the terminal is gone when the child has ended
    os.close(master)
    return written.decode(errors="replace")


def test_a_terminal_shows_a_bar_between_the_first_line_and_the_summary(tmp_path: Path) -> None:
    written = in_terminal(tmp_path)
    assert "talk: 30 items: 0 done, 0 running, 0 failed" in written
    assert re.search(r"━|╸", written) and "30/30" in written
    assert "29 done here" in written and "1 failed" in written
    assert written.count("\x1b[?25l") == written.count("\x1b[?25h") == 1  # the cursor comes back


def test_a_process_in_the_background_of_a_terminal_shows_lines_and_no_bar(tmp_path: Path) -> None:
    """Started with `&`, several bars would overwrite each other."""
    start = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]], process_group=0)"
    pid, master = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", start, LOOP, str(tmp_path)])
    written = read_to_end(master)
    os.waitpid(pid, 0)
    assert "29 done here" in written and "━" not in written and "\x1b[?25l" not in written


def test_a_log_gets_lines_and_each_failure_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LOOP, str(tmp_path)], capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert lines[0] == "multiprocesstools: talk: 30 items: 0 done, 0 running, 0 failed"
    assert [line for line in lines if "unlucky" in line] == [
        f"multiprocesstools: 13.txt failed (attempt {attempt}): ValueError: unlucky" for attempt in (1, 2, 3)
    ]
    assert lines[-1].startswith("multiprocesstools: talk: 29 done here in ")
    assert len(lines) == 5 and not done.stdout
    log = next((tmp_path / "multiprocesstools_logs").glob("*.log")).read_text()
    assert log.count("Traceback (most recent call last)") == 3


def test_the_next_start_speaks_of_what_was_set_aside(tmp_path: Path) -> None:
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", LOOP, str(tmp_path)], capture_output=True, text=True, check=True)
    assert f"1 failed: `multiprocesstools retry {tmp_path}` or items(retry_failed=True)" in done.stderr


def test_a_function_gets_tallies(tmp_path: Path) -> None:
    tallies: list[Tally] = []
    with MultiProcessHelper("tally", tmp_path) as mph:
        for item in mph.items(range(3), final="{value}", progress=tallies.append):
            with item:
                item.path.touch()
    assert (tallies[0].done, tallies[-1].done, tallies[-1].here, tallies[-1].total) == (0, 3, 3, 3)


def test_a_line_comes_now_and_then_and_not_with_every_item(capsys) -> None:  # type: ignore[no-untyped-def]
    lines = Lines(Voice(), "name")
    lines.start(Tally(10))
    lines.update(Tally(10, done=1))
    assert not lines.is_due()
    lines.interval_seconds = 0.0
    lines.update(Tally(10, done=5, failed=1, seconds=10.0, waiting_for=("n1",)))
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "multiprocesstools: name: 10 items: 0 done, 0 running, 0 failed",
        "multiprocesstools: name: 5 of 10 done, 1 failed, about 8.0 s left; waiting for n1",
    ]


def test_what_is_said_is_escaped(capsys) -> None:  # type: ignore[no-untyped-def]
    Voice().say("a\x1b[2Jb\udcffc\n")
    assert capsys.readouterr().err == "multiprocesstools: a\\x1b[2Jb\\udcffc\\n\n"


def test_the_words_of_a_tally() -> None:
    tally = Tally(10, done=6, failed=1, skipped=1, here=2, seconds=125.0, waiting_for=("a", "b"))
    assert tally.open == 2
    assert "1 skipped" in opening(tally, "out")
    assert closing(tally, "out") == (
        "2 done here in 2 min; of 10 in all 6 are done, 1 skipped, 2 not finished, "
        "1 failed: `multiprocesstools status --failed out`"
    )
    assert waiting(tally) == "waiting for a, b"
