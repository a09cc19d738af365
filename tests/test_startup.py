"""What a start costs: the modules that a plain import and a plain loop load, held as data, and the time that they take.

The list is of what comes on top of the bare interpreter. It holds every name; private modules of the standard library
and the submodules of its packages go with their package. A longer list is a decision, not an accident.
"""

import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

CHECKOUT = Path(__file__).parent.parent
FRONT_DOOR = "from multiprocesstools import MultiProcessHelper"
LOOP = f"""
{FRONT_DOOR}
with MultiProcessHelper("start", sys.argv[1]) as mph:
    for item in mph.items(range(3), final="{{value}}.txt", directory="out", progress=False):
        with item:
            item.path.write_text("done")
"""


def words(text: str) -> set[str]:
    return set(text.split())


LIBRARY_OF_AN_IMPORT = words("""
    array ast atexit collections contextlib copy copyreg dataclasses dis enum errno functools heapq importlib inspect
    itertools json keyword linecache math opcode operator queue re reprlib resource shlex signal string threading
    token tokenize types typing warnings weakref zlib
""")
LIBRARY_OF_A_LOOP = LIBRARY_OF_AN_IMPORT | words("""
    bisect encodings fnmatch glob grp hashlib ipaddress logging ntpath pathlib pwd random textwrap traceback urllib
""")
ROOMS_OF_AN_IMPORT = words("""
    bell claims claims.assess claims.bind claims.chunk claims.claim claims.disk claims.ended claims.hands claims.held
    claims.identity claims.instance claims.noted claims.pace claims.peers claims.posix claims.publish claims.record
    claims.slots claims.steady claims.survey claims.whole clock crew crew.crew crew.heart crew.member crew.signals
    directories documented errors errors.base errors.misuse errors.run errors.script errors.work helper locks
    locks.turns plans plans.agreement plans.cut plans.plan plans.plans run run.digest run.directory run.journal
    run.parameters run.requests run.settings
""")
ROOMS_OF_A_LOOP = ROOMS_OF_AN_IMPORT | words("""
    claims.again claims.direct claims.probe display display.progress display.text items items.failure items.fate
    items.inplace items.item items.results items.terms loop loop.board loop.chunks loop.course loop.loop
    loop.opening loop.options loop.order loop.scout loop.watch plans plans.finals plans.hints plans.inventory
    plans.naming run run.logs
""")

STARTS = 9
MOST_TIMES_BARE = {"import": 7.0, "help": 13.0, "status": 13.0}
"""Budgets of 40, 120 and 120 ms on top of a bare interpreter that takes 10 ms, and slack for a busy machine."""


def loaded(code: str, *arguments: object) -> tuple[set[str], set[str]]:
    """The rooms of the package and the modules of the library that a script loads."""
    script = f"import sys; bare = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - bare))"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    names = subprocess.run(command, capture_output=True, text=True, check=True, cwd=CHECKOUT).stdout.split()
    rooms = {name.partition(".")[2] for name in names if name.startswith("multiprocesstools.")}
    library = {name.partition(".")[0] for name in names if not name.startswith(("_", "multiprocesstools"))}
    return rooms, library


def test_a_plain_import_loads_what_is_listed() -> None:
    rooms, library = loaded(FRONT_DOOR)
    assert rooms == ROOMS_OF_AN_IMPORT
    assert library - LIBRARY_OF_AN_IMPORT == set()


def test_a_plain_loop_loads_what_is_listed(tmp_path: Path) -> None:
    rooms, library = loaded(LOOP, tmp_path)
    assert rooms == ROOMS_OF_A_LOOP
    assert library - LIBRARY_OF_A_LOOP == set()
    assert len(list(tmp_path.glob("out/*.txt"))) == 3


def test_the_package_alone_loads_nothing_of_the_library() -> None:
    assert loaded("import multiprocesstools") == (set(), set())


@pytest.mark.parametrize("module", ["psutil", "xml.dom", "multiprocesstools.upkeep.snapshot"])
def test_a_module_that_is_added_is_seen(module: str) -> None:
    rooms, library = loaded(f"{FRONT_DOOR}; import {module}")
    assert (rooms - ROOMS_OF_AN_IMPORT) | (library - LIBRARY_OF_AN_IMPORT) >= {
        module.removeprefix("multiprocesstools.").partition(".")[0]
    }


def cpu_seconds(arguments: list[str], environment: dict[str, str]) -> float:
    """The processor's time of a process: a start waits for nothing, and a busy machine lengthens it the least."""
    process = subprocess.Popen([sys.executable, *arguments], env=environment, cwd=CHECKOUT, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime


def test_a_start_takes_a_few_times_as_long_as_that_of_the_bare_interpreter(tmp_path: Path) -> None:
    """In turn, so that a busy machine slows all of them; with bytecode, as an installed package has it."""
    run = tmp_path / "run"
    loaded(LOOP, run)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(tmp_path / "bytecode")
    starts = {
        "bare": ["-c", "pass"],
        "import": ["-c", FRONT_DOOR],
        "help": ["-m", "multiprocesstools", "--help"],
        "status": ["-m", "multiprocesstools", "status", str(run)],
    }
    taken: dict[str, list[float]] = {what: [] for what in starts}
    for turn in range(1 + STARTS):
        for what, arguments in starts.items():
            needed = cpu_seconds(arguments, environment)
            if turn:  # the first one writes the bytecode
                taken[what].append(needed)
    bare = median(taken.pop("bare"))
    assert {what: round(median(times) / bare, 1) for what, times in taken.items()} == {
        what: pytest.approx(0, abs=most) for what, most in MOST_TIMES_BARE.items()
    }
