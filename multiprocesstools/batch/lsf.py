"""The word of LSF: `bjobs -a`, which knows a job for an hour after its end (CLEAN_PERIOD); `lsid` names the cluster.

A job that is DONE or EXIT is over. Why, its exit reason says: an owner, an administrator, a time limit, a deadline, a
preemption or a load that was too high interrupted it. A job that was removed without waiting for its host
(`bkill -r`, TERM_FORCE_…), or that a dead host could not end, is over, but perhaps not its processes.

Source: bjobs(1), lsid(1), "Termination reasons displayed by bacct, bhist, and bjobs" (IBM Spectrum LSF 10.1). Not tried
with a cluster: the answers in the tests were written by these sources.
"""

import re
from collections.abc import Iterator, Sequence

from multiprocesstools.batch.system import DIED, Talk, Words, has_plain_numbers, meanings, name_of_cluster, word
from multiprocesstools.claims.identity import Job
from multiprocesstools.claims.peers import Word

VARIABLES = ("LSF_ENVDIR", "LSF_BINDIR", "LSF_SERVERDIR", "LSF_LIBDIR", "XLSF_UIDDIR")
_OVER = ("DONE", "EXIT")
_NO_INDEX = ("", "0")
_MEANINGS = meanings(
    interrupted="TERM_ADMIN TERM_BUCKET_KILL TERM_CPULIMIT TERM_DEADLINE TERM_LOAD TERM_OWNER TERM_PREEMPT"
    " TERM_RUNLIMIT TERM_WINDOW",
    doubtful="TERM_FORCE_ADMIN TERM_FORCE_OWNER TERM_REMOVE_HUNG_JOB TERM_UNKNOWN TERM_ZOMBIE",
)
_CLUSTER = re.compile(r"^My cluster name is (\S+)$", re.MULTILINE)
_LINE = re.compile(r"([0-9]+)\|([0-9]+|-)\|([A-Z]+)\|([^|]*)")
_REASON = re.compile(r"TERM_[A-Z_]+")

Listed = dict[tuple[str, str], tuple[str, str]]
"""State and exit reason of a job, by its number and index ("0" for jobs without)."""


is_valid = has_plain_numbers


def ask(jobs: Sequence[Job], talk: Talk) -> Words:
    """See `system.System`. Asked for the number of an array, bjobs tells of all its jobs."""
    cluster = name_of_cluster(_CLUSTER, talk("lsid").check())
    wanted = [job for job in jobs if job.cluster == cluster]
    if not wanted:
        return {}
    numbers = sorted({job.id for job in wanted})
    fields = "jobid jobindex stat exit_reason delimiter='|'"
    return dict(_words(wanted, cluster, read_bjobs(talk("bjobs", "-a", "-noheader", "-o", fields, *numbers).output)))


def read_bjobs(text: str) -> Listed:
    """The lines of bjobs. Two that tell of one job are both left out."""
    listed: Listed = {}
    for line in text.splitlines():
        if found := _LINE.fullmatch(line):
            job = found[1], "0" if found[2] == "-" else found[2]
            listed[job] = (found[3], found[4]) if job not in listed else ("", "")
    return listed


def meaning(reason: str) -> str:
    """What an exit reason ("TERM_OWNER: job killed by owner") means."""
    found = _REASON.match(reason)
    return _MEANINGS.get(found[0], DIED) if found else DIED


def _words(jobs: Sequence[Job], cluster: str, listed: Listed) -> Iterator[tuple[Job, Word]]:
    for job in jobs:
        index = "0" if job.index in _NO_INDEX else job.index
        state, reason = listed.get((job.id, index), ("", ""))
        if state in _OVER:
            found = _REASON.match(reason)
            text = f"{state} ({found[0]})" if found else state
            name = job.id if index == "0" else f"{job.id}[{index}]"
            yield job, word(job, cluster, text, meaning(reason), name=name)
