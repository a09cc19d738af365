"""The files of a run that another process may have torn or forged: settings, plans, journals, the token to stop.

Each gives its facts, or one error that names it; never another exception, and never more memory than it is large.
"""

import json
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from multiprocesstools.claims import record
from multiprocesstools.display.text import duration, printable
from multiprocesstools.errors import NewerFormat
from multiprocesstools.plans.finals import work_list
from multiprocesstools.plans.inventory import Block, Inventory, encode
from multiprocesstools.plans.plans import Plan, Plans
from multiprocesstools.report.text import snapshot_text
from multiprocesstools.run.directory import Run
from multiprocesstools.run.journal import read_journal
from multiprocesstools.run.requests import STOP, read_token
from multiprocesstools.run.settings import Settings
from multiprocesstools.upkeep.snapshot import take_snapshot
from multiprocesstools.upkeep.statuses import Snapshot
from multiprocesstools.upkeep.sweeper import _placeholders
from tests.clocks import FrozenClock
from tests.properties.strategies import GARBAGE, ID, JSON, TEXT, Drawer, changed, damaged, nearly
from tests.properties.test_records import FIXED

HOME = "/nowhere/.multiprocesstools"
SETTINGS = json.dumps({"format": 1, "beat_seconds": 20.0, "patience_seconds": 300.0, "max_attempts": 3}).encode()
KEY = ID
PLAN = {
    "format": 1, "key": KEY, "name": "n", "template": "{stem}.txt", "directory": "", "directories": ["out"], "count": 2,
    "sources": "0" * 64, "sequence": 1, "numbered": False, "in_place": False, "files": 1, "chunk": 1, "head": 0,
}  # fmt: skip
PLAN_LINE = json.dumps(PLAN).encode()


def run_with(files: dict[str, bytes]) -> Run:
    drawer = Drawer({f"{HOME}/{name}": data for name, data in files.items()})
    return Run("/nowhere", disk=drawer, clock=FrozenClock())


# -- settings and stop


@given(nearly(SETTINGS), st.sampled_from(["run-1.json", "run-999.json", f"run-{'9' * 240}.json"]))
def test_any_settings_file_is_sane_settings_or_an_error_that_names_it(data: bytes, name: str) -> None:
    try:
        settings = run_with({name: data}).settings()
    except NewerFormat as error:
        assert name in str(error)
    else:
        assert (settings is None) == (data == b""), "an empty file is what a crash without links has left"
        if settings is not None:
            assert isinstance(settings, Settings) and settings.max_attempts >= 1
            assert 0 < settings.beat_seconds * 5 <= settings.patience_seconds <= 1e9


@given(st.lists(TEXT, max_size=5))
def test_the_highest_number_counts_and_other_names_are_no_settings(names: list[str]) -> None:
    others = {f"run-{name}.json": b"garbage" for name in names if not name.isdecimal()}
    more = {"run-0.json": b"", "run-01.json": b"", ".run-9.json": b"", "run-9.json.old": b"", "run-٣.json": b""}
    lines = {"run-2.json": b"garbage", "run-10.json": SETTINGS}
    assert run_with(others | more | lines).settings() == Settings()
    assert run_with(others | more).settings() is None


