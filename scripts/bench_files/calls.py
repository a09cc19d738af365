"""The system calls that one item costs, counted by strace in runs of their own.

Guarantee: every call that names the job's directory, by a path or by an open file in it, is counted, whoever made it.
The figure is the difference between a long and a short list, so that what happens once does not count. Condition:
strace is installed; it slows processes down, so that with several of them other ones meet than without it.
"""

import re
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from scripts.bench_files.job import Contestant, Job
from scripts.bench_files.places import LocalRunner

FEW, MANY = 40, 240
_FAMILIES = (
    "%file,getdents64,fsync,fdatasync,read,pread64,write,pwrite64,ftruncate,flock,fcntl,fchmod,fallocate,sendfile,"
    "copy_file_range"
)
_CHANGES = re.compile(
    r"(sym)?link(at)?|unlink(at)?|rename(at2?)?|mkdir(at)?|rmdir|f?truncate|utimensat|f?chmod(at)?|mknod(at)?"
)
_LOOKS = re.compile(r"l?stat|newfstatat|statx|access|faccessat2?|readlink(at)?|statfs")
_DATA = re.compile(r"p?(read|write)(64)?|sendfile|copy_file_range|fallocate")
_LINE = re.compile(r"(\w+)\((.*)")


@dataclass(frozen=True)
class Calls:
    """Calls of one item. changes: create, link, unlink, rename and the like; looks: stat and the like; opens: of what
    is there; syncs: fsync; other: reads, writes, listings, locks."""

    changes: float
    looks: float
    opens: float
    syncs: float
    other: float

    @property
    def all(self) -> float:
        return self.changes + self.looks + self.opens + self.syncs + self.other


def why_not() -> str:
    return "" if shutil.which("strace") else "strace is not installed"


def count_calls(contestant: Contestant, processes: int, root: Path, *, few: int = FEW, many: int = MANY) -> Calls:
    """Count in a folder below `root`. BenchError when the contestant fails."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=root) as folder:
        trace = Path(folder, "trace")
        trace.mkdir()
        strace = ("strace", "-ff", "-qq", "-y", "-s", "0", "--seccomp-bpf", "-e", f"trace={_FAMILIES}")
        filler, worker = LocalRunner(contestant), LocalRunner(contestant, (*strace, "-o", str(trace / "t")))
        for items in (few, many):
            directory = f"{folder}/list-{items}"
            job = Job(directory, items, processes, variant=contestant.variant).to_plain()
            filler.ask({"do": "fill", "job": job})
            worker.ask({"do": "work", "job": job, "numbers": [0] if contestant.alone else list(range(processes))})
        filler.close()
        worker.close()
        long, short = (count(trace, f"{folder}/list-{items}/") for items in (many, few))
    per_item = {kind: (long[kind] - short[kind]) / (many - few) for kind in Calls.__dataclass_fields__}
    return Calls(**per_item)


def count(trace: Path, below: str) -> Counter[str]:
    """The calls in the files of a folder that concern something below a directory, by kind."""
    counted: Counter[str] = Counter()
    for file in trace.iterdir():
        with file.open(errors="replace") as lines:
            for line in lines:
                match = _LINE.match(line)
                if match and below in line:
                    counted[kind_of(match[1], match[2])] += 1
    return counted


def kind_of(name: str, arguments: str) -> str:
    """Which kind a call is. What a descriptor is asked without the filesystem has the kind "free"."""
    if name in ("open", "openat", "creat"):
        return "changes" if "O_CREAT" in arguments or name == "creat" else "opens"
    if name in ("fsync", "fdatasync"):
        return "syncs"
    if name == "fcntl":
        return "other" if "SETLK" in arguments or "GETLK" in arguments else "free"
    if name == "newfstatat" and "AT_EMPTY_PATH" in arguments:
        return "free"
    for kind, pattern in (("changes", _CHANGES), ("looks", _LOOKS)):
        if pattern.fullmatch(name):
            return kind
    return "other" if _DATA.fullmatch(name) or name in ("getdents64", "flock") else "free"
