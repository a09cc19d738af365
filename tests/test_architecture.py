"""The house: who may import whom, how large a room may be, what a plain import may load. Held as data."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "multiprocesstools"

# From the ground up. A module imports only from floors below its own, or from its own floor's earlier rooms.
FLOORS = [
    ["errors.base"],
    ["errors.misuse", "errors.run", "errors.work"],
    ["errors", "clock", "text", "digest"],
    ["claims.held"],
    ["claims.disk"],
    ["claims.noted"],
    ["claims.posix", "claims.whole", "claims.steady", "claims.identity", "claims.ended", "claims.slots"],
    ["claims.record", "claims.survey", "claims.hands", "claims.probe", "claims.again", "claims.pace"],
    ["claims.peers"],
    ["claims.instance"],
    ["claims.publish", "claims.assess", "claims.tokens"],
    ["claims.claim"],
    ["claims.direct", "claims.chunk"],
    ["claims.sweep"],
    ["run", "journal", "logs", "naming", "results", "cut", "diagnosis"],
    ["options", "doctor", "meeting"],
    ["finals", "second_opinion"],
    ["inventory"],
    ["plan"],
    ["agreement"],
    ["plans", "heart", "progress", "signals", "waiting", "pulse", "diary"],
    ["pacemaker"],
    ["member", "snapshot", "hints", "order"],
    ["crew", "retry", "sweeper", "watch"],
    ["items", "inplace", "holds"],
    ["board"],
    ["scout", "chunks"],
    ["loop", "once", "locks"],
    ["directories"],
    ["opening", "documented"],
    ["helper"],
    ["report.text", "report.doctor"],
    ["cli.common"],
    ["cli.status", "cli.cleanup", "cli.retry", "cli.stop", "cli.doctor"],
    ["cli"],
    ["__main__"],
]
MOST_LINES, MOST_BODY_LINES = 300, 40
ONLY_HERE_PRINTING = {
    "cli", "cli.common", "cli.status", "cli.cleanup", "cli.retry", "cli.stop", "cli.doctor", "progress", "logs"
}  # fmt: skip
ONLY_HERE_PROBING = {"claims.identity", "signals", "pacemaker"}

# What `from multiprocesstools import MultiProcessHelper` must not load, because not every loop needs it.
HEAVY = ["click", "rich", "numpy", "pandas", "multiprocessing", "asyncio", "http", "email.message", "unittest"]

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
ROOMS = {name: path for name, path in MODULES.items() if name not in ("__init__", "claims", "report")}
LEVEL = {name: level for level, floor in enumerate(FLOORS) for name in floor}


def trees() -> dict[str, ast.Module]:
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in ROOMS.items()}


def imported(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("multiprocesstools"):
            base = (node.module or "").removeprefix("multiprocesstools").lstrip(".")
            for alias in node.names:
                full = f"{base}.{alias.name}".lstrip(".")
                found.add(full if full in MODULES else base)
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("multiprocesstools.")
                for alias in node.names
                if "multiprocesstools" in alias.name
            }
    return found


def test_every_room_stands_on_a_floor() -> None:
    assert set(ROOMS) == set(LEVEL)


@pytest.mark.parametrize("name", ROOMS)
def test_imports_run_downwards(name: str) -> None:
    uses = imported(trees()[name])
    assert uses <= set(LEVEL), uses - set(LEVEL)
    assert [other for other in uses if LEVEL[other] >= LEVEL[name]] == []


def test_the_import_check_sees_imports() -> None:
    assert "claims.claim" in imported(trees()["crew"])


@pytest.mark.parametrize("name", ROOMS)
def test_rooms_are_small(name: str) -> None:
    assert ROOMS[name].read_text(encoding="utf-8").count("\n") <= MOST_LINES


@pytest.mark.parametrize("name", ROOMS)
def test_functions_are_small(name: str) -> None:
    for node in ast.walk(trees()[name]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None and len(node.body) > 1 else node.body
            assert (body[-1].end_lineno or 0) - body[0].lineno + 1 <= MOST_BODY_LINES, node.name


@pytest.mark.parametrize("name", ROOMS)
def test_only_the_command_and_the_progress_print(name: str) -> None:
    calls = {ast.unparse(node.func) for node in ast.walk(trees()[name]) if isinstance(node, ast.Call)}
    prints = {
        call for call in calls if call in ("print", "click.echo", "sys.stderr.write", "sys.stdout.write", "sys.exit")
    }
    assert not prints or name in ONLY_HERE_PRINTING


@pytest.mark.parametrize("name", ROOMS)
def test_only_identity_probes_processes(name: str) -> None:
    calls = {ast.unparse(node.func) for node in ast.walk(trees()[name]) if isinstance(node, ast.Call)}
    assert "os.kill" not in calls or name in ONLY_HERE_PROBING


def test_every_module_begins_with_what_it_is() -> None:
    missing = [name for name, path in MODULES.items() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert missing == []


def test_a_plain_import_loads_nothing_heavy() -> None:
    code = "import sys; from multiprocesstools import MultiProcessHelper; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "multiprocesstools.helper" in loaded
    assert [module for module in HEAVY if module in loaded] == []
