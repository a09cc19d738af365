"""A protocol whose steps wait for each other as a random graph says, and stamp their begin and their end.

python graph_protocol.py RUN SEED STEPS [--threads N] [--work SECONDS] [--chain] [--beat S] [--patience S]
"""

import argparse
import json
import os
import time
from pathlib import Path

from multiprocesstools.steps import Protocol
from tests.steps.detector import random_graph


class Graph(Protocol):
    """`stamps` is a file of this process alone: appends of several machines to one file are not whole on NFS."""

    def define_params(self, form):
        form.add_param("seed", 0)
        form.add_param("number", 10)
        form.add_param("work_seconds", 0.0)
        form.add_param("chain", False)

    def insert_all_steps(self):
        if self.chain:
            for number in range(self.number):
                self.insert_function_step("work", f"s{number}")
            return
        graph = random_graph(self.seed, self.number)
        ids = {name: number for number, name in enumerate(graph, start=1)}
        for name, prerequisites in graph.items():
            self.insert_function_step("work", name, prerequisites=[ids[other] for other in prerequisites])

    def work(self, name):
        self.stamp(name, "begin")
        if self.work_seconds:
            time.sleep(self.work_seconds)
        self.stamp(name, "end")

    def stamp(self, name, what):
        os.write(self.stamps, (json.dumps([name, what, time.time()]) + "\n").encode())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("steps", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=float, default=0.0)
    parser.add_argument("--chain", action="store_true")
    parser.add_argument("--beat", type=float, default=1.0)
    parser.add_argument("--patience", type=float, default=30.0)
    given = parser.parse_args()
    folder = Path(f"{given.run}.stamps")
    folder.mkdir(exist_ok=True)
    protocol = Graph(
        given.run, threads=given.threads, durable=False, beat_seconds=given.beat, patience_seconds=given.patience,
        seed=given.seed, number=given.steps, work_seconds=given.work, chain=given.chain,
    )  # fmt: skip
    who = f"{os.uname().nodename}-{os.getpid()}"
    protocol.stamps = os.open(folder / who, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)
    try:
        report = protocol.run()
    finally:
        os.close(protocol.stamps)
    print(report, flush=True)
    report.check()


if __name__ == "__main__":
    main()
