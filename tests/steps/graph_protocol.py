"""A protocol whose steps wait for each other as a random graph says, and stamp their begin and their end.

python graph_protocol.py RUN SEED STEPS [--threads N] [--chain] [--lacks METHOD] [--work SECONDS]
        [--together N] [--files] [--beat S] [--patience S]
"""

import argparse
import json
import os
import time
from pathlib import Path

from multiprocesstools.steps import Protocol
from tests.steps.detector import random_graph


class Graph(Protocol):
    """Stamps go to `stamps`, a file of this process; or each is a file of its own, created at a time by the server's
    clock, because the clocks of several machines differ."""

    stamps = -1

    def define_params(self, form):
        form.add_param("seed", 0)
        form.add_param("number", 10)
        form.add_param("work_seconds", 0.0)
        form.add_param("chain", False)
        form.add_param("lacks", "")

    def insert_all_steps(self):
        (self.insert_chain if self.chain else self.insert_graph)()
        if self.lacks:  # from here on this instance cannot run such steps
            setattr(self, self.lacks, None)

    def insert_chain(self):
        """Each step after the one before, with another method in turn."""
        for number in range(self.number):
            self.insert_function_step(("work", "work_elsewhere")[number % 2], f"s{number}")

    def insert_graph(self):
        graph = random_graph(self.seed, self.number)
        ids = {name: number for number, name in enumerate(graph, start=1)}
        for name, prerequisites in graph.items():
            self.insert_function_step("work", name, prerequisites=[ids[other] for other in prerequisites])

    def work(self, name):
        self.stamp(name, "begin")
        time.sleep(self.work_seconds)
        self.stamp(name, "end")

    def work_elsewhere(self, name):
        self.stamp(name, "begin")
        time.sleep(self.work_seconds)
        self.stamp(name, "end")

    def stamp(self, name, what):
        if self.stamps >= 0:
            os.write(self.stamps, (json.dumps([name, what, time.time()]) + "\n").encode())
            return
        path = f"{self.folder}/{name}.{what}.{self.who}.{os.urandom(3).hex()}"
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("steps", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--chain", action="store_true")
    parser.add_argument("--lacks", default="")
    parser.add_argument("--work", type=float, default=0.0)
    parser.add_argument("--together", type=int, default=1, help="begin when so many processes are there")
    parser.add_argument("--files", action="store_true", help="a file for each stamp")
    parser.add_argument("--beat", type=float, default=1.0)
    parser.add_argument("--patience", type=float, default=30.0)
    given = parser.parse_args()
    folder = Path(f"{given.run}.stamps")
    folder.mkdir(exist_ok=True)
    protocol = Graph(
        given.run, threads=given.threads, durable=False, beat_seconds=given.beat, patience_seconds=given.patience,
        seed=given.seed, number=given.steps, chain=given.chain, lacks=given.lacks, work_seconds=given.work,
    )  # fmt: skip
    protocol.who, protocol.folder = f"{os.uname().nodename}-{os.getpid()}", folder
    mine = os.open(folder / protocol.who, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)
    if not given.files:
        protocol.stamps = mine
    try:
        while len(os.listdir(folder)) < given.together:
            time.sleep(0.05)
        report = protocol.run()
    finally:
        os.close(mine)
    print(report, flush=True)
    report.check()


if __name__ == "__main__":
    main()
