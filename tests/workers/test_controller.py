"""The controller: tasks in, results and failures out, by iteration and by signals."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from multiprocesstools.errors import (
    BadArgument,
    CannotBeSent,
    FunctionFailed,
    TasksBroken,
    TaskTimeout,
    WorkerKilled,
    WrongState,
)
from multiprocesstools.workers import WorkerController
from multiprocesstools.workers.pools.line import DONE, FAILED
from multiprocesstools.workers.pools.pool import Event, Pool
from tests.processes import wait_until
from tests.workers import functions

SECONDS = 60.0
"""Longer than anything here takes on a busy machine."""


def heard(signal: Any) -> list[tuple[Any, ...]]:
    """What a signal has said, from now on."""
    emissions: list[tuple[Any, ...]] = []
    signal.connect(lambda *args: emissions.append(args))
    return emissions


class TestResults:
    def test_each_task_comes_with_its_result(self) -> None:
        with WorkerController(2, functions.double) as controller:
            controller.add_tasks(range(20))
            controller.add_task(20)
            assert sorted(controller) == [(task, 2 * task) for task in range(21)]
            assert controller.progress == 1.0

    def test_ordered_results_come_in_the_order_of_the_tasks(self) -> None:
        with WorkerController(3, functions.fail_on_each_hundredth, max_attempts=1) as controller:
            controller.add_tasks(range(301))
            got = list(controller.results(ordered=True))
        assert got == [(task, 2 * task) for task in range(301) if task % 100]

    @pytest.mark.parametrize("ordered", [False, True])
    def test_more_results_than_may_wait_all_reach_the_reader(
        self, ordered: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("multiprocesstools.workers.pools.outbox._MOST_RESULTS", 3)
        with WorkerController(2, functions.double) as controller:
            controller.add_tasks(range(200))
            assert sorted(controller.results(ordered=ordered)) == [(task, 2 * task) for task in range(200)]

    def test_arguments_are_given_by_position_and_by_name(self) -> None:
        with WorkerController(1, functions.add, (5,), {"factor": 10}) as controller:
            controller.add_tasks([1, 2])
            assert list(controller) == [(1, 60), (2, 70)]

    def test_results_that_nobody_has_read_are_there_after_the_end(self) -> None:
        with WorkerController(2, functions.double) as controller:
            controller.add_tasks(range(10))
        assert sorted(controller) == [(task, 2 * task) for task in range(10)]
        assert list(controller) == []

    def test_tasks_may_be_added_while_results_are_read(self) -> None:
        with WorkerController(1, functions.double) as controller:
            controller.add_task(1)
            seen = []
            for _, result in controller:
                seen.append(result)
                if result < 20:
                    controller.add_task(result)
        assert seen == [2, 4, 8, 16, 32]

    def test_none_is_a_task_as_any_other(self) -> None:
        with WorkerController(1, functions.die, ("not",)) as controller:
            controller.add_tasks([None, 1, None])
            assert list(controller) == [(None, None), (1, 1), (None, None)]

    def test_what_is_larger_than_a_pipe_goes_both_ways(self) -> None:
        size = 30 << 20
        with WorkerController(2, functions.bytes_of, (size,)) as controller:
            controller.add_tasks(range(4))
            assert all(result == bytes([task]) * size for task, result in controller)
            controller.suspend()
            controller.change_function(functions.size_of)
            controller.restart()
            controller.add_task(bytes(size))
            assert [result for _, result in controller] == [size]

    def test_functions_of_a_console_and_closures_are_sent_with_their_code(self) -> None:
        offset = 7
        with WorkerController(1, lambda task: task + offset) as controller:
            controller.add_task(1)
            assert list(controller) == [(1, 8)]

    def test_objects_of_local_classes_come_back_as_what_they_were(self) -> None:
        class Point:
            def __init__(self, x: int) -> None:
                self.x = x

        with WorkerController(1, lambda point: Point(point.x + 1)) as controller:
            controller.add_task(Point(1))
            ((task, result),) = list(controller)
        assert type(result) is Point
        assert (task.x, result.x) == (1, 2)

    @pytest.mark.parametrize("method", ["fork", "forkserver"])
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
    def test_other_start_methods_do_the_same(self, method: str) -> None:
        with WorkerController(2, functions.double, start_method=method) as controller:
            controller.add_tasks(range(10))
            assert sorted(controller) == [(task, 2 * task) for task in range(10)]

    def test_a_million_tasks_are_drawn_as_they_are_needed(self) -> None:
        drawn = [0]

        def tasks() -> Iterator[int]:
            for task in range(1_000_000):
                drawn[0] += 1
                yield task

        with WorkerController(2, functions.double) as controller:
            controller.add_tasks(tasks())
            for number, _ in enumerate(controller):
                assert drawn[0] <= number + 1100
                if number == 3000:
                    break
            assert 3000 < drawn[0] < 5000
            assert 0 < controller.progress < 1
            controller.stop()

    def test_a_list_that_changes_later_was_copied_and_an_array_is_drawn(self) -> None:
        tasks = [1, 2]
        with WorkerController(1, functions.double) as controller:
            controller.add_tasks(tasks)
            tasks.clear()
            controller.add_tasks(numpy.arange(3))
            controller.add_tasks(range(10**12))
            reader = controller.results()
            assert [next(reader) for _ in range(8)] == [(task, 2 * task) for task in (1, 2, 0, 1, 2, 0, 1, 2)]
            controller.stop()

    def test_an_iterable_that_waits_does_not_hold_up_results(self) -> None:
        more = threading.Event()

        def tasks() -> Iterator[int]:
            yield 1
            assert more.wait(SECONDS)
            yield 2

        with WorkerController(1, functions.double) as controller:
            controller.add_tasks(tasks())
            reader = controller.results()
            assert next(reader) == (1, 2)
            more.set()
            assert list(reader) == [(2, 4)]


class TestSignals:
    def test_they_tell_of_results_progress_failures_messages_and_the_end(self) -> None:
        controller = WorkerController(1, functions.speak)
        results, progress = heard(controller.sig_results), heard(controller.sig_progress)
        messages, ends = heard(controller.sig_message_from_worker), heard(controller.finished)
        also_ends = heard(controller.sig_finished)
        assert controller.progress == -1
        controller.add_tasks([1, 2])
        controller.start()
        controller.finalize_tasks()
        assert controller.join(SECONDS)
        assert results == [(1, 1), (2, 2)]
        assert progress == [(0.5,), (1.0,)]
        assert messages == [("task 1",), ("task 2",)]
        assert ends == also_ends == [()]
        assert not controller.is_alive()
        assert not controller.isRunning()

    def test_what_went_to_slots_is_not_kept(self, caplog: pytest.LogCaptureFixture) -> None:
        controller = WorkerController(1, functions.double)
        results = heard(controller.sig_results)
        with controller:
            controller.add_tasks(range(5))
            controller.finalize_tasks()
            controller.join()
        assert len(results) == 5
        assert list(controller) == []
        assert "5 results went to the slots" in caplog.text

    def test_who_iterates_from_the_start_has_both(self) -> None:
        controller = WorkerController(1, functions.double)
        results = heard(controller.sig_results)
        reader = controller.results()
        with controller:
            controller.add_tasks(range(5))
            assert list(reader) == results

    def test_a_slot_that_raises_is_logged_and_the_run_goes_on(self, caplog: pytest.LogCaptureFixture) -> None:
        def broken(task: int, result: int) -> None:
            raise ZeroDivisionError("in the slot")

        controller = WorkerController(1, functions.double)
        controller.sig_results.connect(broken)
        results = heard(controller.sig_results)
        with controller:
            controller.add_tasks(range(3))
        assert len(results) == 3
        assert caplog.text.count("ZeroDivisionError: in the slot") == 3

    def test_what_is_counted_was_reported(self) -> None:
        controller = WorkerController(2, functions.double)
        results, counted = heard(controller.sig_results), []
        controller.sig_progress.connect(lambda progress: counted.append((progress, len(results))))
        with controller:
            controller.add_tasks(range(20))
            wait_until(lambda: controller.progress == 1, "all is counted", SECONDS)
            assert len(results) == 20
        assert counted == [(number / 20, number) for number in range(1, 21)]

    def test_a_slot_may_stop_the_run(self) -> None:
        controller = WorkerController(2, functions.double)
        controller.sig_results.connect(lambda task, result: controller.stop())
        ends = heard(controller.finished)
        controller.add_tasks(range(1000))
        controller.start()
        controller.finalize_tasks()
        assert controller.join(SECONDS)
        assert ends == [()]

    @pytest.mark.parametrize("reads", ["afterwards", "meanwhile"])
    def test_what_came_together_with_the_failure_that_stops_the_run_can_be_read_in_order(
        self, monkeypatch: pytest.MonkeyPatch, reads: str
    ) -> None:
        wait, held = Pool.wait, list[Event]()

        def wait_for_both(pool: Pool) -> list[Event]:
            """The failure comes together with a result after it."""
            events = held + wait(pool)
            held.clear()
            words = [event.word for event in events]
            if FAILED in words and DONE not in words:
                held.extend(events)
                return []
            return sorted(events, key=lambda event: event.word != FAILED)

        def stop(*_: object) -> None:
            controller.stop()
            time.sleep(0.2)  # a reader looks whether anything will come

        monkeypatch.setattr(Pool, "wait", wait_for_both)
        controller = WorkerController(1, functions.fail_on_each_hundredth, max_attempts=1, start_method="fork")
        controller.sig_failed.connect(stop)
        controller.add_tasks(range(100, 200))
        controller.finalize_tasks()
        controller.start()
        read = [task for task, _ in controller.results(ordered=True)] if reads == "meanwhile" else []
        assert controller.join(SECONDS)
        read += [task for task, _ in controller.results(ordered=True)]
        assert read and read == list(range(101, 101 + len(read)))
        assert list(controller.results()) == []
        assert controller._desk.tally.settled == 1 + len(read)

    def test_a_slot_that_has_stopped_the_run_may_read_what_is_there(self) -> None:
        read: list[Any] = []

        def stop_and_read(*_: object) -> None:
            controller.stop()
            read.append(list(controller.results()))

        controller = WorkerController(2, functions.fail_on_each_hundredth, max_attempts=1)
        controller.sig_failed.connect(stop_and_read)
        controller.add_tasks(range(98, 200))
        controller.start()
        controller.finalize_tasks()
        assert controller.join(SECONDS)
        assert len(read) == 1

    def test_a_slot_that_does_not_return_keeps_no_process_alive(self) -> None:
        hold = threading.Event()
        entered = threading.Event()

        def slot(task: int, result: int) -> None:
            entered.set()
            hold.wait(SECONDS)

        controller = WorkerController(2, functions.double)
        controller.sig_results.connect(slot)
        controller.add_tasks(range(10))
        controller.start()
        assert entered.wait(SECONDS)
        began = time.monotonic()
        controller.stop()
        assert time.monotonic() - began < 10
        hold.set()
        assert controller.join(SECONDS)

    def test_a_slot_may_begin_anew_when_all_is_done(self) -> None:
        controller = WorkerController(1, functions.double)
        ends = []

        def again() -> None:
            ends.append(controller.progress)
            if len(ends) < 3:
                controller.restart()
                controller.add_task(1)
                controller.finalize_tasks()

        controller.finished.connect(again)
        controller.start()
        controller.finalize_tasks()
        wait_until(lambda: len(ends) == 3, "three runs", SECONDS)
        assert controller.join(SECONDS)
        assert ends == [-1, 1, 1]


class TestFailures:
    @pytest.mark.parametrize(
        ("how", "error", "words"),
        [
            ("exit", WorkerKilled, "exit code 3"),
            ("sys.exit", SystemExit, "4"),
            ("kill", WorkerKilled, "SIGKILL"),
            ("segfault", WorkerKilled, "SIGSEGV"),
            ("memory", MemoryError, ""),
        ],
    )
    def test_a_task_that_ends_its_worker_fails_alone(self, how: str, error: type, words: str) -> None:
        controller = WorkerController(2, functions.double, max_attempts=2)
        failed = heard(controller.sig_failed)
        with controller:
            controller.add_tasks(range(5))
            assert len(list(controller)) == 5
            controller.suspend()
            controller.change_function(functions.die, how)
            controller.restart()
            controller.add_task(0)
            assert list(controller) == []
            (failure,) = controller.failures
            assert (failure.task, failure.attempts) == (0, 2)
            assert type(failure.error) is error
            assert words in str(failure.error)
            assert failed == [(0, failure.error)]
            controller.suspend()
            controller.change_function(functions.double)
            controller.restart()
            controller.add_tasks(range(5))
            assert len(list(controller)) == 5

    def test_an_exception_comes_with_the_traceback_of_the_worker(self) -> None:
        with WorkerController(1, functions.fail_on_each_hundredth) as controller:
            controller.add_tasks([100])
        (failure,) = controller.failures
        assert type(failure.error) is ValueError
        assert failure.attempts == 3
        assert "in fail_on_each_hundredth" in failure.traceback
        assert "in fail_on_each_hundredth" in failure.error.__notes__[0]

    def test_an_exception_that_cannot_be_unpickled_comes_as_words(self) -> None:
        with WorkerController(1, functions.raise_stubborn, max_attempts=1) as controller:
            controller.add_task(1)
        (failure,) = controller.failures
        assert isinstance(failure.error, FunctionFailed)
        assert "Stubborn: 1 and 1" in str(failure.error)
        assert "in raise_stubborn" in failure.traceback

    def test_what_cannot_be_pickled_fails_alone_and_once(self) -> None:
        with WorkerController(1, functions.unpicklable) as controller:
            controller.add_tasks([1, 2])
        with WorkerController(1, functions.die, ("not",)) as other:
            other.add_tasks([1, threading.Lock(), 2])
            assert [task for task, _ in other] == [1, 2]
        (task,) = other.failures
        results = controller.failures
        assert [failure.attempts for failure in [*results, task]] == [1, 1, 1]
        assert all(isinstance(failure.error, CannotBeSent) for failure in [*results, task])
        assert "the task, of type _thread.lock, cannot be pickled" in str(task.error)
        assert "the result, of type _thread.lock, cannot be pickled" in str(results[0].error)

    def test_a_task_that_takes_too_long_is_ended_and_the_others_go_on(self, tmp_path: Path) -> None:
        """Also one that holds the interpreter's lock and ignores signals."""
        controller = WorkerController(2, functions.ignore_everything, (str(tmp_path / "x"),), timeout=0.5)
        with controller:
            controller.add_task(0)
            assert list(controller) == []
            controller.suspend()
            controller.change_function(functions.double)
            controller.restart()
            controller.add_tasks([1, 2])
            assert len(list(controller)) == 2
        (failure,) = controller.failures
        assert isinstance(failure.error, TaskTimeout)
        assert "0.5 s" in str(failure.error)
        assert failure.attempts == 3

    def test_a_killed_worker_costs_an_attempt_and_no_result(self, tmp_path: Path) -> None:
        with WorkerController(2, functions.die_once, (str(tmp_path),)) as controller:
            controller.add_tasks(range(9))
            assert sorted(controller) == [(task, task) for task in range(9)]
        assert controller.failures == []

    def test_a_worker_that_is_killed_in_the_middle_of_a_large_result_harms_no_other(self) -> None:
        """Pools that share a pipe hang here."""
        with WorkerController(2, functions.die_while_sending, (300 << 20,), max_attempts=1) as controller:
            controller.add_tasks([0])
            assert list(controller) == []
            controller.suspend()
            controller.change_function(functions.double)
            controller.restart()
            controller.add_tasks(range(10))
            assert len(list(controller)) == 10
        (failure,) = controller.failures
        assert "SIGALRM" in str(failure.error)


