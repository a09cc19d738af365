"""GNU parallel: a shell command for each line of the list, with a job log from which a later call resumes."""

import os
import shutil
import subprocess

from scripts.bench_files.job import CONTENT, Contestant, Job

CONTESTANTS = (
    Contestant(
        "parallel", "GNU parallel, --joblog --resume", "parallel", "floor", {}, alone=True,
        remark="one controlling machine; a shell for each item; outputs written in place",
    ),
)  # fmt: skip


def available() -> str:
    program = shutil.which("parallel")
    if program is None:
        return "GNU parallel is not installed"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return "" if said.startswith("GNU parallel") else "the program named parallel is another one"


def version() -> str:
    said = subprocess.run(["parallel", "--version"], capture_output=True, text=True, check=False).stdout
    return said.splitlines()[0].rpartition(" ")[2]


def fill(job: Job) -> None:
    with open(f"{job.directory}/list", "w") as file:
        file.writelines(f"{index:06d}\n" for index in range(job.items))


def work(job: Job) -> None:
    log = f"{job.directory}/joblog"
    options = ["-j", str(job.processes), "--joblog", log, "--resume", "-a", f"{job.directory}/list"]
    command = f"echo {CONTENT.decode().strip()} > {job.out}/{{}}.txt"
    subprocess.run(
        ["parallel", "--will-cite", *options, command],
        env=os.environ | {"PARALLEL_HOME": f"{job.directory}/home", "PARALLEL_SHELL": "/bin/sh"},
        stdin=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    with open(log) as file:
        job.made += [int(line.split("\t")[0]) - 1 for line in file.readlines()[1:]]