@given(GARBAGE)
def test_any_bytes_are_a_token_or_none(data: bytes) -> None:
    token = read_token(run_with({STOP: data}).raw, f"{HOME}/{STOP}")
    assert token or token is None
    assert token or not data.strip(b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f")
    assert read_token(run_with({}).raw, f"{HOME}/{STOP}") is None


# -- plans


@given(nearly(PLAN_LINE))
@example(json.dumps(PLAN | {"files": "2"}).encode())
@example(json.dumps(PLAN | {"directories": ["\ud800"]}).encode())
@example(json.dumps(PLAN | {"sequence": 10**4000}).encode())
def test_any_plan_file_is_a_sound_plan_or_an_error_that_names_it(data: bytes) -> None:
    plans = Plans(run_with({f"plans/{KEY}.json": data}))
    try:
        found = plans.all()
    except NewerFormat as error:
        assert f"{KEY}.json" in str(error)
        return
    for plan in found:
        assert plan.key == KEY and plan.directories
        json.dumps({"sequence": plan.sequence + 1})
    folders = plans.directories()
    assert set(plans.directories_of_parts()) <= set(folders)
    assert all(folder.startswith("/") and folder.encode("utf-8", "surrogateescape") for folder in folders)
    assert plans.current()[-1:] == found[-1:]


def test_a_plan_whose_name_points_elsewhere_is_refused() -> None:
    files = {"plans/other.json": PLAN_LINE, f"plans/{KEY}.names": zlib.compress(b"")}
    with pytest.raises(NewerFormat, match=r"other\.json"):
        Plans(run_with(files)).all()
    elsewhere = json.dumps(PLAN | {"key": "../../../secret"}).encode()
    with pytest.raises(NewerFormat, match="secret"):
        Plans(run_with({f"plans/{KEY}.json": elsewhere})).all()


def plan_of(count: int) -> Plan:
    return Plan(KEY, "n", "t", "", ["out"], count, "", 1)


def items_of(names: bytes, count: int) -> dict[str, str]:
    blocks = Plans(run_with({f"plans/{KEY}.names": names})).items(plan_of(count))
    return {final: source for block in blocks for final, source in zip(block.finals(), block.sources, strict=True)}


PAIRS = st.dictionaries(
    st.text(st.characters(exclude_characters="\0/", exclude_categories=("Cs",))), TEXT, min_size=1, max_size=6
)


@given(PAIRS, st.sampled_from(["", "out", "\n", "\\"]), st.integers(0, 9))
def test_the_names_of_a_plan_survive_the_round_trip_and_torn_or_damaged_are_an_error(
    items: dict[str, str], folder: str, level: int
) -> None:
    block = Block(folder, list(items), list(items.values()))
    data = zlib.compress(b"".join(encode(block)), level)
    assert items_of(data, len(items)) == dict(zip(block.finals(), block.sources, strict=True))
    for length in range(len(data)):
        with pytest.raises(NewerFormat, match=KEY):
            items_of(data[:length], len(items))
    if items:
        with pytest.raises(NewerFormat, match="more of them than its plan"):
            items_of(data, len(items) - 1)


NAMES_TEXT = b"".join(encode(Block("out", ["a.txt", "b.txt"], ["a", "b"])))


@given(GARBAGE | damaged(zlib.compress(NAMES_TEXT)) | (damaged(NAMES_TEXT) | GARBAGE).map(zlib.compress))
@example(zlib.compress(b"".join(encode(Block("\ud800", ["a"], ["source"])))))
@example(zlib.compress(b"".join(encode(Block("out", ["\ud800"], ["source"])))))
@example(zlib.compress(b"".join(encode(Block("out", ["../a"], ["source"])))))
@example(zlib.compress(b'["out", 0, 0, 0]\n'))
@example(zlib.compress(b'["out", 1, -1, 1e400]\n'))
def test_any_names_file_is_names_or_an_error_that_names_it(data: bytes) -> None:
    try:
        found = items_of(data, 3)
    except NewerFormat as error:
        assert KEY in str(error)
    else:
        assert all(
            "\0" not in final and final.count("/") <= 1 and final.encode("utf-8", "surrogateescape") is not None
            for final in found
        )


def bomb(block: bytes, gigabytes: int) -> bytes:
    """A stream of zlib that expands to `gigabytes` of this block, without ever having held them."""
    block *= (1 << 20) // len(block) + 1
    packer = zlib.compressobj(9)
    head = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    part = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + part * (gigabytes * 1024) + packer.flush()


@pytest.mark.parametrize("block", [b"\0", b"[", NAMES_TEXT, b"\n"], ids=["NULs", "brackets", "lines", "empty lines"])
def test_names_that_expand_to_gigabytes_are_refused_and_eat_no_memory(block: bytes) -> None:
    data = bomb(block, 8)
    assert len(data) < 64 << 20
    start = zlib.decompressobj().decompress(data, 1 << 22)
    assert len(start) == 1 << 22 and start.startswith(block), "the bomb is one"
    tracemalloc.start()
    try:
        with pytest.raises(NewerFormat, match=KEY):
            items_of(data, 10**9)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


# -- journals and what is told of them

EVENT = {"time": 1.7e9, "at": 5.5, "event": "claimed", "item": "out/a", "attempt": 1, "host": "h"}
EVENT_LINE = json.dumps(EVENT).encode()
NO_LINE = nearly(EVENT_LINE).map(lambda data: data.replace(b"\n", b" ")).filter(lambda data: len(data) < 200_000)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journal") / "test-1.jsonl"


@given(st.lists(NO_LINE, max_size=4), st.integers(0, len(EVENT_LINE) - 1))
def test_the_events_of_a_journal_are_read_whatever_stands_between_them(
    page: Path, garbage: list[bytes], cut: int
) -> None:
    lines = [EVENT_LINE, *(line for other in garbage for line in (other, EVENT_LINE))]
    page.write_bytes(b"\n".join(lines) + b"\n" + EVENT_LINE[:cut])
    found = list(read_journal(str(page)))
    assert found.count(EVENT) >= len(garbage) + 1
    for event in found:
        assert isinstance(event["event"], str) and abs(event["time"]) < 1e12 and abs(event["at"]) < 1e12


def test_a_journal_without_an_end_is_left_soon(page: Path) -> None:
    with page.open("wb") as file:
        file.write(EVENT_LINE + b"\n")
        file.truncate(1 << 40)
    assert list(read_journal(str(page))) == [EVENT]
    page.unlink()


@pytest.fixture(scope="module")
def forged_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run with one item that an instance of another machine has claimed."""
    run = Run(tmp_path_factory.mktemp("run")).prepare()
    Plans(run).record_open(run.directory)
    items = Inventory(work_list(["a", "b"], "{value}", run.directory), run.directory)
    Plans(run).record("n", "{value}", "", [run.directory], items)
    Path(run.directory, ".a.claim-1").write_bytes(record.encode(FIXED))
    yield run


EVENTS = st.lists(changed(EVENT_LINE) | changed(json.dumps(EVENT | {"item": "a"}).encode()) | NO_LINE, max_size=4)


@given(EVENTS, changed(record.encode(FIXED)), st.sampled_from(["claimed", "done", "failed", "placeholder"]))
def test_a_run_whose_journals_and_records_anybody_wrote_can_be_looked_at(
    forged_run: Run, lines: list[bytes], data: bytes, kind: str
) -> None:
    path = {"event": kind, "item": "a", "path": json.loads(lines[0]).get("path") if _is_object(lines) else "\ud800"}
    lines = [*lines, json.dumps(EVENT | path).encode(), json.dumps(EVENT | {"item": "a"}).encode()]
    Path(forged_run.logs, f"{FIXED.file_name}.jsonl").write_bytes(b"\n".join(line.strip() for line in lines))
    Path(forged_run.instances, FIXED.file_name).write_bytes(data)
    snapshot = take_snapshot(forged_run)
    assert (snapshot.running, snapshot.done) == (1, 0) and snapshot.total >= 2
    json.loads(json.dumps(snapshot.as_dict(), allow_nan=False))
    assert is_harmless(snapshot_text(snapshot, failed=True, running=True))
    for placeholder in _placeholders(forged_run, [forged_run.directory]):
        placeholder.encode("utf-8", "surrogateescape")


def _is_object(lines: list[bytes]) -> bool:
    try:
        return bool(lines) and isinstance(json.loads(lines[0]), dict)
    except (ValueError, RecursionError):
        return False


def test_a_run_with_a_record_whose_beat_is_absurd_can_be_looked_at(forged_run: Run) -> None:
    data = json.dumps(json.loads(record.encode(FIXED)) | {"beat": "1 " + "9" * 400}).encode()
    Path(forged_run.logs, f"{FIXED.file_name}.jsonl").write_bytes(json.dumps(EVENT | {"item": "a"}).encode())
    Path(forged_run.instances, FIXED.file_name).write_bytes(data)
    assert take_snapshot(forged_run).running == 1


# -- words for a terminal


def is_harmless(text: str) -> bool:
    return all(char == "\n" or char.isprintable() for char in text)


@given(TEXT)
@example("\x1b]0;title\x07\x9b31m\r\u202e")
def test_no_text_can_command_a_terminal(text: str) -> None:
    shown = printable(text)
    assert is_harmless(shown) and not set(shown) & set("\n\r\x1b\x07\x9b\u202e") and shown.isprintable()
    assert shown.encode() is not None
    assert not text.isprintable() or shown == text


def _snapshot(items: list[Any], instances: list[Any], texts: list[str]) -> Snapshot:
    return Snapshot("/" + texts[0], 1, 0, 1, 0, 0, 0, 0, 0.0, None, items, instances, texts)


@given(st.data())
def test_no_snapshot_can_command_a_terminal(data: st.DataObject) -> None:
    from multiprocesstools.upkeep.statuses import InstanceStatus, ItemStatus

    states = st.sampled_from(["running", "stale", "free", "failed", "skipped"])
    seconds = st.none() | st.floats()
    item = st.builds(ItemStatus, TEXT, states, st.integers(), TEXT, TEXT, st.integers(), seconds, TEXT, TEXT)
    instance = st.builds(InstanceStatus, TEXT, TEXT, st.integers(), st.booleans(), st.integers(), st.integers())
    drawn = data.draw(
        st.tuples(st.lists(item, max_size=4), st.lists(instance, max_size=2), st.lists(TEXT, min_size=1, max_size=3))
    )
    snapshot = _snapshot(*drawn)
    for everything in (False, True):
        assert is_harmless(snapshot_text(snapshot, failed=everything, running=everything))


@given(st.floats() | st.integers(0, 10**300))
def test_every_number_of_seconds_has_words(seconds: float) -> None:
    assert duration(seconds).split()[1] in ("s", "min", "h", "days")


@given(JSON)
def test_a_value_of_json_is_read_back_the_same(value: object) -> None:
    """The strategy does produce what it promises, and the reader takes all of it."""
    assert json.dumps(json.loads(json.dumps(value))) == json.dumps(value)
