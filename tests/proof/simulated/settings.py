"""What is searched exhaustively: the settings of CI, and those of the long form, which contain them with more budget.

Each names who takes part and what may go wrong. Two instances, one item, two attempts, unless a setting says more.
"""

from dataclasses import replace

from multiprocesstools.claims.hands import How
from tests.proof.simulated.behaviour import Setting
from tests.proof.simulated.clients import Ways
from tests.proof.simulated.players import IN_CHUNK, chunk_worker, in_place, retrier, sweeper, worker

BLIND = Ways(blind=True)
FAILING = (worker("ok", "fail", rounds=2),) * 2
PLAIN = (worker("ok", rounds=2),) * 2
DRAFTING = (worker("ok", rounds=2, how=How.DRAFT),) * 2


def _of(name: str, programs: tuple, ways: Ways = BLIND, **rest: object) -> Setting:  # type: ignore[type-arg]
    return Setting(name, programs, ways, **rest)  # type: ignore[arg-type]


def _chunks(*rows: tuple[str, tuple, Ways, dict[str, int]]) -> list[Setting]:  # type: ignore[type-arg]
    """Both items of a directory are one chunk; whoever comes later knows that too."""
    newcomer = chunk_worker("ok", rounds=4)
    return [_of(name, programs, ways, budget=budget, newcomer=newcomer) for name, programs, ways, budget in rows]


SHORT = [
    _of("crash", FAILING, budget={"crash": 1}),
    _of("lost reply", FAILING, replace(BLIND, lost=True), budget={"lost": 1}),
    _of("false suspicion", FAILING, replace(BLIND, stale=True), budget={"silent": 1}),
    _of("torn listings", FAILING, replace(BLIND, torn=True), budget={"crash": 1}),
    _of("torn listings, false suspicion", PLAIN, replace(BLIND, torn=True), budget={"silent": 1}),
    _of("repeated listings", FAILING, replace(BLIND, repeated=True), budget={"repeated": 1}),
    _of("late duplicate", FAILING, replace(BLIND, copy=True), budget={"copy": 1}),
    _of("ageing names", FAILING, replace(BLIND, stale=True, ageing=True), budget={"crash": 1}),
    _of("errors", PLAIN, replace(BLIND, error=True), budget={"error": 1}),
    _of("full disk", FAILING, replace(BLIND, full=True), budget={"full": 1}),
    _of("all ways to end", (worker("ok", "drop", "skip", "fatal", "late", rounds=2),) * 2, budget={"crash": 1}),
    _of("three, crash", (worker("ok", rounds=1),) * 3, budget={"crash": 1}),
    _of("three, torn", (worker("ok", rounds=1),) * 3, replace(BLIND, torn=True), max_attempts=1),
    _of("three, drop", (worker("ok", "drop", rounds=1),) * 3),
    _of(
        "two on one machine", (worker("ok", rounds=1), worker("ok", rounds=2), worker("ok", rounds=1)),
        replace(BLIND, stale=True), budget={"crash": 1}, machines=("A", "B", "A"),
    ),
    _of(
        "stubborn memory", (worker("fail", "ok", rounds=2, lists=False), worker("ok", rounds=2)),
        replace(BLIND, stale=True, stubborn=True), budget={"crash": 1},
    ),
    _of("copied claims", FAILING, replace(BLIND, lost=True), budget={"lost": 1}, copies=True),
    _of("copied claims, crash", FAILING, budget={"crash": 1}, copies=True),
    _of("in place", (in_place("ok", rounds=2), in_place("drop", rounds=1)), budget={"crash": 1}, in_place=True),
    _of(
        "in place, torn", (in_place("ok", rounds=1), in_place("ok", rounds=1)), replace(BLIND, torn=True),
        budget={"crash": 1}, in_place=True,
    ),
    _of("sweep", (worker("ok", "fail", rounds=1), sweeper(times=1)), Ways(), budget={"crash": 1}),
    _of("sweep, suspicion", (worker("ok", rounds=1), sweeper(times=1)), Ways(), budget={"silent": 1}),
    _of("sweep in place", (in_place("ok", rounds=1), sweeper(times=1)), Ways(), budget={"crash": 1}, in_place=True),
    _of("retry", (worker("fail", "ok", rounds=2), retrier(), worker("ok", rounds=1)), max_attempts=1),
    *_chunks(
        ("chunk", (chunk_worker("ok", "fail"),) * 2, BLIND, {"crash": 1}),
        ("chunk, suspicion", (chunk_worker("ok", "fail"),) * 2, BLIND, {"silent": 1}),
        ("chunk, torn", (chunk_worker("ok"),) * 2, replace(BLIND, torn=True), {"crash": 1}),
        ("chunk, lost reply", (chunk_worker("ok", "fail"),) * 2, replace(BLIND, lost=True), {"lost": 1}),
        ("chunk, repeated listings", (chunk_worker("ok", "fail"),) * 2, replace(BLIND, repeated=True), {"repeated": 1}),
        ("chunk, errors", (chunk_worker("ok", "drop"),) * 2, replace(BLIND, error=True), {"error": 1}),
        ("chunk, full disk", (chunk_worker("ok", "fail"),) * 2, replace(BLIND, full=True), {"full": 1}),
        ("chunk, all ways to end", (chunk_worker("ok", "drop", "skip", "fatal", "late"),) * 2, BLIND, {"crash": 1}),
        ("chunk, one alone", (chunk_worker("ok"), worker("ok", rounds=2, slot=IN_CHUNK)), BLIND, {}),
        ("chunk, sweep", (chunk_worker("ok", "fail", rounds=1), sweeper(times=1)), Ways(), {"crash": 1}),
    ),
    _of("draft", (worker("ok", "fail", rounds=2, how=How.DRAFT),) * 2, budget={"crash": 1}),
    _of("draft, lost reply", DRAFTING, replace(BLIND, lost=True), budget={"lost": 1}),
    _of("draft, suspicion", (worker("ok", "late", rounds=2, how=How.DRAFT),) * 2, budget={"silent": 1}),
]  # fmt: skip

