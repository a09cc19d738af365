"""Torture on real NFS clients: four machines and a server, each a kernel of its own, under random faults.

Machines crash, stall and are cut off for longer than patience and come back with their late results; their clocks jump
by days; processes are killed; the server crashes and stalls under load. What happened is judged by audits, pulses and
an observer on the server's disk (`judge`, `observer`), never by what the package says of itself.

Run it: python -m tests.proof.network.nfs [--short] [SEED]
"""

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from tests.proof.figures import Figures, to_json
from tests.proof.network.cluster import Rules, cluster
from tests.proof.network.report import gather, report
from tests.proof.network.schedule import Plans, long_plans, short_plans

VERSIONS = ("4.2", "3")
LEASE_SECONDS = 10
"""The shortest that the kernel accepts: what an NFS v4 client needs to recover must be well below patience."""


@dataclass(frozen=True)
class Form:
    """How much is tried with one NFS version."""

    rules: Rules
    plans: Plans
    finish_seconds: float
    held: tuple[str, ...] = ()
    """The machines that stall until the others have done everything."""
    force: bool = False
    """Whether the cleanup is told that all owners are dead, and need not observe them for patience."""


def short_form(version: str, seed: int) -> Form:
    patience, beat = (12.0, 2.0) if version.startswith("4") else (6.0, 1.0)
    return Form(
        Rules(200, 200, 2, beat, patience, seed), short_plans(patience), 120.0, held=("n1",), force=version != "3"
    )


def long_form(version: str, seed: int) -> Form:
    patience, beat = (16.0, 3.0) if version.startswith("4") else (10.0, 2.0)
    nodes = ("n1", "n2", "n3", "n4")
    return Form(Rules(2400, 300, 4, beat, patience, seed), long_plans(seed, nodes, patience, 400.0), 900.0)


def run(short: bool, seed: int = 1) -> list[Figures]:
    """Both versions side by side in the short form, one after the other in the long one."""
    if short:
        with ThreadPoolExecutor(len(VERSIONS)) as pool:
            return list(pool.map(lambda version: torture(version, short_form(version, seed)), VERSIONS))
    return [torture(version, long_form(version, seed)) for version in VERSIONS]


def torture(version: str, form: Form) -> Figures:
    began, rules = time.monotonic(), form.rules
    with (
        tempfile.TemporaryDirectory(prefix="torture-") as folder,
        cluster(version, rules, LEASE_SECONDS) as machines,
    ):
        machines.begin()
        for node in form.held:
            machines.hold(node)
        machines.suffer(form.plans)
        machines.finish(form.finish_seconds)
        machines.cleanup(*["--force"] * form.force)
        finals = machines.finals()
        run = machines.snapshot(Path(folder) / "run")
        evidence = gather(run, rules.items, machines.deaths(), rules.patience - 1.5 * rules.beat)
        tried = {"items": rules.items, "nodes": len(machines.lab.nodes), **dict(sorted(machines.tried.items()))}
    figures = report(f"NFS v{version}", tried, evidence, finals)
    return replace(figures, seconds=round(time.monotonic() - began, 1))


def main() -> None:
    words = sys.argv[1:]
    seeds = [int(word) for word in words if word != "--short"]
    for figures in run("--short" in words, *seeds):
        print(to_json(figures), flush=True)


if __name__ == "__main__":
    main()
