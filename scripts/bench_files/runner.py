"""A process that does jobs of one contestant when it is told to: its modules are imported before any clock starts.

    python -m scripts.bench_files.runner KEY

A request is a line of JSON on standard input: `do` is "fill", "work" or "look", with a `job` and, for "work", the
`numbers` of the processes to fork. The answer is a line of JSON on standard output.

Guarantee: the processes of a job start together, each measures itself from its first call to its last, and what one
says to its own standard output does not reach the protocol.
"""

import importlib
import json
import os
import resource
import sys
import time
import traceback
from dataclasses import replace
from typing import Any

from scripts.bench_files import contestants
from scripts.bench_files.job import Contestant, Job
from scripts.bench_files.rpcs import rpcs_so_far


def main() -> None:
    contestant = contestants.named(sys.argv[1])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for module in contestant.imports:
        importlib.import_module(module)
    answers.write(json.dumps({"ready": os.getpid()}) + "\n")
    for line in iter(sys.stdin.readline, ""):
        try:
            answer = _answer(contestant, json.loads(line))
        except BaseException:
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")


def _answer(contestant: Contestant, request: dict[str, Any]) -> dict[str, Any]:
    job = Job(**request["job"])
    match request["do"]:
        case "fill":
            began = time.monotonic()
            contestants.fill(contestant, job)
            return {"seconds": time.monotonic() - began}
        case "work":
            return _work(contestant, job, request["numbers"])
        case "look":
            return {"outputs": contestants.outputs(contestant, job)}
    raise ValueError(request["do"])


def _work(contestant: Contestant, job: Job, numbers: list[int]) -> dict[str, Any]:
    before = rpcs_so_far(job.directory)
    gate_out, gate_in = os.pipe()
    readers = [_fork(contestant, replace(job, number=number), gate_out, gate_in) for number in numbers]
    os.close(gate_out)
    os.close(gate_in)  # the gate opens
    parts = [json.loads(_read_all(reader, pid)) for reader, pid in readers]
    if errors := [part["error"] for part in parts if "error" in part]:
        raise RuntimeError(errors[0])
    after = rpcs_so_far(job.directory)
    return {
        "seconds": max(part["end"] for part in parts) - min(part["begin"] for part in parts),
        "cpu": sum(part["cpu"] for part in parts),
        "made": [index for part in parts for index in part["made"]],
        "rpcs": {name: after[name] - before.get(name, 0) for name in after if after[name] > before.get(name, 0)},
    }


def _fork(contestant: Contestant, job: Job, gate_out: int, gate_in: int) -> tuple[int, int]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(gate_in)
            os.close(reader)
            _write_all(writer, json.dumps(_measured(contestant, job, gate_out)).encode())
        except BaseException:
            _write_all(writer, json.dumps({"error": traceback.format_exc()}).encode())
        finally:
            os._exit(0)
    os.close(writer)
    return reader, pid


def _measured(contestant: Contestant, job: Job, gate: int) -> dict[str, Any]:
    module = contestants.module_of(contestant)
    if prepare := getattr(module, "prepare", None):
        prepare(job)
    os.read(gate, 1)
    cpu, begin = _cpu_seconds(), time.monotonic()
    module.work(job)
    end = time.monotonic()
    if finish := getattr(module, "finish", None):
        finish(job)  # before the processor time of its children can be known
    return {"begin": begin, "end": end, "cpu": _cpu_seconds() - cpu, "made": job.made}


def _cpu_seconds() -> float:
    """Of this process, its threads, and its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _read_all(reader: int, pid: int) -> bytes:
    with os.fdopen(reader, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    return data or json.dumps({"error": "a process ended without a word"}).encode()


def _write_all(writer: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(writer, view) :]


if __name__ == "__main__":
    main()