FOR_MUTANTS = [
    _of("four, crash", (worker("ok", rounds=1),) * 4, budget={"crash": 1}),
    _of("suspicion, drop and fail", (worker("drop", rounds=1), worker("fail", rounds=2)), budget={"silent": 1}),
    _of("repeated, suspicion", FAILING, replace(BLIND, repeated=True), budget={"repeated": 1, "silent": 1}),
    _of(
        "three, repeated", (worker("drop", rounds=1), worker("ok", rounds=1), worker("ok", rounds=1)),
        replace(BLIND, repeated=True), budget={"repeated": 1}, max_attempts=1,
    ),
    _of(
        "retry, suspicion", (worker("fail", "ok", rounds=2), retrier(), worker("ok", rounds=1)), max_attempts=1,
        budget={"silent": 1},
    ),
    _of(
        "in place, suspicion", (in_place("ok", rounds=1), in_place("ok", rounds=2)), budget={"silent": 1},
        in_place=True,
    ),
    _of(
        "two workers and a sweep, suspicion", (*(worker("ok", rounds=1),) * 2, sweeper(times=1)), budget={"silent": 1},
    ),
]  # fmt: skip
"""Settings that are made for one rule; those without a word about suspicion in place hold for the real code too."""

LONG = [
    _of(
        "crash, lost reply, stale, false suspicion", FAILING, replace(BLIND, stale=True, lost=True),
        budget={"crash": 1, "lost": 1, "silent": 1},
    ),
    _of("three instances that fail, crash", (worker("ok", "fail", rounds=1),) * 3, budget={"crash": 1}),
    _of("three instances, two rounds, crash", (worker("ok", rounds=2),) * 3, budget={"crash": 1}),
    _of(
        "torn, stale, suspicion, crash", FAILING, replace(BLIND, torn=True, stale=True),
        budget={"crash": 1, "silent": 1},
    ),
    _of("repeated twice, crash", FAILING, replace(BLIND, repeated=True), budget={"repeated": 2, "crash": 1}),
    _of("two errors", FAILING, replace(BLIND, error=True), budget={"error": 2}),
    _of("all ways to end, three rounds", (worker("ok", "fail", "drop", "skip", "late"),) * 2, budget={"crash": 1}),
    _of("copied claims, crash, lost", FAILING, replace(BLIND, lost=True), budget={"crash": 1, "lost": 1}, copies=True),
    _of("in place, two rounds", (in_place("ok", "drop", rounds=2),) * 2, budget={"crash": 1}, in_place=True),
    _of(
        "in place, torn, three rounds", (in_place("ok", "drop", rounds=2), in_place("ok", rounds=1)),
        replace(BLIND, torn=True), budget={"crash": 1}, in_place=True,
    ),
    _of(
        "two workers and a sweep", (worker("ok", "fail", rounds=2), worker("ok", rounds=1), sweeper(times=1)), Ways(),
        budget={"crash": 1},
    ),
    _of("three instances that fail, two rounds, crash", (worker("ok", "fail", rounds=2),) * 3, budget={"crash": 1}),
    *_chunks(("chunk, three, crash", (chunk_worker("ok"),) * 3, BLIND, {"crash": 1})),
    _of("retry, crash", (worker("ok", "fail", rounds=3), retrier(), worker("ok", rounds=2)), budget={"crash": 1}),
]  # fmt: skip

BY_NAME = {setting.name: setting for setting in SHORT + FOR_MUTANTS + LONG}
