"""A bell wakes one thread, and never keeps it waiting for longer than it wanted to."""

import signal
import threading
import time
from pathlib import Path

from multiprocesstools.bell import Bell

PACKAGE = Path(__file__).parent.parent / "multiprocesstools"
ROUNDS = 50_000
TINY_SECONDS = 1e-6
LONG_SECONDS = 60.0


def test_a_ring_ends_the_wait_and_several_are_one() -> None:
    bell = Bell()
    assert not bell.wait(0.0)
    bell.ring()
    bell.ring()
    assert bell.wait(LONG_SECONDS)
    assert not bell.wait(0.01)


def test_another_thread_wakes_one_that_waits() -> None:
    bell, heard = Bell(), threading.Event()
    thread = threading.Thread(target=lambda: bell.wait(LONG_SECONDS) and heard.set())
    thread.start()
    time.sleep(0.05)
    bell.ring()
    assert heard.wait(LONG_SECONDS)
    thread.join()


def test_a_handler_of_a_signal_may_ring_while_its_thread_waits_or_rings() -> None:
    bell, handled = Bell(), 0

    def handle(number: int, frame: object) -> None:
        nonlocal handled
        handled += 1
        bell.ring()

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
    try:
        while handled < 200:
            bell.ring()
            bell.wait(1e-3)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_wait_that_is_over_before_it_has_begun_ends() -> None:
    """`SimpleQueue.get` of Python 3.11 and 3.12 does not come back from one of some thousand."""
    bell, done = Bell(), threading.Event()

    def listen() -> None:
        for _ in range(ROUNDS):
            bell.ring()
            assert bell.wait(TINY_SECONDS)
            assert not bell.wait(TINY_SECONDS)
        done.set()

    threading.Thread(target=listen, daemon=True).start()
    assert done.wait(LONG_SECONDS)


def test_nobody_waits_for_a_queue_with_a_timeout() -> None:
    assert [path.name for path in PACKAGE.rglob("*.py") if ".get(timeout=" in path.read_text()] == []
