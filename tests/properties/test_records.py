"""Records, ended-files and placeholders: what is written is read back, what is torn or foreign is unreadable.

Unreadable is never "free" and never "gone", whatever the prober says.
"""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from multiprocesstools.claims import direct, ended, record
from multiprocesstools.claims.disk import READ_LIMIT_BYTES
from multiprocesstools.claims.ended import Ended, Outcome
from multiprocesstools.claims.identity import Identity, Job
from multiprocesstools.claims.peers import Peers, Sight
from multiprocesstools.claims.record import Beat, Record, Unreadable, beat_offset, decode, encode
from tests.clocks import HandClock
from tests.properties.strategies import GARBAGE, ID, NAMES, TEXT, Drawer, changed, damaged, nearly
from tests.properties.test_names import is_allowed

FIXED = Record(
    ID, "name", 3, Identity("host", "m", "b", "pid:[1]", 77, 5, 0, Job("slurm", "1", "c", "")), 1.5, Beat(7, 9)
)
LINE = encode(FIXED)
COUNTS = st.integers(0, 10**12 - 1)
BEATS = st.builds(Beat, COUNTS, COUNTS)
IDENTITIES = st.builds(
    Identity, TEXT, TEXT, TEXT, TEXT, st.integers(0, 2**31 - 1), st.integers(0, 2**64), st.integers(0, 2**32),
    st.none() | st.builds(Job, TEXT, TEXT, TEXT, TEXT),
)  # fmt: skip
RECORDS = st.builds(
    Record, TEXT, NAMES.filter(is_allowed), st.integers(1, 10**9), IDENTITIES,
    st.floats(allow_nan=False, allow_infinity=False), st.none() | BEATS,
)  # fmt: skip


def read(data: bytes) -> Record | None:
    try:
        return decode(data)
    except Unreadable:
        return None


# -- records


@given(RECORDS)
def test_every_record_survives_the_round_trip_as_one_line_of_ascii(own: Record) -> None:
    data = encode(own)
    assert decode(data) == own and data.isascii() and data.count(b"\n") == 1 and data.endswith(b"\n")


@given(RECORDS)
def test_a_record_torn_anywhere_is_unreadable(own: Record) -> None:
    data = encode(own)
    assert {read(data[:length]) for length in range(len(data) - 1)} == {None}
    assert read(data[:-1]) == own, "only the line break may be missing"


@given(RECORDS.filter(lambda own: own.beat is not None), BEATS, st.integers(0, 25))
def test_a_beat_rewritten_in_place_is_read_and_a_torn_one_is_a_beat_or_unreadable(
    own: Record, beat: Beat, cut: int
) -> None:
    data, new = encode(own), beat.encode()
    at = beat_offset(data)
    assert data[:at] + new + data[at + len(new) :] == encode(replace(own, beat=beat))
    torn = read(data[:at] + new[:cut] + data[at + cut :])
    assert torn is not None and replace(torn, beat=None) == replace(own, beat=None)


@given(st.sampled_from([LINE, encode(replace(FIXED, beat=None))]).flatmap(nearly))
def test_any_bytes_are_a_valid_record_or_unreadable(data: bytes) -> None:
    own = read(data)
    if own is not None:
        assert is_allowed(own.name) and "/" not in own.file_name and own.identity.pid >= 0
        assert decode(encode(own)).identity == own.identity


@pytest.mark.parametrize("name", [["a"], {"a": 1}], ids=["list", "object"])
def test_a_list_where_a_name_is_expected_is_unreadable(name: object) -> None:
    assert read(json.dumps(json.loads(LINE) | {"name": name}).encode()) is None


@pytest.mark.parametrize("beat", ["9" * 400 + " 1", "1 " + "9" * 400, "-1 -1", "1_0 1", "٣ ٣", "1 1"])
def test_a_beat_of_another_form_than_the_written_one_is_unreadable(beat: str) -> None:
    assert read(json.dumps(json.loads(LINE) | {"beat": beat}).encode()) is None


@pytest.mark.parametrize("started", [math.inf, math.nan, True, "1.5"])
def test_a_start_that_is_no_time_is_unreadable(started: object) -> None:
    assert read(json.dumps(json.loads(LINE) | {"started": started}).encode()) is None


# -- what an observer makes of them


def observer(files: dict[str, bytes]) -> tuple[Peers, HandClock]:
    """An observer for whom every process that can be asked about is gone."""
    clock = HandClock()
    peers = Peers(
        Drawer(files), clock, "I", "f" * 32, beat_seconds=1, patience_seconds=10,
        is_gone=lambda other: True, own_beat=clock.elapsed,
    )  # fmt: skip
    return peers, clock


