"""Grid Engine's word: `qstat` no longer lists the job or array task, and `qacct` has the record of its end.

Both must say so: a job that was rescheduled has a record of its first end, and is listed. Without the accounting file
(`qacct` reads it, and takes long where it is large) nothing is known. A record does not tell a `qdel` from the kernel's
killer for lack of memory, both being SIGKILL, so that a killed job counts as died; only the forks that write who
deleted a job (`deleted_by`) tell more. `qdel -f` of a job on a node that nobody reaches cannot be told from its end.

The cluster is the master's host and the cell (`claims.identity.grid_engine_cell`).

Source: qstat(1), qacct(1), accounting(5), sge_shepherd(8); tried with Son of Grid Engine 8.1.9.
"""

import os
import re
from collections.abc import Sequence

from multiprocesstools.batch.command import NoAnswer
from multiprocesstools.batch.system import DIED, INDEX, INTERRUPTED, NUMBER, Talk, Words, word
from multiprocesstools.claims.identity import Job, grid_engine_cell

VARIABLES = ("SGE_ROOT", "SGE_CELL", "SGE_QMASTER_PORT", "SGE_EXECD_PORT", "SGE_CLUSTER_NAME", "SGE_ARCH")
_NO_TASK = ("", "undefined")
_MOST_RECORDS = 20
_GOES_ON = (24, 25)
"""accounting(5), `failed`: the job was migrated or rescheduled, so that another record will follow."""
_FIELD = re.compile(r"(\w+) +(.*?) *")
_RECORDS = re.compile(r"^=+$", re.MULTILINE)

Listed = set[tuple[str, str]]
"""The numbers of jobs that are not over, with their tasks; "" for jobs without."""


def is_valid(job: Job) -> bool:
    return bool(NUMBER.fullmatch(job.id) and (job.index in _NO_TASK or INDEX.fullmatch(job.index)))


def ask(jobs: Sequence[Job], talk: Talk) -> Words:
    """See `system.System`. The end of a job is asked for one by one, because `qacct` takes one number."""
    cluster = grid_engine_cell(os.environ)
    wanted = [job for job in jobs if cluster and job.cluster == cluster]
    if not wanted:
        return {}
    listed = read_qstat(talk("qstat", "-xml", "-g", "d", "-u", "*").check())
    over = [job for job in wanted if (job.id, _task(job)) not in listed]
    words: Words = {}
    for number in sorted({job.id for job in over})[:_MOST_RECORDS]:
        records = _records(number, talk)
        for job in over:
            if job.id == number and (record := records.get(_task(job))) and is_end(record):
                name = f"{job.id}.{_task(job)}" if _task(job) else job.id
                words[job] = word(job, cluster, state(record), meaning(record), name=name)
    return words


def read_qstat(text: str) -> Listed:
    """The jobs and tasks in the output of `qstat -xml -g d`. NoAnswer for anything else."""
    from xml.etree import ElementTree

    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise NoAnswer("qstat declares entities")
    try:
        entries = list(ElementTree.fromstring(text).iter("job_list"))
    except ElementTree.ParseError as error:
        raise NoAnswer(f"qstat says no XML: {error}") from error
    found = {(entry.findtext("JB_job_number", ""), entry.findtext("tasks", "")) for entry in entries}
    if not all(NUMBER.fullmatch(number) for number, _ in found) or not text.rstrip().endswith("</job_info>"):
        raise NoAnswer("qstat lists jobs without a number")
    return found


def read_qacct(text: str, number: str) -> dict[str, dict[str, str]]:
    """The latest record of each task ("" for a job without) of a job in the output of `qacct -j`."""
    latest: dict[str, dict[str, str]] = {}
    for block in _RECORDS.split(text):
        fields = {found[1]: found[2] for line in block.splitlines() if (found := _FIELD.fullmatch(line))}
        if fields.get("jobnumber") == number:
            task = fields.get("taskid", "")
            latest["" if task in _NO_TASK else task] = fields
    return latest


def is_end(record: dict[str, str]) -> bool:
    """Does the record say when the job ended, and is it the last one?"""
    return any(map(str.isdigit, record.get("end_time", ""))) and _failed(record) not in (None, *_GOES_ON)


def state(record: dict[str, str]) -> str:
    """What is known of the end, for people: exit status, and what Grid Engine calls a failure."""
    failed = f", failed {record['failed']}" if _failed(record) else ""
    status = record.get("exit_status", "").partition(" ")[0]
    return f"exit status {status or 'unknown'}{failed}"


def meaning(record: dict[str, str]) -> str:
    return INTERRUPTED if record.get("deleted_by", "NONE") not in ("NONE", "") else DIED


def _records(number: str, talk: Talk) -> dict[str, dict[str, str]]:
    """`qacct` fails for a job that it does not know."""
    try:
        return read_qacct(talk("qacct", "-j", number).check(), number)
    except NoAnswer:
        return {}


def _task(job: Job) -> str:
    return "" if job.index in _NO_TASK else job.index


def _failed(record: dict[str, str]) -> int | None:
    first = record.get("failed", "").partition(" ")[0]
    return int(first) if first.isdecimal() and len(first) < 10 else None
