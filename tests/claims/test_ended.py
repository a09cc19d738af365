"""Ended-files survive a round trip; torn ones count as failures."""

import pytest

from multiprocesstools.claims.ended import COUNTED, Ended, Outcome, decode, encode

ENDED = Ended(Outcome.FAILED, "ValueError: x", "Traceback ...\udcff", "host", 1, 1.0, 2.0, "id")


def test_an_ended_file_survives_the_round_trip() -> None:
    assert decode(encode(ENDED)) == ENDED


def test_a_long_traceback_keeps_its_end() -> None:
    text = "a" * 1_000_000 + "the error"
    assert decode(encode(Ended(Outcome.FAILED, traceback=text))).traceback.endswith("the error")
    assert len(encode(Ended(Outcome.FAILED, traceback=text))) < 200_000


@pytest.mark.parametrize("data", [b"", encode(ENDED)[:40], b"7", b'{"format": 2}', b"\xff"], ids=repr)
def test_what_cannot_be_read_counts_as_a_failure(data: bytes) -> None:
    assert decode(data).outcome is Outcome.UNREADABLE
    assert Outcome.UNREADABLE in COUNTED
