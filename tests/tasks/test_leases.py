"""Leases, stepped through by hand: no clock, no disk, no network."""

import pytest

from multiprocesstools.tasks.leases import Leases, Recorded, Steps, packed, parts_of, unpacked

ONE, OTHER = "7-1-aaaaaaaa", "8-2-bbbbbbbb"


def test_a_partition_has_one_lease_at_a_time() -> None:
    leases = Leases(10.0)
    leases.grant(ONE, "anna", 0.0)
    with pytest.raises(ValueError, match="leased to 'anna'"):
        leases.grant("7-2-cccccccc", "bert", 1.0)
    leases.close(7)
    assert leases.grant("7-2-cccccccc", "bert", 1.0).number == 7


def test_a_lease_expires_when_nobody_renews_it_and_not_before() -> None:
    leases = Leases(10.0)
    leases.grant(ONE, "anna", 0.0)
    leases.grant(OTHER, "bert", 0.0)
    assert leases.renew(ONE, 0, 9.0)
    assert leases.expired(9.9) == []
    assert [lease.name for lease in leases.expired(10.0)] == [OTHER]
    assert [lease.name for lease in leases.expired(19.0)] == [ONE, OTHER]


def test_an_expired_lease_that_nobody_closed_goes_on_when_it_is_renewed() -> None:
    leases = Leases(10.0)
    leases.grant(ONE, "anna", 0.0)
    assert leases.renew(ONE, 0, 50.0) and leases.expired(59.0) == []


def test_a_closed_lease_cannot_be_renewed() -> None:
    leases = Leases(10.0)
    leases.grant(ONE, "anna", 0.0)
    assert leases.renew(ONE, 1, 1.0)
    leases.close(7)
    assert not leases.renew(ONE, 2, 2.0)


def test_a_worker_that_renews_and_finishes_no_task_hangs() -> None:
    leases = Leases(10.0, task_seconds=30.0)
    leases.grant(ONE, "anna", 0.0)
    for now in (9.0, 18.0, 27.0):
        assert leases.renew(ONE, 0, now)
    assert leases.expired(29.0) == [] and len(leases.expired(30.0)) == 1
    assert not leases.renew(ONE, 0, 31.0), "it hangs"
    assert leases.renew(ONE, 1, 31.0), "it has finished a task after all"
    assert leases.expired(40.0) == []


def test_a_worker_with_a_name_is_found_and_one_without_is_not() -> None:
    leases = Leases(10.0)
    leases.grant(ONE, "anna", 0.0)
    leases.grant(OTHER, "", 0.0)
    assert leases.of("anna").name == ONE and leases.of("") is None and leases.of("bert") is None


@pytest.mark.parametrize("name", ["", "7", "7-1", "7-1-", "x-1-aaaaaaaa", "-7-1-aaaaaaaa", "7-1-aaaaaaaa\n", 7, None])
def test_what_is_no_lease_is_refused(name: object) -> None:
    assert parts_of(ONE) == (7, 1)
    with pytest.raises(ValueError, match="is no lease"):
        parts_of(name)


def test_leases_come_back_from_their_file_and_from_a_broken_one_none() -> None:
    leases = Leases(10.0)
    leases.grant(ONE, "anna", 0.0)
    leases.grant(OTHER, "", 0.0)
    data = packed(leases, {7: 3, 8: 2})
    assert unpacked(data) == [Recorded(ONE, "anna", 7, 3), Recorded(OTHER, "", 8, 2)]
    for broken in (b"", data[:-3], data.replace(b"7, 3", b"7"), data.replace(b"7, 3", b"9, 3"), b"[]", b"\xff"):
        assert unpacked(broken) == []


def test_the_time_of_leases_goes_on_by_looks_and_never_far_from_one_to_the_next() -> None:
    steps = Steps(15.0, 1000.0)
    assert [steps.until(now) for now in (1001.0, 1011.0, 9000.0, 9001.0, 9001.0)] == [1.0, 11.0, 26.0, 27.0, 27.0]
