"""The record: keys, generations, sessions and what goes on from one to the next; the ledger on a disk."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from multiprocesstools.claims.disk import Disk
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.clock import Clock
from multiprocesstools.errors import NewerFormat
from multiprocesstools.steps.book import Book, Entry, encode_steps
from multiprocesstools.steps.ledger import Ledger
from multiprocesstools.steps.resume import imagined, release_entry, session_entry
from multiprocesstools.steps.step import CHECK, Step
from tests.clocks import HandClock
from tests.disks import Lagging


def script(*lines: str) -> list[Step]:
    """Steps from lines like "c after 1 2"; each is matched by its name. "c held" waits for everything."""
    steps = []
    for number, line in enumerate(lines, 1):
        name, _, after = line.partition(" ")
        held = after == "held"
        waits = () if held else tuple(map(int, after.removeprefix("after").split()))
        steps.append(Step(number, name, prerequisites=waits, function=name, held=held, everything=held))
    return steps


def begin(
    book: Book, steps: Sequence[Step], *, done: str = "", lost: str = "", failed: str = "", restart: bool = False
) -> Book:
    """The book after another session. `done`: names of finished steps; `lost`: those whose files are gone; `failed`:
    of those that failed."""
    finished = {book.item(s) for s in book.steps if book.steps[s].name in done.split()}
    gone = {book.item(s) for s in book.steps if book.steps[s].name in lost.split()}
    broken = {book.item(s) for s in book.steps if book.steps[s].name in failed.split()}
    entry = session_entry(
        book, "p", steps, by="i", restart=restart, is_done=finished.__contains__,
        is_whole=lambda item: item not in gone, failed_attempt=lambda item: int(item in broken), knows=known,
    )  # fmt: skip
    return imagined(book, entry)


def known(step: Step) -> bool:
    """All functions are known."""
    return True


def release(book: Book, step: int = 1, *, done: str = "", lost: str = "") -> Entry:
    """The entry that releases a held step."""
    return release_entry(
        book, [step], is_done=lambda item: item.partition(".")[0] in done.split(),
        is_whole=lambda item: item.partition(".")[0] not in lost.split(), knows=known,
    )  # fmt: skip


def items(book: Book) -> dict[str, str]:
    return {step.name: book.item(step.id) or "" for step in book.steps.values()}


def changed(before: Book, after: Book) -> set[str]:
    """The names of the steps that run again, or anew."""
    old = items(before)
    return {name for name, item in items(after).items() if old.get(name) != item}


def insert(book: Book, *steps: Step) -> None:
    book.turn({"kind": "steps", "steps": encode_steps(steps)})


@pytest.fixture
def book() -> Book:
    return begin(Book(), script("a", "b after 1", "c after 2", "x", "y after 4"))


def test_an_unchanged_script_runs_nothing_again(book: Book) -> None:
    assert (
        changed(book, begin(book, script("a", "b after 1", "c after 2", "x", "y after 4"), done="a b c x y")) == set()
    )


def test_a_step_in_the_middle_reruns_only_what_waits_for_it(book: Book) -> None:
    new = script("new", "a", "x", "y after 3", "b after 1 2", "c after 5")
    assert changed(book, begin(book, new, done="a b c x y")) == {"new", "b", "c"}


def test_the_order_in_a_script_does_not_matter(book: Book) -> None:
    new = script("x", "y after 1", "a", "b after 3", "c after 4")
    assert changed(book, begin(book, new, done="a b c x y")) == set()


def test_a_changed_step_reruns_everything_downstream(book: Book) -> None:
    new = script("a", "b after 1", "c after 2", "x", "y after 4")
    new[0] = replace(new[0], arguments="[2]")
    assert changed(book, begin(book, new, done="a b c x y")) == {"a", "b", "c"}


def test_missing_files_rerun_a_step_and_everything_downstream_as_the_next_generation(book: Book) -> None:
    after = begin(book, script("a", "b after 1", "c after 2", "x", "y after 4"), done="a b c x y", lost="b")
    assert changed(book, after) == {"b", "c"}
    assert after.keys.key == book.keys.key
    assert [after.keys.generation[s] for s in range(1, 6)] == [1, 2, 2, 1, 1]


def test_what_finished_after_a_tolerated_failure_runs_again_when_that_is_tried_again(book: Book) -> None:
    after = begin(book, script("a", "b after 1", "c after 2", "x", "y after 4"), done="b c x y")
    assert changed(book, after) == {"b", "c"}, "a has not finished, so it is tried again, by the same item"


def test_a_restart_is_a_new_generation_of_all(book: Book) -> None:
    steps = script("a", "b after 1", "c after 2", "x", "y after 4")
    after = begin(book, steps, done="a b c x y", restart=True)
    assert changed(book, after) == set("abcxy")
    again = begin(after, steps, done="a b c x y", restart=True)
    assert set(again.keys.generation.values()) == {3}


def test_a_prerequisite_that_was_removed_reruns_what_waited_for_it(book: Book) -> None:
    new = script("a", "b", "c after 2", "x", "y after 4")
    assert changed(book, begin(book, new, done="a b c x y")) == {"b", "c"}


def test_what_comes_back_after_a_change_runs_again(book: Book) -> None:
    """Another version has run in between, and may have written to the same files."""
    steps = script("a", "b after 1", "c after 2", "x", "y after 4")
    other = [replace(steps[0], arguments="[2]"), *steps[1:]]
    between = begin(book, other, done="a b c x y")
    back = begin(between, steps, done="a b c x y")
    assert changed(book, back) == {"a", "b", "c"}
    assert back.keys.generation[1] == 2


def test_equal_steps_are_told_apart() -> None:
    book = begin(Book(), script("a", "a", "a"))
    assert len({book.item(step) for step in book.steps}) == 3


def test_what_a_step_has_inserted_goes_on_when_it_is_finished_and_unchanged() -> None:
    steps = script("read", "close held")
    book = begin(Book(), steps)
    origin = book.keys.key[1]
    insert(
        book, *[Step(n, f"r{n}", prerequisites=(1,), function="r", arguments=f"[{n}]", origin=origin) for n in (3, 4)]
    )
    after = begin(book, steps, done="read r3")
    assert [step.name for step in after.steps.values()] == ["read", "close", "r3", "r4"]
    assert changed(book, after) == set()
    assert len(begin(book, steps, done="r3")) == 3, (
        "the reading runs again and inserts anew; what has finished stays known"
    )
    other = [replace(steps[0], arguments="[2]"), steps[1]]
    assert [step.name for step in begin(book, other, done="read r3").steps.values()] == ["read", "close"]


def test_what_a_check_has_inserted_goes_on_when_it_has_finished() -> None:
    book = begin(Book(), script("a"))
    insert(book, Step(2, "f", function="f", origin=CHECK), Step(3, "g", function="g", origin=CHECK))
    after = begin(book, script("new", "a"), done="a f")
    assert [step.name for step in after.steps.values()] == ["new", "a", "f"]
    assert after.item(3) == book.item(2)


def test_a_held_step_has_no_item_before_it_is_released() -> None:
    book = begin(Book(), script("close held", "a", "after after 1"))
    assert (book.item(1), book.item(3)) == (None, None)
    entry = release(book)
    assert entry["steps"] == {"1": [2]}, "not the step that waits for it"
    assert set(book.turn(entry)) == {1, 3}
    assert book.item(1)
    assert book.item(3)


def test_a_released_step_runs_again_if_there_is_more_to_wait_for() -> None:
    steps = script("close held", "a")

    def closed(book: Book) -> str:
        book.turn(release(book))
        return book.item(1) or ""

    book = begin(Book(), steps)
    first = closed(book)
    same = begin(book, steps, done="a close")
    assert closed(same) == first
    more = begin(same, script("close held", "a", "b"), done="a close")
    assert closed(more) != first


def test_a_released_step_whose_files_are_gone_runs_again() -> None:
    steps = script("close held", "a")
    book = begin(Book(), steps)
    book.turn(release(book))
    again = begin(book, steps, done="a close")
    again.turn(release(again, done="close", lost="close"))
    assert (again.keys.key[1], again.keys.generation[1]) == (book.keys.key[1], 2)


def test_a_session_that_does_not_come_to_held_steps_hands_on_what_they_left(book: Book) -> None:
    steps = script("close held", "a")
    book = begin(Book(), steps)
    book.turn(release(book))
    first = book.item(1)
    for lost, same in (("", True), ("a", False)):
        between = begin(book, steps, done="a close", lost=lost)
        last = begin(between, steps, done="a")
        last.turn(release(last, done="a close"))
        assert (last.item(1) == first) is same, "what it waits for has run again between"


def test_what_comes_back_runs_again_also_if_another_version_was_not_finished() -> None:
    steps = script("close held", "a")
    book = begin(Book(), steps)
    book.turn(release(book))
    other = [steps[0], replace(steps[1], arguments="[2]")]
    back = begin(begin(book, other, done="a close"), steps, done="a")
    back.turn(release(back, done="close"))
    assert [back.keys.generation[step] for step in (1, 2)] == [2, 2]


def test_a_step_inserts_anew_if_what_it_inserted_waits_for_a_step_that_is_no_more() -> None:
    steps = script("read", "x")
    book = begin(Book(), steps)
    insert(book, Step(3, "r", prerequisites=(2,), function="r", origin=book.keys.key[1]))
    other = [steps[0], replace(steps[1], arguments="[2]")]
    after = begin(book, other, done="read x r")
    assert [step.name for step in after.steps.values()] == ["read", "x"]
    assert changed(book, after) == {"read", "x"}
    assert changed(book, begin(book, steps, done="read x r")) == set()


def test_a_held_step_that_a_step_has_inserted_is_held_again_once_however_often_that_ends_early() -> None:
    steps = script("find")
    book = begin(Book(), steps)
    origin = book.keys.key[1]
    insert(
        book, Step(2, "close", function="c", held=True, everything=True, origin=origin),
        Step(3, "after", prerequisites=(2,), function="a", origin=origin),
    )  # fmt: skip
    book.turn(release(book, 2))
    insert(book, Step(4, "made", prerequisites=(2,), function="m", origin=book.keys.key[2]))
    first, done = items(book), "find close after made"
    for _ in range(3):
        book = begin(book, steps, done=done)
        assert [(step.name, step.held) for step in book.steps.values()] == [
            ("find", False), ("close", True), ("after", False)
        ]  # fmt: skip
    book.turn(release(book, 2, done=done))
    assert items(book) == first


# -- on the disk


def ledger(directory: Path, disk: Disk | None = None, clock: Clock | None = None) -> Ledger:
    directory.mkdir(exist_ok=True)
    numbers = iter(range(10**6))
    return Ledger(
        disk or PosixDisk(), clock or HandClock(), str(directory),
        lambda: f"{directory}/.private-{id(numbers)}-{next(numbers)}",
    )  # fmt: skip


def entry(*steps: Step) -> dict[str, object]:
    return {"kind": "session", "protocol": "p", "by": "i", "restart": False, "forced": [], "steps": encode_steps(steps)}


def test_of_two_who_append_one_is_first_and_the_other_learns_it(tmp_path: Path) -> None:
    one, two = ledger(tmp_path), ledger(tmp_path)
    assert one.append(entry(Step(1, "one"))) == [1]
    assert two.append(entry(Step(1, "two"))) is None
    assert two.catch_up() == [1]
    assert two.book.steps[1].name == "one"
    assert two.append({"kind": "steps", "steps": encode_steps([Step(2, "more")])}) == [2]
    assert one.catch_up() == [2]
    assert one.catch_up() == []


@pytest.mark.parametrize("known", [0, 9])
def test_an_entry_that_is_met_half_written_is_read_again(tmp_path: Path, known: int) -> None:
    ledger(tmp_path).append(entry(Step(1, "one")))
    assert ledger(tmp_path, Lagging(known)).catch_up() == [1]
    with pytest.raises(NewerFormat, match=r"1\.json"):
        ledger(tmp_path, Lagging(known, reads=99)).catch_up()


@pytest.mark.parametrize(
    "text",
    [
        "", "no json", "[]", "{}", '{"format": 2, "kind": "closed"}', '{"format": 1, "kind": "strange"}',
        '{"format": 1, "kind": "steps", "steps": [{"id": 7, "name": "a"}]}',
        '{"format": 1, "kind": "steps", "steps": [{"id": 1, "name": "a", "prerequisites": [9]}]}',
        '{"format": 1, "kind": "steps", "steps": [{"id": 1, "name": 3}]}',
        '{"format": 1, "kind": "steps", "steps": [{"id": 1, "name": "a", "other": 1}]}', "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_entry_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "1.json").write_text(text)
    with pytest.raises(NewerFormat, match=r"1\.json"):
        ledger(tmp_path).catch_up()
