"""How many trivial tasks a second pools do: `WorkerController`, the `Pool` beneath it, and those of others, in one run.

Each contestant starts its workers, does one round that does not count, and then its rounds, in turn with all others.
A task is a whole number, its result the next one; each result is checked. Every pool is used one task at a time
(chunks of 1), as `WorkerController` works, unless its row says otherwise.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from multiprocesstools.workers import WorkerController
from multiprocesstools.workers.line import DONE
from multiprocesstools.workers.packing import pack, pack_function, unpack
from multiprocesstools.workers.pool import Pool
from multiprocesstools.workers.staff import Job
from scripts.bench_files.machine import facts, versions

Round = Callable[[int], int]  # a number of tasks -> the sum of their results


def successor(task: int) -> int:
    return task + 1


@contextmanager
def controller(workers: int) -> Iterator[Round]:
    with WorkerController(workers, successor) as pool:

        def work(n: int) -> int:
            results = pool.results()
            pool.add_tasks(range(n))
            return sum(result for _, result in results)

        yield work


@contextmanager
def controller_with_a_slot(workers: int) -> Iterator[Round]:
    import threading

    with WorkerController(workers, successor) as pool:
        total, left, done = 0, 0, threading.Event()

        def hear(_task: int, result: int) -> None:
            nonlocal total, left
            total, left = total + result, left - 1
            if left == 0:
                done.set()

        def work(n: int) -> int:
            nonlocal total, left
            total, left = 0, n
            done.clear()
            pool.add_tasks(range(n))
            done.wait()
            return total

        pool.sig_results.connect(hear)
        yield work


@contextmanager
def our_pool(workers: int) -> Iterator[Round]:
    pool, function = Pool(workers), pack_function(1, successor, (), {})
    pool.fill()
    try:

        def work(n: int) -> int:
            total, settled, given = 0, 0, 0
            while settled < n:
                while given < n and (room := pool.look_for_room()):
                    tasks = range(given, min(n, given + room))
                    given += pool.give([(Job(task, task, function), pack(task, "task")) for task in tasks])
                for event in pool.wait():
                    if event.word == DONE:
                        total, settled = total + unpack(event.packed), settled + 1
            return total

        yield work
    finally:
        pool.close(kill=False)


@contextmanager
def futures(workers: int) -> Iterator[Round]:
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield lambda n: sum(pool.map(successor, range(n)))


@contextmanager
def multiprocessing_pool(workers: int) -> Iterator[Round]:
    from multiprocessing import get_context

    with get_context("spawn").Pool(workers) as pool:
        yield lambda n: sum(pool.imap_unordered(successor, range(n)))
        pool.close()
        pool.join()


@contextmanager
def joblib_loky(workers: int, batch: Any) -> Iterator[Round]:
    from joblib import Parallel, delayed

    with Parallel(workers, batch_size=batch, return_as="generator_unordered") as pool:
        yield lambda n: sum(pool(delayed(successor)(task) for task in range(n)))


@contextmanager
def pebble_pool(workers: int) -> Iterator[Round]:
    from multiprocessing import get_context

    from pebble import ProcessPool

    with ProcessPool(workers, context=get_context("spawn")) as pool:
        yield lambda n: sum(pool.map(successor, range(n), chunksize=1).result())


CONTESTANTS: dict[str, Callable[[int], Any]] = {
    "WorkerController, iterated over": controller,
    "WorkerController, a slot": controller_with_a_slot,
    "workers.pool.Pool, which it uses": our_pool,
    "concurrent.futures, map": futures,
    "multiprocessing.Pool, imap_unordered": multiprocessing_pool,
    "joblib (loky), batches of 1": lambda workers: joblib_loky(workers, 1),
    "joblib (loky), batches of its choice": lambda workers: joblib_loky(workers, "auto"),
    "pebble, map": pebble_pool,
}
FLOOR = "workers.pool.Pool, which it uses"


def measured(tasks: int, workers: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round."""
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    with ExitStack() as stack:
        pools = {name: stack.enter_context(make(workers)) for name, make in CONTESTANTS.items()}
        for number in range(rounds + 1):
            for name, work in pools.items():
                began = time.perf_counter()
                total = work(tasks)
                took = time.perf_counter() - began
                if total != tasks * (tasks + 1) // 2:
                    raise SystemExit(f"{name}: a wrong sum, {total}")
                if number:
                    seconds[name].append(took)
    return seconds


def table(seconds: dict[str, list[float]], tasks: int) -> list[str]:
    lines = [
        "| pool | tasks/s | spread | time, over that of the pool |", "|------|--------:|-------:|-----------------:|",
    ]  # fmt: skip
    for name, took in seconds.items():
        rates = sorted(tasks / each for each in took)
        ratio = statistics.median(own / floor for own, floor in zip(took, seconds[FLOOR], strict=True))
        lines.append(f"| {name} | {statistics.median(rates):,.0f} | {rates[0]:,.0f}-{rates[-1]:,.0f} | {ratio:.2f} |")
    return lines


def report(options: argparse.Namespace, seconds: dict[str, list[float]]) -> str:
    from importlib.metadata import version

    known = facts() | {"versions": versions([])["multiprocesstools"]}
    known["versions"] += "".join(f", {name} {version(name)}" for name in ("joblib", "pebble"))
    command = f"scripts/bench-pools --tasks {options.tasks} --workers {options.workers} --rounds {options.rounds}"
    return "\n".join([
        f"## {command}", "", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC.", "",
        *(f"- {name}: {value}" for name, value in known.items()), "",
        f"{options.tasks:,} tasks a round, {options.workers} workers (spawn), {options.rounds} rounds in turn, and one",
        "before that does not count. Tasks/s are medians, ratios medians of those of one round. All sums were right.",
        "", *table(seconds, options.tasks), "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench-pools", description=__doc__)
    parser.add_argument("--tasks", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", type=Path)
    options = parser.parse_args()
    text = report(options, measured(options.tasks, options.workers, options.rounds))
    sys.stdout.write(text)
    if options.save:
        options.save.write_text(text)


if __name__ == "__main__":
    main()
