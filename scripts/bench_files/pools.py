"""How many trivial tasks a second pools do: `WorkerController`, the `Pool` beneath it, and those of others, in one run.

Each contestant starts its workers, does one round that does not count, and then its rounds, in turn with all others;
each time another one begins, and a tenth of a round comes before each that does not count either. What runs first after
a slow one would pay for caches and processors that have seen something else meanwhile.
A task is a whole number, its result the next one; each result is checked. Every pool is given one task at a time
(chunks of 1), as `WorkerController` is, unless its row says otherwise. What the processors have worked tells more than
the clock on a machine that has other things to do.
"""

import argparse
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from multiprocesstools.workers import WorkerController
from multiprocesstools.workers.pools.line import DONE, TASK
from multiprocesstools.workers.pools.packing import pack, pack_function, unpack
from multiprocesstools.workers.pools.pool import Pool
from multiprocesstools.workers.pools.staff import Job
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
            total, settled, left = 0, 0, deque(range(n))
            while settled < n:
                while left and (room := pool.look_for_room()):
                    tasks = [left.popleft() for _ in range(min(room, len(left)))]
                    given = pool.give([(Job(task, task, function), pack(task, "task")) for task in tasks])
                    left.extendleft(reversed(tasks[given:]))
                    if not given:
                        break
                for event in pool.wait():
                    if event.word == DONE:
                        total, settled = total + unpack(event.packed), settled + 1
                    elif event.word == TASK and event.job is not None:
                        left.append(event.job.task)
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
    "the pool beneath, by itself": our_pool,
    "concurrent.futures, map": futures,
    "multiprocessing.Pool, imap_unordered": multiprocessing_pool,
    "joblib (loky), batches of 1": lambda workers: joblib_loky(workers, 1),
    "joblib (loky), batches of its choice": lambda workers: joblib_loky(workers, "auto"),
    "pebble, map": pebble_pool,
}
FLOOR = "the pool beneath, by itself"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a round, in seconds: by the clock, and of processors, in all processes."""

    wall: float
    cpu: float


def measured(tasks: int, workers: int, rounds: int, names: Sequence[str] = tuple(CONTESTANTS)) -> dict[str, list[Cost]]:
    """What each round has cost."""
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    with ExitStack() as stack:
        pools = {name: stack.enter_context(CONTESTANTS[name](workers)) for name in names}
        for number in range(rounds + 1):
            for name in (*names[number % len(names) :], *names[: number % len(names)]):
                work = pools[name]
                work(tasks // 10)
                wall, cpu = time.perf_counter(), cpu_seconds()
                total = work(tasks)
                cost = Cost(time.perf_counter() - wall, cpu_seconds() - cpu)
                if total != tasks * (tasks + 1) // 2:
                    raise SystemExit(f"{name}: a wrong sum, {total}")
                if number:
                    costs[name].append(cost)
    return costs


def cpu_seconds() -> float:
    """Of this process and all that it has started; who does not work now does not add to it."""
    spent = time.process_time()
    for child in psutil.Process().children(recursive=True):
        times = child.cpu_times()
        spent += times.user + times.system
    return spent


def over_floor(costs: dict[str, list[Cost]], name: str, what: str) -> float:
    """The median, over all rounds, of what it costs over what the pool beneath costs in the same round."""
    pairs = zip(costs[name], costs[FLOOR], strict=True)
    return statistics.median(getattr(own, what) / getattr(floor, what) for own, floor in pairs)


def table(costs: dict[str, list[Cost]], tasks: int) -> list[str]:
    lines = [
        "| pool | tasks/s | spread | time, over that of the pool | processors, µs a task | over those of the pool |",
        "|------|--------:|-------:|----------------------------:|----------------------:|-----------------------:|",
    ]
    for name, rounds in costs.items():
        rates = sorted(tasks / each.wall for each in rounds)
        cpu = statistics.median(each.cpu for each in rounds) / tasks * 1e6
        lines.append(
            f"| {name} | {statistics.median(rates):,.0f} | {rates[0]:,.0f}-{rates[-1]:,.0f} "
            f"| {over_floor(costs, name, 'wall'):.2f} | {cpu:.1f} | {over_floor(costs, name, 'cpu'):.2f} |"
        )
    return lines


def report(options: argparse.Namespace, costs: dict[str, list[Cost]]) -> str:
    from importlib.metadata import version

    known = facts() | {"versions": versions([])["multiprocesstools"]}
    known["versions"] += "".join(f", {name} {version(name)}" for name in ("joblib", "pebble"))
    command = f"scripts/bench-pools --tasks {options.tasks} --workers {options.workers} --rounds {options.rounds}"
    return "\n".join([
        f"## {command}", "", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC.", "",
        *(f"- {name}: {value}" for name, value in known.items()), "",
        f"{options.tasks:,} tasks a round, {options.workers} workers (spawn), {options.rounds} rounds in turn, each",
        "time beginning with another; one before that, and a tenth of a round before each, do not count. Tasks/s are",
        "medians, ratios medians of those of one round. All sums were right.",
        "", *table(costs, options.tasks), "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench-pools", description=__doc__)
    parser.add_argument("--tasks", type=int, default=20_000)
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