class TestLife:
    def test_suspend_lets_finish_what_is_in_work_and_restart_goes_on(self, tmp_path: Path) -> None:
        path = tmp_path / "go"
        controller = WorkerController(1, functions.wait_for, (str(path),))
        with controller:
            controller.add_tasks(range(5))
            wait_until(Path(f"{path}.begun").exists, "a task has begun")
            assert not controller.suspend(timeout=0.05)
            path.touch()
            assert controller.suspend(timeout=SECONDS)
            assert controller.is_alive()
            assert not controller.isRunning()
            assert controller.progress == 0.2
            assert list(controller) == [(0, 0)]
            controller.restart()
            assert [task for task, _ in controller] == [1, 2, 3, 4]

    def test_results_of_an_earlier_function_are_not_counted_to_the_next(self) -> None:
        controller = WorkerController(2, functions.double)
        controller.start()
        controller.add_tasks(range(10))
        assert len(list(controller)) == 10
        controller.suspend()
        controller.change_function(functions.add, 100)
        assert controller.progress == -1
        controller.add_tasks([1])
        assert controller.progress == 0
        controller.restart()
        assert list(controller) == [(1, 101)]
        assert controller.progress == 1
        controller.stop()

    def test_a_task_is_done_by_the_function_it_was_added_for(self, tmp_path: Path) -> None:
        path = tmp_path / "go"
        controller = WorkerController(1, functions.wait_for, (str(path),))
        with controller:
            controller.add_tasks([1, 2])
            wait_until(Path(f"{path}.begun").exists, "a task has begun")
            path.touch()
            controller.suspend()
            controller.change_function(functions.double)
            controller.add_tasks([3])
            controller.restart()
            assert sorted(controller) in ([(2, 2), (3, 6)], [(1, 1), (2, 2), (3, 6)])

    def test_a_finished_and_a_stopped_pool_begin_anew(self) -> None:
        controller = WorkerController(1, functions.double)
        with controller:
            controller.add_task(1)
        for task in (2, 3):
            controller.restart()
            controller.add_task(task)
            assert [pair for pair in controller if pair[0] == task] == [(task, 2 * task)]
            controller.stop()

    def test_what_stop_has_dropped_is_not_counted_after_a_restart(self, tmp_path: Path) -> None:
        path = tmp_path / "go"
        controller = WorkerController(1, functions.wait_for, (str(path),))
        controller.add_tasks(range(5))
        controller.start()
        wait_until(Path(f"{path}.begun").exists, "a task has begun")
        controller.stop()
        path.touch()
        controller.restart()
        controller.add_task(7)
        assert list(controller) == [(7, 7)]
        assert controller.progress == 1
        controller.stop()

    @pytest.mark.parametrize("suspended", [False, True], ids=["restart", "suspend and restart"])
    def test_a_pool_begins_anew_while_a_slot_hears_of_its_end_and_calls_it(self, suspended: bool) -> None:
        """The slot comes to its call while the other thread is in restart."""
        controller = WorkerController(1, functions.double)
        entered, begun = threading.Event(), threading.Event()

        def hear() -> None:
            entered.set()
            begun.wait(0.5)
            controller.send_stop_signal()

        def again() -> None:
            if suspended:
                controller.suspend()
            controller.restart()
            begun.set()
            controller.add_task(2)

        controller.finished.connect(hear)
        controller.start()
        controller.finalize_tasks()
        assert entered.wait(SECONDS)
        thread = threading.Thread(target=again, daemon=True)
        thread.start()
        thread.join(SECONDS)
        assert not thread.is_alive()
        assert list(controller) == [(2, 4)]
        controller.finished.disconnect()
        controller.stop()

    def test_send_stop_signal_lets_the_current_call_finish(self, tmp_path: Path) -> None:
        path = tmp_path / "go"
        controller = WorkerController(1, functions.wait_for, (str(path),))
        controller.add_tasks(range(5))
        controller.start()
        wait_until(Path(f"{path}.begun").exists, "a task has begun")
        controller.send_stop_signal()
        assert controller.is_alive()
        path.touch()
        assert controller.join(SECONDS)
        assert list(controller) == [(0, 0)]

    def test_stop_ends_tasks_in_work_and_what_they_have_started(self, tmp_path: Path) -> None:
        path = tmp_path / "x"
        controller = WorkerController(1, functions.start_a_program, (str(path),))
        controller.add_tasks(range(5))
        controller.start()
        program = Path(f"{path}.program")
        wait_until(lambda: program.exists() and program.read_text(), "the program was started")
        controller.stop()
        wait_until(lambda: not _runs(int(program.read_text())), "the program has gone")
        assert not controller.is_alive()
        assert list(controller) == []

    def test_what_a_killed_worker_had_started_is_ended(self, tmp_path: Path) -> None:
        path = tmp_path / "x"
        function = functions.start_a_program_and_die
        with WorkerController(1, function, (str(path),), max_attempts=1) as controller:
            controller.add_task(1)
            assert list(controller) == []
            program = int(Path(f"{path}.program").read_text())
            wait_until(lambda: not _runs(program), "the program has gone")

    def test_an_exception_in_the_block_stops_the_pool(self, tmp_path: Path) -> None:
        controller = WorkerController(1, functions.wait_for, (str(tmp_path / "never"),))
        with pytest.raises(ZeroDivisionError), controller:
            controller.add_task(0)
            raise ZeroDivisionError
        assert not controller.is_alive()

    def test_an_idle_pool_takes_no_time_of_the_processor(self) -> None:
        with WorkerController(2, functions.double) as controller:
            controller.add_tasks(range(10))
            assert len(list(controller)) == 10
            assert any(_part_used(controller) < 0.01 for _ in range(5))


