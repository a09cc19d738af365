"""The table of states (PROTOCOL: States), row by row."""

import pytest

from multiprocesstools.claims.ended import Ended, Outcome
from multiprocesstools.claims.slots import Files
from multiprocesstools.claims.survey import State, decide, needed_attempts

O = Outcome  # noqa: E741


def files(claims: int = 0, *, final: bool = False, sign: bool = False, retries: tuple[int, ...] = ()) -> Files:
    return Files(final=final, sign=sign, claims={k: k for k in range(1, claims + 1)}, retries=set(retries))


def state(names: Files, outcomes: dict[int, Outcome], max_attempts: int = 3) -> State:
    names.ended = set(outcomes)
    return decide(names, {k: Ended(o) for k, o in outcomes.items()}, max_attempts).state


TABLE = [
    pytest.param(files(), {}, State.FREE, id="nothing"),
    pytest.param(files(final=True), {}, State.DONE, id="final"),
    pytest.param(files(2, final=True), {1: O.FATAL}, State.DONE, id="final beats everything"),
    pytest.param(files(1, final=True, sign=True), {}, State.CLAIMED, id="final being written in place"),
    pytest.param(files(1), {}, State.CLAIMED, id="claimed"),
    pytest.param(files(1), {1: O.FAILED}, State.FREE, id="one failure"),
    pytest.param(files(3), {1: O.FAILED, 2: O.DIED, 3: O.UNREADABLE}, State.FAILED, id="three that count"),
    pytest.param(files(3), {1: O.FAILED, 2: O.DROPPED, 3: O.FAILED}, State.FREE, id="dropped does not count"),
    pytest.param(files(3), {1: O.FAILED, 2: O.FAILED}, State.CLAIMED, id="third attempt running"),
    pytest.param(files(1), {1: O.FATAL}, State.FAILED, id="fatal"),
    pytest.param(files(2), {1: O.FAILED, 2: O.SKIPPED}, State.SKIPPED, id="skipped"),
    pytest.param(files(1, retries=(1,)), {1: O.SKIPPED}, State.FREE, id="skipped, retried"),
    pytest.param(files(1, retries=(1,)), {1: O.FATAL}, State.FREE, id="fatal, retried"),
    pytest.param(
        files(4, retries=(3,)), dict.fromkeys((1, 2, 3, 4), O.FAILED), State.FREE, id="counted from the retry"
    ),
    pytest.param(files(6, retries=(3,)), dict.fromkeys(range(1, 7), O.FAILED), State.FAILED, id="failed after a retry"),
    pytest.param(files(9), dict.fromkeys(range(1, 10), O.INTERRUPTED), State.FREE, id="nine interruptions"),
    pytest.param(files(10), dict.fromkeys(range(1, 11), O.INTERRUPTED), State.FAILED, id="ten interruptions"),
    pytest.param(files(0), {1: O.FAILED}, State.FREE, id="an ended-file without its claim"),
]


@pytest.mark.parametrize(("names", "outcomes", "expected"), TABLE)
def test_states(names: Files, outcomes: dict[int, Outcome], expected: State) -> None:
    assert state(names, outcomes) is expected


def test_only_the_ended_files_that_matter_are_read() -> None:
    names = files(4, retries=(2,))
    names.ended = {1, 2, 3}
    assert needed_attempts(names) == [3]
    names.final = True
    assert needed_attempts(names) == []
