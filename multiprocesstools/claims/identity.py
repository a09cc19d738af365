"""Which process this is, and the proof that another one is gone. The only prober of processes in the package.

Guarantee: `is_gone` says True only of a process that will never run again. Condition: the process ran on this machine,
in this boot, in this process namespace; of all others nothing is known here and the answer is False. What cannot be
read is not a difference: another user's process (EPERM), or one hidden in /proc, counts as alive.
Source: proc_pid_stat(5), kill(2), pid_namespaces(7).
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

JOB_VARIABLES = {
    "slurm": ("SLURM_JOB_ID", "SLURM_CLUSTER_NAME", "SLURM_ARRAY_TASK_ID"),
    "pbs": ("PBS_JOBID", "PBS_SERVER", "PBS_ARRAY_INDEX"),
    "lsf": ("LSB_JOBID", "LSB_EXEC_CLUSTER", "LSB_JOBINDEX"),
    "gridengine": ("JOB_ID", "SGE_CELL", "SGE_TASK_ID"),
}


@dataclass(frozen=True, slots=True)
class Job:
    """The batch job that a process belongs to; empty strings where the batch system does not say."""

    system: str
    id: str
    cluster: str
    index: str

    def __str__(self) -> str:
        return f"{self.system} {self.id}" + (f"[{self.index}]" if self.index.isdecimal() and "[" not in self.id else "")


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, so precisely that it cannot be taken for another.

    `start` is in clock ticks since the boot (Linux), so that a corrected wall clock does not change it; 0 and empty
    strings mean "could not be read".
    """

    host: str
    machine: str
    boot: str
    namespace: str
    pid: int
    start: int
    user: int
    job: Job | None = None


def _pid_kept_at_forks() -> Callable[[], int]:
    """Every item asks several times, and getpid(2) is a system call. Condition: children are made by `os.fork`."""
    kept = [os.getpid()]
    os.register_at_fork(after_in_child=lambda: kept.__setitem__(0, os.getpid()))
    return partial(kept.__getitem__, 0)


own_pid = _pid_kept_at_forks()
"""The pid of the calling process."""


def current() -> Identity:
    """The identity of the calling process. Not cached: a forked child is another process."""
    machine, boot = _machine()
    pid = own_pid()
    return Identity(
        host=_host(), machine=machine, boot=boot, namespace=_namespace(), pid=pid,
        start=_process(pid)[0], user=os.getuid(), job=current_job(os.environ),
    )  # fmt: skip


def is_gone(other: Identity) -> bool:
    """Proof that the process will never run again."""
    return other.pid > 0 and shares_processes(other) and not _runs(other.pid, other.start)


def lives_here(other: Identity) -> bool:
    """Proof that the process lives, on this machine."""
    return other.pid > 0 and shares_processes(other) and _runs(other.pid, other.start)


def shares_processes(other: Identity) -> bool:
    """Is it a process of this machine, boot and process namespace, so that its pid means the same here?"""
    _, boot = _machine()
    return bool(boot) and other.boot == boot and bool(other.namespace) and other.namespace == _namespace()


def rebooted(other: Identity) -> bool:
    """Has the machine of the process another boot by now? Cloned machines share their id, so it proves nothing."""
    machine, boot = _machine()
    return bool(machine and boot and other.boot) and other.machine == machine and other.boot != boot


Environment = Mapping[str, str]


def current_job(environment: Environment) -> Job | None:
    """The batch job whose end is the end of this process.

    Slurm's `salloc` gives its number also to a shell on the login node, which Slurm does not end with the job: only
    what slurmd has started (SLURMD_NODENAME) is of the job.
    """
    for system, (identifier, cluster, index) in JOB_VARIABLES.items():
        value = environment.get(identifier)
        if value and (system != "slurm" or environment.get("SLURMD_NODENAME")):
            where = grid_engine_cell(environment) if system == "gridengine" else environment.get(cluster, "")
            return Job(system, value, where, environment.get(index, ""))
    return None


def grid_engine_cell(environment: Environment) -> str:
    """The cluster by its master and cell, "host/cell", since nearly every cell is called "default"; "" if unknown."""
    root, cell = environment.get("SGE_ROOT", ""), environment.get("SGE_CELL") or "default"
    master = _first_line(f"{root}/{cell}/common/act_qmaster") if os.path.isabs(root) else ""
    return f"{master}/{cell}" if master else ""


def _runs(pid: int, start: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    started, finished = _process(pid)
    return not finished and (not start or not started or started == start)


def _process(pid: int) -> tuple[int, bool]:
    """Start of a process in clock ticks, or 0; and whether it is a zombie without any thread that still runs."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return int(fields[19]), fields[0] in (b"Z", b"X") and int(fields[17]) <= 1
    except (OSError, ValueError, IndexError):
        return (0, False) if os.path.exists("/proc/self/stat") else _process_elsewhere(pid)


def _process_elsewhere(pid: int) -> tuple[int, bool]:
    """The same where there is no /proc (macOS)."""
    import psutil

    try:
        process = psutil.Process(pid)
        return int(process.create_time() * 100), process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return 0, False


@lru_cache(maxsize=1)
def _machine() -> tuple[str, str]:
    """Machine id and boot id; both survive a fork."""
    machine = _first_line("/etc/machine-id") or _first_line("/var/lib/dbus/machine-id")
    boot = _first_line("/proc/sys/kernel/random/boot_id")
    if not boot and not os.path.exists("/proc/self/stat"):
        import psutil

        boot = f"{_host()}-{int(psutil.boot_time())}"
    return machine, boot


def _host() -> str:
    return os.uname().nodename


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return "" if os.path.exists("/proc/self/stat") else "one"


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.readline().strip()
    except (OSError, ValueError):
        return ""
