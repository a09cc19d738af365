"""Memory without a name, and the arrays that go through it beside a pickle."""

import gc
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multiprocesstools.errors import CannotBeSent
from multiprocesstools.workers import WorkerController
from multiprocesstools.workers.pools import line
from multiprocesstools.workers.pools.memory import Memory, MemoryGone
from multiprocesstools.workers.pools.packing import pack_function, pack_result, unpack_function, unpack_result

SIZE = 1 << 20


def bright(task: int, amount: Any, size: int = SIZE) -> Any:
    return {"frame": np.full(size, task, np.uint8) + amount[0], "name": f"frame {task}", "sum": amount.sum()}


def of_one_that_has_gone(task: int, mark: str) -> Any:
    """The first time, as of a worker that was killed when it had answered."""
    packed, memory = pack_result(np.arange(SIZE))
    assert memory is not None
    if os.path.exists(mark):
        return task
    Path(mark).touch()
    memory.close()
    return Opened(packed)


class Opened:
    """Comes out of its pickle as what is in it."""

    def __init__(self, packed: bytes) -> None:
        self.packed = packed

    def __reduce__(self) -> Any:
        return unpack_result, (self.packed,)


def blocks() -> list[str]:
    links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
    return [os.readlink(link) for link in links if os.path.islink(link) and "memfd" in os.readlink(link)]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each message that this process has sent or received."""
    sizes: list[int] = []
    send, hear = line.Line.send, line.Line.hear

    def sending(self: line.Line, word: int, number: int = 0, packed: bytes = b"", nanoseconds: int = 0) -> None:
        sizes.append(len(packed))
        send(self, word, number, packed, nanoseconds)

    def hearing(self: line.Line) -> list[line.Message]:
        messages = hear(self)
        sizes.extend(len(message.packed) for message in messages)
        return messages

    monkeypatch.setattr(line.Line, "send", sending)
    monkeypatch.setattr(line.Line, "hear", hearing)
    return sizes


def test_large_arrays_of_arguments_and_results_are_not_in_what_is_sent(sent: list[int]) -> None:
    amount = np.ones(SIZE, np.uint8)
    with WorkerController(2, bright, (amount,)) as controller:
        controller.add_tasks(range(4))
        results = dict(controller)
    assert [results[task]["name"] for task in range(4)] == [f"frame {task}" for task in range(4)]
    assert all(np.array_equal(results[task]["frame"], np.full(SIZE, task + 1)) for task in range(4))
    assert {int(results[task]["sum"]) for task in range(4)} == {SIZE}
    assert max(sent) < 10_000
    del controller
    gc.collect()  # its signals and its parts know each other
    assert blocks() == []


def test_small_ones_are(sent: list[int]) -> None:
    with WorkerController(1, bright, (np.ones(4, np.uint8), 20_000)) as controller:
        controller.add_task(1)
        assert len(dict(controller)[1]["frame"]) == 20_000
    assert max(sent) > 20_000


def test_what_waits_for_a_reader_is_counted_with_its_arrays() -> None:
    packed, memory = pack_result(np.zeros(SIZE, np.uint8))
    value, size = unpack_result(packed)
    assert memory is not None and len(packed) < 1000 < SIZE <= size == len(packed_inside(packed)) + SIZE
    assert value.flags.writeable and value.size == SIZE


def packed_inside(packed: bytes) -> bytes:
    inside: bytes = pickle.loads(packed).packed
    return inside


LARGE = np.arange(3 * SIZE // 8, dtype=float).reshape(3, -1)
ARRAYS = {
    "of a row": LARGE[0],
    "strided": LARGE[:, ::2],
    "backwards": LARGE[::-1],
    "turned": LARGE.T,
    "of dates": LARGE.astype("M8[s]"),
    "of records": LARGE.view([("x", "f8"), ("y", "f8")]),
    "big-endian": LARGE.astype(">f4"),
    "of one value": np.broadcast_to(np.float32(7), (300, 300)),
    "of objects": np.array([None, "x"] * 50_000, dtype=object),
    "masked": np.ma.masked_less(LARGE, 100),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_every_kind_of_array_comes_out_as_it_went_in(array: Any) -> None:
    packed, memory = pack_result([array, array, "beside"])
    (first, second, beside), _ = unpack_result(packed)
    assert beside == "beside" and first is second
    assert type(first) is type(array) and first.dtype == array.dtype and first.shape == array.shape
    assert np.array_equal(first, array) and (first.flags.writeable or array.dtype.hasobject)
    assert np.array_equal(np.ma.getmask(first), np.ma.getmask(array))
    if memory is not None:
        memory.close()


def test_an_argument_that_comes_by_name_or_by_value_is_laid_aside_once() -> None:
    function = pack_function(1, lambda task, array: array[task], (LARGE,), {})
    assert function.memory is not None and function.memory.size == LARGE.nbytes
    assert np.array_equal(unpack_function(function.packed)(1), LARGE[1])


def test_a_worker_that_is_killed_after_its_answer_costs_an_attempt_and_no_more(tmp_path: Path) -> None:
    with WorkerController(1, of_one_that_has_gone, (str(tmp_path / "mark"),)) as controller:
        controller.add_task(5)
        assert dict(controller) == {5: 5}
    assert (tmp_path / "mark").exists() and controller.failures == []


def test_a_result_that_cannot_be_pickled_is_an_error_that_says_so() -> None:
    with pytest.raises(CannotBeSent, match="result"):
        pack_result([LARGE, (x for x in ())])
    assert blocks() == []


def test_memory_that_was_let_go_is_not_mistaken_for_what_came_after_it() -> None:
    memory = Memory.make(10)
    reference = memory.reference
    with reference.open() as again:
        assert again.size == 10
    memory.close()
    with pytest.raises(MemoryGone, match="cannot be opened"):
        reference.open()
    other = Memory.make(10)
    assert other.reference.descriptor == reference.descriptor, "the number is given out again"
    with pytest.raises(MemoryGone, match="has let that memory go"):
        reference.open()
    assert other.size == 10


def test_what_is_shorter_than_was_said_is_an_error() -> None:
    memory = Memory.make()
    assert memory.append(memoryview(b"abc")) == 0 and memory.append(memoryview(b"de")) == 3
    whole = bytearray(5)
    memory.read(memoryview(whole), 0)
    assert whole == b"abcde"
    with pytest.raises(MemoryGone, match="shorter"):
        memory.read(memoryview(bytearray(6)), 0)
