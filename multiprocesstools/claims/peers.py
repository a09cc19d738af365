"""Observing the owners of claims: gone, silent or alive.

Guarantee: GONE is proof (`identity`, or the word of a batch system); SILENT means that the owner's beat did not change
for `patience_seconds` of this observer's own successful rounds, or for a few beats when a batch system says that its
job is over but cannot answer for its processes. Time is never compared between machines. A round counts only while
this instance's own beats reach the disk; a gap of more than two beats between two rounds (a suspended laptop, a stalled
server) starts the count anew. Condition: all instances of a run have the same beat_seconds. SILENT is a suspicion, and
the protocol stays correct when it is wrong.

The idea that only locally measured time counts is the one of leader election in Kubernetes' client-go.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from multiprocesstools.claims.disk import PASSING, Disk
from multiprocesstools.claims.ended import Outcome
from multiprocesstools.claims.identity import Identity, rebooted
from multiprocesstools.claims.record import LIMIT_BYTES, Record, Unreadable, decode, encode
from multiprocesstools.clock import Clock

_FEW_BEATS = 3
"""So long an owner is silent before anybody asks a batch system about it."""


class Sight(StrEnum):
    """What an observer knows of the owner of a claim."""

    ALIVE = "alive"
    SILENT = "silent"
    GONE = "gone"
    MINE = "mine"
    VANISHED = "vanished"


@dataclass(frozen=True, slots=True)
class Word:
    """A batch system's word about the job of an owner.

    text: for people, "job 7 on cluster c ended: TIMEOUT". interrupted: the job was ended from outside (a time limit, a
    preemption, a cancellation, a node that failed), and not by itself. proof: no process of the job runs any more; else
    it is a reason for suspicion. coming: the answer is on its way, nothing else of this counts.
    """

    text: str
    interrupted: bool = False
    proof: bool = True
    coming: bool = False


COMING = Word("", proof=False, coming=True)

Inquiry = Callable[[Record, bool], Word | None]
"""Asks the batch system of an owner, which is provably gone (True) or silent (False): inquiry(owner, gone). It never
waits for long. None: nothing is known. COMING is said of the gone only, and not for long."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A sight, the owner's record (None: unknown owner), for how many seconds it has been silent for us, whether we saw
    it beat, and what a batch system says of it."""

    sight: Sight
    owner: Record | None = None
    silent_seconds: float = 0.0
    beating: bool = False
    word: Word | None = None

    @property
    def may_be_ended(self) -> bool:
        """May the attempt be declared over?"""
        return self.sight in (Sight.GONE, Sight.SILENT)

    @property
    def can_wait(self) -> bool:
        """Is it better to come back in a moment, when it is known how the job of a gone owner ended?"""
        return self.word is not None and self.word.coming

    @property
    def outcome(self) -> Outcome:
        """How the attempt of an owner that is gone or silent has ended."""
        if self.word is not None and not self.word.coming:
            return Outcome.INTERRUPTED if self.word.interrupted else Outcome.DIED
        restarted = self.sight is Sight.SILENT and self.owner is not None and rebooted(self.owner.identity)
        return Outcome.INTERRUPTED if restarted else Outcome.DIED

    @property
    def reason(self) -> str:
        """The same, in words."""
        who = _name(self.owner)
        if self.word is not None and not self.word.coming:
            return f"{who}: {self.word.text}"
        if self.sight is Sight.GONE:
            return f"{who} ended without a word (killed, or out of memory?)"
        return f"{who} gave no sign of life for {self.silent_seconds:.0f} s"


def _name(owner: Record | None) -> str:
    if owner is None:
        return "an unknown owner"
    return f"{owner.file_name} (process {owner.identity.pid} on {owner.identity.host})"


@dataclass(slots=True)
class _Watch:
    """One owner under observation: its last sign of life, and since when it has not changed."""

    sign: bytes
    since: float
    latest: float
    beating: bool = False


class Peers:
    """What one instance has seen of the others."""

    def __init__(
        self, disk: Disk, clock: Clock, instances: str, mine: str, *,
        beat_seconds: float, patience_seconds: float,
        is_gone: Callable[[Identity], bool], own_beat: Callable[[], float],
    ) -> None:  # fmt: skip
        """`mine` is the own instance id; `own_beat` tells when the own beat last reached the disk (elapsed clock).

        Whoever can ask batch systems sets `inquiry` afterwards.
        """
        self._disk, self._clock, self._instances, self._mine = disk, clock, instances, mine
        self._beat_seconds, self._patience_seconds = beat_seconds, patience_seconds
        self._is_gone, self._own_beat = is_gone, own_beat
        self._watches: dict[str, _Watch] = {}
        self.inquiry: Inquiry = lambda owner, gone: None

    def judge_claim(self, path: str) -> Verdict:
        """Judge the owner of the claim at `path`, reading it freshly."""
        data = self._read(path)
        return Verdict(Sight.VANISHED) if data is None else self.judge(path, data)

    def judge(self, path: str, data: bytes) -> Verdict:
        """Judge the owner whose record, or copy of it, is `data`, found at `path`."""
        try:
            owner = decode(data)
        except Unreadable:
            return self._judge_silence(path, data, None)
        if owner.id == self._mine:
            return Verdict(Sight.MINE, owner)
        if self._is_gone(owner.identity):
            return Verdict(Sight.GONE, owner, word=self.inquiry(owner, True))
        if owner.beat is not None:
            return self._judge_silence(f"{owner.id} linked", data, owner)
        return self._judge_silence(f"{owner.id} copied", self._beat_of(owner, encode(owner)), owner)

    def _judge_silence(self, key: str, sign: bytes, owner: Record | None) -> Verdict:
        now = self._clock.elapsed()
        watch = self._watches.get(key)
        if watch is None or watch.sign != sign or self._is_gap(watch, now):
            beating = watch is not None and watch.sign != sign
            self._watches[key] = _Watch(sign, now, now, beating)
            return Verdict(Sight.ALIVE, owner, beating=beating)
        if now - self._own_beat() <= 2 * self._beat_seconds:
            watch.latest = now
        silent = watch.latest - watch.since
        word = self.inquiry(owner, False) if owner and silent >= _FEW_BEATS * self._beat_seconds else None
        if word is not None:
            return Verdict(Sight.GONE if word.proof else Sight.SILENT, owner, silent, watch.beating, word)
        sight = Sight.SILENT if silent >= self._patience_seconds else Sight.ALIVE
        return Verdict(sight, owner, silent, watch.beating)

    def _is_gap(self, watch: _Watch, now: float) -> bool:
        return now - watch.latest > 2 * self._beat_seconds

    def _beat_of(self, owner: Record, copy: bytes) -> bytes:
        """The sign of life behind a copied claim: the record, if it is still there and still the same instance's."""
        data = self._read(f"{self._instances}/{owner.file_name}")
        try:
            return data if data is not None and decode(data).id == owner.id else copy
        except Unreadable:
            return copy

    def _read(self, path: str) -> bytes | None:
        """The content; None when missing. A planted link, directory or pipe is content that nobody can read.

        OSError for errors that pass: then there was no round, and nothing is known.
        """
        try:
            return self._disk.read(path, LIMIT_BYTES, whole=False)
        except OSError as error:
            if error.errno in PASSING:
                raise
            return f"unreadable {error.errno}".encode()
