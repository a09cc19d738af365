"""The bench measures what it says: its table has all rows, its counts are those of the protocol, its judges notice.

Times are not tested: they belong to the machine. PROTOCOL: Cost.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.bench_files import calls, contestants, layouts, million, rpcs
from scripts.bench_files.__main__ import Bench, main
from scripts.bench_files.contestants import ours
from scripts.bench_files.floors import CONTESTANTS as FLOORS
from scripts.bench_files.job import Contestant, Job
from scripts.bench_files.measure import Campaign, Run, Series, run_once
from scripts.bench_files.places import BenchError, Folder
from scripts.bench_files.table import Table, throughput
from tests.tools import CHECKOUT

CHANGES_LOOKS_OPENS_SYNCS = {
    "floor": (5, 1, 0, 0),
    "floor-look": (5, 2, 0, 0),
    "floor-sync": (5, 1, 1, 1),
    "result": (3, 1, 0, 0),
    "result-sync": (3, 1, 0, 1),
    "ours-sync": (5, 1, 1, 1),
}
"""Of one item, by the key of the contestant."""

traced = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.fixture(scope="module")
def short_form(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    """The tables of the short form, by their headings."""
    folder = tmp_path_factory.mktemp("bench")
    command = [
        sys.executable,
        "-m",
        "scripts.bench_files",
        "--short",
        "--rounds",
        "1",
        "--save",
        str(folder / "short.md"),
    ]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (folder / "short.md").read_text() + "\n"
    saved = json.loads((folder / "short.json").read_text())
    assert saved["machine"]["cores"] == str(os.cpu_count())
    return {table["heading"]: table for table in saved["tables"]}


def test_the_short_form_has_every_row_on_disk_and_in_memory(short_form: dict[str, dict[str, object]]) -> None:
    rows = [contestant.label for contestant in contestants.own()]
    places = [place for place in ("local disk", "tmpfs") if place in "".join(short_form)]
    assert "local disk" in places
    for place in places:
        for heading in (
            f"{place}, 1 process",
            f"{place}, 2 processes",
            f"{place}: how the rate grows with the processes",
        ):
            assert [row[0] for row in short_form[heading]["rows"]] == rows
            assert all("not available" not in row for row in short_form[heading]["rows"])


def test_nothing_is_lost_or_done_twice_in_the_short_form(short_form: dict[str, dict[str, object]]) -> None:
    counted = [row for table in short_form.values() for row in table["data"] if "lost" in row]
    assert len(counted) >= 2 * len(contestants.own())
    assert {(row["lost"], row["twice"]) for row in counted} == {(0, 0)}
    assert all(row["items"] >= 40 and len(row["rates"]) == 1 for row in counted)


@traced
@pytest.mark.parametrize("key", CHANGES_LOOKS_OPENS_SYNCS)
def test_an_item_costs_the_calls_that_the_protocol_names(short_form: dict[str, dict[str, object]], key: str) -> None:
    data = short_form["local disk, 1 process"]["data"]
    counted = next(row["calls"] for row in data if row["contestant"] == key)
    kinds = ("changes", "looks", "opens", "syncs")
    assert tuple(round(counted[kind], 2) for kind in kinds) == CHANGES_LOOKS_OPENS_SYNCS[key]


@traced
def test_without_fsync_an_item_costs_five_changes_and_no_open(short_form: dict[str, dict[str, object]]) -> None:
    data = short_form["local disk, 1 process"]["data"]
    counted = next(row["calls"] for row in data if row["contestant"] == "ours")
    assert (counted["changes"], counted["opens"], counted["syncs"]) == (5, 0, 0)
    assert counted["looks"] <= 2


# -- those who judge


class Broken:
    """A place whose only runner works in this process and spoils what it has done."""

    name, describes, nodes = "broken", "", 1

    def __init__(self, folder: Path, spoil: str) -> None:
        self._folder, self._spoil, self._number = folder, spoil, 0

    def fresh(self) -> "Broken":
        return self

    def __enter__(self) -> str:
        self._number += 1
        return str(self._folder / str(self._number))

    def __exit__(self, *error: object) -> None:
        pass

    def runners(self, contestant: Contestant) -> list["Broken"]:
        self._contestant = contestant
        return [self]

    def keeper(self, contestant: Contestant) -> "Broken":
        return self

    def ask(self, request: dict[str, object]) -> dict[str, object]:
        job = Job(**request["job"])
        if request["do"] == "fill":
            contestants.fill(self._contestant, job)
            return {"seconds": 0.0}
        if request["do"] == "look":
            return {"outputs": contestants.outputs(self._contestant, job)}
        contestants.module_of(self._contestant).work(job)
        match self._spoil:
            case "removed":
                os.unlink(job.output(3))
            case "cut short":
                os.truncate(job.output(3), 0)
            case "done twice":
                job.made.append(3)
        return {"seconds": 1.0, "cpu": 0.5, "made": job.made, "rpcs": {}}


@pytest.mark.parametrize(
    ("spoil", "lost", "twice"), [("nothing", 0, 0), ("removed", 1, 0), ("cut short", 1, 0), ("done twice", 0, 1)]
)
def test_a_lost_a_cut_and_a_repeated_item_are_noticed(tmp_path: Path, spoil: str, lost: int, twice: int) -> None:
    run = run_once(Broken(tmp_path, spoil), FLOORS[0], 10, 1)
    assert (run.lost, run.twice) == (lost, twice)


def test_a_contestant_that_fails_is_a_row_with_its_reason(tmp_path: Path) -> None:
    def fail(request: dict[str, object]) -> dict[str, object]:
        raise BenchError("it does not work here")

    place = Broken(tmp_path, "nothing")
    place.ask = fail  # type: ignore[method-assign]
    series = Campaign(place, 1, 0.1).measure(FLOORS[:1], 1)
    assert series[0].reason == "failed: it does not work here"
    assert throughput("", "", series, {}).rows[0][1] == "not available"


def test_a_ratio_is_that_of_one_round() -> None:
    floor, one = (Series(contestant, "here", 1) for contestant in FLOORS[:2])
    floor.runs = [Run(100, seconds, seconds, 0.0, 0, 0) for seconds in (1.0, 10.0)]
    one.runs = [Run(50, seconds, seconds, 0.0, 0, 0) for seconds in (1.0, 10.0)]
    assert one.ratios(floor, lambda run: run.seconds) == [2.0, 2.0]


def test_the_counter_tells_calls_below_the_directory_by_their_kind(tmp_path: Path) -> None:
    folder = tmp_path / "trace"
    folder.mkdir()
    lines = [
        f'link("{tmp_path}/run/a", "{tmp_path}/run/b") = 0',
        f'openat(AT_FDCWD<{tmp_path}>, "{tmp_path}/run/c", O_WRONLY|O_CREAT, 0666) = 3<{tmp_path}/run/c>',
        f"fsync(3<{tmp_path}/run/c>) = 0",
        f'newfstatat(3<{tmp_path}/run/c>, "", {{...}}, AT_EMPTY_PATH) = 0',
        f'lstat("{tmp_path}/run/d", 0x1) = -1 ENOENT (No such file or directory)',
        f'unlink("{tmp_path}/elsewhere/d") = 0',
        f"fcntl(3<{tmp_path}/run/c>, F_SETLK, {{...}}) = 0",
        f"close(3<{tmp_path}/run/c>) = 0",
    ]
    (folder / "t.1").write_text("\n".join(lines) + "\n")
    counted = calls.count(folder, f"{tmp_path}/run/")
    assert counted == {"changes": 2, "syncs": 1, "looks": 1, "other": 1, "free": 2}


def test_remote_calls_are_those_of_the_mount_below_which_a_directory_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statistics = tmp_path / "mountstats"
    block = (
        "device server:/ mounted on {} with fstype nfs4 statvers=1.1\n\tper-op statistics\n\t        LINK: {} 2 0 9\n"
    )
    statistics.write_text(
        "device x mounted on / with fstype ext4\n" + block.format("/mnt", 7) + block.format("/mnt/a", 3)
    )
    monkeypatch.setattr(rpcs, "STATISTICS", statistics)
    assert rpcs.rpcs_so_far("/mnt/a/b") == {"LINK": 3}
    assert rpcs.rpcs_so_far("/mnt/ab") == {"LINK": 7}
    assert rpcs.rpcs_so_far("/home") == {}


def test_chunks_and_results_become_rows_as_soon_as_items_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def items(self: object, sources: object, *, chunk: int = 1, results: bool = False) -> None: ...

    before = {row.key for row in ours.contestants()}
    monkeypatch.setattr(ours.MultiProcessHelper, "items", items)
    after = {row.key: row.floor for row in ours.contestants()}
    assert before <= set(after)
    assert {"ours-chunk": "floor", "ours-chunk-sync": "floor-sync"}.items() <= after.items()
    assert {"ours-results": "result", "ours-results-sync": "result-sync"}.items() <= after.items()


def test_every_contestant_names_a_floor_and_a_key_of_its_own() -> None:
    keys = [contestant.key for contestant in contestants.everybody()]
    assert len(set(keys)) == len(keys)
    assert {"floor", "floor-sync", "result", "result-sync", "ours", "ours-sync"} <= set(keys)
    peers = ("dirq", "flufl.lock", "filelock", "joblib", "Jug", "optuna", "task-queue")
    assert {contestant.distribution for contestant in contestants.PEERS} == {"", *peers}
    assert {contestant.floor for contestant in contestants.everybody()} <= {floor.key for floor in FLOORS}


# -- the large list


@pytest.fixture
def small_lists(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(million, "SMALL", 200)
    monkeypatch.setattr(million, "why_no_image", lambda root: "the test has no disk of its own")
    yield


def test_the_large_list_has_a_row_for_start_status_cleanup_and_journals(small_lists: None, tmp_path: Path) -> None:
    sizes = million.Sizes(600, 100, 30, 800)
    one, many = million.run(tmp_path, 1, million.large_lists, sizes)
    (journals,) = million.run(tmp_path, 1, million.journals, sizes)
    for table in (many, one):
        names = [row["what"] for row in table.data]
        assert {"floor", "first start, writes the plan", "later start", "mpt status"} <= set(names)
        assert {"mpt cleanup, nothing left over", "mpt cleanup, 30 left over"} <= set(names)
    assert [row["what"] for row in journals.data] == [
        "mpt status without them",
        "floor: parse every line",
        "mpt status",
    ]
    assert list(tmp_path.iterdir()) == []


def test_what_is_planted_is_what_a_cleanup_finds(small_lists: None, tmp_path: Path) -> None:
    large = million.Large(tmp_path / "run", 4, 100)
    million.make_done(large, 80)
    million.child("plant", large, 15)
    left = [path.name for path in (tmp_path / "run" / "out").rglob(".*.claim-1")]
    assert len(left) == 15
    million.command("cleanup", large, "--no-wait")
    ended = [path.name for path in (tmp_path / "run" / "out").rglob(".*.ended-1")]
    assert len(ended) == 15


def test_the_memory_of_a_command_is_its_own_and_not_that_of_who_asks(small_lists: None, tmp_path: Path) -> None:
    large = million.Large(tmp_path / "run", 1, 100)
    million.make_done(large, 99)
    million.child("helper", large)
    mine = bytearray(b"x" * (300 << 20))
    peak = million.command("status", large).peak_bytes
    assert 5 << 20 < peak < 150 << 20 < len(mine)


def test_a_round_begins_with_nothing_but_the_outputs(small_lists: None, tmp_path: Path) -> None:
    large = million.Large(tmp_path / "run", 4, 100)
    million.make_done(large, 80)
    million.child("plant", large, 15)
    assert (tmp_path / "run" / ".multiprocesstools").exists()
    million.keep("remove", large, 0)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["out"]
    assert len([path for path in (tmp_path / "run" / "out").rglob("*") if path.is_file()]) == 80
    million.keep("remove", large, 1)
    assert not (tmp_path / "run").exists()


def test_what_was_measured_is_saved_before_the_next_part_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(self: Bench, part: str) -> list[Table]:
        if part == "tmpfs":
            raise KeyboardInterrupt
        return [Table("what the disk does", "", ["a"], [["1"]], [])]

    monkeypatch.setattr(Bench, "run", run)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)  # ours, not that of these tests
    file = tmp_path / "saved.md"
    monkeypatch.setattr(sys, "argv", ["bench", "--only", "disk", "--only", "tmpfs", "--save", str(file)])
    with pytest.raises(KeyboardInterrupt):
        main()
    assert "what the disk does" in file.read_text() and "what the disk does" in file.with_suffix(".json").read_text()


# -- layouts


def test_in_every_layout_all_items_are_done_once_and_lie_where_the_layout_says(tmp_path: Path) -> None:
    rows = [*layouts.rows((1, 4), sync=False), *layouts.result_rows((4,), sync=False), layouts.thinking_floor(0.001)]
    with Folder("here", tmp_path, "a folder") as place:
        for row in rows:
            run = run_once(place, row, 40, 2)
            assert (run.lost, run.twice) == (0, 0), row.label
            job = Job(str(tmp_path), 40, 2, variant=row.variant)
            assert len({job.place(index) for index in range(40)}) == row.variant["folders"]
            assert run.cpu >= 40 * row.variant.get("think_seconds", 0)


def test_a_floor_gives_each_process_directories_of_its_own() -> None:
    jobs = [Job("", 40, 2, number, {"folders": 4}) for number in range(2)]
    first, second = ({job.place(index) for index in job.share()} for job in jobs)
    assert len(first) == len(second) == 2 and first.isdisjoint(second)
    assert sorted(index for job in jobs for index in job.share()) == list(range(40))
