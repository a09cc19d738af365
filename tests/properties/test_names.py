"""Every name that is allowed can be told from every other, from its own files, and from those of all other items."""

import os
from collections.abc import Callable

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from multiprocesstools.claims.slots import NAME_LIMIT_BYTES, Slot, check_name, private, read_listing, read_settled
from multiprocesstools.errors import BadName
from tests.properties.strategies import ID, NAMES, TEXT, Name, entries

ATTEMPTS = st.integers(1, 9999)
OWN: list[Callable[[Slot, int], str]] = [
    Slot.claim, Slot.ended, Slot.retry, Slot.partial, lambda slot, _: slot.sign,
    lambda slot, attempt: slot.staging(f"{ID}-{attempt}"), lambda slot, attempt: slot.staging(f"{ID}-folder-{attempt}"),
]  # fmt: skip


def is_allowed(name: str) -> bool:
    try:
        return check_name(name) == name
    except BadName as error:
        assert str(error) and error.reason
        return False


def allowed() -> st.SearchStrategy[str]:
    return NAMES.filter(is_allowed)


def files_of(slot: Slot, attempts: set[int]) -> list[str]:
    return [slot.final, *dict.fromkeys(make(slot, attempt) for make in OWN for attempt in sorted(attempts))]


@given(NAMES)
@example("x" * 205)
@example("é" * 102)
@example("\udcff" * 205)
def test_an_allowed_name_stays_in_its_directory_and_fits_with_all_that_is_added(name: str) -> None:
    if is_allowed(name):
        for path in files_of(Slot("D", name), {1, 9999}):
            folder, _, file_name = path.rpartition("/")
            assert folder == "D" and file_name not in ("", ".", "..")
            assert os.fsdecode(os.fsencode(path)) == path
            assert "\0" not in path and "\n" not in path and len(os.fsencode(file_name)) <= NAME_LIMIT_BYTES


@given(allowed(), ATTEMPTS)
def test_what_the_package_names_itself_can_be_no_item(name: str, attempt: int) -> None:
    own = [*(make(Slot("D", name), attempt) for make in OWN), private("D", f"{ID}-e{attempt}")]
    assert [path for path in own if is_allowed(path.rpartition("/")[2])] == []


@given(allowed(), st.sets(ATTEMPTS, min_size=1, max_size=3))
def test_the_files_of_an_item_are_read_back_from_a_listing(name: str, attempts: set[int]) -> None:
    slot = Slot("D", name)
    paths = files_of(slot, attempts)
    listing = read_listing("D", entries(paths))
    files = listing.files(name)
    assert set(listing.items) == {name}
    assert (files.final, files.sign, set(files.claims)) == (True, True, attempts)
    assert files.ended == files.retries == files.partials == attempts
    assert {number: 100 + paths.index(slot.claim(number)) for number in attempts} == files.claims
    assert {(staged.owner, staged.name) for staged in listing.staged} == {(ID, name)}


@given(allowed(), allowed(), st.sampled_from(["", "a", ".", ".a", ".claim-1", "-1", "1"]), st.data())
def test_two_items_never_meet_even_if_one_name_begins_like_the_other(
    one: str, other: str, suffix: str, data: st.DataObject
) -> None:
    other = one + suffix if suffix else other
    assume(one != other and is_allowed(other))
    files = {name: files_of(Slot("D", name), {1, 2})[1:] for name in (one, other)}
    assert not set(files[one]) & set(files[other])
    kept = data.draw(st.sets(st.sampled_from(files[one])))
    alone = read_listing("D", entries(sorted(kept)))
    both = read_listing("D", entries([*sorted(kept), *files[other], Slot("D", other).final]))
    assert alone.files(one) == both.files(one) and both.files(other).final
    assert not both.is_done(one) and not alone.is_done(other)


@given(st.lists(NAMES.filter(bool), max_size=8), allowed(), st.sets(ATTEMPTS, min_size=1, max_size=2), st.randoms())
def test_alien_and_doubled_names_in_any_order_change_nothing(
    aliens: list[str], name: str, attempts: set[int], chance: object
) -> None:
    own = entries(files_of(Slot("D", name), attempts))
    expected = read_listing("D", own).files(name)
    seen = {entry.name for entry in own}
    others = [Name(alien) for alien in aliens if alien not in seen and name not in alien]
    names = [*own, *others, *own, *others]
    chance.shuffle(names)  # type: ignore[attr-defined]
    listing = read_listing("D", names)
    assert listing.files(name) == expected
    assert read_settled(listing, lambda: read_listing("D", names)).files(name).claims == expected.claims


@given(TEXT, st.lists(NAMES.filter(bool), max_size=6))
def test_no_listing_whatsoever_is_an_error(directory: str, names: list[str]) -> None:
    listing = read_listing(directory, [Name(name) for name in names])
    for name in (*names, "another"):
        files = listing.files(name)
        assert listing.is_done(name) == files.done == (name in names and not files.sign)
        assert files.highest == max([*files.claims, *files.ended], default=0)


@pytest.mark.parametrize("name", [f"mpt-{ID}-1.y", f"mpt-{ID}-e1"])
def test_a_name_that_begins_like_a_staging_file_is_refused_or_told_apart(name: str) -> None:
    slot = Slot("D", name)
    assert not is_allowed(name) or set(read_listing("D", entries([slot.claim(1), slot.sign])).items) == {name}
