"""Signals: slots that are called at once, queued to a thread, or awaited; and slots that raise."""

import asyncio
import gc
import threading
from typing import Any

import pytest

from multiprocesstools.errors import BadArgument
from multiprocesstools.workers import WorkerController, emit_queued
from multiprocesstools.workers.emitter import signal
from tests.workers import functions

SECONDS = 60.0


class Source:
    said = signal(int, str)


def elsewhere(call: Any, *args: Any) -> None:
    """Call it in another thread, and wait for that."""
    thread = threading.Thread(target=call, args=args)
    thread.start()
    thread.join()


def test_a_slot_takes_as_many_arguments_as_it_wants() -> None:
    source, heard = Source(), []
    source.said.connect(lambda: heard.append(()))
    source.said.connect(lambda number: heard.append((number,)))
    source.said.connect(lambda number, text: heard.append((number, text)))
    source.said.emit(1, "a")
    assert heard == [(), (1,), (1, "a")]
    with pytest.raises(ValueError, match="at least 3 positional arguments"):
        source.said.connect(lambda one, two, three: None)


def test_a_slot_that_raises_is_logged_and_the_others_are_called(caplog: pytest.LogCaptureFixture) -> None:
    source, heard = Source(), []

    def broken(number: int) -> None:
        raise ZeroDivisionError(number)

    source.said.connect(broken)
    source.said.connect(heard.append)
    source.said.emit(1, "a")
    source.said.emit(2, "b")
    assert heard == [1, 2]
    assert "a slot of said has raised" in caplog.text
    assert "ZeroDivisionError: 2" in caplog.text


def test_slots_are_disconnected_and_methods_of_dead_objects_are_not_called() -> None:
    class Receiver:
        def hear(self, number: int) -> None:
            heard.append(number)

    source, heard, receiver = Source(), [], Receiver()
    source.said.connect(receiver.hear)
    source.said.connect(heard.append)
    source.said.emit(1, "")
    source.said.disconnect(heard.append)
    del receiver
    gc.collect()
    source.said.emit(2, "")
    assert heard == [1, 1]


def test_a_queued_slot_is_called_in_its_thread(caplog: pytest.LogCaptureFixture) -> None:
    source, heard = Source(), []

    @source.said.connect(thread="main")
    def note(number: int) -> None:
        heard.append((number, threading.current_thread().name))
        if number == 1:
            raise ZeroDivisionError

    elsewhere(source.said.emit, 1, "")
    elsewhere(source.said.emit, 2, "")
    assert heard == []
    emit_queued()
    assert heard == [(1, "MainThread"), (2, "MainThread")]
    assert "ZeroDivisionError" in caplog.text


def test_a_coroutine_function_is_awaited_in_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    source, heard = Source(), []

    async def main() -> None:
        over = asyncio.Event()

        async def hear(number: int) -> None:
            await asyncio.sleep(0)
            heard.append((number, threading.current_thread().name))
            if number == 1:
                raise ZeroDivisionError
            over.set()

        source.said.connect(hear)
        elsewhere(source.said.emit, 1, "")
        elsewhere(source.said.emit, 2, "")
        await asyncio.wait_for(over.wait(), SECONDS)
        source.said.disconnect(hear)
        elsewhere(source.said.emit, 3, "")
        await asyncio.sleep(0.05)

    asyncio.run(main())
    assert heard == [(1, "MainThread"), (2, "MainThread")]
    assert "ZeroDivisionError" in caplog.text


def test_a_coroutine_function_without_a_loop_is_refused() -> None:
    async def hear(number: int) -> None: ...

    with pytest.raises(BadArgument, match="connect it in a coroutine"):
        Source().said.connect(hear)


def test_a_pool_can_be_awaited() -> None:
    async def main() -> list[tuple[int, int]]:
        over, results = asyncio.Event(), []

        async def hear(task: int, result: int) -> None:
            results.append((task, result))

        async def end() -> None:
            over.set()

        controller = WorkerController(1, functions.double)
        controller.sig_results.connect(hear)
        controller.finished.connect(end)
        controller.add_tasks(range(5))
        controller.start()
        controller.finalize_tasks()
        await asyncio.wait_for(over.wait(), SECONDS)
        assert await asyncio.to_thread(controller.join)
        return results

    assert asyncio.run(main()) == [(task, 2 * task) for task in range(5)]
