"""The word of PBS (OpenPBS, PBS Professional): `qstat -x -f -F json`, where the server keeps a history of jobs.

Without `job_history_enable` a job that is over is an unknown one. The server is the part of the job's number behind its
first dot. It is never told to a command, which would then ask that host: the command asks the server of this machine
for the number alone, and counts what it says of exactly the owner's job. Torque, whose `qstat -x` speaks XML, is not
understood, so that nothing is known of its jobs.

A job that was deleted (substate 91) or killed for its time (exit status -29, -28) was interrupted. `qdel -W force` of a
job on a node that nobody reaches cannot be told from its end.

Source: qstat(1B), the PBS Professional Reference Guide (job states, substates and exit status). Not tried with a
server: the answers in the tests were recorded elsewhere.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from multiprocesstools.batch.command import NoAnswer
from multiprocesstools.batch.system import DIED, INTERRUPTED, Talk, Words, word
from multiprocesstools.claims.identity import Job
from multiprocesstools.claims.peers import Word

VARIABLES = ("PBS_CONF_FILE", "PBS_DEFAULT", "PBS_EXEC")
_ID = re.compile(r"([1-9][0-9]{0,11}(?:\[[0-9]{1,8}\])?)\.([A-Za-z0-9][A-Za-z0-9._-]{0,254})")
_OVER = ("F", "X")
"""Finished; an array's job that is over while the array is not."""
_DELETED = 91
_TIME_IS_UP = (-29, -28)


def is_valid(job: Job) -> bool:
    return _ID.fullmatch(job.id) is not None


def ask(jobs: Sequence[Job], talk: Talk) -> Words:
    """See `system.System`. It fails when one of several jobs is unknown, and still tells of the others."""
    numbers = sorted({_parts(job)[0] for job in jobs})
    return dict(_words(jobs, read_qstat(talk("qstat", "-x", "-f", "-F", "json", *numbers).output)))


def read_qstat(text: str) -> dict[str, dict[str, Any]]:
    """The jobs in the output of `qstat -f -F json`. NoAnswer for anything else."""
    try:
        told = json.loads(text)
        found = told.get("Jobs", {})
        if not all(isinstance(job, dict) for job in found.values()):
            raise NoAnswer("qstat tells of no jobs")
    except (ValueError, AttributeError, RecursionError) as error:
        raise NoAnswer(f"qstat says no JSON: {error!r:.200}") from error
    return dict(found)


def state(facts: dict[str, Any]) -> str:
    """What is known of the end, for people."""
    return f"exit status {facts.get('Exit_status', 'unknown')!s:.20}, substate {facts.get('substate', 'unknown')!s:.20}"


def meaning(facts: dict[str, Any]) -> str:
    interrupted = str(facts.get("substate")) == str(_DELETED) or facts.get("Exit_status") in _TIME_IS_UP
    return INTERRUPTED if interrupted else DIED


def _words(jobs: Sequence[Job], told: dict[str, dict[str, Any]]) -> Iterator[tuple[Job, Word]]:
    for job in jobs:
        facts = told.get(job.id, {})
        if facts.get("job_state") in _OVER:
            number, server = _parts(job)
            yield job, word(job, server, state(facts), meaning(facts), name=number)


def _parts(job: Job) -> tuple[str, str]:
    """The number, with its index, and the server."""
    number, _, server = job.id.partition(".")
    return number, server
