"""Slurm's word: `squeue` for what slurmctld remembers (MinJobAge, 300 s by default), `sacct` for what it has forgotten.

`sacct` is asked only about jobs that slurmctld does not know: what its database says of a job that was requeued may be
old. Where there is no accounting, or it is not answering, a forgotten job is an unknown one. The cluster is the one
that `scontrol show config` names, which `SLURM_CLUSTER_NAME` in the owner's environment must have been.

A job that is COMPLETING is not over: slurmd is killing its processes. NODE_FAIL and BOOT_FAIL are over, but say nothing
of the processes of a node that nobody reaches. REVOKED is the job of a federation that runs elsewhere. A job that was
requeued is pending or running under the same number, and proves nothing about the process that ran before. Of a
heterogeneous job each component has a number of its own.

Source: squeue(1), sacct(1), scontrol(1), slurm.conf(5).
"""

import re
from collections.abc import Iterator, Sequence

from multiprocesstools.batch.command import NoAnswer
from multiprocesstools.batch.system import Talk, Words, has_plain_numbers, meanings, name_of_cluster, word
from multiprocesstools.claims.identity import Job
from multiprocesstools.claims.peers import Word

VARIABLES = ("SLURM_CONF", "SLURM_CONF_SERVER")
MEANINGS = meanings(
    interrupted="TIMEOUT DEADLINE PREEMPTED CANCELLED", died="COMPLETED FAILED OUT_OF_MEMORY",
    doubtful="NODE_FAIL BOOT_FAIL", ending="COMPLETING",
)  # fmt: skip
_CLUSTER = re.compile(r"^ClusterName\s*= (\S+)\s*$", re.MULTILINE)
_SQUEUE = re.compile(r"([0-9]+)\|([0-9]+)\|([^|]*)\|([A-Z_]+)")
_SACCT = re.compile(r"([0-9]+)\|([0-9]+)(?:_([0-9]+))?(?:\+[0-9]+)?\|([^|]*)\|([A-Z_]+)(?: by [0-9]+)?")
_UNKNOWN = "Invalid job id"

Listed = dict[tuple[str, str], set[str]]
"""The states that are told of a job, by its number and array index."""


is_valid = has_plain_numbers


def ask(jobs: Sequence[Job], talk: Talk) -> Words:
    """See `system.System`."""
    cluster = name_of_cluster(_CLUSTER, talk("scontrol", "show", "config").check())
    wanted = [job for job in jobs if job.cluster == cluster]
    if not wanted:
        return {}
    listed = _ask_squeue(wanted, talk)
    known = {number for number, _ in listed}
    forgotten = [job for job in wanted if job.id not in known]
    if forgotten:
        listed |= _ask_sacct(forgotten, cluster, talk)
    return dict(_words(wanted, cluster, listed))


def read_squeue(text: str) -> Listed:
    """The lines of squeue in the format number|array job|index|state."""
    listed: Listed = {}
    for line in text.splitlines():
        if found := _SQUEUE.fullmatch(line):
            number, _, index, state = found.groups()
            listed.setdefault((number, "" if index == "N/A" else index), set()).add(state)
    return listed


def read_sacct(text: str, cluster: str) -> Listed:
    """The lines of sacct in the format number|shown number|cluster|state, those of the cluster."""
    listed: Listed = {}
    for line in text.splitlines():
        found = _SACCT.fullmatch(line)
        if found and found[4] == cluster:
            listed.setdefault((found[1], found[3] or ""), set()).add(found[5])
    return listed


def _ask_squeue(jobs: Sequence[Job], talk: Talk) -> Listed:
    """Asked about a single number that it does not know, squeue fails; among others it leaves it out."""
    answer = talk("squeue", "--local", "--noheader", "--states=all", "--format=%A|%F|%K|%T", f"--jobs={_numbers(jobs)}")
    if answer.code and _UNKNOWN in answer.errors:
        return {}
    return read_squeue(answer.check())


def _ask_sacct(jobs: Sequence[Job], cluster: str, talk: Talk) -> Listed:
    try:
        answer = talk(
            "sacct", "--local", "--noheader", "--parsable2", "--allocations", "--format=JobIDRaw,JobID,Cluster,State",
            f"--jobs={_numbers(jobs)}",
        )  # fmt: skip
        return read_sacct(answer.check(), cluster)
    except NoAnswer:
        return {}


def _numbers(jobs: Sequence[Job]) -> str:
    return ",".join(sorted({job.id for job in jobs}))


def _words(jobs: Sequence[Job], cluster: str, listed: Listed) -> Iterator[tuple[Job, Word]]:
    for job in jobs:
        states = listed.get((job.id, job.index), set())
        if len(states) == 1 and (state := next(iter(states))) in MEANINGS:
            yield job, word(job, cluster, state, MEANINGS[state])
