"""Names: which are allowed, and what a listing says of an item."""

import os
from pathlib import Path

import pytest

from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.claims.slots import NAME_LIMIT_BYTES, Slot, check_name, private, read_listing
from multiprocesstools.errors import BadName

OWNER = "0123456789abcdef" * 2


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "a/b", "/a", "a\0b", "a\nb", ".a.claim-1", ".a.ended-12", ".a.retry-1", ".a.direct"),
        *(".a.partial-1", ".mpt-x", ".multiprocesstools", ".chunk-1", "x" * 250, "ä" * 120, "\ud800"),
    ],
    ids=lambda name: repr(name[:20]),
)
def test_names_that_cannot_be_used_are_refused(name: str) -> None:
    with pytest.raises(BadName):
        check_name(name)


@pytest.mark.parametrize(
    "name", ["a", ".hidden", "a b.csv", "ä.csv", "a.claim-1", ".a.claim-0", "\udcff.txt", "x" * 99]
)
def test_ordinary_and_odd_names_are_allowed(name: str) -> None:
    assert check_name(name) == name


def test_the_longest_allowed_name_fits_with_all_that_is_added() -> None:
    longest = max(n for n in range(1, 256) if _allowed("x" * n))
    slot = Slot("d", "x" * longest)
    added = [slot.claim(9999), slot.ended(9999), slot.retry(9999), slot.partial(9999), slot.sign]
    added += [slot.staging(f"{OWNER}-folder-9999")]
    assert max(len(os.path.basename(path)) for path in added) <= NAME_LIMIT_BYTES
    assert longest > 190


def _allowed(name: str) -> bool:
    try:
        check_name(name)
    except BadName:
        return False
    return True


@pytest.mark.parametrize("name", ["a.csv", "a.claim-1", ".hidden", "ended", "\udcff", "a b"])
def test_a_listing_gives_back_what_the_names_say(name: str, tmp_path: Path) -> None:
    slot = Slot(str(tmp_path), name)
    paths = [slot.claim(1), slot.claim(2), slot.ended(1), slot.retry(1), slot.partial(1), slot.staging(f"{OWNER}-2")]
    for path in paths:
        Path(path).touch()
    listing = read_listing(str(tmp_path), PosixDisk().list(str(tmp_path)))
    files = listing.files(name)
    assert (sorted(files.claims), files.ended, files.retries, files.partials) == ([1, 2], {1}, {1}, {1})
    assert files.claims[1] == os.stat(paths[0]).st_ino
    assert (files.highest, files.last_retry, files.final, files.sign) == (2, 1, False, False)
    assert [(staged.owner, staged.name) for staged in listing.staged] == [(OWNER, name)]


def test_done_means_that_the_final_is_there_and_its_sign_is_not(tmp_path: Path) -> None:
    slot = Slot(str(tmp_path), "a")
    Path(slot.final).touch()
    assert read_listing(slot.directory, PosixDisk().list(slot.directory)).is_done("a")
    Path(slot.sign).touch()
    assert not read_listing(slot.directory, PosixDisk().list(slot.directory)).is_done("a")
    assert not read_listing(slot.directory, PosixDisk().list(slot.directory)).is_done("b")


def test_a_private_file_is_told_from_a_staging_file_of_an_item_called_ended() -> None:
    assert os.path.basename(private("d", f"{OWNER}-e1")) != os.path.basename(Slot("d", "ended").staging(f"{OWNER}-1"))


def test_doubled_entries_do_no_harm(tmp_path: Path) -> None:
    Path(Slot(str(tmp_path), "a").claim(1)).touch()
    entries = PosixDisk().list(str(tmp_path))
    assert read_listing(str(tmp_path), entries + entries).files("a").highest == 1
