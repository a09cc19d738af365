"""Whom an instance asks about, and when: seldom, in bulk, in a thread of its own, and never for long."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from multiprocesstools.batch.command import Commands, NoAnswer
from multiprocesstools.batch.inquiry import (
    BETWEEN_SECONDS,
    FRESH_SECONDS,
    GONE_SECONDS,
    LONGEST_SECONDS,
    MOST_CASES,
    MOST_JOBS,
    Inquiry,
)
from multiprocesstools.batch.system import Words
from multiprocesstools.claims.identity import Job, current
from multiprocesstools.claims.peers import COMING, Word
from multiprocesstools.claims.record import Beat, Record
from tests.clocks import HandClock

OVER = Word("job 1 on cluster c ended: TIMEOUT", interrupted=True)


class Fake:
    """A batch system that says what `words` holds, after `ready` was set."""

    VARIABLES = ("X",)

    def __init__(self) -> None:
        self.words: Words = {}
        self.asked: list[tuple[float, list[str]]] = []
        self.ready = threading.Event()
        self.ready.set()
        self.fails = False
        self.clock = HandClock()

    def is_valid(self, job: Job) -> bool:
        return job.id.isdecimal()

    def ask(self, jobs: Sequence[Job], talk: object) -> Words:
        self.asked.append((self.clock.now, sorted(job.id for job in jobs)))
        self.ready.wait(10)
        if self.fails:
            raise NoAnswer("it is down")
        return self.words


def job(number: int | str) -> Job:
    return Job("fake", str(number), "c", "")


def owner(number: int | str, *, of: Job | None = None) -> Record:
    identity = replace(current(), job=of or job(number))
    return Record(f"{int(number):032x}", "test", int(number), identity, 0.0, Beat())


@pytest.fixture
def fake() -> Fake:
    return Fake()


Make = Callable[..., Inquiry]


@pytest.fixture
def make(fake: Fake) -> Iterator[Make]:
    made = []

    def inquiry(own: Job | None = None, crowd: int = 1, chance: float = 0.0) -> Inquiry:
        made.append(Inquiry(own, lambda: crowd, fake.clock, systems={"fake": fake}, chance=lambda: chance))
        return made[-1]

    yield inquiry
    fake.ready.set()
    for one in made:
        one.close()
        settle()


def settle() -> None:
    """Wait for the threads that ask."""
    for thread in threading.enumerate():
        if thread.name == "batch system":
            thread.join(10)


def learn(inquiry: Inquiry, *records: Record, gone: bool = False) -> list[Word | None]:
    """Ask about some owners, and once more when the answer is there."""
    for record in records:
        inquiry.about(record, gone)
    settle()
    return [inquiry.about(record, gone) for record in records]


def test_a_silent_owner_whose_job_is_over_is_over(make: Make, fake: Fake) -> None:
    fake.words[job(1)] = OVER
    inquiry = make()
    assert inquiry.about(owner(1), False) is None  # nobody waits for the answer
    settle()
    assert inquiry.about(owner(1), False) is OVER
    assert len(fake.asked) == 1


def test_nothing_is_asked_without_a_job_of_a_known_system_with_valid_numbers(make: Make, fake: Fake) -> None:
    inquiry = make(own=job(5))
    strangers = [replace(job(1), system="other"), replace(job(1), id="1;id"), job(5)]
    assert learn(inquiry, *(owner(1, of=one) for one in strangers)) == [None] * 3
    bare = replace(owner(1), identity=replace(current(), job=None))
    assert learn(inquiry, bare) == [None] and fake.asked == []
    learn(inquiry, owner(1))
    assert len(fake.asked) == 1


def test_a_forged_record_with_the_id_of_another_owner_says_nothing_about_it(make: Make, fake: Fake) -> None:
    fake.words[job(1)] = OVER
    forged, true = owner(7, of=job(1)), owner(7, of=job(2))
    inquiry = make()
    assert learn(inquiry, forged, true) == [OVER, None]


def test_questions_are_rare_and_about_everybody_at_once(make: Make, fake: Fake) -> None:
    """Nothing is to be learnt: half a minute, then twice as long each time, up to five minutes."""
    inquiry, began = make(), fake.clock.now
    while fake.clock.now < began + 1500:
        for number in (1, 2, 3):
            inquiry.about(owner(number), False)
        settle()
        fake.clock.now += 1
    times = [now - began for now, _ in fake.asked]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[0] == FRESH_SECONDS  # two owners had fallen silent since
    assert gaps[1] == BETWEEN_SECONDS and gaps[1:] == sorted(gaps[1:]) and gaps[-1] >= LONGEST_SECONDS
    assert [jobs for _, jobs in fake.asked] == [["1"], *[["1", "2", "3"]] * len(gaps)] and len(gaps) <= 9


def test_five_hundred_instances_do_not_ask_at_the_same_time(make: Make, fake: Fake) -> None:
    firsts = []
    for number in range(512):
        inquiry = make(crowd=512, chance=number / 512)
        inquiry.about(owner(1), False)
        firsts += [case.due - fake.clock.now for case in inquiry._cases.values()]
    busiest = max(sum(second <= first < second + 1 for first in firsts) for second in range(60))
    assert len(firsts) == 512 and 59 < max(firsts) < 61 and busiest < 10
    settle()
    assert len(fake.asked) == 1  # by the one that drew the first place
    fake.clock.now += 60
    inquiry.about(owner(1), False)
    settle()
    assert len(fake.asked) == 2


def test_one_question_at_a_time_and_nobody_waits_for_it(make: Make, fake: Fake) -> None:
    fake.ready.clear()
    inquiry = make()
    for _ in range(100):
        assert inquiry.about(owner(1), False) is None
        fake.clock.now += 10
    assert len(fake.asked) == 1
    fake.words[job(1)] = OVER
    fake.ready.set()
    settle()
    assert inquiry.about(owner(1), False) is OVER


def test_a_batch_system_that_is_down_is_asked_again_later(make: Make, fake: Fake) -> None:
    fake.words[job(1)] = OVER
    fake.fails = True
    inquiry = make()
    assert learn(inquiry, owner(1)) == [None]
    fake.fails = False
    fake.clock.now += 29
    assert learn(inquiry, owner(1)) == [None] and len(fake.asked) == 1
    fake.clock.now += 2
    assert learn(inquiry, owner(1)) == [OVER] and len(fake.asked) == 2


def test_a_gone_owner_waits_a_moment_for_the_word_and_not_for_long(make: Make, fake: Fake) -> None:
    inquiry = make()
    fake.words[job(1)] = COMING
    assert learn(inquiry, owner(1), gone=True) == [COMING]
    fake.clock.now += 2
    fake.words[job(1)] = OVER
    assert learn(inquiry, owner(1), gone=True) == [OVER]
    fake.words[job(2)] = COMING
    assert learn(inquiry, owner(2), gone=True) == [COMING]
    fake.clock.now += GONE_SECONDS
    assert learn(inquiry, owner(2), gone=True) == [None]


def test_of_a_gone_owner_whose_job_runs_on_nothing_is_awaited(make: Make, fake: Fake) -> None:
    """One process of a job was killed for its memory; the job goes on."""
    inquiry = make()
    assert learn(inquiry, owner(1), gone=True) == [None]
    assert len(fake.asked) == 1


def test_ten_thousand_forged_records_cost_one_bounded_question(make: Make, fake: Fake) -> None:
    inquiry = make()
    fake.ready.clear()
    for number in range(1, 10_000):
        inquiry.about(owner(number), False)
    fake.ready.set()
    settle()
    fake.clock.now += 31
    inquiry.about(owner(1), False)
    settle()
    assert [len(jobs) for _, jobs in fake.asked] == [1, MOST_JOBS] and len(inquiry._cases) == MOST_CASES


def test_whoever_has_left_asks_no_more(fake: Fake) -> None:
    commands = Commands()
    inquiry = Inquiry(None, lambda: 1, fake.clock, systems={"fake": fake}, commands=commands)
    inquiry.close()
    with pytest.raises(NoAnswer, match="nobody asks"):
        commands.ask((), "true")
