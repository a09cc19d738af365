"""Whom an instance asks a batch system about, and when.

Guarantee: `about` never waits for a batch system (for the gone: a moment, so that nobody asks in a circle), and raises
nothing. One instance asks one question at a time, about all owners that it waits for, and the next one half a minute
later, or five seconds if somebody has fallen silent since; an owner of whom nothing was to be learnt comes up again
after twice as long each time, up to five minutes. All instances of a run together begin about five questions a second:
each is put off by a random part of as many fifths of a second as there are instances, up to a minute, and whoever is
answered first ends the attempt for all of them. Answers are kept by owner and job, so that a forged record says nothing
of another one's owner.

An owner that is provably gone needs no proof; there the question is only whether its job was interrupted. It is asked
soon, about a job that is just ending once more every other second, and after ten seconds the attempt has simply died.
"""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from multiprocesstools.batch import gridengine, lsf, pbs, slurm
from multiprocesstools.batch.command import Commands, NoAnswer
from multiprocesstools.batch.system import System, Words
from multiprocesstools.claims.identity import Job
from multiprocesstools.claims.peers import COMING, Word
from multiprocesstools.claims.record import Record
from multiprocesstools.clock import Clock

SYSTEMS: Mapping[str, System] = {"slurm": slurm, "gridengine": gridengine, "pbs": pbs, "lsf": lsf}

BETWEEN_SECONDS, LONGEST_SECONDS, FRESH_SECONDS = 30.0, 300.0, 5.0
SHARE_SECONDS, SHARE_OF_GONE_SECONDS, LONGEST_SHARE_SECONDS = 0.2, 0.02, 60.0
ENDING_SECONDS, GONE_SECONDS, GONE_GAP_SECONDS = 2.0, 10.0, 0.5
MOST_CASES, MOST_JOBS = 1000, 200
_RECENT_SECONDS, _MOMENT_SECONDS = 90.0, 0.2


@dataclass(slots=True)
class _Case:
    """One owner that somebody has asked about, and what is known of it.

    It justifies a question when it is `due` and the last question was `gap` seconds ago; then it waits for `pause`.
    `gone_at`: since when it is known to be gone. `told`: a batch system has answered since then, so nothing will come.
    """

    job: Job
    due: float
    gap: float
    seen: float
    pause: float = BETWEEN_SECONDS
    gone_at: float | None = None
    told: bool = False
    word: Word | None = None


class Inquiry:
    """The questions of one instance."""

    def __init__(
        self, own: Job | None, crowd: Callable[[], int], clock: Clock, *,
        systems: Mapping[str, System] = SYSTEMS, chance: Callable[[], float] = random.random,
        commands: Commands | None = None,
    ) -> None:  # fmt: skip
        """`own` is the job of this process, which is running. `crowd` counts the instances of the run."""
        self._own, self._crowd, self._clock, self._systems, self._chance = own, crowd, clock, systems, chance
        self._commands = commands or Commands()
        self._lock, self._answered = threading.Lock(), threading.Event()
        self._cases: dict[tuple[str, Job], _Case] = {}
        self._latest, self._asking, self._counted, self._number = float("-inf"), False, float("-inf"), 1

    def about(self, owner: Record, gone: bool) -> Word | None:
        """See `claims.peers.Inquiry`."""
        job = owner.identity.job
        if job is None or job == self._own or not self._is_known(job):
            return None
        with self._lock:
            case = self._case(owner.id, job, gone)
            if case is None or case.word is not None:
                return case.word if case else None
            self._ask_if_due()
            coming = gone and not self._is_decided(case)
        if coming:
            self._answered.wait(_MOMENT_SECONDS)
            return case.word or (None if self._is_decided(case) else COMING)
        return None

    def close(self) -> None:
        """Ask no more; what is being asked is ended."""
        self._commands.stop()

    def _is_known(self, job: Job) -> bool:
        system = self._systems.get(job.system)
        return system is not None and system.is_valid(job)

    def _case(self, owner: str, job: Job, gone: bool) -> _Case | None:
        now, case = self._clock.elapsed(), self._cases.get((owner, job))
        if case is None:
            if len(self._cases) >= MOST_CASES:
                return None
            share = self._share(SHARE_SECONDS)
            case = self._cases[owner, job] = _Case(job, now + self._chance() * share, max(FRESH_SECONDS, share), now)
        if gone and case.gone_at is None:
            case.gone_at, case.told = now, False
            case.due, case.gap = now + self._chance() * self._share(SHARE_OF_GONE_SECONDS), GONE_GAP_SECONDS
        case.seen = now
        return case

    def _is_decided(self, case: _Case) -> bool:
        return case.told or case.gone_at is None or self._clock.elapsed() - case.gone_at >= GONE_SECONDS

    def _share(self, seconds: float) -> float:
        """For how long so many instances can go on asking one after the other."""
        now = self._clock.elapsed()
        if now - self._counted >= BETWEEN_SECONDS:
            try:
                self._number = self._crowd()
            except OSError:
                pass  # the last count will do
            self._counted = now
        return min(self._number * seconds, LONGEST_SHARE_SECONDS)

    # -- asking

    def _ask_if_due(self) -> None:
        now = self._clock.elapsed()
        waiting = [case for case in self._cases.values() if case.word is None and now - case.seen <= _RECENT_SECONDS]
        if self._asking or not any(case.due <= now and now - self._latest >= case.gap for case in waiting):
            return
        asked = sorted(waiting, key=lambda case: case.due)[:MOST_JOBS]
        self._asking, self._latest = True, now
        self._answered.clear()
        try:
            threading.Thread(target=self._ask, args=(asked,), name="batch system", daemon=True).start()
        except RuntimeError:  # no thread can be started: it is tried again later
            self._asking = False

    def _ask(self, asked: Sequence[_Case]) -> None:
        words: Words = {}
        try:
            for name in sorted({case.job.system for case in asked}):
                words |= self._ask_system(name, [case.job for case in asked if case.job.system == name])
        finally:
            with self._lock:
                self._note(asked, words)
                self._asking = False
            self._answered.set()

    def _ask_system(self, name: str, jobs: list[Job]) -> Words:
        system = self._systems[name]
        try:
            words = system.ask(jobs, lambda *command: self._commands.ask(system.VARIABLES, *command))
        except NoAnswer:
            return {}
        return {job: word for job, word in words.items() if job in jobs}

    def _note(self, asked: Sequence[_Case], words: Words) -> None:
        now = self._clock.elapsed()
        for case in asked:
            word = words.get(case.job)
            if word is not None and word.coming:
                case.due, case.gap = now + ENDING_SECONDS, ENDING_SECONDS
            elif word is not None:
                case.word = word
            else:
                case.told = case.gone_at is not None
                case.due = now + case.pause + self._chance() * max(case.pause / 2, self._share(SHARE_SECONDS))
                case.pause, case.gap = min(2 * case.pause, LONGEST_SECONDS), BETWEEN_SECONDS