@given(damaged(LINE) | GARBAGE | changed(LINE))
def test_what_cannot_be_read_is_never_gone_and_silent_only_after_patience(data: bytes) -> None:
    peers, clock = observer({"D/claim": data})
    expected = Sight.ALIVE if read(data) is None else Sight.GONE
    for _ in range(10):
        assert peers.judge_claim("D/claim").sight is expected
        clock.now += 1
    assert peers.judge_claim("D/claim").sight is (Sight.SILENT if expected is Sight.ALIVE else Sight.GONE)


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_content_that_changes_is_a_sign_of_life_even_if_nobody_understands_it(one: bytes, other: bytes) -> None:
    assume(one != other and read(one) is None and read(other) is None)
    files = {"D/claim": one}
    peers, clock = observer(files)
    for turn in range(40):
        files["D/claim"] = (one, other)[turn // 8 % 2]
        assert peers.judge_claim("D/claim").sight is Sight.ALIVE
        clock.now += 1


@given(nearly(encode(replace(FIXED, identity=replace(FIXED.identity, pid=0)))))
def test_the_record_behind_a_copied_claim_may_be_anything(data: bytes) -> None:
    copy = encode(replace(FIXED, beat=None))
    peers, clock = observer({"D/claim": copy, f"I/{FIXED.file_name}": data})
    peers._is_gone = lambda other: False
    for _ in range(10):
        assert peers.judge_claim("D/claim").sight is Sight.ALIVE
        clock.now += 1
    assert peers.judge_claim("D/claim").sight is Sight.SILENT


# -- ended-files

END = ended.encode(Ended(Outcome.FATAL, "ValueError: x", "Traceback\n", "host", 7, 1.5, 2.5, ID))
FLOATS = st.floats(allow_nan=False)
ENDS = st.builds(Ended, st.sampled_from(Outcome), TEXT, TEXT, TEXT, st.integers(), FLOATS, FLOATS, TEXT)


@given(ENDS)
def test_every_ended_file_survives_the_round_trip_and_torn_is_unreadable(end: Ended) -> None:
    data = ended.encode(end)
    assert ended.decode(data) == end and data.count(b"\n") == 1
    torn = {ended.decode(data[:length]).outcome for length in range(len(data) - 1)}
    assert torn == {Outcome.UNREADABLE}


@given(nearly(END))
def test_any_bytes_are_some_end(data: bytes) -> None:
    end = ended.decode(data)
    assert isinstance(end.outcome, Outcome) and isinstance(end.exception, str) and isinstance(end.traceback, str)
    assert end.outcome is not Outcome.UNREADABLE or "cannot be read" in end.exception or b'"unreadable"' in data


@pytest.mark.parametrize("character", ["a", "é", "\U0001f52d"], ids=["ascii", "accents", "emoji"])
def test_the_longest_ended_file_can_be_read_again(character: str) -> None:
    data = ended.encode(Ended(Outcome.FATAL, character * 200_000, character * 200_000))
    assert len(data) <= READ_LIMIT_BYTES


# -- placeholders


@given(TEXT, GARBAGE | nearly(json.dumps({"format": direct.PLACEHOLDER_FORMAT, "final": "a", "owner": ID}).encode()))
@example("a", json.dumps({"format": direct.PLACEHOLDER_FORMAT, "final": "a", "owner": {"a": 10**4000}}).encode())
def test_any_bytes_are_a_placeholder_or_not(final: str, data: bytes) -> None:
    assert direct.is_placeholder(data, final) <= direct.is_placeholder(data)
    owner = direct.placeholder_owner(data)
    assert isinstance(owner, str) and (not owner or direct.PLACEHOLDER_FORMAT.encode() in data)


@given(TEXT, TEXT, st.integers() | TEXT)
def test_a_placeholder_names_its_final_and_its_owner(final: str, other: str, extra: object) -> None:
    line = {"extra": extra, "format": direct.PLACEHOLDER_FORMAT, "final": final, "owner": ID}
    data = json.dumps(line).encode()
    assert direct.is_placeholder(data, final) and direct.placeholder_owner(data) == ID
    assert direct.is_placeholder(data, other) == (final == other)
    assert not any(direct.is_placeholder(data[:length]) for length in range(len(data)))
    assert not direct.is_placeholder(json.dumps(line | {"format": record.FORMAT}).encode())
