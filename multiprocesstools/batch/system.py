"""What the rooms of the batch systems have in common."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from multiprocesstools.batch.command import Answer, NoAnswer
from multiprocesstools.claims.identity import Job
from multiprocesstools.claims.peers import COMING, Word

Talk = Callable[..., Answer]
"""talk(program, *arguments) is what the program says; NoAnswer."""

Words = dict[Job, Word]
"""What is known of jobs that are over, and COMING for those that are ending. Of all others nothing is known."""

NUMBER = re.compile(r"[1-9][0-9]{0,11}")
INDEX = re.compile(r"[0-9]{1,8}")

INTERRUPTED, DIED, DOUBTFUL, ENDING = "interrupted", "died", "doubtful", "ending"
"""What a state means: over, ended from outside; over, by itself; over, but perhaps not its processes; not yet."""


class System(Protocol):
    """The room of a batch system."""

    @property
    def VARIABLES(self) -> tuple[str, ...]:
        """The variables of the environment that its programs need."""

    def is_valid(self, job: Job) -> bool:
        """May a command be given the numbers of this job, which were read from a file that anybody may have written?"""

    def ask(self, jobs: Sequence[Job], talk: Talk) -> Words:
        """What is known of these jobs, which are valid. NoAnswer."""


def has_plain_numbers(job: Job) -> bool:
    """Are its number and index, if it has one, nothing but digits?"""
    return bool(NUMBER.fullmatch(job.id) and (not job.index or INDEX.fullmatch(job.index)))


def name_of_cluster(pattern: re.Pattern[str], text: str) -> str:
    """The cluster's name where a program says it. NoAnswer."""
    if found := pattern.search(text):
        return found[1]
    raise NoAnswer("no cluster is named")


def word(job: Job, cluster: str, state: str, meaning: str, *, name: str = "") -> Word:
    """The word about a job that is over, or COMING."""
    if meaning == ENDING:
        return COMING
    text = f"job {name or job.id} on cluster {cluster} ended: {state}"
    return Word(text, interrupted=meaning != DIED, proof=meaning != DOUBTFUL)


def meanings(**states: str) -> Mapping[str, str]:
    """State -> meaning, from meaning="STATE STATE"."""
    return {state: meaning for meaning, names in states.items() for state in names.split()}
