"""Records survive a round trip; everything else is unreadable."""

import json
from dataclasses import replace

import pytest

from multiprocesstools.claims.identity import Job, current
from multiprocesstools.claims.record import Beat, Record, Unreadable, beat_offset, decode, encode

RECORD = Record("0" * 32, "näme", 3, current(), 1.5, Beat(7, 140))


def changed(**facts: object) -> bytes:
    return json.dumps(json.loads(encode(RECORD)) | facts).encode()


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(RECORD, id="plain"),
        pytest.param(replace(RECORD, beat=None), id="copy"),
        pytest.param(replace(RECORD, identity=replace(RECORD.identity, job=Job("slurm", "1", "c", "2"))), id="job"),
        pytest.param(replace(RECORD, name="\udcff"), id="not UTF-8"),
    ],
)
def test_a_record_survives_the_round_trip(record: Record) -> None:
    assert decode(encode(record)) == record


def test_the_beat_is_rewritten_in_place() -> None:
    data = bytearray(encode(RECORD))
    new = Beat(8, 160).encode()
    data[beat_offset(bytes(data)) : beat_offset(bytes(data)) + len(new)] = new
    assert decode(bytes(data)) == replace(RECORD, beat=Beat(8, 160))


def test_unknown_keys_are_ignored() -> None:
    assert decode(changed(later="invention")) == RECORD


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(encode(RECORD)[:50], id="torn"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b"null", id="null"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(changed(format=2), id="newer format"),
        pytest.param(changed(pid="1"), id="pid is text"),
        pytest.param(changed(pid=True), id="pid is a truth value"),
        pytest.param(changed(id=None), id="no id"),
        pytest.param(changed(beat="later"), id="no beat"),
        pytest.param(changed(job={}), id="broken job"),
        pytest.param(b"[" * 100_000, id="nested"),
    ],
)
def test_everything_else_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(data)
