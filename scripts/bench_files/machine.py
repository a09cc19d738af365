"""What a figure depends on besides the code: the machine, its kernel, its Python, the versions of all who take part."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from scripts.bench_files.job import Contestant


def facts() -> dict[str, str]:
    return {
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "memory": f"{_memory_bytes() / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": sys.version.replace("\n", " "),  # and its build, which makes a fifth of a difference
        "load when it began": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "user": "root" if os.geteuid() == 0 else "not root",
    }


def versions(contestants: Iterable[Contestant]) -> dict[str, str]:
    """Of every distribution that takes part and is installed, and of the programs."""
    found = {"multiprocesstools": _described() or importlib.metadata.version("multiprocesstools")}
    for contestant in contestants:
        name = contestant.distribution
        if name and name not in found:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                found[name] = "not installed"
    for program, option in (("parallel", "--version"), ("strace", "--version")):
        said = _said(program, option).partition("\n")[0]
        found[program] = said.rpartition(" ")[2] or "not installed"
    return found


def _described() -> str:
    """The version of the checkout that runs: its last commit, and whether it was changed since."""
    said = _said("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*").strip()
    return f"commit {said}" if said else ""


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