class TestBadInput:
    @pytest.mark.parametrize("number", [0, -1, 1.5, "2", True])
    def test_a_number_of_workers_is_a_whole_number_from_1_on(self, number: Any) -> None:
        with pytest.raises(BadArgument, match="n_workers"):
            WorkerController(number, functions.double)

    @pytest.mark.parametrize(
        "options",
        [{"timeout": 0}, {"timeout": "1"}, {"max_attempts": 0}, {"start_method": "thread"}],
        ids=str,
    )
    def test_other_arguments_are_checked_too(self, options: Any) -> None:
        with pytest.raises(BadArgument, match=next(iter(options))):
            WorkerController(1, functions.double, **options)

    def test_a_function_that_cannot_be_called_or_sent_is_said_at_once(self) -> None:
        lock = threading.Lock()
        with pytest.raises(BadArgument, match="function"):
            WorkerController(1, 5)
        with pytest.raises(BadArgument, match="cannot be sent"):
            WorkerController(1, functions.add, (lock,))
        with pytest.raises(BadArgument, match="cannot be sent"):
            WorkerController(1, lambda task: lock)

    def test_a_pool_without_a_function_does_not_start_tasks(self) -> None:
        controller = WorkerController(1)
        controller.add_tasks([1, 2])
        with pytest.raises(WrongState, match=r"change_function\(\)"):
            controller.start()
        controller.change_function(functions.double)
        with controller:
            assert list(controller) == [(1, 2), (2, 4)]

    def test_tasks_after_the_end_and_after_stop_are_refused(self) -> None:
        controller = WorkerController(1, functions.double)
        with controller:
            pass
        with pytest.raises(WrongState, match=r"add_task\(\).*has finished.*restart"):
            controller.add_task(1)
        controller.restart()
        controller.stop()
        for add in (controller.add_task, controller.add_tasks):
            with pytest.raises(WrongState, match=r"was stopped.*restart\(\)"):
                add([1])

    def test_tasks_are_finalized_once(self) -> None:
        with WorkerController(1, functions.double) as controller:
            controller.finalize_tasks()
            for act in (controller.finalize_tasks, lambda: controller.add_task(1)):
                with pytest.raises(WrongState):
                    act()

    def test_start_twice_and_calls_before_start_are_refused(self) -> None:
        controller = WorkerController(1, functions.double)
        for act in (
            controller.stop, controller.suspend, controller.restart, controller.join, controller.send_stop_signal,
            lambda: next(controller.results()),
        ):  # fmt: skip
            with pytest.raises(WrongState, match="was not started"):
                act()
        with controller:
            with pytest.raises(WrongState, match=r"start\(\).*is running.*restart"):
                controller.start()
            with pytest.raises(WrongState, match="is running"):
                controller.restart()

    def test_a_function_is_not_changed_while_it_runs(self, tmp_path: Path) -> None:
        path = tmp_path / "go"
        with WorkerController(1, functions.wait_for, (str(path),)) as controller:
            controller.add_tasks([1, 2])
            with pytest.raises(WrongState, match=r"suspend\(\)"):
                controller.change_function(functions.double)
            path.touch()
            assert list(controller) == [(1, 1), (2, 2)]

    def test_join_does_not_wait_for_what_cannot_come(self) -> None:
        controller = WorkerController(1, functions.double)
        with controller:
            with pytest.raises(WrongState, match="finalize_tasks"):
                controller.join()
            assert not controller.join(timeout=0.01)
            controller.suspend()
            controller.finalize_tasks()
            with pytest.raises(WrongState, match="is suspended"):
                controller.join()
            controller.restart()
            assert controller.join(SECONDS)

    def test_an_iterable_that_raises_ends_the_run_with_its_error_and_all_that_it_gave(self) -> None:
        def tasks() -> Iterator[int]:
            yield from range(5)
            raise OSError("the disk has gone")

        controller = WorkerController(2, functions.double)
        results = heard(controller.sig_results)
        with pytest.raises(TasksBroken, match="the disk has gone after 5 tasks") as error, controller:
            controller.add_tasks(tasks())
        assert isinstance(error.value.__cause__, OSError)
        assert len(results) == 5

    def test_what_is_no_iterable_is_refused(self) -> None:
        with WorkerController(1, functions.double) as controller, pytest.raises(BadArgument, match="tasks"):
            controller.add_tasks(5)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _part_used(controller: WorkerController) -> float:
    """Which part of a second the pool and this process have worked while nothing was to be done."""
    pids = [worker.process.pid for worker in controller._shift._pool.workers]
    before, began = time.process_time() + sum(map(_seconds, pids)), time.monotonic()
    controller.join(timeout=1.5)
    used = time.process_time() + sum(map(_seconds, pids)) - before
    return used / (time.monotonic() - began)


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
