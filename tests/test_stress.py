"""Many processes, many items: each executed exactly once, and nothing left. MPT_STRESS_ROUNDS=20 for the long form."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

PROCESSES, ITEMS = 8, 5000
ROUNDS = int(os.environ.get("MPT_STRESS_ROUNDS", "2"))

LOOP = """
import os, sys
from multiprocesstools import MultiProcessHelper
audit = os.open(f"{sys.argv[2]}/{os.getpid()}", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
with MultiProcessHelper("stress", sys.argv[1], durable=False) as mph:
    for item in mph.items(range(int(sys.argv[3])), final="{value}", directory="out", progress=False):
        with item:
            os.write(audit, f"{item.source}\\n".encode())
            item.path.touch()
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(ROUNDS))
def test_every_item_is_executed_exactly_once_by_eight_processes(number: int, tmp_path: Path) -> None:
    audit, run = tmp_path / "audit", tmp_path / "run"
    audit.mkdir()
    command = [sys.executable, "-c", LOOP, str(run), str(audit), str(ITEMS)]
    processes = [subprocess.Popen(command) for _ in range(PROCESSES)]
    assert [process.wait(120) for process in processes] == [0] * PROCESSES
    executed = Counter(int(line) for path in audit.iterdir() for line in path.read_text().splitlines())
    assert executed == Counter(range(ITEMS))
    assert len(os.listdir(audit)) == PROCESSES
    names = os.listdir(run / "out")
    assert len(names) == ITEMS
    assert [name for name in names if name.startswith(".")] == []
