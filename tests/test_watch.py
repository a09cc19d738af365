"""What is watched, and listed for a bar, while others work."""

import errno
import itertools
import os
import threading
import time
from pathlib import Path

import pytest

from multiprocesstools import MultiProcessHelper
from multiprocesstools.claims.posix import PosixDisk
from multiprocesstools.loop.order import FEW_FOLDERS
from multiprocesstools.loop.watch import Counting, Stillness, Watch
from multiprocesstools.plans.finals import Folder
from tests.disks import OutOfCache

BEAT = 20.0


def watch(folders: int, size: int = 3900, seed: str = "a") -> Watch:
    return Watch(dict.fromkeys(range(folders), size), seed, BEAT)


def test_a_few_directories_are_all_watched_and_as_often_as_wanted() -> None:
    watching = watch(3, size=30)
    assert sorted(watching.choose(range(3), 4)) == [0, 1, 2]
    assert watching.pause_seconds(0.1, 4) == 0.1


def test_what_is_watched_is_watched_until_it_is_over() -> None:
    watching, left = watch(256), set(range(256))
    first = watching.choose(left, 8)
    assert 1 < len(first) < 256 and watching.choose(left, 8) == first
    left.discard(first[0])
    then = watching.choose(left, 8)
    assert then[: len(first) - 1] == first[1:] and first[0] not in then


def test_hundreds_watch_one_directory_each_not_all_the_same_and_never_seldom() -> None:
    chosen = set()
    for number in range(512):
        watching = watch(256, seed=str(number))
        (folder,) = watching.choose(range(256), 512)
        chosen.add(folder)
        assert BEAT <= watching.pause_seconds(0.1, 512) <= 2 * BEAT, "silence is counted in rounds two beats apart"
    assert len(chosen) > 150


def test_the_server_is_asked_for_some_hundred_operations_a_second_by_all() -> None:
    for instances in (1, 8, 64, 256):
        watching = watch(256)
        watching.choose(range(256), instances)
        assert instances * watching.cost() / watching.pause_seconds(3.0, instances) <= 600


def test_only_among_very_many_the_first_look_waits() -> None:
    assert watch(256).first_pause_seconds(range(256), 512) > 3.0
    assert watch(3, size=30).first_pause_seconds(range(3), 4) == 0.0


def test_for_a_bar_few_directories_are_all_counted_and_many_in_turn() -> None:
    many = [Folder(f"/{number}", 0, ["x"] * 600) for number in range(100)]
    assert Counting(2.0).choose(many[: FEW_FOLDERS - 1], 1000) == many[: FEW_FOLDERS - 1]
    counting = Counting(2.0)
    one, two = counting.choose(many, 1), counting.choose(many, 1)
    assert one and two and not set(map(id, one)) & set(map(id, two))
    assert Counting(2.0).choose(many, 1000) == []
    counting = Counting(2.0)
    assert [len(counting.choose(many, 1000)) for _ in range(120)].count(1) > 1, "what is too much at once is saved for"


def test_a_directory_that_looks_the_same_for_long_is_due_ever_more_rarely() -> None:
    still = Stillness("me", beat_seconds=1.0)
    due = [second for second in range(2000) if still.is_due(0, 3, float(second))]
    gaps = [later - earlier for earlier, later in itertools.pairwise(due)]
    assert 4 <= due[0] <= 8
    assert all(1.8 * a <= b or b >= 64 for a, b in itertools.pairwise(gaps)) and max(gaps) <= 129
    assert not still.is_due(0, 2, 2000.0), "something has happened there"
    assert still.is_due(0, 2, 2008.0)


def test_an_item_is_seen_done_whose_final_came_in_the_tick_of_the_last_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner lives on, so nothing else would ever tell."""
    timing = {"beat_seconds": 0.1, "patience_seconds": 30.0}
    ended = threading.Event()

    def wait() -> None:
        with MultiProcessHelper("test", tmp_path, **timing) as other:
            assert not list(other.items(["x"], final="{value}.txt", directory="out", progress=False))
        ended.set()

    with MultiProcessHelper("test", tmp_path, **timing) as owner:
        for item in owner.items(["x"], final="{value}.txt", directory="out", progress=False):
            with item:
                monkeypatch.setattr("multiprocesstools.run.directory.PosixDisk", OutOfCache)
                threading.Thread(target=wait, daemon=True).start()
                time.sleep(0.3)
                assert not ended.is_set()
                item.path.touch()
        assert ended.wait(10)


class Full(PosixDisk):
    """No room for one more file among the outputs."""

    def create(self, path: str, data: bytes, *, durable: bool = False) -> None:
        if "/out/" in path:
            refused.append(path)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().create(path, data, durable=durable)


refused: list[str] = []


def test_one_that_waits_for_others_needs_no_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timing = {"beat_seconds": 0.1, "patience_seconds": 30.0}
    said: list[str] = []

    def wait() -> None:
        try:
            with MultiProcessHelper("test", tmp_path, **timing) as other:
                said.extend(map(str, other.items(["x"], final="{value}.txt", directory="out", progress=False)))
        except OSError as error:
            said.append(str(error))

    with MultiProcessHelper("test", tmp_path, **timing) as owner:
        for item in owner.items(["x"], final="{value}.txt", directory="out", progress=False):
            with item:
                monkeypatch.setattr("multiprocesstools.run.directory.PosixDisk", Full)
                waiting = threading.Thread(target=wait, daemon=True)
                waiting.start()
                deadline = time.monotonic() + 10
                while len(refused) < 2 and waiting.is_alive() and time.monotonic() < deadline:
                    time.sleep(0.05)
                item.path.touch()
    waiting.join(10)
    assert (said, waiting.is_alive()) == ([], False)
    assert len(refused) >= 2
