"""The house: who may import whom, how large a room may be, what a plain import may load. Held as data."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "multiprocesstools"

# From the ground up. A module imports only from floors below its own, or from its own floor's earlier rooms.
FLOORS = [
    ["errors.base"],
    ["errors.misuse", "errors.run", "errors.work", "errors.script", "errors.steps"],
    ["errors", "clock", "display.text", "run.digest", "display.notebook"],
    ["display.table"],
    ["upkeep.statuses"],
    ["bell", "claims.held"],
    ["claims.disk"],
    ["claims.noted"],
    ["claims.posix", "claims.whole", "claims.steady", "claims.identity", "claims.ended", "claims.slots"],
    ["claims.record", "claims.survey", "claims.hands", "claims.probe", "claims.again", "claims.pace"],
    ["claims.peers"],
    ["claims.instance"],
    ["claims.publish", "claims.assess", "claims.bind", "claims.tokens"],
    ["claims.claim"],
    ["claims.direct", "claims.chunk"],
    ["claims.sweep"],
    ["run.parameters"],
    ["run.settings"],
    [
        "run.directory",
        "run.journal",
        "run.logs",
        "plans.naming",
        "items.results",
        "calls.saving",
        "plans.cut",
        "doctor.diagnosis",
    ],
    ["loop.options", "items.failure", "doctor.doctor", "doctor.meeting"],
    ["calls.call", "items.fate"],
    ["plans.finals", "doctor.second_opinion"],
    ["plans.inventory"],
    ["plans.plan"],
    ["plans.agreement"],
    ["retrying"],
    ["batch.command"],
    ["batch.system"],
    ["batch.slurm", "batch.gridengine", "batch.pbs", "batch.lsf"],
    ["batch.inquiry", "crew.signals"],
    [
        "run.requests",
        "plans.plans",
        "crew.heart",
        "display.progress",
        "waiting",
        "crew.pulse",
        "upkeep.diary",
    ],
    ["crew.pacemaker", "loop.until"],
    [
        "upkeep.archive",
        "upkeep.lookup",
        "upkeep.onlooker",
        "crew.member",
        "upkeep.snapshot",
        "plans.hints",
        "loop.order",
    ],
    ["upkeep.explain", "crew.crew", "upkeep.retry", "upkeep.sweeper", "loop.watch"],
    ["calls.executors", "items.terms"],
    ["items.item", "items.inplace", "loop.course", "locks.holds"],
    ["calls.flight", "calls.summary"],
    ["loop.board"],
    ["loop.scout", "loop.chunks"],
    ["loop.loop", "items.once", "locks.locks"],
    ["locks.turns"],
    ["directories"],
    ["loop.opening", "documented", "mapping", "cells"],
    ["helper"],
    ["steps.step", "steps.devices", "steps.params", "steps.ranks", "steps.functions", "steps.program", "steps.gpus"],
    ["steps.plan", "steps.keys", "steps.frontier", "steps.work"],
    ["steps.book"],
    ["steps.resume"],
    ["steps.ledger"],
    ["steps.place"],
    ["steps.overview", "steps.session", "steps.outlook", "steps.trust"],
    ["steps.performer"],
    ["steps.conductor"],
    ["steps.scribe"],
    ["steps.runner", "steps.inserting"],
    ["steps.part"],
    ["steps.protocol"],
    ["compat.scipion", "report.graph"],
    ["tasks.grid", "tasks.wire", "tasks.leases", "tasks.token"],
    ["tasks.store"],
    ["tasks.description", "tasks.parcel"],
    ["tasks.shelf", "tasks.saved"],
    ["tasks.source", "tasks.feeder", "tasks.again", "tasks.state", "tasks.submission"],
    ["tasks.files", "tasks.calls", "tasks.desk"],
    ["tasks.remote", "tasks.service"],
    ["tasks.listener"],
    ["tasks.serving"],
    ["tasks.worker", "tasks.manager"],
    ["workers.pools.memory"],
    ["workers.pools.apart"],
    ["workers.emitter", "workers.pools.packing", "workers.pools.tally", "workers.pools.trusted"],
    ["workers.pools.line"],
    ["workers.pools.worker"],
    ["workers.pools.staff"],
    ["workers.pools.pool"],
    ["workers.pools.feed", "workers.pools.outbox"],
    ["workers.pools.desk"],
    ["workers.pools.shift"],
    ["workers.pools.engine"],
    ["workers.pools.hands"],
    ["workers.pools.shared_run"],
    ["workers.controller", "workers.app", "workers.shared_arrays"],
    ["workers.app_runner"],
    ["workers.qt"],
    [
        "workers.process",
        "workers.programs.frames",
        "workers.programs.far",
        "workers.programs.consumption",
        "workers.programs.bounds",
        "workers.programs.hooks",
    ],
    ["workers.programs.command", "workers.script", "workers.urls"],
    ["workers.programs.child", "workers.programs.guard"],
    ["workers.programs.errand"],
    ["workers.programs.wires"],
    ["workers.programs.pump"],
    ["workers.programs.share"],
    ["workers.programs.dispatch"],
    ["workers.processes"],
    ["workers.programs.byhand"],
    ["workers.vtk_arrays"],
    ["workers.transfer"],
    ["workers.programs.process_list"],
    ["workers.process_widget"],
    ["compat.pydidas", "compat.slicer"],
    ["report.text", "report.doctor"],
    ["report.explanation", "report.steps"],
    ["cli.common"],
    [
        "cli.status",
        "cli.cleanup",
        "cli.retry",
        "cli.stop",
        "cli.pause",
        "cli.resume",
        "cli.explain",
        "cli.logs",
        "cli.doctor",
        "cli.process",
    ],
    ["cli.steps.graph"],
    ["cli.steps"],
    ["cli.tasks.common", "cli.tasks.named"],
    ["cli.tasks.status", "cli.tasks.collect", "cli.tasks.work", "cli.tasks.serve"],
    ["cli.tasks"],
    ["cli"],
    ["__main__"],
]
MOST_LINES, MOST_BODY_LINES = 300, 40
ONLY_HERE_PRINTING = {name for floor in FLOORS for name in floor if name.startswith("cli")} | {
    "display.progress",
    "run.logs",
    "workers.programs.far",
}
ONLY_HERE_PROBING = {"claims.identity", "crew.signals", "crew.pacemaker"}
ONLY_HERE_STARTING = {
    "batch.command",
    "crew.pacemaker",
    "steps.program",
    "workers.programs.far",
    "workers.programs.guard",
}
ONLY_HERE_BATCH_SYSTEMS = {"crew.member"}

# What `from multiprocesstools import MultiProcessHelper` must not load, because not every loop needs it.
HEAVY = [
    *["click", "rich", "psygnal", "cloudpickle", "numpy", "pandas"],
    *["multiprocessing", "asyncio", "http", "email.message", "unittest"],
]
HOUSES = (
    *["__init__", "batch", "calls", "claims", "compat", "crew", "display", "doctor", "items", "locks", "loop", "plans"],
    *["report", "run", "steps", "tasks", "upkeep", "workers", "workers.pools", "workers.programs"],
)

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
ROOMS = {name: path for name, path in MODULES.items() if name not in HOUSES}
LEVEL = {name: level for level, floor in enumerate(FLOORS) for name in floor}


@cache
def trees() -> dict[str, ast.Module]:
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in ROOMS.items()}


def calls_of(tree: ast.Module) -> set[str]:
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


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
    assert "claims.claim" in imported(trees()["crew.crew"])


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


def test_programs_are_started_in_few_rooms() -> None:
    starting = {"subprocess.Popen", "subprocess.run", "subprocess.call", "subprocess.check_output", "os.system"}
    assert {name for name, tree in trees().items() if calls_of(tree) & starting} == ONLY_HERE_STARTING


def test_only_a_member_asks_batch_systems_and_the_claims_know_none() -> None:
    askers = {name for name, tree in trees().items() if any(used.startswith("batch.") for used in imported(tree))}
    assert {name for name in askers if not name.startswith("batch.")} == ONLY_HERE_BATCH_SYSTEMS


def test_every_module_begins_with_what_it_is() -> None:
    missing = [name for name, path in MODULES.items() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert missing == []


def test_a_plain_import_loads_nothing_heavy() -> None:
    code = "import sys; from multiprocesstools import MultiProcessHelper; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "multiprocesstools.helper" in loaded
    assert [module for module in HEAVY if module in loaded] == []
