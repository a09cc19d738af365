"""The state of an item for every set of names and ends: what never gets better by itself, and what always wins."""

from hypothesis import assume, given
from hypothesis import strategies as st

from multiprocesstools.claims.ended import COUNTED, Ended, Outcome
from multiprocesstools.claims.slots import Files
from multiprocesstools.claims.survey import SETTLED, Finding, State, decide, needed_attempts

NUMBERS = st.integers(1, 6) | st.integers(1, 15)
SETS = st.sets(NUMBERS, max_size=12)
LIMITS = st.integers(1, 5)
OUTCOMES = st.sampled_from(Outcome)
ENDS = st.dictionaries(NUMBERS, OUTCOMES, max_size=12)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Files, dict[int, Ended]]:
    """Names of one item that need not make sense, and what all its ended-files say."""
    ends = draw(ENDS)
    claims = draw(SETS | st.just(set(ends)))
    files = Files(
        draw(st.booleans()), draw(st.booleans()), dict.fromkeys(claims, 1), set(ends),
        draw(st.sets(NUMBERS, max_size=2)), draw(SETS),
    )  # fmt: skip
    return files, {attempt: Ended(outcome) for attempt, outcome in ends.items()}


def find(files: Files, ended: dict[int, Ended], limit: int) -> Finding:
    """The state with only those ended-files read that are asked for."""
    return decide(files, {attempt: ended[attempt] for attempt in needed_attempts(files)}, limit)


@given(situations(), LIMITS)
def test_done_wins_over_everything_and_means_a_final_without_a_sign(
    situation: tuple[Files, dict[int, Ended]], limit: int
) -> None:
    files, ended = situation
    finding = find(files, ended, limit)
    assert (finding.state is State.DONE) == (files.final and not files.sign)
    assert finding.attempt == files.highest


@given(situations(), LIMITS)
def test_the_ended_files_that_are_not_read_change_nothing(
    situation: tuple[Files, dict[int, Ended]], limit: int
) -> None:
    files, ended = situation
    whole = decide(files, ended, limit)
    assert find(files, ended, limit) == whole or (whole.state is find(files, ended, limit).state is State.FREE)


@given(situations(), LIMITS)
def test_an_item_is_free_only_if_its_highest_attempt_has_ended_or_none_was_made(
    situation: tuple[Files, dict[int, Ended]], limit: int
) -> None:
    files, ended = situation
    finding = find(files, ended, limit)
    running = bool(files.highest) and files.highest not in files.ended and not files.done
    assert (finding.state is State.CLAIMED) == running
    if finding.state is State.FREE:
        assert not files.highest or files.highest in files.ended


@given(situations(), LIMITS, st.integers(1, 20), OUTCOMES)
def test_one_more_ended_file_never_frees_what_has_failed(
    situation: tuple[Files, dict[int, Ended]], limit: int, attempt: int, outcome: Outcome
) -> None:
    files, ended = situation
    assume(find(files, ended, limit).state is State.FAILED and attempt not in files.ended)
    files.ended.add(attempt)
    assert find(files, ended | {attempt: Ended(outcome)}, limit).state is State.FAILED


@given(situations(), LIMITS)
def test_one_more_claim_never_frees_anything_and_takes_it_back_from_failed(
    situation: tuple[Files, dict[int, Ended]], limit: int
) -> None:
    files, ended = situation
    files.claims[files.highest + 1] = 1
    assert find(files, ended, limit).state is (State.DONE if files.done else State.CLAIMED)


@given(situations(), LIMITS)
def test_a_retry_of_the_highest_attempt_frees_what_has_failed_or_was_skipped_and_nothing_else(
    situation: tuple[Files, dict[int, Ended]], limit: int
) -> None:
    files, ended = situation
    before = find(files, ended, limit).state
    files.retries.add(max(files.highest, 1))
    after = find(files, ended, limit).state
    assert after is (State.FREE if before in (State.FAILED, State.SKIPPED) else before)


@given(situations(), LIMITS, st.integers(0, 3))
def test_more_allowed_attempts_never_set_an_item_aside(
    situation: tuple[Files, dict[int, Ended]], limit: int, more: int
) -> None:
    files, ended = situation
    if find(files, ended, limit + more).state is State.FAILED:
        assert find(files, ended, limit).state is State.FAILED


@given(situations(), LIMITS, NUMBERS)
def test_an_end_that_cannot_be_read_counts_as_a_failure(
    situation: tuple[Files, dict[int, Ended]], limit: int, attempt: int
) -> None:
    files, ended = situation
    assume(attempt in ended and ended[attempt].outcome is not Outcome.FATAL)
    before = find(files, ended, limit).state
    after = find(files, ended | {attempt: Ended(Outcome.UNREADABLE)}, limit).state
    if ended[attempt].outcome in COUNTED:
        assert after is before
    assert before is not State.FAILED or ended[attempt].outcome is Outcome.INTERRUPTED or after is State.FAILED


@given(situations(), LIMITS, SETS)
def test_what_was_moved_aside_decides_nothing(
    situation: tuple[Files, dict[int, Ended]], limit: int, partials: set[int]
) -> None:
    files, ended = situation
    before = find(files, ended, limit)
    files.partials = partials
    assert find(files, ended, limit) == before


@given(situations(), LIMITS)
def test_so_many_failures_in_a_row_settle_an_item(situation: tuple[Files, dict[int, Ended]], limit: int) -> None:
    files, ended = situation
    assume(not files.done)
    top = max(files.highest, files.last_retry)
    ended = ended | {top + number: Ended(Outcome.DIED) for number in range(1, limit + 1)}
    files.ended = set(ended)
    assert find(files, ended, limit).state is State.FAILED and State.FAILED in SETTLED


@given(situations(), LIMITS)
def test_the_word_of_the_work_that_a_failure_is_final_holds_until_a_retry(
    situation: tuple[Files, dict[int, Ended]], limit: int
) -> None:
    files, ended = situation
    assume(not files.done and files.highest in files.ended)
    last_retry = max(files.retries, default=0)
    if any(end.outcome is Outcome.FATAL for attempt, end in ended.items() if attempt > last_retry):
        assert find(files, ended, limit).state is State.FAILED
